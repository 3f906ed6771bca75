"""`aumer.live`: spotting while a source runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from contextvars import copy_context
from dataclasses import asdict, replace
from os import PathLike
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from aumer.arguments import as_path
from aumer.errors import UsageError, VideoError
from aumer.files import StrPath, check_target
from aumer.graph import AUGraph
from aumer.motion.analysis import Reached, check_workers
from aumer.pipeline import DEFAULT_MODEL, Spotter
from aumer.recognition.interface import Recognizer
from aumer.session import SettingsLike, check_face
from aumer.spotting.interface import SpotterModel
from aumer.streaming.decisions import EVERY_S, TELLS_S, Decisions
from aumer.streaming.events import LiveEvent, LiveStep, LiveSummary
from aumer.types import Features, FloatArray, Scores, TimeArray
from aumer.video import Keep, Source, VideoReader
from aumer.video.played import Played
from aumer.video.reader import positive
from aumer.video.sources import is_camera, open_source
from aumer.video.writer import TIMED, VideoFile, codec_for

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

#: Frames that wait to be analyzed, at most: those of the clock are dropped beyond, so that nothing
#: lags.
_WAITING = 4
#: Of the time, at most so much goes into decisions where the source goes on by the clock.
_SHARE = 0.5
#: Seconds of the curve that is shown.
_SHOWN_S = 10.0
#: Delays that are remembered.
_DELAYS = 10_000
#: Frames a second that a recording says, where the source does not; its frames keep their times.
_RATE = 30.0


class Live:
    """Spots in a source while it runs. Made by `aumer.live`; iterated once.

    Attributes:
        summary: totals so far.

    Example:
        >>> with aumer.live("interview.mp4", model="rules") as live:
        ...     moments = list(live.steps())
        >>> sum(event.event == "final" for moment in moments for event in moment.events)
        1
    """

    def __init__(
        self,
        source: Source,
        spotter: Spotter,
        *,
        realtime: bool,
        end: float | None,
        fps: float | None,
        record: StrPath | None,
        overwrite: bool,
        workers: int | None,
    ) -> None:
        self._spotter, self._source, self._workers = spotter, source, workers
        self._decisions = Decisions(spotter)
        self._by_clock = realtime or is_camera(source)
        self._end, self._record, self._overwrite = end, record, overwrite
        self._frames = open_source(source, fps)
        self._played: Played | None = None
        self._reader: VideoReader | None = None
        self._writer: VideoFile | None = None
        self._began = False
        self._stopped = False
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._again = -np.inf  # when the next decision may be, on the clock
        self.summary = LiveSummary(
            self._frames.info.name, spotter.model.name, TELLS_S, self._decisions.settles_s
        )

    def __iter__(self) -> Iterator[LiveEvent]:
        for step in self.steps():
            yield from step.events

    def steps(self) -> Iterator[LiveStep]:
        """Run, yielding the state about seven times per second, for displays that show more than
        events.

        Raises:
            UsageError: it was iterated before.
            VideoError: the source cannot be read any more.
        """
        if self._began:
            raise UsageError("a live run is iterated once; call `aumer.live` again")
        self._began = True
        try:
            yield from _apart(self._steps())
        except VideoError:
            if not (self._stopped and not self.summary.analyzed):  # no frame, as was asked for
                raise
        finally:
            self.close()

    def stop(self) -> None:
        """End the run as if the source ended now: pending expressions are reported, and the
        recording is completed. From any thread, or a handler of signals.
        """
        self._stopped = True
        if self._played is not None:
            self._played.stop()
        if self._reader is not None:  # a camera may hang
            self._reader.end()

    def close(self) -> None:
        """Release everything; the recording is kept. May be called more than once."""
        self._began = True
        # What is read is closed by its reader, in the reader's thread: a camera may hang there.
        (self._frames if self._reader is None else self._reader).close()
        writer, self._writer = self._writer, None
        try:
            if writer is not None and self._played is not None:
                if self._played.recorded and self._record is not None:
                    with writer:
                        pass
                    self.summary.recording = as_path("record", self._record)
                else:
                    writer.discard()  # of no frame there is no film
        finally:
            self._spotter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self, keep: Keep) -> VideoReader:
        info = self._frames.info
        if self._record is not None:
            self._writer = VideoFile(
                self._record,
                fps=info.fps or _RATE,
                size=(info.width, info.height),
                overwrite=self._overwrite,
            )
        self._played = Played(self._frames, by_clock=self._by_clock, record=self._writer)
        self._reader = VideoReader(
            self._played, end=self._end, keep=keep, queue_size=_WAITING, drops=self._by_clock
        )
        if self._stopped:  # before there was any of them
            self.stop()
        return self._reader

    def _steps(self) -> Generator[LiveStep, None, None]:
        due = -np.inf
        if self._by_clock:
            self._spotter.warm_up()
        # Closed here, whatever fails: elsewhere is another context.
        with closing(
            self._spotter.reached(
                self._opened, keeps_s=self._decisions.keeps_s, workers=self._workers
            )
        ) as places:
            for place in places:
                assert place.frame is not None
                summary, now = self.summary, place.frame.time_s
                if not place.over:
                    summary.seconds = now
                    summary.analyzed += 1
                    summary.seen += place.face is not None
                if place.over or (now >= due - 1e-6 and time.monotonic() >= self._again):
                    due = now + EVERY_S
                    yield self._decided(place)

    def _decided(self, place: Reached) -> LiveStep:
        begin = time.monotonic()
        (analysis,) = place.measured()
        motion = asdict(self._spotter.settings.motion)
        features = replace(analysis.features, motion=motion)
        told = self._decisions.step(features, over=place.over)
        summary, frame = self.summary, place.frame
        assert frame is not None and self._reader is not None
        clock = self._clock()
        events = tuple(
            LiveEvent(
                one.event,
                one.id,
                one.expression,
                frame.time_s,
                max(0.0, (frame.time_s if clock is None else clock) - one.expression.offset_s),
            )
            for one in told
        )
        summary.dropped = self._reader.dropped
        summary.notes = analysis.notes
        self._count(events)
        if self._by_clock:
            spent = time.monotonic() - begin
            self._again = begin + spent / _SHARE
        times, curve = _curve(self._decisions.scores, features)
        return LiveStep(
            frame,
            None if place.face is None else place.face.box,
            events,
            times,
            curve,
            0.0 if clock is None else max(0.0, clock - frame.time_s),
            summary.analyzed,
            summary.dropped,
        )

    def _clock(self) -> float | None:
        """The source's time by the clock; `None` where it does not go by it."""
        if not self._by_clock or self._played is None or self._played.began is None:
            return None
        return time.monotonic() - self._played.began

    def _count(self, events: tuple[LiveEvent, ...]) -> None:
        summary, told = self.summary, self.summary.told
        for one in events:
            told[one.event] += 1
            if one.event == "final":
                summary.found[one.expression.kind] += 1
            if one.event == "provisional":
                self._delays.append(one.delay_s)
        if events:
            summary.delays_s = list(self._delays)


