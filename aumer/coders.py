"""Agreement of two coders of one video, from their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aumer.arguments import number
from aumer.errors import UsageError
from aumer.evaluation import agreement as frames
from aumer.files import StrPath
from aumer.results import SpotResult
from aumer.results.annotations import (
    LATE_S,
    AnnotationFile,
    in_frames,
    moments,
    of_result,
    read_any,
)
from aumer.types import TimeArray
from aumer.video import content_digest

#: Most frames over which two files can be compared.
_MOST = 10_000_000


def agreement(
    first: StrPath,
    second: StrPath,
    *,
    video: StrPath | None = None,
    fps: float | None = None,
    end: float | None = None,
    iou: float = 0.5,
) -> dict[str, frames.Agreement]:
    """Agreement of two coders of one video, or of a coder and a result.

    Args:
        first, second: annotations of any format, or results.
        video: gives frames and length; a folder of images needs `fps`.
        fps, end: instead of the video: frames per second, and its length in seconds. Files of
            `aumer view` hold both.
        iou: least intersection over union of two intervals that count as one expression.

    Returns:
        ``all``, ``micro`` and ``macro``: Cohen's kappa over the frames, counts of intervals with
        F1, and the differences of matched onsets and offsets in seconds; see
        `aumer.evaluation.agreement.Agreement`.

    Raises:
        UsageError: a file cannot be read; the two files belong to different versions of the video,
            or not to `video`; frames and length are not known; `fps` is given without `end`; or
            `end` together with a video.
        VideoError: the video cannot be read.

    Example:
        >>> aumer.spot("interview.mp4").save("anna.eaf")
        >>> aumer.spot("interview.mp4", sensitivity="high").save("ben.eaf")
        >>> both = aumer.agreement("anna.eaf", "ben.eaf", fps=30, end=2)
        >>> both["all"].counts
        Counts(tp=1, fp=0, fn=0)
    """
    if not 0 < number("iou", iou) <= 1:
        raise UsageError(f"`iou` must be above 0 and at most 1; found {iou}")
    results = [_result(path) for path in (first, second)]
    read = [
        read_any(path) if result is None else of_result(result)
        for path, result in zip((first, second), results, strict=True)
    ]
    digests = {file.content for file in read if file.content}
    if end is not None and (video is not None or fps is None):
        raise UsageError(
            "`end` must be given together with `fps`, and without `video`, which has a length "
            "itself",
            fixes=("leave `end` out", "give `fps` and `end`, and no `video`"),
        )
    if fps is not None and end is None and not (video is not None and Path(video).is_dir()):
        raise UsageError(
            "`fps` must be given together with `end`, and without a video file, which has a "
            "rate itself",
            fixes=("leave `fps` out", "give `end` as well"),
        )
    lengths = {file.frames for file in read if file.frames}
    if video is not None:
        from aumer.data.own import frame_times

        times = frame_times(video, fps=fps)
        digests.add(content_digest(video, fps=fps) or "")
        lengths.add(len(times))
        fps = None
    else:
        times = _times(read, [one for one in results if one is not None], fps, end)
    if len(digests) > 1:
        raise UsageError(
            f"{first} and {second} cannot be compared: they belong to different videos, or to "
            "different versions of one, as their digests differ. Give two files about one video"
        )
    if len(lengths) > 1 and fps is None:
        raise UsageError(
            f"{first} and {second} cannot be compared: their videos have different lengths, "
            f"{' and '.join(map(str, sorted(lengths)))} frames. Give two files about one video"
        )
    content = next(iter(digests), None) if fps is None else None
    late = max((e.offset_s for file in read for e in file.expressions), default=0.0)
    if late > times[-1] + LATE_S:
        raise UsageError(
            f"an expression ends at {late:.3f} s, and the video at {times[-1]:.3f} s",
            fixes=("give another `end`", "give the `video`"),
        )
    a, b = (moments(in_frames(file, times, content)[0].expressions) for file in read)
    return frames.agreement(a, b, times, iou=iou)


def _result(path: StrPath) -> SpotResult | None:
    return SpotResult.load(path) if Path(path).suffix.lower() == ".json" else None


def _times(
    read: list[AnnotationFile], results: list[SpotResult], fps: float | None, end: float | None
) -> TimeArray:
    known = next((f for f in read if f.frames and f.duration_s is not None), None)
    if fps is not None and end is not None:
        count = round(number("end", end) * number("fps", fps))
        if not 1 <= count <= _MOST:
            raise UsageError(
                f"`fps` times `end` must be from 1 to {_MOST} frames; found {fps:g} times {end:g}"
            )
        return np.arange(count) / fps
    # A result holds the time of some frames, from which on it was analyzed and until when.
    at_rows = {
        int(frame): float(time_s)
        for result in results
        for frame, time_s in zip(result.scores.frames, result.scores.times, strict=True)
    }
    if known is None and at_rows:
        return _between({0: 0.0, **at_rows}, max(at_rows) + 1)
    if known is None or known.frames is None or known.duration_s is None:
        raise UsageError(
            "neither file says how many frames its video has, and kappa needs that number",
            fixes=("give the `video`", "give `fps` and `end`"),
        )
    # A saved result holds the exact times of its frames; the frame rate may vary.
    seconds = {0: 0.0, known.frames - 1: known.duration_s}
    for e in (e for file in read if file.frames for e in file.expressions):
        ends = ((e.onset, e.onset_s), (e.apex, e.apex_s), (e.offset, e.offset_s))
        seconds |= {k: s for k, s in ends if k is not None and s is not None}
    return _between(seconds, known.frames)


def _between(seconds: dict[int, float], count: int) -> TimeArray:
    """(count,) seconds of all frames, from those of some."""
    at = sorted(seconds)
    return np.interp(np.arange(count), at, [seconds[k] for k in at])
