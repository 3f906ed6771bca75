"""Base class of the published recognizers of sequences.

A subclass defines the windows of a clip, the network's input from a window, and the network;
training, prediction, attribution and files are implemented here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from aumer import strict, weights
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph.rois import DEFAULT_ROIS
from aumer.learning.machine import device_named, device_of
from aumer.learning.portable import Portable, Shares
from aumer.recognition.calibration import sharpness
from aumer.recognition.interface import (
    Callback,
    Floats,
    Recognizer,
    Saliency,
    column,
    fitted,
    read_weights,
    write_weights,
)
from aumer.recognition.learning import (
    Learned,
    Learning,
    Sample,
    content_hash,
    learn,
    parameter_count,
    require_rates,
)
from aumer.recognition.sequences.augment import Augmentation
from aumer.recognition.sequences.clips import ClipSequence, SequenceClips
from aumer.recognition.sequences.inputs import SequenceSettings, read_settings, settings_table
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.sequences.windows import Window, WindowPlace, balanced_windows
from aumer.recognition.systems.precision import (
    Precision,
    packed,
    round_activations,
    unpacked,
)
from aumer.types import FloatArray, ImageArray, IntArray

C = TypeVar("C")
S = TypeVar("S", bound="SequenceSystem[Any]")
#: A network's input from one window, by argument name.
Inputs = dict[str, FloatArray]

#: Windows per batch of prediction.
_BATCH = 16
#: Changed clips in memory at a time: with flow, each has tens of megabytes.
_VARIANTS = 8
#: Half side of the occluding square, in sides of the crop: the size of a mouth's corner.
_HIDDEN = 0.1


class SequenceSystem(Recognizer, Generic[C]):
    """A recognizer of whole clips. The same clips and seed give the same results.

    Args:
        config: configuration of the network; a mapping changes the published one.
        learning: settings of training; a mapping changes the published ones.
        seed: seed of the initial weights and of all random numbers.
        device: device for training and prediction; see `to`.
        inputs: how the given clips were made; a mapping changes the default.

    Attributes:
        net: `None` before `fit`.

    Raises:
        ConfigError: an unknown or invalid setting.
    """

    reads = ("sequence",)
    options = ("config", "learning", "seed", "device")
    rois = DEFAULT_ROIS.names
    config_type: type[C]
    default_learning: ClassVar[Learning]
    default_inputs: ClassVar[SequenceSettings]

    def __init__(
        self,
        config: C | Mapping[str, Any] | None = None,
        learning: Learning | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        inputs: SequenceSettings | None = None,
    ) -> None:
        if config is None or isinstance(config, Mapping):
            config = strict.build(self.config_type, config or {}, f"configuration of {self.name}")
        if learning is None or isinstance(learning, Mapping):
            values = {**self.default_learning.to_dict(), **(learning or {})}
            learning = strict.build(Learning, values, f"learning of {self.name}")
        self.config: C = config
        self.learning, self.seed, self.device = learning, seed, device_named(device)
        self.inputs: SequenceSettings = inputs or self.default_inputs
        self.net: nn.Module | None = None
        self._sharpness = 1.0
        if learning.rates != self.default_learning.rates:
            with torch.device("meta"):  # structure without weights
                require_rates(self.build(2), learning)

    # -- defined by subclasses --------------------------------------------------------------------

    @abstractmethod
    def build(self, classes: int) -> nn.Module:
        """A network with new weights."""

    @abstractmethod
    def windows_of(self, clips: Sequence[ClipSequence]) -> list[WindowPlace]:
        """The window of each clip that is used for prediction."""

    @abstractmethod
    def window(self, clip: ClipSequence, start: int) -> Window:
        """The window of a clip that begins at `start`."""

    @abstractmethod
    def arrays(self, window: Window) -> Inputs:
        """The network's input from a window, without the batch axis."""

    @property
    def augmentation(self) -> Augmentation:
        """Augmentation of training windows."""
        return Augmentation()

    @property
    def length(self) -> int:
        """Number of frames of a window."""
        return 1

    @property
    def windows_a_class(self) -> int:
        """Target of `balanced_windows`; 0 for one window per clip."""
        return 0

    # -- interface of recognizers ------------------------------------------------------------------

    def fit(
        self: S,
        clips: SequenceClips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> S:
        """Train, and return itself. All choices are made within these clips.

        Args:
            checkpoint, callbacks: see `aumer.recognition.learning.learn`.

        Raises:
            UsageError, WeightsError: as `learn`, or clips without the required flow.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self.build(len(clips.classes))
        learned: Learned = learn(
            net,
            _ClipMaterial(self, clips),
            len(clips.classes),
            self.learning,
            seed=self.seed,
            device=self.device,
            checkpoint=checkpoint,
            about={"recognizer": self.name, "config": strict.plain(self.config)},
            parts=[("recognizer", type(self))],
            callbacks=callbacks,
        )
        self.net, self.log, self.classes = net, learned.log, clips.classes
        self._sharpness = self._calibrated(clips, learned.inner_subjects)
        return self

    def _calibrated(self, clips: SequenceClips, inner: Collection[str]) -> float:
        """The logits' factor, found on the clips of the subjects kept out of the gradient."""
        rows = np.array([subject in inner for subject in clips.subjects], bool)
        if not rows.any():
            return 1.0
        some = [clip for clip, kept_out in zip(clips.inputs, rows, strict=True) if kept_out]
        logits = np.asarray(self._run(some, embed=False).numpy(), np.float64)
        return sharpness(logits, clips.labels[rows])

    def predict_proba(self, inputs: Sequence[ClipSequence], sources: Sequence[str] = ()) -> Floats:
        """N clips -> (N, C) float64 probabilities; the rows sum to 1.

        They are calibrated (`aumer.recognition.calibration`) on the subjects that training kept out
        of the gradient (``learning.inner_share``), where there are any.

        Args:
            sources: the data set of each clip; not used by the published systems.

        Raises:
            UsageError: it is not fitted, or clips without the required flow.
        """
        logits = self._run(inputs, embed=False)
        return np.asarray(torch.softmax(self._sharpness * logits.double(), 1).numpy(), np.float64)

    def embeddings(self, inputs: Sequence[ClipSequence]) -> FloatArray:
        """N clips -> (N, D) float32: the input of the network's last layers.

        Raises:
            UsageError: as `predict_proba`.
        """
        return np.asarray(self._run(inputs, embed=True).numpy(), np.float32)

    def attribution(self, clip: ClipSequence, label: str | None = None) -> Floats:
        """(12,) float64: fall of a class's probability if the motion around an ROI is removed.

        Within a square of a fifth of the crop's side around the ROI's landmark every frame shows
        the onset's pixels, the flow is 0 and landmarks do not move.

        Args:
            label: by default the most probable class.

        Raises:
            UsageError: as `predict_proba`, or there is no such class.
        """
        variants = [clip, *(at_rest(clip, k) for k in DEFAULT_ROIS.landmarks)]
        shares = self.predict_proba(variants)
        k = column(self, label, shares[0])
        return np.asarray(shares[0, k] - shares[1:, k], np.float64)

    def saliency(self, clip: ClipSequence, label: str | None = None) -> Saliency:
        """Fall of a class's probability if the motion in a square of the crop, or in a phase, is
        removed.

        Removed as for `attribution`: pixels and landmarks of the onset, no flow.

        Raises:
            UsageError: as `predict_proba`, or there is no such class.
        """
        shares = self.predict_proba([clip])[0]
        k = column(self, label, shares)

        def falls(variants: Iterator[ClipSequence | None]) -> Floats:
            found: list[float] = []
            while some := list(islice(variants, _VARIANTS)):
                given = [one for one in some if one is not None]
                left = iter(self.predict_proba(given)[:, k])
                found += [0.0 if one is None else float(shares[k] - next(left)) for one in some]
            return np.array(found, np.float64)

        space = falls(resting_squares(clip)).reshape(Saliency.GRID, Saliency.GRID)
        return Saliency(space, falls(resting_phases(clip)))

    def to(self, device: str) -> bool:
        """See `aumer.recognition.interface.Recognizer`.

        Raises:
            UsageError: unknown or unavailable device.
        """
        self.device = device_of(device)
        return True

    def parameters(self, classes: int) -> int:
        """See `aumer.recognition.interface.Recognizer`."""
        with torch.device("meta"):  # structure without weights
            return parameter_count(self.build(classes))

    def stopping(self) -> dict[str, Any]:
        """See `aumer.recognition.interface.Recognizer`."""
        learning = self.learning
        return {
            "epochs": learning.epochs,
            "patience": learning.patience,
            "inner_share": learning.inner_share,
        }

    def save(
        self,
        path: StrPath,
        card: Mapping[str, Any],
        *,
        overwrite: bool = False,
        precision: Precision = "single",
    ) -> None:
        """Write everything that prediction needs, and the card, to one safetensors file.

        Args:
            precision: see `aumer.recognition.systems.precision`.

        Raises:
            UsageError: it is not fitted, the card holds other than plain values, or as for
                `atomic_write`.
        """
        fitted(self)
        assert self.net is not None
        about = {
            "config": strict.plain(self.config),
            "learning": self.learning.to_dict(),
            "seed": self.seed,
            "precision": precision,
            "inputs": settings_table(self.inputs),
            "sharpness": self._sharpness,
        }
        small = packed(weights.arrays_of(self.net), precision)
        write_weights(path, self, small, about, card, overwrite=overwrite)

    @classmethod
    def load(cls: type[S], path: StrPath) -> S:
        """Load a file of `save`, on the CPU. No code in the file is run.

        Raises:
            WeightsError: the file is missing, damaged, or of another recognizer.
        """
        found = read_weights(path, cls.name)
        with foreign(path, f"a whole {cls.name}", WeightsError):
            about = found.about
            # Old files have no inputs; the defaults were used then.
            inputs = read_settings(about["inputs"]) if "inputs" in about else None
            seed = int(about["seed"])
            # Stored completely, since defaults may change.
            learning = strict.build(Learning, about["learning"], f"learning of {cls.name}")
            made = cls(about["config"], learning, seed=seed, inputs=inputs)
            net = made.build(len(found.classes))
            weights.fill(
                net, strict.respelled(unpacked(found.arrays)), f"{path} holds no whole {cls.name}"
            )
            if about["precision"] == "int8":
                round_activations(net)
            # Networks of files of before were not calibrated.
            made._sharpness = float(about.get("sharpness", 1.0))
        made.net, made.classes, made.card = net.eval(), found.classes, found.card
        return made

    def portable(self) -> Portable:
        """See `aumer.recognition.interface.Recognizer`."""
        fitted(self)
        assert self.net is not None
        (inputs,) = self.examples(1)
        return Portable(
            Shares(self.net.to("cpu").eval(), self._sharpness),
            {name: x[:2] for name, x in inputs.items()},
            {name: {0: "batch"} for name in inputs},
            "probabilities",
            {
                "holds": f"aumer recognizer {self.name}",
                "columns": list(self.classes),
                "config": strict.plain(self.config),
                "clips": settings_table(self.inputs),
            },
        )

    def examples(self, subjects: int) -> list[dict[str, Tensor]]:
        """See `aumer.recognition.interface.Recognizer`."""
        size = self.inputs.size
        drawn = [
            simulated_clips(Simulation(subjects=1, per_class=1, size=size), seed=seed)
            for seed in range(subjects)
        ]
        found = []
        for clips in drawn:
            windows = self.windows_of(clips.inputs)
            samples = [(window.clip, window.start) for window in windows]
            found.append(_ClipMaterial(self, clips).load(samples, None))
        return found

    @torch.no_grad()
    def _run(self, clips: Sequence[ClipSequence], *, embed: bool) -> Tensor:
        fitted(self)
        assert self.net is not None
        material = _ClipMaterial(self, clips)
        windows = self.windows_of(clips)
        net = self.net.to(self.device).eval()
        forward = cast(Any, net).embed if embed else net
        width = len(self.classes)
        parts = []
        for k in range(0, len(windows), _BATCH):
            batch = [(window.clip, window.start) for window in windows[k : k + _BATCH]]
            inputs = {n: x.to(self.device) for n, x in material.load(batch, None).items()}
            parts.append(forward(**inputs).float().cpu())
        return torch.cat(parts) if parts else torch.zeros(0, width)


class _ClipMaterial:
    """Clips as `aumer.recognition.learning.Material`."""

    def __init__(
        self, system: SequenceSystem[Any], clips: SequenceClips | Sequence[ClipSequence]
    ) -> None:
        self._system = system
        self._clips = clips.inputs if isinstance(clips, SequenceClips) else tuple(clips)
        for clip in self._clips:
            if not isinstance(clip, ClipSequence):
                raise UsageError(
                    f"{system.name} reads whole clips (`sequence_inputs` makes them); found "
                    f"{type(clip).__name__}"
                )
        self.labels: IntArray = (
            clips.labels if isinstance(clips, SequenceClips) else np.zeros(len(clips), np.int64)
        )
        self.subjects: tuple[str, ...] = (
            clips.subjects if isinstance(clips, SequenceClips) else ("",) * len(clips)
        )

    def draw(self, clips: IntArray, rng: np.random.Generator | None) -> list[Sample]:
        system, some = self._system, [self._clips[k] for k in clips]
        if rng is None or not system.windows_a_class:
            windows = system.windows_of(some)
        else:
            windows = balanced_windows(
                some, self.labels[clips], system.length, system.windows_a_class, rng
            )
        return [(int(clips[window.clip]), window.start) for window in windows]

    def load(self, samples: Sequence[Sample], rng: np.random.Generator | None) -> dict[str, Tensor]:
        augment = self._system.augmentation
        windows = []
        for clip, start in samples:
            at = start if rng is None else augment.start(start, rng)
            window = self._system.window(self._clips[clip], at)
            windows.append(self._system.arrays(window if rng is None else augment(window, rng)))
        return {name: torch.from_numpy(np.stack([w[name] for w in windows])) for name in windows[0]}

    def digest(self) -> str:
        facts = [f"{c.onset} {c.apex} {c.offset} {c.fps!r}" for c in self._clips]
        arrays: list[npt.NDArray[Any]] = [self.labels]
        for clip in self._clips:
            arrays += [clip.gray, clip.landmarks, *([] if clip.flow is None else [clip.flow])]
        return content_hash(arrays, *facts, *self.subjects)


def standardized(image: ImageArray) -> FloatArray:
    """(S, S) float32 of mean 0 and standard deviation 1; a constant picture becomes 0."""
    values = image.astype(np.float32)
    values = values - values.mean()
    return np.asarray(values / max(float(values.std()), 1.0), np.float32)


def at_rest(clip: ClipSequence, landmark: int) -> ClipSequence:
    """The clip with the surroundings of a landmark (at its position in the onset) frozen as at the
    onset.
    """
    at = clip.landmarks[clip.onset]
    x, y = at[landmark]
    middles = (np.arange(clip.size) + 0.5) / clip.size - 0.5
    near = (np.abs(middles - y) <= _HIDDEN)[:, None] & (np.abs(middles - x) <= _HIDDEN)
    points = np.abs(at - at[landmark]).max(1) <= _HIDDEN
    return _put_to_rest(clip, near, points, np.ones(len(clip), np.bool_))


def resting_squares(clip: ClipSequence) -> Iterator[ClipSequence]:
    """For each square of a grid of `Saliency.GRID` by as many over the crop, rows from the top, the
    clip with its content (and the landmarks in it at the onset) frozen as at the onset.
    """
    at = np.floor((clip.landmarks[clip.onset] + 0.5) * Saliency.GRID)
    cells = np.minimum(np.arange(clip.size) * Saliency.GRID // clip.size, Saliency.GRID - 1)
    always = np.ones(len(clip), np.bool_)
    for row in range(Saliency.GRID):
        for k in range(Saliency.GRID):
            near = (cells == row)[:, None] & (cells == k)
            yield _put_to_rest(clip, near, (at == (k, row)).all(1), always)


def resting_phases(clip: ClipSequence) -> Iterator[ClipSequence | None]:
    """For each phase of `Saliency.time` the clip whose frames in this phase show the onset; `None`
    for a phase without frames.
    """
    everywhere, points = np.ones((clip.size, clip.size), np.bool_), np.ones(68, np.bool_)
    frames = np.arange(len(clip))
    for begin, end in ((clip.onset, clip.apex), (clip.apex, clip.offset)):
        for low, high in pairwise(np.linspace(begin, end, Saliency.PHASES + 1)):
            when = (frames > low) & (frames <= high)
            yield _put_to_rest(clip, everywhere, points, when) if when.any() else None


def _put_to_rest(
    clip: ClipSequence,
    where: npt.NDArray[np.bool_],
    points: npt.NDArray[np.bool_],
    when: npt.NDArray[np.bool_],
) -> ClipSequence:
    """The clip with these pixels (S, S) and landmarks (68,) replaced by those of the onset in these
    frames (T,).

    The flow to such a frame is 0.
    """
    onset = clip.onset
    gray = np.where(when[:, None, None] & where, clip.gray[onset], clip.gray)
    landmarks = np.where(
        when[:, None, None] & points[:, None], clip.landmarks[onset], clip.landmarks
    )
    flow = clip.flow
    if flow is not None:
        flow = np.where(when[1:, None, None, None] & where[..., None], np.float32(0), flow)
    return replace(clip, gray=gray, landmarks=landmarks, flow=flow)