def _curve(scores: Scores | None, features: Features) -> tuple[TimeArray, FloatArray]:
    """Of the last seconds: the track of any expression, or the largest of what there is."""
    rows = max(0, len(features) - round(_SHOWN_S * features.rate))
    times = features.times[rows:]
    if scores is None or not len(times):
        return times, np.full(len(times), np.nan, np.float32)
    named = [k for k, name in enumerate(scores.channels) if name == "expression"]
    named = named or [k for k, name in enumerate(scores.channels) if name.endswith("_action")]
    values = scores.values[:, named or slice(None)]
    values = values[-len(times) :]
    curve = np.full(len(times), np.nan, np.float32)
    known = np.isfinite(values).all(axis=1)
    curve[len(curve) - len(values) :][known] = values[known].max(axis=1)
    return times, curve


def _apart(work: Generator[T, None, None]) -> Iterator[T]:
    """What a generator yields, its work done in a context of its own, as it gathers what is said:
    whoever iterates goes on in another context, and may leave it at any time."""
    context = copy_context()
    over = object()
    try:
        while (item := context.run(next, work, over)) is not over:
            yield item  # type: ignore[misc]
    finally:
        context.run(work.close)


def live(
    source: Source,
    *,
    realtime: bool = False,
    model: str | PathLike[str] | SpotterModel = DEFAULT_MODEL,
    graph: AUGraph | str | PathLike[str] | None = None,
    recognizer: str | PathLike[str] | Recognizer | None = None,
    end: float | None = None,
    fps: float | None = None,
    face: str | int | None = None,
    device: str = "auto",
    sensitivity: str | float | None = None,
    micro_max_s: float | None = None,
    record: StrPath | None = None,
    overwrite: bool = False,
    settings: SettingsLike = None,
    workers: int | None = None,
) -> Live:
    """Find the expressions in a source while it runs.

    Every expression is reported when it has just ended, and may be revised or withdrawn; after the
    spotter's look-ahead it is final. The final ones are those that `spot` finds in the whole
    recording with the same settings. Only some minutes of motion are stored, however long it runs.

    Args:
        source: a camera's index, or another source of `aumer.spot`: a file, a folder of frames, an
            array.
        realtime: whether a source other than a camera is played in real time, with frames dropped
            if analysis is too slow; otherwise it is read as fast as it is analyzed, without
            dropping frames.
        recognizer: labels each expression by its motion, as `spot` does for features ("default" is
            "graph-motion"): frames are not stored. For a video, `spot` reads its frames again, so
            its labels may differ.
        end: seconds after which to stop; None goes on until the source ends, or `Live.stop`.
        record: a file, .mp4 or .mov, to which all frames are written with their times, including
            dropped ones; if its disk is nearly full the recording ends, and the run continues.
        overwrite: replace an existing file.
        model, graph, fps, face, device, sensitivity, micro_max_s, settings, workers: as of `spot`;
            one face is followed.

    Returns:
        An object to iterate over `LiveEvent`, once; `Live.steps` yields more than events. It is
        closed at the end of the loop, or of its ``with`` block.

    Raises:
        UsageError: an argument or a setting cannot be used.
        VideoError: the source cannot be read, at any time.
        WeightsError: weights are missing or damaged.

    Example:
        >>> for event in aumer.live("interview.mp4", model="rules"):
        ...     if event.event == "final":
        ...         print(event.expression.kind, event.expression.onset)
        macro 20
    """
    check_workers(workers)
    if end is not None and end <= 0:
        raise UsageError(f"`end` must be seconds above 0, found {end:g}")
    if record is not None:
        path = as_path("record", record)
        if path.suffix.lower() not in TIMED:
            raise UsageError(
                f"cannot record in {path}: a recording keeps the times of its frames, and is "
                f"written as {' or '.join(TIMED)}"
            )
        codec_for(path)
        check_target(path, overwrite=overwrite)
    spotter = Spotter(
        model=model,
        graph=graph,
        recognizer="graph-motion" if recognizer == "default" else recognizer,
        device=device,
        face=face,
        sensitivity=sensitivity,
        micro_max_s=micro_max_s,
        settings=settings,
    )
    if spotter.settings.face.follow == "all":
        raise UsageError(
            "live spotting follows one face; say which: 'largest', 'left', 'right', or a number"
        )
    check_face(spotter.settings.face)
    spotter.check_named()
    return Live(
        source,
        spotter,
        realtime=realtime,
        end=end,
        fps=positive("fps", fps),
        record=record,
        overwrite=overwrite,
        workers=workers,
    )
