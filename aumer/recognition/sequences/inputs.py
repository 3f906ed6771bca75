"""Makes the gray, landmark and flow sequences of a clip, and the views that networks read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from aumer.cache import Arrays, FeatureCache
from aumer.config import MotionSettings, digest, load_settings
from aumer.errors import ConfigError, NoFaceError, UsageError
from aumer.flow import Flow
from aumer.flow import resolve as resolve_flow
from aumer.graph.rois import roi_set
from aumer.identity import identities
from aumer.recognition import apex as apexes
from aumer.recognition.frames import FramePart, Places, between, within
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.interpolation import (
    METHODS,
    Method,
    interpolate,
    interpolate_flow,
)
from aumer.recognition.sequences.magnification import Magnification, magnify
from aumer.strict import build, plain, require
from aumer.types import Features, FloatArray, Frame, ImageArray, VideoInfo

if TYPE_CHECKING:
    from aumer.video import Source

#: Most frames after the onset that are stored unaligned until the next one with a face.
_WAITS = 32
#: Increase when results for the same settings change: invalidates older caches.
_VERSION = 2


@dataclass(frozen=True)
class SequenceSettings:
    """How a clip's sequences are made.

    Attributes:
        size: side of the square crop, px; the outer eye corners lie size / 2 apart.
        flow: optical flow by name, or "none".
        magnification: magnification of the gray frames; flow and landmarks are from the original
            frames.
        length: number of frames to which onset to offset is interpolated; 0 does not interpolate.
        interpolation: see `aumer.recognition.sequences.interpolation.weights`.
        margin: frames included before the onset and after the offset, if `length` is 0.
        detector, landmarker: names of the back ends for the face.

    Raises:
        ConfigError: a value out of range.
    """

    size: int = 128
    flow: str = "tvl1"
    magnification: Magnification | None = None
    length: int = 0
    interpolation: Method = "linear"
    margin: int = 32
    detector: str = "blazeface"
    landmarker: str = "mesh"

    def __post_init__(self) -> None:
        require(16 <= self.size <= 1024, "size", self.size, "from 16 to 1024 px")
        require(self.length == 0 or self.length >= 2, "length", self.length, "0, or 2 or more")
        require(self.margin >= 0, "margin", self.margin, ">= 0 frames")
        require(
            self.interpolation in METHODS,
            "interpolation",
            self.interpolation,
            f"one of {', '.join(METHODS)}",
        )


def settings_table(settings: SequenceSettings) -> dict[str, Any]:
    """Plain values for JSON and `read_settings`."""
    return plain(settings)


def read_settings(
    table: Mapping[str, Any], usual: SequenceSettings | None = None, where: str = "inputs"
) -> SequenceSettings:
    """Settings from a table; missing keys are taken from `usual`; a magnification of `False` means
    none.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    usual = usual or SequenceSettings()
    values = {k: v for k, v in asdict(usual).items() if k != "magnification"}
    values |= {k: v for k, v in table.items() if k != "magnification"}
    made: SequenceSettings = build(SequenceSettings, values, where)
    wanted = table.get("magnification", usual.magnification)
    if isinstance(wanted, Mapping):
        default = asdict(usual.magnification or Magnification())
        wanted = build(Magnification, {**default, **wanted}, f"{where}.magnification")
    elif wanted is False:
        wanted = None
    elif wanted is not None and not isinstance(wanted, Magnification):
        raise ConfigError(f"{where}.magnification must be a table or false; found {wanted!r}")
    return replace(made, magnification=wanted)


