"""The loop by itself, on a task that is neither spotting nor recognition."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from aumer.errors import UsageError, WeightsError
from aumer.learning import engine
from aumer.learning.checkpoint import load_state
from aumer.learning.engine import LearningTask, Loss
from aumer.learning.machine import Machine
from aumer.learning.settings import LearningSettings


class Sums(LearningTask[Tensor]):
    """Learns to add three numbers; drops some of them by torch's generator."""

    def __init__(self, reseeded: bool = True, inner: tuple[float, ...] = ()) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.net = nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 1))
            self.x = torch.randn(20, 3)
        self.machine, self.reseeded = Machine(), reseeded
        self._inner = iter(inner)

    def facts(self) -> dict[str, Any]:
        return {"x": self.x.tolist()}

    def torch_seed(self, epoch: int, rank: int) -> int | None:
        return epoch if self.reseeded else None

    def batches(self, epoch: int, rng: np.random.Generator) -> tuple[int, Iterator[Tensor]]:
        assert self.net.training
        return 4, iter(self.x[torch.from_numpy(rng.permutation(20))].split(5))

    def loss(self, batch: Tensor) -> Loss:
        loss = (self.machine.forward(self.net, batch)[:, 0] - batch.sum(1)).square().mean()
        return Loss(loss, {"loss": loss * len(batch), "shown": torch.tensor(len(batch))})

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"loss": sums["loss"] / sums["shown"]}

    def inner(self) -> dict[str, float]:
        assert not self.net.training
        found = next(self._inner, None)
        return {} if found is None else {"inner_loss": found}


def settings(**changes: Any) -> LearningSettings:
    usual: dict[str, Any] = {
        "optimizer": "adam",
        "lr": 0.05,
        "weight_decay": 0.0,
        "schedule": "constant",
        "epochs": 6,
        "batch": 5,
    }
    return LearningSettings(**{**usual, **changes})


class Killed(Exception):
    pass


def kill(record: dict[str, Any]) -> None:
    if record["epoch"] == 2:
        raise Killed


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("reseeded", [True, False])
def test_a_killed_run_goes_on(optimizer: str, reseeded: bool, tmp_path: Path) -> None:
    """Where torch's generator is never set, too: the checkpoint holds it."""
    wanted = settings(optimizer=optimizer, weight_decay=0.01, clip=1.0, schedule="plateau")
    whole, resumed, path = Sums(reseeded), Sums(reseeded), tmp_path / "c.safetensors"
    torch.manual_seed(3)
    log = engine.train(whole, wanted, seed=1)
    torch.manual_seed(3)
    with pytest.raises(Killed):
        engine.train(Sums(reseeded), wanted, seed=1, checkpoint=path, callbacks=[kill])
    torch.manual_seed(99)
    again = engine.train(resumed, wanted, seed=1, checkpoint=path)
    torch.testing.assert_close(resumed.net.state_dict(), whole.net.state_dict(), rtol=0, atol=0)
    assert [r["loss"] for r in again] == [r["loss"] for r in log]
    assert log[-1]["loss"] < log[0]["loss"] and not whole.net.training


def test_the_callers_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    engine.train(Sums(), settings())
    assert torch.equal(torch.rand(3), expected)


def test_it_stops_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    wanted = settings(epochs=20, inner_share=0.2, patience=2)
    task = Sums(inner=(3.0, 2.0, 1.0, 1.5, 1.0, 1.1, 1.2, 0.1))
    log = engine.train(task, wanted, checkpoint=tmp_path / "c")
    # An equal loss is no smaller one, but the later of equals is kept.
    assert [r["inner_loss"] for r in log] == [3.0, 2.0, 1.0, 1.5, 1.0]
    first = Sums()
    engine.train(first, settings(epochs=5))
    torch.testing.assert_close(task.net.state_dict(), first.net.state_dict(), rtol=0, atol=0)
    # One that had stopped has nothing left to do.
    done = Sums()
    assert engine.train(done, wanted, checkpoint=tmp_path / "c") == log
    torch.testing.assert_close(task.net.state_dict(), done.net.state_dict(), rtol=0, atol=0)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "c.safetensors", Sums()
    engine.train(Sums(), settings(epochs=1), checkpoint=path)
    other.x = other.x + 1
    with pytest.raises(UsageError, match="checkpoint of another run"):
        engine.train(other, settings(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(WeightsError, match="must hold the checkpoint of a training"):
        engine.train(Sums(), settings(), checkpoint=path)


@pytest.mark.parametrize("format", ["aumer-training-1", "aumer-learning-1"])
def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(format: str, tmp_path: Path) -> None:
    """Spotting's and recognition's were two formats, and the first knew another spelling."""
    path, old = tmp_path / "new", tmp_path / "old"
    with pytest.raises(Killed):
        engine.train(Sums(), settings(), checkpoint=path, callbacks=[kill])
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["aumer"])
        tensors = {
            k.replace("optimizer.", "optimizer.") if "training" in format else k: file.get_tensor(k)
            for k in file.keys()  # noqa: SIM118
            if k != "generator"
        }
    if "training" in format:
        about |= {"epoch": 2, "best": False}
    save_file(tensors, old, {"aumer": json.dumps({**about, "format": format})})
    assert load_state(old).epoch == 2
    whole, resumed = Sums(), Sums()
    engine.train(whole, settings())
    engine.train(resumed, settings(), checkpoint=old)
    torch.testing.assert_close(resumed.net.state_dict(), whole.net.state_dict(), rtol=0, atol=0)


def test_numbers_that_leave_the_finite_are_an_error() -> None:
    with pytest.raises(UsageError, match="the loss became NaN or infinite in epoch 1"):
        engine.train(Sums(inner=(float("nan"),)), settings())


def test_it_knows_neither_spotting_nor_recognition() -> None:
    code = (
        "import sys, aumer.learning.engine\n"
        "parts = ('aumer.spotting', 'aumer.recognition', 'aumer.training')\n"
        "known = [m for m in sys.modules if m.startswith(parts)]\n"
        "assert not known, known"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
