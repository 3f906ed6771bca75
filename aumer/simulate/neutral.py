"""Videos made from real neutral recordings, with known expressions rendered into them.

A recording has real noise, compression, blinks, sway and light, which a simulated face lacks.

Only the skin moved by an expression is changed (`neutral_motion`). A person must check that the
face is neutral: real expressions in the recording are not in the truth. A recording is never held
in memory: it is read once to track the face, and once for each video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from aumer import strict
from aumer.config import FaceSettings, load_settings
from aumer.errors import NoFaceError, UsageError, VideoError
from aumer.face.track import FaceTracker, TrackedFace
from aumer.names import expanded
from aumer.simulate import timeline as timelines
from aumer.simulate.neutral_motion import ROIS, Array, Fields, Skin, moved
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Shot, developed, frame_count, truth
from aumer.types import Expression, ImageArray
from aumer.video import Source, open_video

#: Increase when the same recording and timeline give another video: for caches of measurements.
VERSION = 1
#: Least time that a recording must show its face, in seconds: the median macro-expression.
LEAST_S = 1.0
#: Most bytes of frames held for playing a part backward.
_BACKWARDS = 2**28
#: A container's frame rate is used if it agrees with the frames' times within this share.
_SAME_RATE = 0.01


@dataclass(frozen=True, eq=False)
class Neutral:
    """A part of a recording with one tracked face.

    Attributes:
        source: as for `aumer.video.open_video`; read again for each video.
        name: of the file, the folder, or "array".
        fps: frame rate of its videos: the recording's.
        size: width and height, px.
        first: the recording's first frame of the part.
        skin: position of the face in each frame.
        notes: notes on how the part was chosen.
    """

    source: Source
    name: str
    fps: float
    size: tuple[int, int]
    first: int
    skin: Skin
    notes: tuple[str, ...] = ()
    given_fps: float | None = None

    @classmethod
    def open(
        cls,
        source: Source,
        *,
        fps: float | None = None,
        start_s: float | None = None,
        stop_s: float | None = None,
        settings: FaceSettings | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> Neutral:
        """Track the face through a recording, and use the longest part in which it is visible.

        Args:
            source, fps: as `aumer.video.open_video`; no camera, which cannot be read twice.
            start_s, stop_s: the neutral part, seconds from the first frame.
            settings: settings of face selection and tracking; `None` for the defaults.
            progress: called with the number of frames decoded and the container's estimate.

        Raises:
            UsageError: invalid arguments, or a recording shorter than `LEAST_S`.
            VideoError: the recording is missing or cannot be read.
            NoFaceError: no face, or none for `LEAST_S` without interruption.
        """
        if isinstance(source, (int, np.integer)):
            raise UsageError(
                "a neutral recording must be read twice, which a camera does not allow: record "
                "a file"
            )
        settings = settings or load_settings().face
        if settings.follow == "all":
            raise UsageError(
                "face.follow must name one face, into which expressions are simulated; found 'all'"
            )
        times: list[float] = []
        faces: list[TrackedFace | None] = []
        first = 0
        reader = open_video(source, fps=fps, start=start_s, end=stop_s)
        with closing(reader), closing(FaceTracker.from_settings(settings)) as tracker:
            info = reader.info
            for frame in reader:
                first = first if faces else frame.index
                times.append(frame.time_s)
                faces.append(tracker(frame.image, frame.time_s))
                if progress:
                    progress(frame.index + 1, info.frames_estimate)
        rate = _rate(info.fps, times)
        if len(times) < max(2, LEAST_S * rate - 0.5):
            raise UsageError(
                f"{info.name} is too short for expressions: a neutral recording, or the part of it "
                f"that is used, must last {LEAST_S:g} s or more; found {len(times) / rate:.2f} s"
            )
        start, stop = _longest(faces)
        if start == stop:
            raise NoFaceError(
                f"{info.name}: no usable face is seen from {times[0]:.2f} to {times[-1]:.2f} s; a "
                "neutral recording shows one face"
            )
        where = f"frames {first + start} to {first + stop - 1} of {info.name}"
        if stop - start < max(2, LEAST_S * rate - 0.5):
            raise NoFaceError(
                f"{info.name} must show a face for {LEAST_S:g} s without a break; the longest is "
                f"{(stop - start) / rate:.2f} s ({where})"
            )
        notes: tuple[str, ...] = ()
        if stop - start < len(faces):
            notes = (
                f"only {where} are used ({times[start]:.2f} to {times[stop - 1]:.2f} s): the "
                "longest stretch in which its face is seen without a break",
            )
        skin = Skin.of(np.stack([f.landmarks for f in faces[start:stop] if f is not None]))
        size = (info.width, info.height)
        return cls(source, info.name, rate, size, first + start, skin, notes, fps)

    @property
    def count(self) -> int:
        """Frames of the part."""
        return len(self.skin.landmarks)

    @property
    def duration_s(self) -> float:
        """Seconds of the part."""
        return self.count / self.fps

    @property
    def range_text(self) -> str:
        """The part in words."""
        return f"{self.name} {self.first}-{self.first + self.count - 1}"

    @cached_property
    def fields(self) -> Fields:
        """Displacement fields of actions on this face."""
        return Fields(self.skin)

    def draw(
        self,
        seed: Sequence[int],
        *,
        seconds: float | None = None,
        rate_per_min: float | None = None,
        held: float | None = None,
        strength: float = 1.0,
        amplitude: float | None = None,
    ) -> Timeline:
        """A performance for this face, drawn (`timeline.draw`) and sized (`sized`).

        Args:
            seconds: of the video; by default the duration of the part.

        Raises:
            UsageError: an invalid argument, or the video would be shorter than `LEAST_S`.
        """
        seconds = self.duration_s if seconds is None else seconds
        # One second less the end of the last frame is accepted.
        if seconds < LEAST_S - 0.5 / self.fps:
            raise UsageError(
                f"a film must last {LEAST_S:g} s or more, as expressions do; found {seconds:g} s"
            )
        drawn = timelines.draw(
            np.random.default_rng(list(seed)), seconds, rate_per_min=rate_per_min, held=held
        )
        return self.sized(drawn, strength=strength, amplitude=amplitude)

    def sized(
        self, timeline: Timeline, *, strength: float = 1.0, amplitude: float | None = None
    ) -> Timeline:
        """The same performance with kinds by duration, in the requested sizes.

        Args:
            strength: factor of every intensity, limited to 1.
            amplitude: displacement of the ROI that moves furthest at the apex of every
                micro-expression (outer-eye distances), in place of its own. A micro-expression
                whose action units cannot move a ROI of this face so far, such as those of lids,
                keeps its own.

        Raises:
            UsageError: a strength or an amplitude that is not positive.
        """
        if amplitude is not None and not 0 < amplitude < math.inf:
            raise UsageError(f"amplitude must be > 0 outer-eye distances; found {amplitude}")
        scaled = timeline.by_duration().scaled(strength)

        def given(event: Event) -> Event:
            reach = self.fields[event.aus].reach
            if amplitude is None or event.kind != "micro" or reach < amplitude:
                return event
            return replace(event, intensity=amplitude / reach)

        return replace(scaled, events=tuple(map(given, scaled.events)))

    def film(self, timeline: Timeline, *, seed: int = 0) -> NeutralFilm:
        """The recording with a performance rendered into it, as long as the performance.

        If it is longer than the part, the part is played forward and backward; if shorter, the seed
        draws the section that is shown.
        """
        return NeutralFilm(self, timeline, seed)

    def images(self, start: int, count: int) -> Iterator[tuple[int, ImageArray]]:
        """`count` frame positions in the part and their frames, from `start` on, forward and
        backward.

        Raises:
            VideoError: the recording has changed.
        """
        stop = min(self.count, start + count)
        yield from self._forth(start, stop)
        left = count - (stop - start)
        while left > 0:  # the end frames are not repeated
            back = min(left, self.count - 1)
            yield from self._back(self.count - 1 - back, self.count - 1)
            forth = min(left - back, self.count - 1)
            yield from self._forth(1, 1 + forth)
            left -= back + forth

    def _forth(self, start: int, stop: int) -> Iterator[tuple[int, ImageArray]]:
        if start >= stop:
            return
        first, last = self.first + start, self.first + stop - 1

        def wanted(index: int, _: float) -> bool:
            return first <= index <= last

        with closing(open_video(self.source, fps=self.given_fps, keep=wanted)) as video:
            for frame in video:
                yield frame.index - self.first, frame.image
                if frame.index == last:
                    return
        raise VideoError(f"{self.name} ends before frame {last} now; it was changed meanwhile")

    def _back(self, start: int, stop: int) -> Iterator[tuple[int, ImageArray]]:
        """The same backward. Seeks are not reliable: each block is decoded from the first frame."""
        block = max(2, _BACKWARDS // (3 * self.size[0] * self.size[1]))
        while stop > start:
            begin = max(start, stop - block)
            yield from reversed(list(self._forth(begin, stop)))
            stop = begin


class NeutralFilm:
    """A recording with a performance rendered into it; see `Neutral.film`.

    Args:
        seed: draws the rounding of gray levels where skin moves and, for a video shorter than the
            recording, the section that is shown.

    Raises:
        UsageError: the performance has no frame, or the seed is negative.
    """

    def __init__(self, neutral: Neutral, timeline: Timeline, seed: int = 0) -> None:
        strict.require(seed >= 0, "seed", seed, "0 or more")
        self.neutral, self.timeline, self.seed = neutral, timeline, seed
        self.fps = neutral.fps
        self.count = frame_count(timeline, self.fps)
        room = max(0, neutral.count - self.count)
        self.start = int(np.random.default_rng([seed, 97]).integers(0, room + 1))

    def frames(self) -> Iterator[ImageArray]:
        """A pass over the video: (H, W, 3) uint8 RGB; frame k is at k / fps seconds."""
        return developed(self._jobs())

    def _jobs(self) -> Iterator[Callable[[], ImageArray]]:
        fields, to_face = self.neutral.fields, self.neutral.skin.to_face
        for k, (place, image) in enumerate(self.neutral.images(self.start, self.count)):
            motions = fields.at(self.timeline.intensities(k / self.fps))
            yield partial(moved, image, to_face[place], motions, (self.seed, k))

    def displacement(self, times: Array) -> Array:
        """True displacement of the ROIs' landmarks by expressions only: (T, 12, 2) at times (T,).

        Outer-eye distances, in the face's upright frame.
        """
        total = np.zeros((len(times), len(ROIS), 2))
        for action, level in self.timeline.levels(times).items():
            total += level[:, None, None] * self.neutral.fields[action,].truth
        return total

    @property
    def displacements(self) -> tuple[float, ...]:
        """Displacement at each event's apex of the ROI that moves furthest, outer-eye distances.

        Only of the event itself, without overlapping ones.
        """
        return tuple(
            event.intensity * self.neutral.fields[event.aus].reach for event in self.timeline.events
        )

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The truth in frames of the video."""
        return truth(self.timeline, self.fps)

    def shot(self) -> Shot:
        """The video for `aumer.simulate.video`."""
        return Shot(
            self.timeline,
            self.fps,
            self.neutral.size,
            self.frames,
            self.displacements,
            f"played into {self.neutral.range_text}",
        )


