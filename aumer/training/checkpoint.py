"""A training run's state in one safetensors file: weights, optimizer, and where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from aumer.errors import WeightsError
from aumer.files import StrPath, atomic_write

_FORMAT = "aumer-training-1"


@dataclass(frozen=True, eq=False)
class State:
    """What an unbroken run would have in memory after `epoch` epochs.

    Attributes:
        digest: of everything the run depends on; a run of another digest must not go on from here.
        log: one record per epoch.
        best: weights with the least inner loss so far, where training may stop early.
    """

    epoch: int
    digest: str
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    log: list[dict[str, Any]]
    best: dict[str, Tensor] | None = None


def save_state(path: StrPath, state: State) -> None:
    """Write `state`, replacing the file at `path` in one step."""
    tensors = {f"weights.{k}": v for k, v in state.weights.items()}
    tensors |= {f"best.{k}": v for k, v in (state.best or {}).items()}
    for number, slot in state.optimizer["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in slot.items()}
    about = {
        "format": _FORMAT,
        "epoch": state.epoch,
        "digest": state.digest,
        "log": state.log,
        "groups": state.optimizer["param_groups"],
        "best": state.best is not None,
    }
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    atomic_write(path, safetensors.save(plain, {"aumer": json.dumps(about)}), overwrite=True)


def load_state(path: StrPath) -> State:
    """Read what `save_state` wrote.

    Raises:
        WeightsError: the file is damaged or is not such a file.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["aumer"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["format"] != _FORMAT:
            raise KeyError(f"its format is {about['format']!r}")
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            # Spelled so in runs that an earlier aumer began and this one goes on with.
            if name.startswith(("optimizer.", "optimiser.")):
                _, number, key = name.split(".")
                slots.setdefault(int(number), {})[key] = value
        return State(
            epoch=int(about["epoch"]),
            digest=str(about["digest"]),
            weights=_part(tensors, "weights."),
            optimizer={"state": slots, "param_groups": about["groups"]},
            log=list(about["log"]),
            best=_part(tensors, "best.") if about["best"] else None,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is not a checkpoint of `aumer train`: {error}. Delete it to begin anew"
        ) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors' values now, whatever later becomes of the network."""
    return {k: v.detach().clone() for k, v in weights.items()}


def seeded(*numbers: int) -> None:
    """Set torch's generator from several numbers, so that an epoch depends on no earlier one."""
    state = 0
    for n in numbers:
        state = (state * 1_000_003 + n + 1) % (2**63 - 1)
    torch.manual_seed(state)
