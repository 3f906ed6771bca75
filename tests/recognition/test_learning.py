"""Losses, schedules, early stopping and training in several processes, on a small network."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aumer.errors import ConfigError, UsageError, WeightsError
from aumer.learning.inner import inner_subjects
from aumer.recognition.learning import (
    Learning,
    Sample,
    class_weights,
    learn,
    sample_losses,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Points:
    """Points on a line, by six subjects; class 1 lies to the right."""

    def __init__(self, count: int = 24, labels: Sequence[int] | None = None) -> None:
        rng = np.random.default_rng(0)
        self.labels = np.arange(count) % 2 if labels is None else np.array(labels)
        self.subjects = tuple(f"s{k // 2 % 6}" for k in range(len(self.labels)))
        self.x = (rng.normal(size=(len(self.labels), 3)) + self.labels[:, None]).astype(np.float32)

    def draw(self, clips: Any, rng: np.random.Generator | None) -> list[Sample]:
        return [(int(k), 0) for k in clips]

    def load(self, samples: Sequence[Sample], rng: np.random.Generator | None) -> dict[str, Tensor]:
        return {"x": torch.from_numpy(self.x[[k for k, _ in samples]])}

    def digest(self) -> str:
        return hashlib.sha256(self.x.tobytes()).hexdigest()


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        nn.init.constant_(self.layer.weight, 0.1)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layer(x))


def test_focal_loss_is_cross_entropy_weighed_by_what_is_missed() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    p = torch.softmax(logits, 1)[torch.arange(6), labels]
    focal = sample_losses(logits, labels, Learning(loss="focal", gamma=2))
    torch.testing.assert_close(focal, -((1 - p) ** 2) * p.log())
    plain = sample_losses(logits, labels, Learning(loss="focal", gamma=0))
    torch.testing.assert_close(plain, sample_losses(logits, labels, Learning()))


def test_class_weights_make_classes_equal() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = class_weights(labels, 2)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])
    assert float(weights[torch.from_numpy(labels)].mean()) == pytest.approx(1)
    assert torch.isfinite(class_weights(labels, 3)).all()


def test_losses_are_divided_by_weights_or_by_samples() -> None:
    """By samples as CNN-LSTM's section 7.1 writes it: weights of mean 1 over the classes."""
    points = Points(labels=[0, 0, 0, 0, 0, 1])
    seen = {}
    for by in ("weights", "samples"):
        net = Line()
        logits, labels = net(torch.from_numpy(points.x)), torch.from_numpy(points.labels)
        each = nn.functional.cross_entropy(logits, labels, reduction="none")
        if by == "weights":
            expected = nn.functional.cross_entropy(logits, labels, class_weights(points.labels, 2))
        else:
            w = torch.tensor([6 / 10, 6 / 2])
            expected = ((w / w.sum() * 2)[labels] * each).mean()
        settings = Learning(optimizer="sgd", lr=0.1, epochs=1, batch=6, divide_by=by)
        gradient = torch.autograd.grad(expected, net.layer.weight)[0]
        before = net.layer.weight.detach().clone()
        assert learn(net, points, 2, settings).log[0]["loss"] == pytest.approx(expected.item())
        torch.testing.assert_close(net.layer.weight, before - 0.1 * gradient)
        seen[by] = expected.item()
    assert seen["weights"] != pytest.approx(seen["samples"])


class TwoParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 2)
        for p in self.parameters():
            nn.init.normal_(p, generator=torch.Generator().manual_seed(p.numel()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.last(self.first(x)))


def test_a_part_learns_at_its_own_rate(tmp_path: Path) -> None:
    moved = {}
    for rates in ({}, {"first": 0.1}):
        net = TwoParts()
        before = [p.detach().clone() for p in net.parameters()]
        settings = Learning(optimizer="sgd", lr=0.1, epochs=1, batch=24, rates=rates)
        assert learn(net, Points(), 2, settings).log[0]["lr"] == 0.1
        moved[len(rates)] = [
            float((p.detach() - q).norm()) for p, q in zip(net.parameters(), before, strict=True)
        ]
    ratio = [b / a for a, b in zip(moved[0], moved[1], strict=True)]
    assert ratio == pytest.approx([0.1, 0.1, 1, 1], rel=1e-4)
    # Killed and resumed, each part still has its rate.
    path, nets = tmp_path / "c.safetensors", [TwoParts(), TwoParts()]
    whole = Learning(lr=0.01, epochs=3, rates={"first": 0.1})
    learn(nets[0], Points(), 2, whole)

    class Killed(Exception):
        pass

    def kill(record: dict[str, Any]) -> None:
        raise Killed

    with pytest.raises(Killed):
        learn(TwoParts(), Points(), 2, whole, checkpoint=path, callbacks=[kill])
    learn(nets[1], Points(), 2, whole, checkpoint=path)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(ConfigError, match=r"rates\.frist: .* it has first, last\..*'first'"):
        learn(TwoParts(), Points(), 2, replace(whole, rates={"frist": 1}))
    for wrong in (0, "fast", True, float("nan")):
        with pytest.raises(ConfigError, match=r"rates\.first must be above 0"):
            Learning(rates={"first": wrong})  # type: ignore[dict-item]


def test_runs_of_before_are_known_by_what_they_had() -> None:
    assert {"rates", "divide_by"}.isdisjoint(Learning().to_dict())
    assert Learning(rates={"a": 0.5}).to_dict()["rates"] == {"a": 0.5}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_it_learns(optimizer: Any, loss: Any) -> None:
    settings = Learning(loss=loss, optimizer=optimizer, lr=0.05, epochs=30, clip=1.0)
    learned = learn(Line(), Points(), 2, settings)
    assert learned.log[-1]["loss"] < 0.8 * learned.log[0]["loss"]
    assert learned.log[-1]["accuracy"] > 0.7 and len(learned.log) == 30


def test_schedules_of_any_training_serve_recognizers() -> None:
    settings = Learning(schedule="exponential", decay=0.5, lr=0.08, epochs=3)
    assert [r["lr"] for r in learn(Line(), Points(), 2, settings).log] == [0.08, 0.04, 0.02]
    warm = Learning(schedule="cosine", warmup=0.5, lr=0.1, epochs=2, batch=24)
    assert [r["lr"] for r in learn(Line(), Points(), 2, warm).log] == pytest.approx([1e-4, 0.1])


def test_the_gradient_is_clipped() -> None:
    """Plain SGD moves the weights by lr times the clipped norm at most."""
    net = Line()
    before = nn.utils.parameters_to_vector(net.parameters()).detach().clone()
    learn(net, Points(), 2, Learning(optimizer="sgd", lr=1.0, epochs=1, batch=24, clip=1e-3))
    moved = nn.utils.parameters_to_vector(net.parameters()).detach() - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_mixed_precision_gives_nearly_the_same() -> None:
    nets = [Line(), Line()]
    for net, mixed in zip(nets, (False, True), strict=True):
        learn(net, Points(), 2, Learning(epochs=5, lr=0.05, mixed_precision=mixed))
    full, half = (nn.utils.parameters_to_vector(n.parameters()) for n in nets)
    assert not torch.equal(full, half)
    torch.testing.assert_close(full, half, atol=0.02, rtol=0.05)
    assert half.dtype == torch.float32


def test_inner_subjects_are_kept_out_of_the_gradient() -> None:
    settings = Learning(epochs=3, inner_share=0.34, patience=3)
    points = Points()
    nets = [Line(), Line()]
    learned = learn(nets[0], points, 2, settings, seed=4)
    assert len(learned.inner_subjects) == 2
    inner = np.array([s in learned.inner_subjects for s in points.subjects])
    points.x[inner] = 0  # nothing that trains has seen them
    best = learned.log[int(np.argmin([r["inner_loss"] for r in learned.log]))]["epoch"]
    again = learn(nets[1], points, 2, replace(settings, epochs=best), seed=4)
    assert [r["loss"] for r in again.log] == [r["loss"] for r in learned.log[:best]]
    assert again.log[0]["inner_loss"] != learned.log[0]["inner_loss"]


def test_early_stopping_keeps_the_best_epoch() -> None:
    """Labels of inner subjects are turned round, so every step makes their loss worse."""
    points = Points()
    inner = inner_subjects(points.subjects, 0.34, 0)
    turned = np.array([s in inner for s in points.subjects])
    points.labels = np.where(turned, 1 - points.labels, points.labels)
    settings = Learning(optimizer="sgd", lr=0.5, epochs=50, batch=16, inner_share=0.34, patience=4)
    net, first = Line(), Line()
    learned = learn(net, points, 2, settings)
    losses = [r["inner_loss"] for r in learned.log]
    best = int(np.argmin(losses))
    assert len(losses) == best + 5 < 50
    learn(first, points, 2, replace(settings, epochs=best + 1, patience=0))
    torch.testing.assert_close(net.state_dict(), first.state_dict())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_killed_run_goes_on(optimizer: Any, tmp_path: Path) -> None:
    """Momenta, the plateau and the best weights too."""
    settings = Learning(
        optimizer=optimizer,
        lr=0.1,
        momentum=0.9,
        epochs=8,
        schedule="plateau",
        plateau=0,
        inner_share=0.34,
        patience=5,
    )

    def kill(record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            raise KeyboardInterrupt

    whole, resumed, path = Line(), Line(), tmp_path / "checkpoint.safetensors"
    log = learn(whole, Points(), 2, settings).log
    with pytest.raises(KeyboardInterrupt):
        learn(Line(), Points(), 2, settings, checkpoint=path, callbacks=[kill])
    again = learn(resumed, Points(), 2, settings, checkpoint=path).log
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert [r["loss"] for r in again] == [r["loss"] for r in log]
    with pytest.raises(UsageError, match="checkpoint of another run"):
        learn(Line(), Points(), 2, replace(settings, lr=0.2), checkpoint=path)


@pytest.mark.parametrize("which", ["network", "material", "recognizer"])
def test_a_checkpoint_knows_whose_code_made_it(which: str, tmp_path: Path) -> None:
    """Its user changes the code under the same name, and gives the command again."""

    def fit(number: int, **options: Any) -> None:
        base = Points if which == "material" else Line
        space: dict[str, Any] = {"__name__": "somebodys", "Base": base}
        exec(f"class Mine(Base):\n def extra(self): return {number}", space)
        mine = space["Mine"]
        learn(
            mine() if which == "network" else Line(),
            mine() if which == "material" else Points(),
            2,
            Learning(epochs=2),
            checkpoint=tmp_path / "checkpoint",
            parts=[("recognizer", mine)] if which == "recognizer" else [],
            **options,
        )

    fit(1)
    again: list[Any] = []
    fit(1, callbacks=[again.append])
    assert not again  # it was done
    with pytest.raises(UsageError, match=r"checkpoint of another run: .* code of yours"):
        fit(2)


def test_faults_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patience"):
        Learning(patience=3)
    with pytest.raises(ConfigError, match="loss must be one of cross-entropy, focal"):
        Learning(loss="hinge")  # type: ignore[arg-type]
    points = Points()
    points.x[3] = math.inf
    with pytest.raises(UsageError, match="the loss became NaN or infinite in epoch 1"):
        learn(Line(), points, 2, Learning())
    damaged = tmp_path / "checkpoint.safetensors"
    damaged.write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"the checkpoint of a training: .* delete it"):
        learn(Line(), Points(), 2, Learning(), checkpoint=damaged)
    with pytest.raises(UsageError, match="two clips or more; found 1"):
        learn(Line(), Points(1), 2, Learning())


_WORKER = """
import sys, torch
sys.path[:0] = [sys.argv[1]]
torch.set_num_threads(1)
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("learning_tests", sys.argv[2])
tests = module_from_spec(spec); sys.modules["learning_tests"] = tests
spec.loader.exec_module(tests)
from aumer.learning.machine import torchrun
from aumer.recognition.learning import Learning, learn
settings = Learning(epochs=3, batch=7, lr=0.05, clip=1.0, inner_share=0.2, patience=2)
with torchrun() as device:
    net = tests.Line()
    tests.learn(net, tests.Points(), 2, settings, device=device, checkpoint=sys.argv[3])
    rank = torch.distributed.get_rank()
    torch.save(net.state_dict(), f"{sys.argv[3]}.{rank}")
    # A published system, cut down, with batch norm.
    sys.path[:0] = [sys.argv[4]]
    from recognition.systems.conftest import REDUCED
    from aumer.recognition.sequences.simulated import Simulation, simulated_clips
    kind, config, learning = REDUCED["se-resnext50"]
    plan = Simulation(subjects=5, per_class=1, size=32, fps=50.0, flow="none")
    clips = simulated_clips(plan, seed=4)
    system = kind(config, {**learning, "batch": 8}, device=device)
    system.fit(clips, checkpoint=f"{sys.argv[3]}.system.{rank}")
    right = (system.predict_proba(clips.inputs).argmax(1) == clips.labels).tolist()
    torch.save(
        (system.net.state_dict(), [r["loss"] for r in system.log], right),
        f"{sys.argv[3]}.system-net.{rank}",
    )
"""


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """By torchrun, with batches that two does not divide; both end with the same weights.

    So does a published system, whose batch norms see shares of a batch: it learns, and one process
    alone keeps the checkpoint.
    """
    script, out = tmp_path / "worker.py", tmp_path / "checkpoint.safetensors"
    script.write_text(_WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    here = Path(__file__).parent
    arguments = [str(script), str(here), __file__, str(out), str(here.parent)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone = Line()
    learn(
        alone,
        Points(),
        2,
        Learning(epochs=3, batch=7, lr=0.05, clip=1.0, inner_share=0.2, patience=2),
    )
    both = [torch.load(f"{out}.{rank}", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close(both[0], both[1], rtol=0, atol=0)
    torch.testing.assert_close(both[0], alone.state_dict(), rtol=1e-5, atol=1e-6)
    assert out.exists()
    (net, loss, right), (other, same, _) = (
        torch.load(f"{out}.system-net.{rank}", weights_only=True) for rank in (0, 1)
    )
    torch.testing.assert_close(net, other, rtol=0, atol=0)
    assert loss == same and loss[-1] < 0.7 * loss[0] and sum(right) >= 10
    assert [Path(f"{out}.system.{rank}").exists() for rank in (0, 1)] == [True, False]
