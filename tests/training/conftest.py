"""Small simulated data that training tests share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest
import torch

from aumer.simulate import nuisance
from aumer.simulate.features import simulate_features
from aumer.simulate.population import Population
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo, from_simulation


@lru_cache(maxsize=4)
def simulated(subjects: int = 4, minutes: float = 1.0, seed: int = 5) -> tuple[LabeledVideo, ...]:
    """One easy video of each subject."""
    return from_simulation(simulate_features(subjects, minutes=minutes, seed=seed, level="easy"))


def small(preset: str = "aumer", **changes: object) -> TrainSettings:
    """A preset with little to do: a small network, two epochs."""
    net = {"widths": [16, 16], "kernels": [1, 3], "dilations": [1, 2], "graph_width": 4}
    few = {"epochs": 2, "window_s": 10.0} if preset == "aumer" else {"epochs": 2}
    overrides = {"net_overrides": net} if preset == "aumer" else {}
    return TrainSettings.preset(preset, {**few, **overrides, **changes})


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks lose time on two threads, most of all where other tests run beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def video() -> LabeledVideo:
    """A minute of one simulated face that is never lost."""
    seen = tuple(name for name in nuisance.USUAL if name != "lost_faces")
    subject = Population(1, 7, videos=1, minutes=1.0, rate_per_min=(30, 30), nuisances=seen)
    return from_simulation(subject.draw())[0]
