"""The state of a training in one safetensors file: weights, optimizer, progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aumer.errors import WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.weights import ArrayFormat

_FORMAT = ArrayFormat(
    "aumer-checkpoint-1",
    "the checkpoint of a training",
    "another file, or delete it to begin anew",
    # Former names, when spotting networks and recognizers had separate formats.
    earlier=("aumer-training-1", "aumer-learning-1"),
)
_GENERATOR = "generator"


@dataclass(frozen=True, eq=False)
class State:
    """The complete state of a run after its last epoch.

    Attributes:
        digest: digest of everything that the run depends on; a run with another digest must not
            continue from it.
        log: one record per epoch.
        best: weights with the least inner loss so far, for early stopping.
        generator: state of torch's CPU generator; missing in older files.
    """

    digest: str
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    log: list[dict[str, Any]]
    best: dict[str, Tensor] | None = None
    generator: Tensor | None = None

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.log)


def save_state(path: StrPath, state: State) -> None:
    """Write `state`, replacing the file at `path` in one step."""
    tensors = {f"weights.{k}": v for k, v in state.weights.items()}
    tensors |= {f"best.{k}": v for k, v in (state.best or {}).items()}
    for number, slot in state.optimizer["state"].items():
        # SGD stores None without momentum.
        tensors |= {f"optimizer.{number}.{k}": v for k, v in slot.items() if v is not None}
    if state.generator is not None:
        tensors[_GENERATOR] = state.generator
    about = {"digest": state.digest, "log": state.log, "groups": state.optimizer["param_groups"]}
    arrays = {k: v.detach().cpu().numpy() for k, v in tensors.items()}
    _FORMAT.write(path, arrays, about, overwrite=True)


def load_state(path: StrPath) -> State:
    """Load a file of `save_state`, also of earlier versions.

    Raises:
        WeightsError: the file is damaged or is not such a file.
    """
    about, arrays = _FORMAT.read(path)
    advice = "Delete it to begin anew"
    with foreign(path, "a whole checkpoint of a training", WeightsError, advice):
        tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            # Spelled "optimiser" in files of earlier versions.
            if name.startswith(("optimizer.", "optimiser.")):
                _, number, key = name.split(".")
                slots.setdefault(int(number), {})[key] = value
        return State(
            digest=str(about["digest"]),
            weights=_part(tensors, "weights."),
            optimizer={"state": slots, "param_groups": about["groups"]},
            log=list(about["log"]),
            best=_part(tensors, "best.") or None,
            generator=tensors.get(_GENERATOR),
        )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
