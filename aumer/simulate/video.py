"""Videos of simulated faces, as frames and as files: a `Film` sampled at a frame rate.

`aumer.simulate.film` renders a frame, `performance` has all motion, and `truth` the annotations.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from aumer.files import StrPath, check_target
from aumer.simulate.casme_sq import check_new_folder, write_shots_as_casme_sq
from aumer.simulate.film import Film
from aumer.simulate.performance import Nuisance, Performance
from aumer.simulate.timeline import Timeline
from aumer.simulate.truth import (
    DISPLACEMENT,
    TRUTH_COLUMNS,
    Shot,
    au_text,
    frame_count,
    truth,
    write_truth,
    write_truths,
)
from aumer.simulate.warp import Face, Portrait
from aumer.types import ImageArray
from aumer.video.writer import VideoFile, codec_for

__all__ = [
    "DISPLACEMENT",
    "TRUTH_COLUMNS",
    "Film",
    "Nuisance",
    "Performance",
    "Shot",
    "au_text",
    "check_new_folder",
    "developed",
    "frame_count",
    "portrait_shots",
    "simulate_video",
    "truth",
    "write_casme_sq_layout",
    "write_shot",
    "write_shots_as_casme_sq",
    "write_truth",
    "write_truths",
    "write_video",
]

Key = TypeVar("Key")


def simulate_video(
    timeline: Timeline,
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
) -> Iterator[ImageArray]:
    """Render a performance: (H, W, 3) uint8 RGB frames, one by one; frame k is at t = k / fps.

    A performance is the same at every frame rate and size: only noise differs.

    Args:
        timeline: the expressions.
        portrait: a neutral, frontal face: image file, (H, W, 3) uint8 RGB, or `None` for
            scikit-image's astronaut (NASA, public domain).
        fps: frames per second; there are round(duration_s x fps) frames.
        size: width and height, px, even.
        nuisance: motion, light and noise besides expressions; by default all.
        seed: draws the nuisances.

    Raises:
        UsageError: an argument cannot be used.
        NoFaceError: no face is found in the portrait.
    """
    count = frame_count(timeline, fps)
    film = Film(timeline, portrait=portrait, size=size, nuisance=nuisance, seed=seed)
    return _shoot(film, fps, count)


def _shoot(film: Film, fps: float, count: int) -> Iterator[ImageArray]:
    return developed(partial(film.frame, k / fps, k) for k in range(count))


def developed(jobs: Iterable[Callable[[], ImageArray]]) -> Iterator[ImageArray]:
    """The results of the jobs in order; some are computed ahead in parallel."""
    workers = max(1, min(4, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[ImageArray]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the caller stopped early
                future.cancel()


def write_video(
    path: StrPath,
    timeline: Timeline,
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
    codec: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a performance as a video file, complete or not at all; see `simulate_video`.

    Args:
        path: .mp4, .mov, .mkv or .avi.
        codec: one of `aumer.video.writer.CODECS`; by default the first that the container supports.
            For stronger compression lower ``nuisance.quality``, which is applied to every frame
            first.
        overwrite: replace an existing file.
        progress: called with the number of frames written and how many there will be.

    Raises:
        UsageError: an argument cannot be used, the file exists, or it cannot be written.
        NoFaceError: no face is found in the portrait.
    """
    codec = codec_for(path, codec)
    check_target(path, overwrite=overwrite)
    shots = portrait_shots(
        {"": timeline}, portrait=portrait, fps=fps, size=size, nuisance=nuisance, seed=seed
    )
    write_shot(path, shots[""], codec=codec, overwrite=overwrite, progress=progress)


def write_shot(
    path: StrPath,
    shot: Shot,
    *,
    codec: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a video to a file, complete or not at all. Args and errors as `write_video`."""
    codec = codec_for(path, codec)
    check_target(path, overwrite=overwrite)
    with VideoFile(path, fps=shot.fps, size=shot.size, codec=codec, overwrite=overwrite) as file:
        for k, frame in enumerate(shot.frames()):
            file.write(frame)
            if progress:
                progress(k + 1, shot.count)


def write_casme_sq_layout(
    folder: StrPath,
    videos: Mapping[tuple[int, str], Timeline],
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
) -> None:
    """Write simulated videos as a data set in the layout of CAS(ME)^2.

    Frames are in ``rawpic/s15/15_0101name/img_0001.jpg``, numbered from 1. The workbook
    ``CAS(ME)^2code_final.xlsx`` has the owners' three sheets, each with their line of ``###`` where
    a header would be:

    - ``CASFEcode_final``, one row an expression: subject (1 to S), clip (``name_k``, k counts the
      expressions of the video), onset, apex, offset (numbers of the images), AUs (``4+L12``; one
      AU alone is a number), emotion group, ``micro-expression`` or ``macro-expression``, emotion,
      and the formula of the duration;
    - ``naming rule1``: number in the folder's name, folder, subject;
    - ``naming rule2``: four-digit code in the video's name, name in the clip's.

    ``truth.csv`` beside it has the same and more, in aumer's own columns (`write_truths`): the
    layout says nothing of time, and is read at 30 frames per second.

    Args:
        folder: the target; it must not exist, and appears when everything is written.
        videos: (number in the folder's name, video's name such as ``0101disgust1``) -> timeline.
            Each video has its own seed.

    Raises:
        UsageError: a name is not four digits and a name, the folder exists, or an argument cannot
            be used.
        NoFaceError: no face is found in the portrait.
    """
    check_new_folder(folder)
    shots = portrait_shots(
        videos, portrait=portrait, fps=fps, size=size, nuisance=nuisance, seed=seed
    )
    write_shots_as_casme_sq(folder, shots)


def portrait_shots(
    videos: Mapping[Key, Timeline],
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
) -> dict[Key, Shot]:
    """Videos of one portrait, each with its own nuisances; see `simulate_video`.

    Raises:
        UsageError, NoFaceError: as `simulate_video`.
    """
    for timeline in videos.values():
        frame_count(timeline, fps)
    face = Face(portrait, size)

    def shot(number: int, timeline: Timeline) -> Shot:
        def frames() -> Iterator[ImageArray]:
            film = Film(timeline, nuisance=nuisance, seed=seed + number, face=face)
            return _shoot(film, fps, frame_count(timeline, fps))

        return Shot(timeline, fps, size, frames)

    return {key: shot(number, timeline) for number, (key, timeline) in enumerate(videos.items())}
