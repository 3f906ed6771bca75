"""Losses: the published one equal to the golden values; ours stable, masked and balanced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aumer.errors import UsageError
from aumer.spotting.auwgcn.loss import published_loss
from aumer.spotting.auwgcn.targets import published_targets
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.losses import LossSettings, spot_loss
from aumer.spotting.targets import TargetEvent, targets

EVENTS = (TargetEvent(20, 50, 30, "macro"), TargetEvent(60, 70, 64, "micro"))


@pytest.fixture
def wanted() -> torch.Tensor:
    return torch.from_numpy(targets(EVENTS, 120, 30.0).values)[None]


def _logits(values: torch.Tensor) -> torch.Tensor:
    """Logits whose scores are `values`, but for 1e-6."""
    p = values.clamp(1e-6, 1 - 1e-6)
    out = p.log()
    for name in ("apex", "action"):
        for kind in ("micro", "macro"):
            c = column(kind, name)  # type: ignore[arg-type]
            out[..., c] = p[..., c].logit()
    return out


@pytest.mark.parametrize("macro_weight", [0.5, 0.7])
def test_published_loss_is_the_golden_one(
    shared_data: Callable[[str], Path], macro_weight: float
) -> None:
    with np.load(shared_data("golden/auwgcn.npz")) as golden:
        logits = torch.from_numpy(golden["loss/logits"]).transpose(1, 2)[:, 7:263]
        wanted = torch.from_numpy(published_targets(golden["targets/labels"]))
        found = published_loss(logits, wanted, macro_weight)
        assert len(found) == 7
        for name, value in found.items():
            key = f"total_r{macro_weight}" if name == "total" else name
            assert float(value) == pytest.approx(float(golden[f"loss/{key}"]), rel=1e-5)


def test_ours_is_least_at_the_targets(wanted: torch.Tensor) -> None:
    weight = torch.ones(wanted.shape[:2])
    best = spot_loss(_logits(wanted), wanted, weight)
    assert float(best["total"]) == pytest.approx(0, abs=1e-4)
    for name in CHANNELS:
        worse = _logits(wanted)
        worse[..., CHANNELS.index(name)] += 20.0
        assert spot_loss(worse, wanted, weight)["total"] > best["total"] + 1e-4


def test_ours_has_the_gradient_of_its_values(wanted: torch.Tensor) -> None:
    torch.manual_seed(0)
    rows = [18, 20, 30, 40, 60, 64, 70, 90]  # of every sort
    y = wanted[:, rows].double()
    logits = torch.randn(y.shape, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(y.shape[:2], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: spot_loss(x, y, weight)["total"], (logits,), fast_mode=True
    )


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_ours_is_finite_for_any_logits(wanted: torch.Tensor, scale: float) -> None:
    torch.manual_seed(0)
    logits = (scale * torch.randn(wanted.shape)).requires_grad_()
    total = spot_loss(logits, wanted, torch.ones(wanted.shape[:2]))["total"]
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(logits.grad).all()


def test_rows_without_weight_count_nothing_not_even_as_nan(wanted: torch.Tensor) -> None:
    torch.manual_seed(0)
    logits = torch.randn(wanted.shape)
    weight = torch.ones(wanted.shape[:2])
    weight[:, 80:] = 0
    broken = logits.clone()
    broken[:, 80:] = torch.nan
    broken.requires_grad_()
    whole = spot_loss(broken, wanted, weight)["total"]
    cut = spot_loss(logits[:, :80], wanted[:, :80], weight[:, :80])["total"]
    assert float(whole.detach()) == pytest.approx(float(cut))
    whole.backward()
    assert torch.isfinite(broken.grad).all() and not broken.grad[:, 80:].any()


def test_nothing_to_learn_from_is_zero(wanted: torch.Tensor) -> None:
    logits = torch.randn(wanted.shape, requires_grad=True)
    total = spot_loss(logits, wanted, torch.zeros(wanted.shape[:2]))["total"]
    total.backward()
    assert float(total.detach()) == 0 and not logits.grad.any()


def test_rare_positives_pull_as_much_as_the_rest(wanted: torch.Tensor) -> None:
    """At logits 0 the pull on apex rows upward is comparable to that on the rest downward."""

    def pulls(settings: LossSettings) -> tuple[float, float]:
        logits = torch.zeros(wanted.shape, requires_grad=True)
        spot_loss(logits, wanted, torch.ones(wanted.shape[:2]), settings)["micro_apex"].backward()
        grad = logits.grad[..., column("micro", "apex")]
        return -float(grad.clamp(max=0).sum()), float(grad.clamp(min=0).sum())

    up, down = pulls(LossSettings())
    assert 0.3 < up / down < 3
    plain_up, plain_down = pulls(replace(LossSettings(), max_boost=1.0))
    assert plain_up / plain_down < 0.1


def test_weights_of_terms_and_kinds(wanted: torch.Tensor) -> None:
    torch.manual_seed(0)
    logits, weight = torch.randn(wanted.shape), torch.ones(wanted.shape[:2])
    settings = LossSettings(apex=2.0, boundary=0.0, action=0.0, macro=0.0)
    found = spot_loss(logits, wanted, weight, settings)
    assert float(found["total"]) == pytest.approx(2 * float(found["micro_apex"]))
    assert set(found) == {
        *(f"{k}_{p}" for k in ("micro", "macro") for p in ("apex", "boundary", "action")),
        "total",
    }


def test_wrong_shapes_are_refused(wanted: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"\(B, T, 10\)"):
        spot_loss(wanted.transpose(1, 2), wanted.transpose(1, 2), torch.ones(1, 10))
    with pytest.raises(UsageError, match="weight must be"):
        spot_loss(wanted, wanted, torch.ones(1, 5))
    with pytest.raises(UsageError, match=r"\(B, T, 10\)"):
        published_loss(wanted[0], wanted[0], 0.5)


@pytest.mark.parametrize(
    "wrong", [{"apex": -1.0}, {"positive_share": 1.0}, {"max_boost": 0.5}, {"gamma": float("nan")}]
)
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        LossSettings(**wrong)