def sequence_inputs(
    source: Source,
    *,
    onset: int = 0,
    offset: int | None = None,
    apex: int | str | None = None,
    fps: float | None = None,
    settings: SequenceSettings | None = None,
    landmarks: FloatArray | None = None,
    cache: str | PathLike[str] | None = None,
) -> ClipSequence:
    """Make the input of a recognizer of sequences for one expression.

    One similarity transform for the whole clip, fitted to the landmarks at the onset, aligns the
    face: a fit for every frame would turn jitter of landmarks into motion, which magnification
    would enlarge. A frame without a face gets the landmarks of the one before.

    Args:
        source, fps: as in `aumer.video.open_video`.
        onset, offset: decode ordinals; by default the first and the last frame.
        apex: a frame, or the method to find it: one of `aumer.recognition.apex.names`; by default
            "midpoint". "rise-and-fall", "both-ends" and "flow-peak" read the flow.
        landmarks: (T, 68, 2) px of the source's frames, by decode ordinal; detected if `None`.
        cache: folder of cached results.

    Raises:
        VideoError: the source cannot be read.
        NoFaceError: no face at the onset.
        UsageError: frames outside the source, an unknown name, or no flow although the method for
            the apex needs it.
    """
    from aumer.video import content_digest

    way = apex if isinstance(apex, str) else "midpoint"
    apexes.check(way)
    given = None if isinstance(apex, str) else apex

    settings = settings or SequenceSettings()
    about = {
        "version": _VERSION,
        "content": content_digest(source, fps=fps) if cache is not None else None,
        "settings": asdict(settings),
        "frames": [onset, apex, offset],
        "landmarks": None if landmarks is None else sha256(landmarks.tobytes()).hexdigest(),
    }
    if cache is not None and about["content"] is None:
        raise UsageError("a camera's frames cannot be cached; use `cache=None`")
    store = FeatureCache(cache, None if cache is None else _key(about, settings, way))
    kept = store.whole()
    if kept is not None:
        return unpack(kept)

    part = SequencePart(onset, given, offset, settings, fps, way=way)
    with _looking(settings, landmarks) as look:
        video: VideoInfo | None = None
        for frame, video in between(source, part.first, part.last, fps=fps):  # noqa: B007
            part.add(frame, look(frame))
            if part.hidden:
                break
    assert video is not None  # opening a video without frames fails
    clip = part.made(video)
    store.finish(pack(clip))
    return clip


def _key(about: dict[str, Any], settings: SequenceSettings, way: str) -> str | None:
    """Cache key of a sequence; `None` if a part cannot be identified."""
    parts = [(kind, getattr(settings, kind)) for kind in ("detector", "landmarker", "flow")]
    found = identities([("apex", way), *(p for p in parts if p != ("flow", "none"))])
    if found is None:
        return None
    return f"sequence-{digest({**about, **({'parts': found} if found else {})})}"


