"""What every training is asked: ranges, schedules, and what stored runs know of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from aumer.errors import ConfigError, UsageError
from aumer.learning.inner import inner_subjects
from aumer.learning.settings import LearningSettings
from aumer.recognition.learning import Learning
from aumer.training.settings import TrainSettings


def settings(**changes: Any) -> LearningSettings:
    usual: dict[str, Any] = {
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 0.0,
        "schedule": "constant",
        "epochs": 10,
        "batch": 4,
    }
    return LearningSettings(**{**usual, **changes})


def test_the_rate_is_constant_unless_asked() -> None:
    assert {settings().rate(done, [1.0] * 5) for done in (0, 0.5, 1)} == {1e-3}


def test_exponential_falls_by_epochs() -> None:
    s = settings(schedule="exponential", decay=0.5, lr=0.8)
    assert [s.rate(0.3, [1.0] * n) for n in range(3)] == [0.8, 0.4, 0.2]


def test_cosine_goes_to_zero() -> None:
    s = settings(schedule="cosine", lr=0.2)
    assert [s.rate(d, ()) for d in (0, 0.5, 1)] == pytest.approx([0.2, 0.1, 0.0])


def test_cosine_rises_first_where_it_warms_up() -> None:
    s = settings(schedule="cosine", lr=1.0, warmup=0.2)
    rates = [s.rate(done, ()) for done in (0, 0.1, 0.2, 0.6, 1)]
    assert rates == pytest.approx([0.001, 0.501, 1.0, 0.5, 0.0])


def test_plateau_is_that_of_torch() -> None:
    s = settings(schedule="plateau", lr=1e-3, plateau=2, min_lr=3e-4)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=2, factor=0.5, min_lr=3e-4
    )
    losses = [1.0, 0.9, 0.9, 0.95, 0.91, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    for n, loss in enumerate(losses):
        theirs.step(loss)
        assert s.rate(0.0, losses[: n + 1]) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert s.rate(0.0, losses) == 3e-4


def test_a_factor_is_a_group_of_torchs_plateau() -> None:
    """Each group falls from its own rate to the one least rate, and is never raised to it."""
    s = settings(schedule="plateau", lr=1e-3, plateau=0, min_lr=2e-5)
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": r} for r in (1e-3, 1e-4, 1e-5)]
    optimizer = torch.optim.Adam(groups)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=2e-5)
    theirs.factor = 0.5
    for n in range(9):
        theirs.step(1.0)
        for group, factor in zip(optimizer.param_groups, (1, 0.1), strict=False):
            assert s.rate(0.0, [1.0] * (n + 1), factor) == pytest.approx(group["lr"])
        assert s.rate(0.0, [1.0] * (n + 1), 0.01) == pytest.approx(1e-5)
    for schedule in ("constant", "exponential", "cosine"):
        s = settings(schedule=schedule, lr=1.0, decay=0.9, warmup=0.1)
        for done in (0.0, 0.05, 0.6):
            assert s.rate(done, [1.0], 0.1) == pytest.approx(0.1 * s.rate(done, [1.0]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd"),
        ({"schedule": "steps"}, "schedule must be one of constant, exponential, plateau, cosine"),
        ({"epochs": 0}, "epochs must be from 1"),
        ({"lr": 0.0}, "lr must be from 1e-12"),
        ({"decay": 1.5}, "decay must be in"),
        ({"factor": 1.0}, "factor must be between 0 and 1"),
        ({"warmup": 1.0}, "warmup must be in"),
        ({"patience": 3}, "patience must be 0 where inner_share is 0"),
    ],
)
def test_values_out_of_range_are_refused_of_every_training(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(**change)
    with pytest.raises(ConfigError, match=said):
        replace(TrainSettings.preset("aumer"), **{"inner_share": 0.0, **change})
    with pytest.raises(ConfigError, match=said):
        Learning(**change)


def test_stored_runs_are_known_by_what_they_had() -> None:
    """Fields that came later are told only where they say something."""
    preset = TrainSettings.preset("published")
    assert "optimizer" not in preset.to_dict() and preset.to_dict()["decay"] == 0.96
    assert TrainSettings.preset("published", {"optimizer": "sgd"}).to_dict()["optimizer"] == "sgd"
    assert "warmup" not in Learning().to_dict() and Learning().to_dict()["optimizer"] == "adam"
    assert Learning(schedule="cosine", warmup=0.1).to_dict()["warmup"] == 0.1


def test_inner_subjects_are_a_share_and_never_all() -> None:
    subjects = [f"s{k}" for k in range(10)]
    assert inner_subjects(subjects, 0.0, 0) == ()
    assert len(inner_subjects(subjects, 0.2, 0)) == 2
    assert len(inner_subjects(subjects[:2], 0.9, 0)) == 1
    assert inner_subjects(subjects, 0.3, 1) == inner_subjects(subjects[::-1] * 2, 0.3, 1)
    assert len({inner_subjects(subjects, 0.3, seed) for seed in range(8)}) > 1
    with pytest.raises(UsageError, match="there is only a"):
        inner_subjects(["a", "a"], 0.2, 0)
