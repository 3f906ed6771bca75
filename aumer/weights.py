"""The one kind of file that aumer keeps weights in: safetensors with a card inside.

The card says in JSON what the arrays are: the format and its version, the settings that they go
with, where they come from. No code in a file is run, and neither writing nor reading needs torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer.arguments import require_path
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath, atomic_write
from aumer.foreign import foreign
from aumer.names import is_file, is_folder

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, npt.NDArray[Any]]

#: What a file of another of aumer's formats is for.
_KNOWN = {
    "aumer-spotnet-1": "it holds a spotting network, which `aumer spot --model` takes",
    "aumer-recognizer-1": "it holds a recognizer, which `aumer classify --recognizer` and "
    "`aumer spot --recognizer` take",
    "aumer-au-reader-1": "it holds an AU reader, which `aumer classify --au-reader` and "
    "`aumer spot --au-reader` take",
    "aumer-checkpoint-1": "it holds the state of a training, which goes on when the same command "
    "is given again",
}


@dataclass(frozen=True)
class ArrayFormat:
    """What a sort of file is called and how it is come by.

    Attributes:
        name: in the card; another one wherever readers of this one would be wrong.
        holds: what such a file holds, as messages call it: "a spotting network".
        remedy: what to give instead of a file that is none: "a file that `aumer train` wrote".
        earlier: names of formats that are read as well.
    """

    name: str
    holds: str
    remedy: str
    earlier: tuple[str, ...] = ()

    def write(
        self,
        path: StrPath,
        arrays: Mapping[str, npt.NDArray[Any]],
        about: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        """Write arrays and what is to be known of them, all at once or not at all.

        Raises:
            UsageError: `about` is not plain values, or as for `aumer.files.atomic_write`.
        """
        from safetensors.numpy import save

        try:
            card = json.dumps({"format": self.name, **about}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the card must hold plain values that JSON has: {error}") from error
        # Not np.ascontiguousarray, which gives a single number an axis.
        whole = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        atomic_write(path, save(whole, {"aumer": card}), overwrite=overwrite)

    def read(self, path: StrPath) -> tuple[dict[str, Any], Arrays]:
        """What `write` was given as `about`, with the format's name, and the arrays.

        Raises:
            WeightsError: no such file, damaged, of another format, or with NaN or infinity in it.
        """
        from safetensors import safe_open

        require_path("path", path, f"the path of a file that holds {self.holds}")
        if not (is_file(path) or is_folder(path)):
            raise WeightsError(f"no weights at {path}: give {self.remedy}")
        advice = f"It must hold {self.holds}: give {self.remedy}"
        # numpy has no bfloat16 or float8, which is a TypeError or an AttributeError.
        with (
            foreign(path, "weights", WeightsError, advice),
            safe_open(path, framework="numpy") as file,
        ):
            metadata = file.metadata() or {}
            about = self._checked(metadata, path)  # before the numbers, which may be anything
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            # Unless some package has taught numpy: what is read must not hang on what is imported.
            for name, value in arrays.items():
                if value.dtype.kind not in "fiub":
                    raise TypeError(f"{name} is of the type {value.dtype}, which numpy has not")
        require_finite(arrays, os.fspath(path), f"Give {self.remedy}")
        return about, arrays

    def _checked(self, metadata: Mapping[str, str], path: StrPath) -> dict[str, Any]:
        """The card of a file of this format."""
        try:
            about = json.loads(metadata["aumer"])
        except (KeyError, ValueError, RecursionError):
            about = {}
        found = about.get("format") if isinstance(about, dict) else None
        if found not in (self.name, *self.earlier):
            found_instead = "" if found is None else f", but one of {found!r}"
            why = "it was not written by this version of aumer"
            raise WeightsError(
                f"{path} is a safetensors file without the card of {self.holds} "
                f"({self.name}){found_instead}; {_KNOWN.get(str(found), why)}. Give {self.remedy}"
            )
        card: dict[str, Any] = about
        return card


def card_of(path: StrPath) -> dict[str, Any]:
    """All that a file of aumer's weights, of whatever kind, says beside its numbers.

    Raises:
        WeightsError: no such file, damaged, or not one of aumer's.
    """
    from safetensors import safe_open

    require_path("path", path, "the path of a file of weights")
    advice = "Give a file that `aumer train` or `aumer bench` wrote"
    if not is_file(path):
        raise WeightsError(f"no weights at {path}: give a file that `aumer train` wrote")
    with (
        foreign(path, "weights", WeightsError, advice),
        safe_open(path, framework="numpy") as file,
    ):
        card: dict[str, Any] = json.loads((file.metadata() or {})["aumer"])
        if not isinstance(card, dict):
            raise ValueError("its card is no table")
    return card


def require_finite(arrays: Mapping[str, Any], where: str, remedy: str) -> None:
    """Complain of numbers that are none: what is computed with them is silently nothing.

    Args:
        arrays: numpy's or torch's, by name.
        where: what the message begins with.

    Raises:
        WeightsError: an array holds NaN or infinity; the message names the first.
    """
    for name, value in arrays.items():
        # numpy has not all of torch's types.
        array = value if isinstance(value, np.ndarray) else value.detach().cpu().double().numpy()
        if array.dtype.kind not in "fc":
            continue
        if bad := int(np.count_nonzero(~np.isfinite(array))):
            raise WeightsError(
                f"{where}: {bad} of the {array.size} numbers of {name} are NaN or infinite; the "
                f"file is damaged, or its training failed. {remedy}"
            )


def digest(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Hex SHA-256 of the arrays' names and numbers, whatever their order."""
    known = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        known.update(name.encode())
        known.update(value.tobytes())
    return known.hexdigest()


def arrays_of(net: nn.Module) -> Arrays:
    """A network's numbers, as `ArrayFormat.write` takes them; they share its memory on the CPU."""
    return {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}


def fill(net: nn.Module, found: Mapping[str, Any], complaint: str, remedy: str = "") -> None:
    """Put arrays or tensors into `net`, if they are its own by name and shape.

    Args:
        complaint, remedy: what an error says before and after the entries that do not fit.

    Raises:
        WeightsError: some do not; the message names the first of them.
    """
    import torch

    wanted = net.state_dict()
    state = {name: torch.as_tensor(value) for name, value in found.items()}
    for name in state:  # older files of recognizers give a single number an axis
        if state[name].shape == (1,) and name in wanted and not wanted[name].ndim:
            state[name] = state[name][0]
    # Files older than torch 0.4.1 lack these counters; torch supplies them and never reads them.
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in wanted]
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    differences = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    wrong = [f"{what}: {_first(keys)}" for what, keys in differences.items() if keys]
    if wrong:
        raise WeightsError(f"{complaint}; {'; '.join(wrong)}.{remedy}")
    net.load_state_dict(state, strict=False)


def _first(keys: list[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more
