"""A training's log serves spotting and recognition alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from training.conftest import simulated, small

from aumer.errors import BackendUnavailable, UsageError
from aumer.learning.engine import Callback
from aumer.learning.log import CURVES, LOG, tensorboard, write_events, write_log
from aumer.recognition.interface import Clips
from aumer.recognition.ststnet import StstNetRecognizer
from aumer.training.loop import train


def spotting(callbacks: tuple[Callback, ...]) -> tuple[dict[str, Any], ...]:
    return train(simulated(), small(patience=1), callbacks=callbacks).log


def recognition(callbacks: tuple[Callback, ...]) -> tuple[dict[str, Any], ...]:
    maps = np.random.default_rng(0).normal(size=(6, 28, 28, 3)).astype(np.float32)
    clips = Clips(maps, np.arange(6) % 2, ("a",) * 6, ("joy", "fear"))
    return StstNetRecognizer(epochs=2).fit(clips, callbacks=callbacks).log


both = pytest.mark.parametrize("learn", [spotting, recognition])


@both
def test_records_and_curves_are_written(learn: Callable[..., Any], tmp_path: Path) -> None:
    log = learn(())
    write_log(tmp_path, log)
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(log)
    assert [r["epoch"] for r in log] == [1, 2]
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")


@both
def test_tensorboard_is_told_where_it_is_installed(
    learn: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder == str(tmp_path / "tensorboard") and purge_step == 1

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            told.append((name, value, epoch))

        def close(self) -> None:
            told.append(("closed", 0.0, 0))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with tensorboard(tmp_path) as callbacks:
        log = learn(callbacks)
    wanted = [(k, v, r["epoch"]) for r in log for k, v in r.items() if k != "epoch"]
    assert told == [*wanted, ("closed", 0.0, 0)]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with tensorboard(tmp_path) as callbacks:
        assert callbacks == ()


def test_events_are_of_one_training(tmp_path: Path) -> None:
    """An interrupted one and what goes on from it are one; what is begun anew is another."""
    pytest.importorskip("tensorboard")

    def train(epochs: range, **how: bool) -> None:
        with tensorboard(tmp_path, **how) as (write,):
            for k in epochs:
                write({"epoch": k, "loss": float(k)})

    train(range(1, 4))
    train(range(3, 6), goes_on=True)  # the third was not kept
    assert events(tmp_path / "tensorboard")["loss"] == [(k, float(k)) for k in range(1, 6)]
    train(range(1, 3))
    assert events(tmp_path / "tensorboard")["loss"] == [(1, 1.0), (2, 2.0)]
    train(range(1, 1))  # learns at once: nothing is written, and nothing taken away
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """By name, what TensorBoard draws of a folder: step and value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = EventAccumulator(str(folder)).Reload()
    return {
        name: [(e.step, e.value) for e in told.Scalars(name)] for name in told.Tags()["scalars"]
    }


def test_events_of_trainings_that_have_ended(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = {
        f"seed-0/{name}": [{"epoch": k, "loss": 1 / k, "lr": 0.1} for k in (1, 2, 3)]
        for name in ("s1", "S1")
    }
    made = write_events(tmp_path, logs)
    assert len(set(made)) == 2
    for place in made:
        assert len(list(place.iterdir())) == 1  # nothing temporary is left
        told = EventAccumulator(str(place)).Reload()
        assert [(e.step, e.value) for e in told.Scalars("loss")] == [
            (k, pytest.approx(1 / k)) for k in (1, 2, 3)
        ]
        assert sorted(told.Tags()["scalars"]) == ["loss", "lr"]
    with pytest.raises(UsageError, match="holds event files already"):
        write_events(tmp_path, logs)
    write_events(tmp_path, {k: log[:1] for k, log in logs.items()}, overwrite=True)
    assert [len(list(place.iterdir())) for place in made] == [1, 1]
    with pytest.raises(UsageError, match="no record"):
        write_events(tmp_path, {})


def test_without_the_extra_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BackendUnavailable, match=r"aumer\[tensorboard\]"):
        write_events(tmp_path / "x", {"a": [{"epoch": 1, "loss": 1.0}]})
    assert not (tmp_path / "x").exists()
