"""What every recogniser takes, gives, and keeps in a file.

A recogniser learns classes of flow maps (onset to apex: u, v and optical strain on a small aligned
crop of the face) and says how probable each class is, and which ROIs spoke for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from aumer import registry, weights
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.recognition.labelled import LabelledClips
from aumer.types import FloatArray

Floats = npt.NDArray[np.float64]
_FORMAT = weights.Format(
    "aumer-recognizer-1", "a recogniser", "a file that a recogniser's `save` wrote"
)
#: Rows, columns and channels (u, v, optical strain) of a flow map.
INPUT_SHAPE = (28, 28, 3)


@dataclass(frozen=True, eq=False)
class Clips(LabelledClips[FloatArray]):
    """Labelled flow maps; what is not said here is said of `LabelledClips`.

    Shapes:
        inputs (N, 28, 28, 3) float32: u to the image's right, v down, strain; any positive scale
        and any offset per channel and clip, as recognisers read each channel relative to its own
        range.

    Raises:
        UsageError: as `LabelledClips`, or an input is of another shape or not finite.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        super().__post_init__()

    def _inputs_at(self, index: npt.NDArray[Any]) -> FloatArray:
        chosen: FloatArray = self.inputs[index]
        return chosen


class Recognizer(Protocol):
    """One way to recognise. The same clips and the same seed give the same numbers.

    Attributes:
        name: of the registry.
        classes: what the columns of `predict_proba` stand for; empty before `fit`.
        rois: what the numbers of `attribution` stand for.
        card: what the file it was loaded from says of it; empty for one just fitted.
    """

    name: ClassVar[str]
    classes: tuple[str, ...]
    rois: tuple[str, ...]
    card: dict[str, Any]

    def fit(self, clips: Clips) -> Recognizer:
        """Learn, and return itself. Whatever is chosen is chosen within these clips."""
        ...

    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """(N, 28, 28, 3) flow maps -> (N, C) float64 probabilities; the rows sum to 1.

        Args:
            sources: the data set of each clip, where its face was cropped as that data set's clips
                of `fit` were; none where it shows the face at the recogniser's ``place``, or
                at `aumer.recognition.place.BY_LANDMARKS` if it has no such attribute.
        """
        ...

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(R,) float64: how much each ROI of a (28, 28, 3) flow map spoke for a class.

        Args:
            label: by default the most probable class.
        """
        ...

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Everything that prediction needs, and the card, in one safetensors file."""
        ...

    @classmethod
    def load(cls, path: StrPath) -> Recognizer:
        """Read what `save` wrote. No code in the file is run."""
        ...


def as_inputs(inputs: npt.ArrayLike) -> FloatArray:
    """(N, 28, 28, 3) float32, finite.

    Raises:
        UsageError: another shape, or NaN or infinity.
    """
    array = np.asarray(inputs, np.float32)
    if array.ndim != 4 or array.shape[1:] != INPUT_SHAPE:
        raise UsageError(
            f"flow maps are of shape (N, {', '.join(map(str, INPUT_SHAPE))}); found {array.shape}"
        )
    if not np.isfinite(array).all():
        raise UsageError("a flow map holds NaN or infinity; where no flow is known put 0")
    return array


def fitted(recognizer: Recognizer) -> None:
    """Complain unless it has been fitted or loaded.

    Raises:
        UsageError: it has no classes yet.
    """
    if not recognizer.classes:
        raise UsageError(f"the recogniser {recognizer.name!r} is not trained: fit or load it first")


def column(recognizer: Recognizer, label: str | None, probabilities: Floats) -> int:
    """The column of `label`, or of the most probable class of one row of probabilities (C,).

    Raises:
        UsageError: there is no such class.
    """
    if label is None:
        return int(probabilities.argmax())
    if label not in recognizer.classes:
        raise UsageError(f"no class is called {label!r}; there are {', '.join(recognizer.classes)}")
    return recognizer.classes.index(label)


def write_weights(
    path: StrPath,
    recognizer: Recognizer,
    arrays: Mapping[str, npt.NDArray[Any]],
    about: Mapping[str, Any],
    card: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Arrays, settings and card in one safetensors file.

    Raises:
        UsageError: it is not fitted, the card is not plain values, or as for `atomic_write`.
    """
    fitted(recognizer)
    text = {
        "recognizer": recognizer.name,
        "classes": list(recognizer.classes),
        "about": dict(about),
        "card": dict(card),
    }
    _FORMAT.write(path, arrays, text, overwrite=overwrite)


@dataclass(frozen=True)
class Weights:
    """What `write_weights` wrote."""

    recognizer: str
    classes: tuple[str, ...]
    about: dict[str, Any]
    card: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def read_weights(path: StrPath, name: str | None = None) -> Weights:
    """Read a file of `write_weights`.

    Args:
        name: the recogniser it must be of.

    Raises:
        WeightsError: no such file, damaged, or not of that recogniser.
    """
    text, arrays = _FORMAT.read(path)
    try:
        found = Weights(
            str(text["recognizer"]),
            tuple(text["classes"]),
            dict(text["about"]),
            dict(text["card"]),
            arrays,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has no whole card of a recogniser: {error}") from error
    if name is not None and found.recognizer != name:
        raise WeightsError(
            f"{path} holds a recogniser {found.recognizer!r}, not {name!r}; load it by that name"
        )
    return found


#: Where the weights lie that ship with aumer.
_SHIPPED = Path(__file__).parent / "weights"


def shipped() -> tuple[str, ...]:
    """Names of the recognisers whose weights ship with aumer."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.safetensors")))


def load(which: str | Path | Recognizer = "graph") -> Recognizer:
    """A trained recogniser: shipped, by its name; from a file of `save`; or itself.

    Raises:
        WeightsError: no weights of that name ship, or the file is not a recogniser's.
    """
    if not isinstance(which, (str, Path)):
        return which
    path = Path(which)
    if path.suffix != ".safetensors":
        if str(which) not in shipped():
            raise WeightsError(
                f"no trained recogniser is called {str(which)!r}; there are "
                f"{', '.join(shipped()) or 'none'}. Give one of them, or the path of a "
                ".safetensors file of your own"
            )
        path = _SHIPPED / f"{which}.safetensors"
    kind: type[Recognizer] = registry.resolve("recognizer", read_weights(path).recognizer)
    return kind.load(path)
