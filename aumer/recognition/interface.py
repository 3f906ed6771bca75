"""The interface of recognizers, and labeled clips.

A recognizer learns classes of clips and gives the probability of each class and the contributions
of ROIs to it. It declares what it reads from a clip: a flow map (onset to apex: u, v and optical
strain on a small aligned crop of the face), a sequence of aligned faces, or only the motion of
ROIs.
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
    """Labeled flow maps; see also `LabeledClips`.

    Shapes:
        inputs (N, 28, 28, 3) float32: u to the image's right, v down, strain; with any positive
        scale and any offset per channel and clip, since recognizers read each channel relative to
        its range.

    Raises:
        UsageError: as `LabeledClips`, or an input is of another shape or not finite.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class MotionClips(LabeledClips[FloatArray]):
    """Labeled motion of ROIs; see also `LabeledClips`.

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


@dataclass(frozen=True, eq=False)
class Saliency:
    """Contributions of parts of the picture and of phases in time to a class.

    Shapes:
        space (GRID, GRID) float64: by square of the aligned crop, rows from the top; time
        (2 * PHASES,) float64: quarters of the way from onset to apex, then from apex to offset.
    """

    GRID: ClassVar[int] = 7
    PHASES: ClassVar[int] = 4

    space: Floats
    time: Floats


class Recognizer(Trained):
    """Base class of recognizers; see also `Trained`.

    A recognizer of your own derives from this class, defines `name`, `fit` and `predict_proba`, and
    overrides the optional methods that it supports; it is registered as a class
    (``@aumer.register("recognizer", "mine")``) or passed as an object.
    `aumer.testing.RecognizerSuite` checks this contract.

    Attributes:
        reads: "motion" in addition to another input means that it has `predict_motion`, for
            `Features` without a video.
        classes: classes of the columns of `predict_proba`; empty before `fit`.
        rois: ROIs of the values of `attribution`, and of the rows of motion.

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
        """N clips, as in `reads` -> (N, C) float64 probabilities; rows sum to 1.

        Args:
            sources: the data set of each clip, if its face was cropped like that data set's
                training clips; None if it shows the face at the recognizer's `position`.
        """

    # -- optional ----------------------------------------------------------------------------------

    def attribution(self, clip: Any, label: str | None = None) -> Floats | None:
        """(R,) float64: contribution of each ROI of one clip to a class; `None` if not supported.

        Args:
            label: by default the most probable class.
        """
        return None

    def saliency(self, clip: Any, label: str | None = None) -> Saliency | None:
        """Contributions in space and time of one clip to a class; `None` if not supported.

        Args:
            label: by default the most probable class.
        """
        return None

    def familiarity(self, clip: Any) -> float | None:
        """Similarity of a clip to the training clips: the share of these whose nearest neighbor is
        less similar to them than the clip's nearest neighbor is to it. `None` if not supported.
        """
        return None

    def embeddings(self, inputs: Any) -> FloatArray | None:
        """N clips -> (N, D) float32 embeddings; `None` if not supported."""
        return None

    def predict_motion(self, motion: FloatArray) -> Floats:
        """(N, R, 2) float32 from onset to apex, outer-eye distances -> (N, C) probabilities.

        Raises:
            UsageError: "motion" is not in `reads`.
        """
        if self.reads[0] != "motion":
            raise UsageError(f"the recognizer {self.name!r} does not read motion alone")
        return self.predict_proba(motion)

    def motion_attribution(self, motion: FloatArray, label: str | None = None) -> Floats | None:
        """`attribution` for (R, 2) motion."""
        return self.attribution(motion, label) if self.reads[0] == "motion" else None

    def motion_familiarity(self, motion: FloatArray) -> float | None:
        """`familiarity` for (R, 2) motion."""
        return self.familiarity(motion) if self.reads[0] == "motion" else None

    def stopping(self) -> dict[str, Any]:
        """The stopping rule of `fit`: ``epochs``, if any; the ``inner_share`` of subjects on which
        the epoch is chosen, and the ``patience`` in epochs.
        """
        return {"epochs": None, "patience": 0, "inner_share": 0.0}

    def parameters(self, classes: int) -> int | None:
        """Number of trainable parameters for this number of classes, fitted or not; `None` if it is
        not a network.
        """
        return None

    def portable(self) -> Portable | None:
        """Its network for export, see `aumer.export`; `None` if it is not a network.

        Raises:
            UsageError: it is not fitted.
        """
        return None

    def examples(self, subjects: int) -> list[dict[str, Tensor]] | None:
        """Inputs of `portable` from simulated clips, three for each of `subjects` subjects, one
        batch per subject; `None` if it is not a network.
        """
        return None


def as_inputs(inputs: npt.ArrayLike) -> FloatArray:
    """(N, 28, 28, 3) float32, finite.

    Raises:
        UsageError: wrong shape, NaN or infinity.
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
        UsageError: unknown class.
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
        "aumer-recognizer-1",
        "a recognizer",
        "a file that `aumer train` or a recognizer's `save` wrote",
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
