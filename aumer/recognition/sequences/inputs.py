"""Grey, landmark and flow sequences of a clip from one call, and the views that networks read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from aumer import registry
from aumer.cache import Arrays, FeatureCache
from aumer.config import MotionSettings, digest, load_settings
from aumer.errors import ConfigError, NoFaceError, UsageError, did_you_mean
from aumer.recognition.apex import METHODS as METHODS_OF_APEX
from aumer.recognition.apex import flow_peak, midpoint, roi_difference
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.interpolation import (
    METHODS,
    Method,
    interpolate,
    interpolate_flow,
)
from aumer.recognition.sequences.magnification import Magnification, magnify
from aumer.rois import roi_set
from aumer.strict import build, plain, require
from aumer.types import Features, FloatArray, ImageArray

if TYPE_CHECKING:
    from aumer.video import Source

#: Raise when the numbers that the same settings give change: no older cache is read then.
_VERSION = 1


@dataclass(frozen=True)
class SequenceSettings:
    """How a clip's sequences are made.

    Attributes:
        size: side of the square crop, px; the outer eye corners lie size / 2 apart.
        flow: optical flow by name, or "none".
        magnification: of the grey frames; flow and landmarks are those of the frames as filmed.
        length: frames to which onset to offset is interpolated; 0 keeps all frames as they are.
        interpolation: see `aumer.recognition.sequences.interpolation.weights`.
        margin: frames kept before the onset and after the offset, where `length` is 0.
        detector, landmarker: of the face, by name.

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
    """Plain values, as JSON has them, for `read_settings`."""
    return plain(settings)


