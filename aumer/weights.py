"""Files of weights: safetensors with a card inside.

The card is JSON: the format and its version, the settings that belong to the arrays, and their
origin. No code in a file is run, and neither writing nor reading needs torch.
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

#: What files of aumer's various formats are for.
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
    """Name and origin of one format of files.

    Attributes:
        name: stands in the card; changes whenever old readers would misread the file.
        holds: content of such a file in messages: "a spotting network".
        remedy: what to use instead of a wrong file: "a file that `aumer train` wrote".
        earlier: names of older formats that can be read, too.
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
        """Write arrays and their card, complete or not at all.

        Raises:
            UsageError: `about` holds other than plain values, or as for `aumer.files.atomic_write`.
        """
        from safetensors.numpy import save

        try:
            card = json.dumps({"format": self.name, **about}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the card must hold plain values that JSON has: {error}") from error
        # Not np.ascontiguousarray, which adds an axis to a scalar.
        whole = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        atomic_write(path, save(whole, {"aumer": card}), overwrite=overwrite)

    def read(self, path: StrPath) -> tuple[dict[str, Any], Arrays]:
        """The card that `write` received as `about`, with the format's name, and the arrays.

        Raises:
            WeightsError: the file is missing, damaged, of another format, or contains NaN or
                infinity.
        """
        from safetensors import safe_open

        require_path("path", path, f"the path of a file that holds {self.holds}")
        if not (is_file(path) or is_folder(path)):
            raise WeightsError(f"no weights at {path}: give {self.remedy}")
        advice = f"It must hold {self.holds}: give {self.remedy}"
        # numpy has no bfloat16 or float8: TypeError or AttributeError.
        with (
            foreign(path, "weights", WeightsError, advice),
            safe_open(path, framework="numpy") as file,
        ):
            metadata = file.metadata() or {}
            about = self._checked(metadata, path)  # before the arrays, which may be anything
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            # A package may add these types to numpy; what is readable must not depend on imports.
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
    """The card of a file of weights of any of aumer's formats.

    Raises:
        WeightsError: the file is missing, damaged, or not one of aumer's.
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
    """Refuse NaN and infinity, which would silently spoil all results.

    Args:
        arrays: arrays of numpy or torch, by name.
        where: beginning of the message.

    Raises:
        WeightsError: an array contains NaN or infinity; the message names the first one.
    """
    for name, value in arrays.items():
        # numpy lacks some of torch's types.
        array = value if isinstance(value, np.ndarray) else value.detach().cpu().double().numpy()
        if array.dtype.kind not in "fc":
            continue
        if bad := int(np.count_nonzero(~np.isfinite(array))):
            raise WeightsError(
                f"{where}: {bad} of the {array.size} numbers of {name} are NaN or infinite; the "
                f"file is damaged, or its training failed. {remedy}"
            )


def digest(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Hex SHA-256 of the arrays' names and values, independent of their order."""
    known = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        known.update(name.encode())
        known.update(value.tobytes())
    return known.hexdigest()


def arrays_of(net: nn.Module) -> Arrays:
    """A network's parameters and buffers for `ArrayFormat.write`; on the CPU they share memory."""
    return {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}


def fill(net: nn.Module, found: Mapping[str, Any], complaint: str, remedy: str = "") -> None:
    """Copy arrays or tensors into `net`; names and shapes must match.

    Args:
        complaint, remedy: text of the error before and after the entries that do not fit.

    Raises:
        WeightsError: some do not match; the message names the first.
    """
    import torch

    wanted = net.state_dict()
    state = {name: torch.as_tensor(value) for name, value in found.items()}
    for name in state:  # older files of recognizers have an axis for scalars
        if state[name].shape == (1,) and name in wanted and not wanted[name].ndim:
            state[name] = state[name][0]
    # Files older than torch 0.4.1 lack these counters, which torch adds and never reads.
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
