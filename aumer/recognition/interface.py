"""What every recognizer takes, gives, and keeps in a file.

A recognizer learns classes of clips and says how probable each class is, and which ROIs spoke for
it. It declares what it reads of a clip: a flow map (onset to apex: u, v and optical strain on a
small aligned crop of the face), a sequence of aligned faces, or the motion of ROIs alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from aumer import weights
from aumer.errors import UsageError
from aumer.recognition.face_position import SIDE
from aumer.recognition.face_position import Floats as Floats
from aumer.recognition.labeled import LabeledClips
from aumer.recognition.trained import Callback as Callback
from aumer.recognition.trained import Reads as Reads
from aumer.recognition.trained import Saved as Saved
from aumer.recognition.trained import Sort, Trained
from aumer.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

    from aumer.learning.portable import Portable

#: Rows, columns and channels (u, v, optical strain) of a flow map.
INPUT_SHAPE = (SIDE, SIDE, 3)


@dataclass(frozen=True, eq=False)
class Clips(LabeledClips[FloatArray]):
    """Labeled flow maps; what is not said here is said of `LabeledClips`.

    Shapes:
        inputs (N, 28, 28, 3) float32: u to the image's right, v down, strain; any positive scale
        and any offset per channel and clip, as recognizers read each channel relative to its own
        range.

    Raises:
        UsageError: as `LabeledClips`, or an input is of another shape or not finite.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        super().__post_init__()

    def _inputs_at(self, index: npt.NDArray[Any]) -> FloatArray:
        chosen: FloatArray = self.inputs[index]
        return chosen


@dataclass(frozen=True, eq=False)
class MotionClips(LabeledClips[FloatArray]):
    """Labeled motion of ROIs; what is not said here is said of `LabeledClips`.

    Shapes:
        inputs (N, R, 2) float32: from onset to apex, x to the image's right and y down, in
        outer-eye distances.

    Raises:
        UsageError: as `LabeledClips`, or an input is of another shape or not finite.
    """

    def __post_init__(self) -> None:
        array = np.asarray(self.inputs, np.float32)
        if array.ndim != 3 or array.shape[2] != 2 or not np.isfinite(array).all():
            raise UsageError(
                f"motion is finite and of shape (N, R, 2); found {array.shape}. Where none is "
                "known put 0"
            )
        object.__setattr__(self, "inputs", array)
        super().__post_init__()

    def _inputs_at(self, index: npt.NDArray[Any]) -> FloatArray:
        chosen: FloatArray = self.inputs[index]
        return chosen


@dataclass(frozen=True, eq=False)
class Saliency:
    """Where in the picture and when a clip spoke for a class.

    Shapes:
        space (GRID, GRID) float64: by square of the aligned crop, rows from the top; time
        (2 * PHASES,) float64: quarters of the way from onset to apex, then from apex to offset.
    """

    GRID: ClassVar[int] = 7
    PHASES: ClassVar[int] = 4

    space: Floats
    time: Floats


class Recognizer(Trained):
    """One way to recognize; what is not said here is said of `Trained`.

    A recognizer of your own derives from this class, defines `name`, `fit` and `predict_proba`, and
    overrides what else it can do; it is registered as a class
    (``@aumer.register("recognizer", "mine")``) or handed over as an object.
    `aumer.testing.RecognizerSuite` checks that it keeps this contract.

    Attributes:
        reads: "motion" beside another says that it has `predict_motion`, for `Features` alone.
        classes: what the columns of `predict_proba` stand for; empty before `fit`.
        rois: what the numbers of `attribution` stand for, and of motion the rows.

    Example:
        >>> from aumer.recognition.svm_cells import SvmCells
        >>> from aumer.testing.clips import clips_for
        >>> clips = clips_for(SvmCells(), seed=0)
        >>> trained = SvmCells().fit(clips)
        >>> trained.predict_proba(clips.inputs[:2]).shape, trained.classes
        ((2, 3), ('negative', 'positive', 'surprise'))
    """

    classes: tuple[str, ...] = ()

    # -- required ----------------------------------------------------------------------------------

    @abstractmethod
    def predict_proba(self, inputs: Any, sources: Sequence[str] = ()) -> Floats:
        """N clips of what it `reads` -> (N, C) float64 probabilities; the rows sum to 1.

        Args:
            sources: the data set of each clip, where its face was cropped as that data set's clips
                of `fit` were; none where it shows the face at the recognizer's `position`.
        """

    # -- optional ----------------------------------------------------------------------------------

    def attribution(self, clip: Any, label: str | None = None) -> Floats | None:
        """(R,) float64: how much each ROI of one clip spoke for a class; `None`: it does not say.

        Args:
            label: by default the most probable class.
        """
        return None

    def saliency(self, clip: Any, label: str | None = None) -> Saliency | None:
        """Where in the picture and when one clip spoke for a class; `None`: it does not say.

        Args:
            label: by default the most probable class.
        """
        return None

    def familiarity(self, clip: Any) -> float | None:
        """How like one clip is to those it was trained on: the share of these that are less like
        their nearest neighbor than the clip is like its own. `None`: it cannot tell."""
        return None

    def embeddings(self, inputs: Any) -> FloatArray | None:
        """N clips -> (N, D) float32, what it sees of each; `None`: it has nothing to show."""
        return None

    def predict_motion(self, motion: FloatArray) -> Floats:
        """(N, R, 2) float32 from onset to apex, outer-eye distances -> (N, C) probabilities.

        Raises:
            UsageError: "motion" is not among what it `reads`.
        """
        if self.reads[0] != "motion":
            raise UsageError(f"the recognizer {self.name!r} does not read motion alone")
        return self.predict_proba(motion)

    def motion_attribution(self, motion: FloatArray, label: str | None = None) -> Floats | None:
        """`attribution` of (R, 2) motion."""
        return self.attribution(motion, label) if self.reads[0] == "motion" else None

    def motion_familiarity(self, motion: FloatArray) -> float | None:
        """`familiarity` of (R, 2) motion."""
        return self.familiarity(motion) if self.reads[0] == "motion" else None

    def stopping(self) -> dict[str, Any]:
        """What decides when `fit` ends: ``epochs``, if it counts them; the ``inner_share`` of its
        subjects on which the epoch is chosen, and the ``patience`` in epochs."""
        return {"epochs": None, "patience": 0, "inner_share": 0.0}

    def parameters(self, classes: int) -> int | None:
        """Learned numbers of its network with so many classes, fitted or not; `None`: it is no
        network."""
        return None

    def portable(self) -> Portable | None:
        """Its network as other programs take it, see `aumer.export`; `None`: it is none.

        Raises:
            UsageError: it is not fitted.
        """
        return None

    def examples(self, subjects: int) -> list[dict[str, Tensor]] | None:
        """What `portable` reads of simulated clips, three of each of so many subjects, a batch a
        subject; `None`: it is no network."""
        return None


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


_SORT = Sort(
    kind="recognizer",
    base=Recognizer,  # type: ignore[type-abstract]
    define="name, fit and predict_proba",
    called="recognizer",
    format=weights.ArrayFormat(
        "aumer-recognizer-1", "a recognizer", "a file that a recognizer's `save` wrote"
    ),
    names="recognizer",
    columns="classes",
    of_column=str,
    fewest=2,
    folder=Path(__file__).parent / "weights",
)
resolve, fitted, checked = _SORT.resolve, _SORT.fitted, _SORT.checked
write_weights, read_weights = _SORT.write, _SORT.read
shipped, load = _SORT.shipped, _SORT.load
