"""Eight simulated clips, and each system small enough to learn them in a second or two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from aumer.recognition.sequences.clips import SequenceClips
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.systems.cnn_lstm import CnnLstmRecognizer
from aumer.recognition.systems.mfem_mffm import MfemMffmRecognizer
from aumer.recognition.systems.mobilevit_v3 import MobileVitV3
from aumer.recognition.systems.se_resnext50 import SeResNext50

STILL = {"brightness": 0.0, "contrast": 0.0, "noise": 0.0, "flip": 0.0, "shift": 0}
LEARNING = {"epochs": 30, "inner_share": 0.0, "patience": 0}

#: Class, reduced configuration and learning of each system. The networks' widths and depths are cut
#: (MobileViTv3's XXS stays whole), augmentation and dropout are off, and steps are larger.
REDUCED: dict[str, tuple[type, dict[str, Any], dict[str, Any]]] = {
    "cnn-lstm": (
        CnnLstmRecognizer,
        {
            "length": 8,
            "windows": 0,
            "channels": (8, 16),
            "dropout": 0.0,
            "augmentation": STILL,
        },
        {**LEARNING, "lr": 2e-3, "rates": {}},
    ),
    "mfem-mffm": (
        MfemMffmRecognizer,
        {"steps": 3, "width": 8, "blocks": (1, 1, 1, 1), "hidden": 32, "augmentation": {}},
        {**LEARNING, "lr": 3e-3, "optimizer": "adam", "epochs": 45},
    ),
    "mobilevit-v3": (
        MobileVitV3,
        {"dropout": 0.0, "augmentation": {}},
        {**LEARNING, "lr": 2e-3},
    ),
    "se-resnext50": (
        SeResNext50,
        {"layers": (1, 1, 1, 1), "groups": 4, "reduction": 4, "augmentation": {}},
        {**LEARNING, "lr": 2e-3, "batch": 8},  # pairs leave batch norm no statistics to learn
    ),
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def eight() -> SequenceClips:
    """8 clips of 32 px by 4 subjects, of 3 classes."""
    every = simulated_clips(Simulation(subjects=4, per_class=1, size=32, fps=50.0))
    return every.take(np.array([0, 1, 2, 3, 4, 5, 7, 11]))


@pytest.fixture(scope="session")
def reduced() -> Callable[..., Any]:
    """``reduced(name, **learning)`` is an untrained system, cut down."""

    def make(name: str, **learning: Any) -> Any:
        made, config, settings = REDUCED[name]
        return made(config, {**settings, **learning}, seed=1)

    return make
