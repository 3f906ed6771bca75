"""Writes videos with exactly known expressions and their truth: `aumer simulate video`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from aumer.arguments import require_path, whole
from aumer.errors import UsageError
from aumer.files import StrPath, check_target
from aumer.names import expanded, is_folder
from aumer.simulate import timeline, video
from aumer.simulate.neutral import Neutral, names_of
from aumer.simulate.timeline import Timeline
from aumer.simulate.video import Shot
from aumer.simulate.warp import Portrait
from aumer.video.writer import codec_for

#: Called with the present step, the amount done, and the total if known.
FilmProgress = Callable[[str, int, "int | None"], object]

_log = logging.getLogger("aumer")


def simulate_films(
    out: StrPath,
    *,
    neutral: StrPath | Sequence[StrPath] = (),
    films: int = 1,
    replayed: Mapping[str, Timeline] | None = None,
    seconds: float | None = None,
    rate_per_min: float | None = None,
    held: float | None = None,
    strength: float = 1.0,
    amplitude: float | None = None,
    portrait: Portrait = None,
    nuisance: bool = True,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
    seed: int = 0,
    codec: str | None = None,
    overwrite: bool = False,
    progress: FilmProgress | None = None,
) -> tuple[Path, Path]:
    """Simulate a video of a face with known expressions, and write it with its truth.

    Args:
        out: a film (.mp4, .mov, .mkv or .avi), whose truth is written beside it as .csv; or,
            without suffix, a new folder, which becomes a data set in the folders and the workbook
            of CAS(ME)^2, with truth.csv. The data set "own" reads either truth.
        neutral: recordings of a neutral face, files or (with `fps`) folders of frames: the
            expressions are rendered into these, one subject each, and nothing else is changed.
            Without any, a portrait is animated that talks, blinks and sways.
        films: number of videos of the portrait, or of each recording.
        replayed: performances by name (`aumer.simulate.timeline.replay`) instead of drawn ones.
        seconds: duration of each video; by default 20, or the recording's.
        rate_per_min: expressions per minute; by default as in the data sets.
        held: share of the micro-expressions that start while a macro-expression is held.
        strength: factor of all intensities.
        amplitude: for recordings: displacement of the ROI that moves furthest in every
            micro-expression, in outer-eye distances, instead of the intensities of CASME II.
        portrait, nuisance, size: for videos without recordings: the neutral, frontal face; other
            motion besides expressions; width and height, px (640 x 480).
        fps: frames per second; by default 30, or the recording's.
        start_s, stop_s: the neutral part of the recordings, seconds.
        codec: mp4v, MJPG or FFV1; by default the first that the container supports.
        overwrite: replace a video and its truth. A folder must be new.

    Returns:
        the film or the folder, and its truth.

    Raises:
        UsageError: an invalid argument, or the output exists.
        VideoError, NoFaceError: a recording cannot be read, or has no face.

    Example:
        >>> film, truth = aumer.simulate_films("film.mp4", seconds=1, size=(160, 120), seed=1)
        >>> film.name, truth.name
        ('film.mp4', 'film.csv')
    """
    require_path("out", out)
    out = Path(out)
    clips = [neutral] if isinstance(neutral, (str, PathLike)) else list(neutral)
    _check(
        clips,
        films,
        seed,
        {"start_s": start_s, "stop_s": stop_s, "amplitude": amplitude},
        {"portrait": portrait, "size": size, "nuisance": None if nuisance else False},
    )
    truth = out.with_suffix(".csv") if out.suffix else out / "truth.csv"
    if out.suffix:
        codec_for(out, codec)
        for target in (out, truth):
            check_target(target, overwrite=overwrite)
        if max(len(clips), 1) * len(replayed or range(films)) > 1:
            raise UsageError(
                f"{out} holds one film, and more are asked for; for a data set give a folder's "
                "name, without a suffix"
            )
    else:
        video.check_new_folder(out)
    drawn = {"seconds": seconds, "rate_per_min": rate_per_min, "held": held}
    if clips:
        sizes = {"strength": strength, "amplitude": amplitude}
        part = {"start_s": start_s, "stop_s": stop_s}
        shots = _of_recordings(clips, films, replayed, drawn, sizes, fps, part, seed, progress)
    else:
        performances = replayed or {
            f"film{number:02d}": timeline.draw(
                np.random.default_rng([seed, number]),
                20.0 if seconds is None else seconds,
                rate_per_min=rate_per_min,
                held=held,
            )
            for number in range(films)
        }
        shots = video.portrait_shots(
            # Every video has the name of a clip in CAS(ME)^2, with subject and code: 15_0101name.
            {
                (number + 1, f"0101{_plain(name)}"): performance.scaled(strength)
                for number, (name, performance) in enumerate(performances.items())
            },
            portrait=portrait,
            fps=30.0 if fps is None else fps,
            size=size or (640, 480),
            nuisance=video.Nuisance() if nuisance else video.Nuisance.none(),
            seed=seed,
        )

    def filmed(done: int, total: int) -> None:
        if progress:
            progress(f"filming {out}", done, total)

    if out.suffix:
        (shot,) = shots.values()
        video.write_shot(out, shot, codec=codec, overwrite=overwrite, progress=filmed)
        video.write_truths(truth, {out.name: shot}, overwrite=overwrite)
        return out, truth
    video.write_shots_as_casme_sq(out, shots, progress=filmed)
    if strange := sorted({shot.fps for shot in shots.values()} - {30.0}):
        _log.warning(
            "CAS(ME)^2's layout is read at 30 frames per second, and these films have %s; %s says "
            'so, and is read by the data set "own"',
            ", ".join(f"{rate:g}" for rate in strange),
            truth,
        )
    return out, truth


def _check(
    clips: Sequence[StrPath],
    films: int,
    seed: int,
    of_recordings: Mapping[str, object],
    of_portraits: Mapping[str, object],
) -> None:
    whole("films", films, least=1)
    whole("seed", seed, least=0)
    wrong = of_portraits if clips else of_recordings
    if given := [name for name, value in wrong.items() if value is not None]:
        what = "does not apply to neutral recordings" if clips else "applies to neutral= alone"
        raise UsageError(f"{' and '.join(given)} {what}: leave it out")
    names_of([Path(clip) for clip in clips])


def _of_recordings(
    clips: Sequence[StrPath],
    films: int,
    replayed: Mapping[str, Timeline] | None,
    drawn: Mapping[str, Any],
    sizes: Mapping[str, Any],
    fps: float | None,
    part: Mapping[str, Any],
    seed: int,
    progress: FilmProgress | None,
) -> dict[tuple[int, str], Shot]:
    """Each recording becomes a subject with its simulated videos."""
    folders = [is_folder(expanded(clip)) for clip in clips]
    if fps is not None and not any(folders):
        raise UsageError("`fps` is for a folder of frames; a film has its recording's rate")
    made: dict[tuple[int, str], Shot] = {}
    for subject, (clip, of_images) in enumerate(zip(clips, folders, strict=True), start=1):

        def followed(done: int, total: int | None, clip: StrPath = clip) -> None:
            if progress:
                progress(f"following the face through {clip}", done, total)

        face = Neutral.open(clip, fps=fps if of_images else None, progress=followed, **part)
        for note in face.notes:
            _log.warning("%s", note)
        if replayed:
            performances = {name: face.sized(t, **sizes) for name, t in replayed.items()}
        else:
            performances = {
                f"film{number:02d}": face.draw((seed, number, subject - 1), **drawn, **sizes)
                for number in range(films)
            }
        for number, (name, performance) in enumerate(performances.items()):
            film = face.film(performance, seed=seed + number)
            made[subject, f"{101 + number:04d}{_plain(name)}"] = film.shot()
    return made


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name))