def read_settings(
    table: Mapping[str, Any], usual: SequenceSettings | None = None, where: str = "inputs"
) -> SequenceSettings:
    """Settings from a table: what it leaves out is as usual, a magnification of `False` is none.

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
    """Everything that a recogniser of sequences reads of one expression.

    One similarity for the whole clip, fitted to the landmarks at the onset, puts the face upright:
    a fit for every frame would make motion of the landmarks' jitter, and magnification would make
    it larger. A frame without a face keeps the landmarks of the one before.

    Args:
        source, fps: as in `aumer.video.open_video`.
        onset, offset: decode ordinals; by default the first and the last frame.
        apex: another, or how it is to be found where nobody gave it: one of
            `aumer.recognition.apex.METHODS`; by default "midpoint". "flow-peak" reads the flow.
        landmarks: (T, 68, 2) px of the source's frames, by decode ordinal; found if `None`.
        cache: folder in which the result is kept and found.

    Raises:
        VideoError: the source cannot be read.
        NoFaceError: no face at the onset.
        UsageError: frames that the source has not, a name that there is not, or no flow to find
            the apex by.
    """
    from aumer.video import content_digest, open_video

    way = apex if isinstance(apex, str) else "midpoint"
    if way not in METHODS_OF_APEX:
        raise UsageError(
            f"apex is a frame or one of {', '.join(METHODS_OF_APEX)}; found {way!r}."
            + did_you_mean(way, METHODS_OF_APEX)
        )
    given = None if isinstance(apex, str) else apex

    settings = settings or SequenceSettings()
    flow = None if settings.flow == "none" else registry.resolve("flow", settings.flow)
    _check_order(onset, given, offset)
    about = {
        "version": _VERSION,
        "content": content_digest(source, fps=fps) if cache is not None else None,
        "settings": asdict(settings),
        "frames": [onset, apex, offset],
        "landmarks": None if landmarks is None else sha256(landmarks.tobytes()).hexdigest(),
    }
    if cache is not None and about["content"] is None:
        raise UsageError("what a camera shows cannot be kept under its content; use cache = None")
    store = FeatureCache(cache, f"sequence-{digest(about)}")
    kept = store.whole()
    if kept is not None:
        return unpack(kept)

    margin = 0 if settings.length else settings.margin
    first = max(0, onset - margin)
    last = None if offset is None else offset + margin
    tracker = _Tracker(settings, landmarks)
    images: list[ImageArray] = []
    points: list[FloatArray] = []

    def wanted(index: int, _: float) -> bool:
        return index >= first and (last is None or index <= last)

    reader = open_video(source, fps=fps, keep=wanted)
    aligner: _Aligner | None = None
    waiting: list[tuple[ImageArray, FloatArray | None]] = []  # for the onset's landmarks
    with closing(reader):
        rate = fps or reader.info.fps
        for frame in reader:
            found = tracker(frame.index, frame.image)
            waiting.append((frame.image, found))
            if frame.index < onset:
                continue
            if aligner is None:
                if found is None:
                    raise NoFaceError(f"no face in frame {onset}, the onset, of {reader.info.name}")
                aligner = _Aligner(found, settings.size)
            for image, seen in waiting:
                images.append(aligner.image(image))
                points.append(points[-1] if seen is None and points else aligner.points(seen))
            waiting = []
    if aligner is None:
        raise UsageError(f"{reader.info.name} has no frame {onset}, the onset")
    if rate is None:
        raise UsageError(f"{reader.info.name} does not say its frame rate; give fps")
    end = first + len(images) - 1 if offset is None else offset
    if end > first + len(images) - 1:
        raise UsageError(
            f"{reader.info.name} ends at frame {first + len(images) - 1}; the offset is {offset}"
        )
    _check_order(onset, given, end)
    clip = _sequence(
        np.stack(images),
        np.stack(points),
        (onset - first, way if given is None else given - first, end - first),
        rate,
        flow,
        settings,
    )
    store.finish(pack(clip))
    return clip


def _sequence(
    grey: ImageArray,
    landmarks: FloatArray,
    frames: tuple[int, int | str, int],
    fps: float,
    flow: Any,
    settings: SequenceSettings,
) -> ClipSequence:
    fields: FloatArray | None = None
    if flow is not None:
        fields = np.zeros((len(grey) - 1, *grey.shape[1:], 2), np.float32)
        pairs = list(pairwise(grey))
        some = int(getattr(flow, "batch", 1))  # how many it takes together, as `aumer.analysis`
        for k in range(0, len(pairs), some):
            now = pairs[k : k + some]
            fields[k : k + some] = flow.many(now) if some > 1 else [flow(*now[0])]
    onset, found, offset = frames
    apex = found
    if isinstance(apex, str):
        apex = find_apex(grey, landmarks, fields, onset, offset, fps, apex)
    if settings.magnification is not None:
        grey = np.stack([_eight_bits(x) for x in magnify(grey, fps, settings.magnification)])
    if settings.length:
        within, method = slice(onset, offset + 1), settings.interpolation
        grey = _eight_bits(interpolate(grey[within], settings.length, method))
        landmarks = interpolate(landmarks[within], settings.length, method)
        if fields is not None:
            fields = interpolate_flow(fields[onset:offset], settings.length, method)
        steps = (settings.length - 1) / max(offset - onset, 1)
        onset, apex, offset = 0, round((apex - onset) * steps), settings.length - 1
        fps *= steps
    return ClipSequence(grey, landmarks, fields, onset, apex, offset, fps)


def find_apex(
    grey: ImageArray,
    landmarks: FloatArray,
    flow: FloatArray | None,
    onset: int,
    offset: int,
    fps: float,
    way: str,
) -> int:
    """Where an aligned expression peaks, by one of `aumer.recognition.apex.METHODS`.

    Args:
        grey, landmarks, flow: as `ClipSequence` has them.

    Returns:
        a frame after the onset, unless the clip is one frame long.

    Raises:
        UsageError: "flow-peak", and there is no flow.
    """
    if offset <= onset + 1 or way == "midpoint":
        return max(midpoint(onset, offset), min(onset + 1, offset))
    size = grey.shape[1]
    pixels = np.asarray((landmarks + 0.5) * size - 0.5, np.float32)
    if way == "roi-difference":
        scores = roi_difference(grey[onset : offset + 1], pixels[onset])
        return onset + max(1, int(scores.argmax()))
    if flow is None:
        raise UsageError(
            "apex = 'flow-peak' reads optical flow, and these settings have none; set flow to a "
            "name, or apex to 'roi-difference' or 'midpoint'"
        )
    return flow_peak(_motion(grey, pixels, flow, fps), onset, offset)


def _motion(grey: ImageArray, pixels: FloatArray, flow: FloatArray, fps: float) -> Features:
    """Motion of the ROIs from frame to frame, of flow that is there already."""
    from aumer.motion import AlignedFace, roi_motions

    size = grey.shape[1]
    usual = load_settings().motion
    radius = max(1, round(usual.roi_radius * size / usual.crop))
    motion = replace(usual, crop=size, roi_radius=radius)
    faces = [AlignedFace(image, points) for image, points in zip(grey, pixels, strict=True)]
    fields = iter(flow)
    moved = roi_motions(list(pairwise(faces)), lambda a, b: next(fields), motion)
    return steps_as_features(moved, 0, fps, motion)


def steps_as_features(
    steps: Sequence[FloatArray | None], first: int, fps: float, motion: MotionSettings
) -> Features:
    """Motion of the ROIs from each frame to the next, as `aumer.recognition.apex` reads it.

    Args:
        steps: (R, 2) px each; `None` where none is known.
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
    """(S, S, 2) float32 px: the flow summed, pixel by pixel, from the onset to `frame`.

    Before the onset it is the sum from `frame` to the onset, turned round.
    """
    fields = clip.flow_fields()
    if frame >= clip.onset:
        return np.asarray(fields[clip.onset : frame].sum(0, dtype=np.float32), np.float32)
    return np.asarray(-fields[frame : clip.onset].sum(0, dtype=np.float32), np.float32)


