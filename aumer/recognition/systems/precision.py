"""Files in half precision and in dynamic int8, and their loss of accuracy.

"half" stores all values in 16 bits. "int8" stores weights (of two or more dimensions) in 8 bits
with one scale per output channel, and rounds inputs of linear, convolution and recurrent layers to
8 bits by their largest value (dynamic). Both are computed in float32: file sizes and accuracies are
those of the lower precision on any machine, the speed is not. (torch's own dynamic int8 is
deprecated, excludes convolutions, and cannot be stored as safetensors.)
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
    """A network's arrays as stored in this precision.

    Raises:
        UsageError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}; found {precision!r}")
    made: Arrays = {}
    for name, value in arrays.items():
        if precision == "single" or not np.issubdtype(value.dtype, np.floating):
            made[name] = value
        elif precision == "half":
            made[name] = value.astype(np.float16)
        elif value.ndim < 2:  # biases and norms: small but sensitive
            made[name] = value
        else:
            rows = np.abs(value.reshape(len(value), -1)).max(1)
            scale = np.where(rows > 0, rows / _LARGEST, 1.0).astype(np.float32)
            steps = value / scale.reshape(-1, *[1] * (value.ndim - 1))
            made[name] = np.rint(steps).astype(np.int8)
            made[name + _SCALE] = scale
    return made


def unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """The inverse of `packed`, except for the loss of precision: float32."""
    made: Arrays = {}
    for name, value in arrays.items():
        if name + _SCALE in arrays:
            scale = arrays[name + _SCALE].reshape(-1, *[1] * (value.ndim - 1))
            made[name] = value.astype(np.float32) * scale
        elif not name.endswith(_SCALE):
            made[name] = value.astype(np.float32) if value.dtype == np.float16 else value
    return made


def round_activations(net: nn.Module) -> None:
    """Make all layers of `net` with weights round their inputs to 8 bits."""

    def rounded(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_eight_bits(inputs[0]), *inputs[1:])

    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.LSTM, nn.GRU)):
            module.register_forward_pre_hook(rounded)


def _eight_bits(x: Tensor) -> Tensor:
    # One scale for each clip of a batch, so that no clip depends on others.
    largest = x.abs().flatten(1).amax(1) if x.ndim > 1 else x.abs().amax()[None]
    scale = (largest / _LARGEST).clamp(min=1e-12).reshape(-1, *[1] * (x.ndim - 1))
    return torch.round(x / scale) * scale


@dataclass(frozen=True)
class Export:
    """Comparison of a file of lower precision with single precision.

    Attributes:
        accuracy: accuracy before and after.
        changed: number of clips with a different class.
        bytes: file sizes before and after.
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
    """Write a fitted system in lower precision, and measure the change.

    Args:
        recognizer: an `aumer.recognition.systems.system.SequenceSystem`.
        clips: `SequenceClips` with its classes; the figures are meaningful for a test set.
        card: the accuracies are added to it under "export".

    Raises:
        UsageError: as for `save`, no clips, or clips of other classes.
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
