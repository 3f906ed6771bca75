"""Files of half precision and of dynamic int8, and what they cost in accuracy.

"half" keeps every number in 16 bits. "int8" keeps weights (all of two dimensions or more) in 8 bits
with one scale for each output channel, and rounds what linear, convolution and recurrent layers
read to 8 bits by the largest value at hand (dynamic). Both are computed in float32: files and
accuracies are those of the lower precision on any machine, the speed is not. (torch's own dynamic
int8 is deprecated, leaves convolutions as they are, and its weights fit no safetensors file.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from aumer.errors import UsageError
from aumer.files import StrPath, TemporaryFolder, check_target

Precision = Literal["single", "half", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Arrays = dict[str, npt.NDArray[Any]]

_SCALE = ".int8-scale"
_LARGEST = 127


def packed(arrays: Mapping[str, npt.NDArray[Any]], precision: Precision) -> Arrays:
    """What a file of this precision holds of a network's arrays.

    Raises:
        UsageError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}; found {precision!r}")
    made: Arrays = {}
    for name, value in arrays.items():
        if precision == "single" or not np.issubdtype(value.dtype, np.floating):
            made[name] = value
        elif precision == "half":
            made[name] = value.astype(np.float16)
        elif value.ndim < 2:  # biases and norms: small, and what all else is measured against
            made[name] = value
        else:
            rows = np.abs(value.reshape(len(value), -1)).max(1)
            scale = np.where(rows > 0, rows / _LARGEST, 1.0).astype(np.float32)
            steps = value / scale.reshape(-1, *[1] * (value.ndim - 1))
            made[name] = np.rint(steps).astype(np.int8)
            made[name + _SCALE] = scale
    return made


def unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """The inverse of `packed`, up to what the precision has lost: float32."""
    made: Arrays = {}
    for name, value in arrays.items():
        if name + _SCALE in arrays:
            scale = arrays[name + _SCALE].reshape(-1, *[1] * (value.ndim - 1))
            made[name] = value.astype(np.float32) * scale
        elif not name.endswith(_SCALE):
            made[name] = value.astype(np.float32) if value.dtype == np.float16 else value
    return made


def round_activations(net: nn.Module) -> None:
    """Make `net` read in 8 bits wherever it has weights, from now on."""

    def rounded(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_eight_bits(inputs[0]), *inputs[1:])

    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.LSTM, nn.GRU)):
            module.register_forward_pre_hook(rounded)


def _eight_bits(x: Tensor) -> Tensor:
    # One scale for each clip of a batch, so that no clip's numbers depend on its neighbors.
    largest = x.abs().flatten(1).amax(1) if x.ndim > 1 else x.abs().amax()[None]
    scale = (largest / _LARGEST).clamp(min=1e-12).reshape(-1, *[1] * (x.ndim - 1))
    return torch.round(x / scale) * scale


@dataclass(frozen=True)
class Export:
    """A file of lower precision beside one of single precision.

    Attributes:
        accuracy: shares of right answers, before and after.
        changed: clips that got another class.
        bytes: sizes of the files, before and after.
    """

    precision: str
    clips: int
    accuracy: tuple[float, float]
    changed: int
    bytes: tuple[int, int]

    def __str__(self) -> str:
        before, after = self.accuracy
        large, small = (size / 1e6 for size in self.bytes)
        return (
            f"{self.precision}: accuracy {before:.4f} -> {after:.4f} ({after - before:+.4f}) on "
            f"{self.clips} clips, {self.changed} with another class; "
            f"file {large:.2f} -> {small:.2f} MB"
        )


def export(
    recognizer: Any,
    path: StrPath,
    precision: Precision,
    clips: Any,
    card: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> Export:
    """Write a fitted system in lower precision, and measure what that changes.

    Args:
        recognizer: an `aumer.recognition.systems.system.SequenceSystem`.
        clips: `SequenceClips` with its classes; those of a test set say what the figure is worth.
        card: the accuracies are added to it under "export".

    Raises:
        UsageError: as for `save`, no clip, or clips of other classes.
    """
    if not len(clips):
        raise UsageError("the change in accuracy is measured on clips, and there is none")
    if clips.classes != recognizer.classes:
        raise UsageError(
            f"the clips are of {', '.join(clips.classes)}; the recognizer knows "
            f"{', '.join(recognizer.classes) or 'no class yet'}"
        )
    check_target(path, overwrite=overwrite)
    before = recognizer.predict_proba(clips.inputs).argmax(1)
    with TemporaryFolder() as folder:
        whole, small = folder / "single.safetensors", folder / "low.safetensors"
        recognizer.save(whole, card)
        recognizer.save(small, card, precision=precision)
        after = type(recognizer).load(small).predict_proba(clips.inputs).argmax(1)
        sizes = whole.stat().st_size, small.stat().st_size
    made = Export(
        precision,
        len(clips),
        (float((before == clips.labels).mean()), float((after == clips.labels).mean())),
        int((before != after).sum()),
        sizes,
    )
    about = {"precision": precision, "clips": len(clips), "accuracy": list(made.accuracy)}
    recognizer.save(path, {**card, "export": about}, precision=precision, overwrite=overwrite)
    return made