class SequencePart(FramePart):
    """Makes the sequence of one expression from a stream of frames.

    Args:
        apex: a frame; `None` to find it by the method `way`.
        offset: `None` for the last frame of the stream.
        settings, way: see `sequence_inputs`.
        fps: replaces the rate of the video.
        places: see `FramePart`.
        kept: its frames, if they were stored while the face was followed; then no frame is needed.

    Attributes:
        first, last: range of the needed frames; `None`: up to the last of the video.
        hidden: no face is visible at the onset.

    Raises:
        UsageError: unknown flow, or frames that are not in order.
    """

    def __init__(
        self,
        onset: int,
        apex: int | None,
        offset: int | None,
        settings: SequenceSettings | None = None,
        fps: float | None = None,
        *,
        way: str = "midpoint",
        places: Places | None = None,
        kept: KeptSequence | None = None,
    ) -> None:
        _check_order(onset, apex, offset)
        self._settings = settings or SequenceSettings()
        flow = self._settings.flow
        self._flow = None if flow == "none" else resolve_flow(flow)
        margin = 0 if self._settings.length else self._settings.margin
        self.first = max(0, onset - margin)
        self.last = None if offset is None else offset + margin
        self.places = {} if places is None else places
        self._onset, self._apex, self._offset, self._way = onset, apex, offset, way
        self._fps = fps
        self._images: list[ImageArray] = []
        self._points: list[FloatArray] = []
        # Frames before the onset wait for its landmarks, by which all are aligned.
        self._waiting: list[tuple[ImageArray, FloatArray | None]] = []
        self._aligner: _Aligner | None = None
        self.hidden = False
        size, origin = self._settings.size, self.places.get(onset)
        if kept is not None and kept.fits(self.first, self.last, size, origin):
            self._take(kept)

    def _take(self, kept: KeptSequence) -> None:
        self._aligner = kept.aligner
        for index, seen in sorted(self.places.items()):
            if index in kept.images:  # otherwise the video ends earlier
                self._place(kept.images[index], seen)
        self.places = {}

    def add(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """Take the next of its frames."""
        if self.hidden:
            return
        if self._aligner is None and frame.index >= self._onset:
            if landmarks is None:
                self.hidden = True
                return
            self._aligner = _Aligner(landmarks, self._settings.size)
        self._waiting.append((frame.image, landmarks))
        if self._aligner is None:
            return
        for image, seen in self._waiting:
            self._place(self._aligner.image(image), seen)
        self._waiting = []

    def _place(self, image: ImageArray, landmarks: FloatArray | None) -> None:
        assert self._aligner is not None
        lost = landmarks is None and bool(self._points)
        self._images.append(image)
        self._points.append(self._points[-1] if lost else self._aligner.points(landmarks))

    def made(self, video: VideoInfo) -> ClipSequence:
        """The sequence, after all its frames were added.

        Raises:
            NoFaceError: no face at the onset.
            UsageError: frames outside the video, no frame rate, or no flow although the method for
                the apex needs it.
        """
        onset, apex, offset = self._onset, self._apex, self._offset
        if self.hidden:
            raise NoFaceError(f"no face in frame {onset}, the onset, of {video.name}")
        if self._aligner is None:
            raise UsageError(f"{video.name} has no frame {onset}, the onset")
        rate = self._fps or video.fps
        if rate is None:
            raise UsageError(f"the frame rate of {video.name} is not known: give `fps`")
        last = self.first + len(self._images) - 1
        end = last if offset is None else offset
        if end > last:
            raise UsageError(f"{video.name} ends at frame {last}; the offset is {offset}")
        _check_order(onset, apex, end)
        return _sequence(
            np.stack(self._images),
            np.stack(self._points),
            (
                onset - self.first,
                self._way if apex is None else apex - self.first,
                end - self.first,
            ),
            rate,
            self._flow,
            self._settings,
        )


class KeptSequence:
    """The frames of a `SequencePart`, stored while the face is followed: an
    `aumer.motion.analysis.Watch`.

    They are aligned by the onset's landmarks as soon as these are known, which saves memory. If the
    analysis of the video was cached there are none, and the frames are read from the video
    (`fits`).

    Args:
        onset, offset: `None` for the first and the last frame with a face.
        most: stores nothing if there are more frames.

    Attributes:
        images: (S, S) uint8 gray, by frame.
        aligner: aligns the frames; `None` until the onset's landmarks are known.
    """

    def __init__(
        self, onset: int | None, offset: int | None, margin: int, size: int, most: int
    ) -> None:
        self.images: dict[int, ImageArray] = {}
        self.aligner: _Aligner | None = None
        self._onset, self._margin, self._size, self._most = onset, margin, size, most
        self._first = max(0, (onset or 0) - margin)
        self._last = None if offset is None else offset + margin
        self._waiting: list[Frame] = []  # until the onset's landmarks are known
        self._before: tuple[int, FloatArray] | None = None  # last face before the onset
        self._lost = False

    def wants(self, index: int) -> bool:
        """See `aumer.motion.analysis.Watch`."""
        return (
            not self._lost and index >= self._first and (self._last is None or index <= self._last)
        )

    def see(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """See `aumer.motion.analysis.Watch`."""
        if self.aligner is None and landmarks is not None:
            self._look(frame.index, landmarks)
        if not self.wants(frame.index):
            return
        self._waiting.append(frame)
        if self.aligner is None:
            # It is unknown when the next face comes; until then frames are stored unaligned.
            if self._onset is None:
                self._waiting = self._waiting[-self._margin :] if self._margin else []
            elif frame.index > self._onset + _WAITS:
                self._let_go()
            return
        for one in self._waiting:
            if one.index >= self._first:
                self.images[one.index] = self.aligner.image(one.image)
        self._waiting = []
        if len(self.images) > self._most:
            self._let_go()

    def fits(self, first: int, last: int | None, size: int, landmarks: FloatArray | None) -> bool:
        """Whether these are the frames of a clip from `first` to `last`, aligned by these
        landmarks.
        """
        return (
            self.aligner is not None
            and first in self.images
            and (self._last is None or (last is not None and last <= self._last))
            and size == self._size
            and landmarks is not None
            and np.array_equal(landmarks, self.aligner.landmarks)
        )

    def _look(self, index: int, landmarks: FloatArray) -> None:
        """Interpolate the onset's landmarks from the next frame with a face."""
        onset = index if self._onset is None else self._onset
        if index < onset:
            self._before = index, landmarks
            return
        if index > onset and self._before is not None:
            landmarks = within(onset, self._before[0], index, self._before[1], landmarks)
        self._onset, self._first = onset, max(0, onset - self._margin)
        self.aligner = _Aligner(landmarks, self._size)

    def _let_go(self) -> None:
        self._lost, self.aligner, self._waiting, self.images = True, None, [], {}


def _sequence(
    gray: ImageArray,
    landmarks: FloatArray,
    frames: tuple[int, int | str, int],
    fps: float,
    flow: Flow | None,
    settings: SequenceSettings,
) -> ClipSequence:
    fields: FloatArray | None = None
    if flow is not None:
        fields = np.zeros((len(gray) - 1, *gray.shape[1:], 2), np.float32)
        pairs = list(pairwise(gray))
        for k in range(0, len(pairs), flow.batch):
            fields[k : k + flow.batch] = flow.many(pairs[k : k + flow.batch])
    onset, found, offset = frames
    apex = found
    if isinstance(apex, str):
        apex = find_apex(gray, landmarks, fields, onset, offset, fps, apex)
    if settings.magnification is not None:
        gray = np.stack([_eight_bits(x) for x in magnify(gray, fps, settings.magnification)])
    if settings.length:
        within, method = slice(onset, offset + 1), settings.interpolation
        gray = _eight_bits(interpolate(gray[within], settings.length, method))
        landmarks = interpolate(landmarks[within], settings.length, method)
        if fields is not None:
            fields = interpolate_flow(fields[onset:offset], settings.length, method)
        steps = (settings.length - 1) / max(offset - onset, 1)
        onset, apex, offset = 0, round((apex - onset) * steps), settings.length - 1
        fps *= steps
    return ClipSequence(gray, landmarks, fields, onset, apex, offset, fps)


def find_apex(
    gray: ImageArray,
    landmarks: FloatArray,
    flow: FloatArray | None,
    onset: int,
    offset: int,
    fps: float,
    way: str,
) -> int:
    """The apex of an aligned expression, by one of `aumer.recognition.apex.names`.

    Args:
        gray, landmarks, flow: as in `ClipSequence`.

    Returns:
        a frame after the onset, unless the clip is one frame long.

    Raises:
        UsageError: the method needs the flow, and there is none.
    """
    size = gray.shape[1]
    pixels = np.asarray((landmarks + 0.5) * size - 0.5, np.float32)

    def motion() -> Features:
        if flow is None:
            raise UsageError(
                f"apex = {way!r} reads optical flow, and these settings have none; set flow to a "
                "name, or apex to 'roi-difference' or 'midpoint'"
            )
        return _motion(gray, pixels, flow, fps)

    def pictures() -> apexes.Pictures:
        within = slice(onset, offset + 1)
        return np.arange(onset, offset + 1), gray[within], pixels[within]

    return apexes.find(way, apexes.Span(onset, offset, motion, pictures))


def _motion(gray: ImageArray, pixels: FloatArray, flow: FloatArray, fps: float) -> Features:
    """Motion of the ROIs from frame to frame, from an existing flow."""
    from aumer.motion import AlignedFace, roi_motions

    size = gray.shape[1]
    usual = load_settings().motion
    radius = max(1, round(usual.roi_radius * size / usual.crop))
    motion = replace(usual, crop=size, roi_radius=radius)
    faces = [AlignedFace(image, points) for image, points in zip(gray, pixels, strict=True)]
    fields = iter(flow)
    moved = roi_motions(list(pairwise(faces)), lambda a, b: next(fields), motion)
    return steps_as_features(moved, 0, fps, motion)


def steps_as_features(
    steps: Sequence[FloatArray | None], first: int, fps: float, motion: MotionSettings
) -> Features:
    """Motion of the ROIs from each frame to the next, as features for `aumer.recognition.apex`.

    Args:
        steps: (R, 2) px each; `None` if unknown.
        first: ordinal of the first frame.
    """
    rois = roi_set(motion.rois).names
    values = np.full((len(steps), len(rois), 2), np.nan, np.float32)
    for k, moved in enumerate(steps):
        if moved is not None:
            values[k] = moved
    at = first + np.arange(len(steps))
    valid = np.asarray(np.isfinite(values).all(axis=(1, 2)), np.bool_)
    return Features(values, at / fps, at, valid, rois, fps, eye_distance=motion.crop / 2)


# -- views -----------------------------------------------------------------------------------------


def displacement(clip: ClipSequence, frame: int) -> FloatArray:
    """(S, S, 2) float32 px: the flow summed by pixel from the onset to `frame`.

    Before the onset it is the negative sum from `frame` to the onset.
    """
    fields = clip.flow_fields()
    if frame >= clip.onset:
        return np.asarray(fields[clip.onset : frame].sum(0, dtype=np.float32), np.float32)
    return np.asarray(-fields[frame : clip.onset].sum(0, dtype=np.float32), np.float32)


def steps_to_apex(clip: ClipSequence, steps: int) -> list[int]:
    """`steps` frames from onset to apex at equal steps, rounded, both included."""
    return [round(float(t)) for t in np.linspace(clip.onset, clip.apex, steps)]


# -- the face --------------------------------------------------------------------------------------


class _Aligner:
    """Crops every frame by the similarity transform fitted to the given landmarks."""

    def __init__(self, landmarks: FloatArray, size: int) -> None:
        self.landmarks, self._size = landmarks, size
        self._transform: FloatArray | None = None

    def image(self, image: ImageArray) -> ImageArray:
        from aumer.motion import align

        face = align(image, self.landmarks, self._size)
        if self._transform is None:
            # Recover the transform: an affine fit of the 68 points to their positions in the crop.
            points = np.column_stack([self.landmarks.astype(np.float64), np.ones(68)])
            self._transform = np.linalg.lstsq(points, face.landmarks, rcond=None)[0].T
        return face.gray

    def points(self, landmarks: FloatArray | None) -> FloatArray:
        assert self._transform is not None
        points = self.landmarks if landmarks is None else landmarks
        moved = points @ self._transform[:, :2].T + self._transform[:, 2]
        return np.asarray((moved + 0.5) / self._size - 0.5, np.float32)


@contextmanager
def _looking(
    settings: SequenceSettings, landmarks: FloatArray | None
) -> Iterator[Callable[[Frame], FloatArray | None]]:
    """A function that returns a frame's landmarks (68, 2) px, given or detected; `None` without a
    face.
    """
    if landmarks is None:
        from aumer.face.track import FaceTracker

        usual = load_settings().face
        named = replace(usual, detector=settings.detector, landmarker=settings.landmarker)
        with closing(FaceTracker.from_settings(named)) as tracker:

            def find(frame: Frame) -> FloatArray | None:
                face = tracker(frame.image)
                return None if face is None else face.landmarks

            yield find
        return
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise UsageError(f"landmarks must be (T, 68, 2) px; found {landmarks.shape}")
    known = landmarks.astype(np.float32)

    def given(frame: Frame) -> FloatArray | None:
        if frame.index >= len(known):
            raise UsageError(
                f"landmarks are given for {len(known)} frames, and frame {frame.index} needs "
                "them, too"
            )
        points: FloatArray = known[frame.index]
        return points if np.isfinite(points).all() else None

    yield given


def _check_order(onset: int, apex: int | None, offset: int | None) -> None:
    known = [f for f in (onset, apex, offset) if f is not None]
    if known != sorted(known) or onset < 0:
        raise UsageError(
            f"a clip needs 0 <= onset <= apex <= offset; found {onset}, {apex}, {offset}"
        )


def _eight_bits(values: FloatArray) -> ImageArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def pack(clip: ClipSequence) -> Arrays:
    """A clip as arrays for `aumer.cache.FeatureCache`."""
    facts = np.array([clip.onset, clip.apex, clip.offset, clip.fps], np.float64)
    flow = {} if clip.flow is None else {"flow": clip.flow}
    return {"gray": clip.gray, "landmarks": clip.landmarks, "facts": facts, **flow}


def unpack(arrays: Arrays) -> ClipSequence:
    """The inverse of `pack`; also reads the old key "grey"."""
    onset, apex, offset, fps = arrays["facts"].tolist()
    return ClipSequence(
        arrays["gray" if "gray" in arrays else "grey"],
        arrays["landmarks"],
        arrays.get("flow"),
        int(onset),
        int(apex),
        int(offset),
        float(fps),
    )
