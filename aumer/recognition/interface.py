"""What every recognizer takes, gives, and keeps in a file.

A recognizer learns classes of clips and says how probable each class is, and which ROIs spoke for
it. It declares what it reads of a clip: a flow map (onset to apex: u, v and optical strain on a
small aligned crop of the face), a sequence of aligned faces, or the motion of ROIs alone.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from aumer import registry, weights
from aumer.arguments import require_path
from aumer.config import MotionSettings
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.recognition.labeled import LabeledClips
from aumer.recognition.place import BY_LANDMARKS, SIDE, Place
from aumer.recognition.place import Floats as Floats
from aumer.strict import build
from aumer.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

    from aumer.learning.portable import Portable
    from aumer.recognition.sequences.inputs import SequenceSettings

_FORMAT = weights.ArrayFormat(
    "aumer-recognizer-1", "a recognizer", "a file that a recognizer's `save` wrote"
)
#: Rows, columns and channels (u, v, optical strain) of a flow map.
INPUT_SHAPE = (SIDE, SIDE, 3)
#: What a recognizer may read of a clip.
Reads = Literal["flow-map", "sequence", "motion"]
#: Called after every epoch with its record.
Callback = Callable[[dict[str, Any]], object]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


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


class Recognizer(ABC):
    """One way to recognize. The same clips and the same seed give the same numbers.

    A recognizer of your own derives from this class, defines `name`, `fit` and `predict_proba`, and
    overrides what else it can do; it is registered as a class
    (``@aumer.register("recognizer", "mine")``) or handed over as an object.
    `aumer.testing.RecognizerSuite` checks that it keeps this contract.

    Attributes:
        name: of the registry.
        reads: what it reads of a clip, which `aumer.recognition.clips.ClipMaker` makes. The first
            is what it learns from and what a video's clips are given as: "flow-map"
            ((28, 28, 3) float32; see `Clips`), "sequence" (a `ClipSequence`), or "motion" ((R, 2)
            float32, by how much each of `rois` moved from onset to apex, outer-eye distances).
            "motion" beside another says that it has `predict_motion`, for `Features` alone.
        options: the arguments of its constructor that users may set, by name. It is given a seed
            where "seed" is among them.
        default_inputs: of sequences, how they are made of frames; `None` for the usual way.
        reads_to: of sequences, the last frame that is read; flow beyond it is not worth its time.

        classes: what the columns of `predict_proba` stand for; empty before `fit`.
        rois: what the numbers of `attribution` stand for, and of motion the rows.
        card: what the file it was loaded from says of it; empty for one just fitted.
        place: of flow maps, where they must show the face.
        inputs: of sequences, how those were made that it has learned from.
        motion: of flow maps, the same: they are made so again, whatever the settings of the motion
            that is spotted in. `None` where nobody knows: then as the settings say.
        chosen: what `fit` chose of its settings.
        log: a record of each epoch of `fit`.

    Example:
        >>> from aumer.recognition.svm_cells import SvmCells
        >>> from aumer.testing.clips import clips_for
        >>> clips = clips_for(SvmCells(), seed=0)
        >>> trained = SvmCells().fit(clips)
        >>> trained.predict_proba(clips.inputs[:2]).shape, trained.classes
        ((2, 3), ('negative', 'positive', 'surprise'))
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[Reads, ...]] = ("flow-map",)
    options: ClassVar[tuple[str, ...]] = ()
    default_inputs: ClassVar[SequenceSettings | None] = None
    reads_to: ClassVar[Literal["apex", "offset"]] = "offset"

    classes: tuple[str, ...] = ()
    rois: tuple[str, ...] = ()
    card: Mapping[str, Any] = _NOTHING
    place: Place = BY_LANDMARKS
    inputs: SequenceSettings | None = None
    motion: MotionSettings | None = None
    chosen: Mapping[str, Any] = _NOTHING
    log: tuple[dict[str, Any], ...] = ()

    # -- required ----------------------------------------------------------------------------------

    @abstractmethod
    def fit(
        self,
        clips: Any,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Learn, and return itself. Whatever is chosen is chosen within these clips.

        Args:
            clips: `LabeledClips` of what it `reads`.
            checkpoint: where a long training keeps how far it is, and goes on from if it is there.
            callbacks: called after each epoch with its record. One that learns at once needs
                neither.
        """

    @abstractmethod
    def predict_proba(self, inputs: Any, sources: Sequence[str] = ()) -> Floats:
        """N clips of what it `reads` -> (N, C) float64 probabilities; the rows sum to 1.

        Args:
            sources: the data set of each clip, where its face was cropped as that data set's clips
                of `fit` were; none where it shows the face at the recognizer's `place`.
        """

    # -- optional ----------------------------------------------------------------------------------

    def attribution(self, clip: Any, label: str | None = None) -> Floats | None:
        """(R,) float64: how much each ROI of one clip spoke for a class; `None`: it does not say.

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

    def to(self, device: str) -> bool:
        """Run there from now on.

        Args:
            device: as torch names it, or "auto": a GPU if there is one.

        Returns:
            False for one that runs on the CPU alone, whatever is asked.
        """
        return False

    def stopping(self) -> dict[str, Any]:
        """What decides when `fit` ends: ``epochs``, if it counts them; the ``inner_share`` of its
        subjects on which the epoch is chosen, and the ``patience`` in epochs."""
        return {"epochs": None, "patience": 0, "inner_share": 0.0}

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

    @classmethod
    def has_file(cls) -> bool:
        """Whether it defines `save` and `load`."""
        return cls.save is not Recognizer.save

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Everything that prediction needs, and the card, in one safetensors file.

        Raises:
            UsageError: it is not fitted, the card is not plain values, it cannot be saved, or as
                for `aumer.files.atomic_write`.
        """
        raise _no_file(self.name)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Read what `save` wrote. No code in the file is run.

        Raises:
            WeightsError: no such file, damaged, or not of this recognizer.
        """
        raise _no_file(cls.name)


def resolve(name: str | type[Recognizer]) -> type[Recognizer]:
    """The registered recognizer of a name: a class that keeps the contract.

    Raises:
        UsageError: there is none of that name, or it is none.
    """
    part = registry.resolve("recognizer", name)
    if not (inspect.isclass(part) and issubclass(part, Recognizer)):
        raise _none(f"{name!r}", f"{part!r} is not a class derived from it")
    if lacking := sorted(part.__abstractmethods__):
        raise _none(f"{name!r}", f"{part!r} does not define {', '.join(lacking)}")
    return part


def _no_file(name: str) -> UsageError:
    return UsageError(f"the recognizer {name!r} cannot be saved: it defines no save and load")


def _none(what: str, why: str) -> UsageError:
    return UsageError(
        f"the recognizer {what} cannot be used: recognizers derive from "
        f"aumer.recognition.interface.Recognizer and define name, fit and predict_proba, and "
        f"{why}. What else they may do is inherited; aumer.testing.RecognizerSuite checks them"
    )


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
    """Complain unless it is a recognizer that has been fitted or loaded.

    Raises:
        UsageError: it keeps another contract, or has no classes yet.
    """
    if not isinstance(recognizer, Recognizer):
        raise _none(f"{recognizer!r}", "this one does not")
    if not recognizer.classes:
        raise UsageError(f"the recognizer {recognizer.name!r} is not trained: fit or load it first")


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
    if recognizer.motion is not None:
        text["motion"] = asdict(recognizer.motion)
    _FORMAT.write(path, arrays, text, overwrite=overwrite)


@dataclass(frozen=True)
class SavedWeights:
    """What `write_weights` wrote."""

    recognizer: str
    classes: tuple[str, ...]
    about: dict[str, Any]
    card: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    motion: MotionSettings | None = None


def read_weights(path: StrPath, name: str | None = None) -> SavedWeights:
    """Read a file of `write_weights`.

    Args:
        name: the recognizer it must be of.

    Raises:
        WeightsError: no such file, damaged, or not of that recognizer.
    """
    text, arrays = _FORMAT.read(path)
    with foreign(path, "the card of a recognizer", WeightsError):
        found = SavedWeights(
            str(text["recognizer"]),
            tuple(text["classes"]),
            dict(text["about"]),
            dict(text["card"]),
            arrays,
            build(MotionSettings, text["motion"], "motion") if "motion" in text else None,
        )
    if name is not None and found.recognizer != name:
        raise WeightsError(
            f"{path} holds a recognizer {found.recognizer!r}, not {name!r}; load it by that name"
        )
    return found


#: Where the weights lie that ship with aumer.
_SHIPPED = Path(__file__).parent / "weights"


def shipped() -> tuple[str, ...]:
    """Names of the recognizers whose weights ship with aumer."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.safetensors")))


def load(which: StrPath | Recognizer = "graph") -> Recognizer:
    """A trained recognizer: shipped, by its name; from a file of `save`; or itself.

    Raises:
        WeightsError: no weights of that name ship, or the file is not a recognizer's.
    """
    if isinstance(which, Recognizer):
        return which
    require_path("which", which, "a recognizer, the name of one that ships or a file of weights")
    path = Path(which)
    if path.suffix != ".safetensors":
        if str(which) not in shipped():
            raise WeightsError(
                f"no trained recognizer is called {str(which)!r}; there are "
                f"{', '.join(shipped()) or 'none'}. Give one of them, or the path of a "
                ".safetensors file of your own"
            )
        path = _SHIPPED / f"{which}.safetensors"
    kept = read_weights(path)
    with foreign(path, "the card of a recognizer", WeightsError):
        kind = resolve(kept.recognizer)
    made = kind.load(path)
    made.motion = kept.motion
    return made