def with_strain(flow: FloatArray) -> FloatArray:
    """(..., S, S, 2) px -> (..., S, S, 3): u, v and optical strain.

    Strain is sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), central differences, one-sided at the rim.
    """
    rows, columns = flow.ndim - 3, flow.ndim - 2
    u, v = flow[..., 0], flow[..., 1]
    shear = np.gradient(u, axis=rows) + np.gradient(v, axis=columns)
    stretch = np.gradient(u, axis=columns) ** 2 + np.gradient(v, axis=rows) ** 2
    strain = np.sqrt(stretch + shear**2 / 2)
    return np.asarray(np.concatenate([flow, strain[..., None]], -1), np.float32)


def steps_to_apex(clip: ClipSequence, steps: int) -> list[int]:
    """`steps` frames from onset to apex at equal steps, rounded, both included."""
    return [round(float(t)) for t in np.linspace(clip.onset, clip.apex, steps)]


# -- the face --------------------------------------------------------------------------------------


class _Aligner:
    """Crops every frame by the similarity that puts the landmarks it was made from in place."""

    def __init__(self, landmarks: FloatArray, size: int) -> None:
        self._landmarks, self._size = landmarks, size
        self._transform: FloatArray | None = None

    def image(self, image: ImageArray) -> ImageArray:
        from aumer.motion import align

        face = align(image, self._landmarks, self._size)
        if self._transform is None:
            # The map itself: an affine through 68 points and their places in the crop.
            points = np.column_stack([self._landmarks.astype(np.float64), np.ones(68)])
            self._transform = np.linalg.lstsq(points, face.landmarks, rcond=None)[0].T
        return face.grey

    def points(self, landmarks: FloatArray | None) -> FloatArray:
        assert self._transform is not None
        points = self._landmarks if landmarks is None else landmarks
        moved = points @ self._transform[:, :2].T + self._transform[:, 2]
        return np.asarray((moved + 0.5) / self._size - 0.5, np.float32)


class _Tracker:
    """(68, 2) px of a frame's face, given or found; `None` where there is none."""

    def __init__(self, settings: SequenceSettings, landmarks: FloatArray | None) -> None:
        self._given = landmarks
        if landmarks is None:
            from aumer.face.track import FaceTracker

            self._find = FaceTracker.from_settings(
                replace(
                    load_settings().face,
                    detector=settings.detector,
                    landmarker=settings.landmarker,
                    min_eye_distance=16.0,
                )
            )
        elif landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
            raise UsageError(f"landmarks must be (T, 68, 2) px; found {landmarks.shape}")

    def __call__(self, index: int, image: ImageArray) -> FloatArray | None:
        if self._given is not None:
            if index >= len(self._given):
                raise UsageError(
                    f"there are landmarks of {len(self._given)} frames, not of {index}"
                )
            points: FloatArray = self._given[index].astype(np.float32)
            return points if np.isfinite(points).all() else None
        face = self._find(image)
        return None if face is None else face.landmarks


def _check_order(onset: int, apex: int | None, offset: int | None) -> None:
    known = [f for f in (onset, apex, offset) if f is not None]
    if known != sorted(known) or onset < 0:
        raise UsageError(
            f"a clip needs 0 <= onset <= apex <= offset; found {onset}, {apex}, {offset}"
        )


def _eight_bits(values: FloatArray) -> ImageArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def pack(clip: ClipSequence) -> Arrays:
    """A clip as `aumer.cache.FeatureCache` keeps it."""
    facts = np.array([clip.onset, clip.apex, clip.offset, clip.fps], np.float64)
    flow = {} if clip.flow is None else {"flow": clip.flow}
    return {"grey": clip.grey, "landmarks": clip.landmarks, "facts": facts, **flow}


def unpack(arrays: Arrays) -> ClipSequence:
    """The clip that `pack` made arrays of."""
    onset, apex, offset, fps = arrays["facts"].tolist()
    return ClipSequence(
        arrays["grey"],
        arrays["landmarks"],
        arrays.get("flow"),
        int(onset),
        int(apex),
        int(offset),
        float(fps),
    )