def names_of(sources: Sequence[Path]) -> tuple[str, ...]:
    """A name for each recording: its stem, with the folder if two stems are equal.

    Raises:
        UsageError: a recording is given twice.
    """
    whole = [expanded(path).resolve() for path in sources]
    if twice := [path for path in whole if whole.count(path) > 1]:
        raise UsageError(f"every neutral recording must be given once; {twice[0]} is given twice")
    stems = [path.stem for path in whole]
    named = [
        path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}/{path.name}"
        for path in whole
    ]
    return tuple(
        name if named.count(name) == 1 else f"{name}-{k + 1}" for k, name in enumerate(named)
    )


def _rate(declared: float | None, times: Sequence[float]) -> float:
    """Frames per second: the container's if the frames' times agree, else from the times."""
    span = times[-1] - times[0]
    measured = (len(times) - 1) / span if span > 0 else 0.0
    if declared and (not measured or abs(declared / measured - 1) < _SAME_RATE):
        return declared
    return round(measured, 3) or 25.0


def _longest(faces: Sequence[TrackedFace | None]) -> tuple[int, int]:
    """The longest uninterrupted part with one face: [start, stop)."""
    breaks = [0]
    for k, (before, now) in enumerate(pairwise(faces), start=1):
        if before is None or now is None or before.run != now.run:
            breaks.append(k)
    breaks.append(len(faces))
    stretches = [(a, b) for a, b in pairwise(breaks) if faces[a] is not None]
    return max(stretches, key=lambda s: s[1] - s[0], default=(0, 0))
