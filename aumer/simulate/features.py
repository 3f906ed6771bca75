"""Simulated features, in the form of `aumer.motion.analysis`, of subjects with known expressions.

The displacement of an ROI is the sum of its action units (`anatomy`), each with the subject's gain
and asymmetry, and of the nuisances (`nuisance`). A video depends only on the seed, its name and its
length, not on the number or order of other videos.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.arguments import as_path, number, whole
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write, check_target
from aumer.foreign import foreign, read_arrays
from aumer.motion.mdmo import ROIS
from aumer.names import FileNames, inside
from aumer.simulate import disturbances, nuisance
from aumer.simulate.anatomy import ACTION_UNITS, Action
from aumer.simulate.statistics import Statistics
from aumer.simulate.timeline import Timeline, draw, require_drawable
from aumer.spotting.auwgcn.features import PUBLISHED_DEVIATION, PUBLISHED_MEAN
from aumer.tables.cells import csv_lines
from aumer.types import BoolArray, Expression, Features, FloatArray, Kind

Signal = npt.NDArray[np.float64]

LEVELS = ("easy", "medium", "hard")
LAYOUTS = ("aumer", "feature_segment")
RATE = 30.0
EYE_DISTANCE = 64.0
#: The motion stage of these features: their noise was measured with it
#: (``configs/simulation.toml``).
IMITATED = {"preset": "windows"}

#: The published layout: frames of a segment, and of context on either side.
SEGMENT, CONTEXT = 256, 7
_TIMING = ("onset", "apex", "offset", "onset_s", "apex_s", "offset_s")
_TRUTH = ("subject", "video", "kind", *_TIMING, "rate", "au", "intensity")


@dataclass(frozen=True)
class Subject:
    """Differences of one face from the mean face.

    Attributes:
        gains: factors of each AU on the subject's right and left side.
        noise: factor of all nuisances.
    """

    gains: Mapping[int, tuple[float, float]]
    noise: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Subject:
        """A random subject of the population in ``configs/simulation.toml``."""
        s = nuisance.settings()["subject"]
        gains = {}
        for au in sorted(ACTION_UNITS):
            both = np.exp(s["gain_spread"] * rng.standard_normal())
            right, left = both * np.exp(s["side_spread"] * rng.standard_normal(2))
            gains[au] = (float(right), float(left))
        return Subject(gains, float(np.exp(s["noise_spread"] * rng.standard_normal())))

    def shown(self, action: Action) -> Signal:
        """Displacement of the ROIs by an action at intensity 1: (12, 2) outer-eye distances."""
        au, side = action
        right, left = self.gains[au]
        if side == "right":
            return right * disturbances.roi_displacement(action)
        if side == "left":
            return left * disturbances.roi_displacement(action)
        # A midline push is applied once: it is the part common to both sides.
        one, other, all_ = (
            disturbances.roi_displacement((au, s)) for s in ("right", "left", "both")
        )
        middle = one + other - all_
        shown: Signal = (
            right * (one - middle) + left * (other - middle) + (right + left) / 2 * middle
        )
        return shown


@dataclass(frozen=True, eq=False)
class SimulatedVideo:
    """Features of one video with its timeline."""

    subject: str
    name: str
    features: Features
    timeline: Timeline

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The truth in rows of the features, score 1, without expressions that start after the last
        row.
        """
        last = len(self.features) - 1
        return tuple(
            e if e.offset <= last else _clipped(e, last)
            for e in self.timeline.expressions(self.features.rate)
            if e.onset < last
        )


def simulate_features(
    subjects: int = 10,
    *,
    videos: int = 1,
    minutes: float = 3.0,
    seed: int = 0,
    level: str = "medium",
    nuisances: Iterable[str] = nuisance.USUAL,
    rate_per_min: float | None = None,
    statistics: Statistics | None = None,
    replayed: Mapping[str, Timeline] | None = None,
    rate: float = RATE,
    strength: float | None = None,
    loudness: float | None = None,
) -> Iterator[SimulatedVideo]:
    """Features of many videos, one after another.

    Args:
        subjects, videos, minutes: number of subjects, of videos of each, and length of each.
        level: one of `LEVELS`: strength of expressions and noise.
        nuisances: names in `nuisance.NUISANCES`; an empty sequence gives only expressions.
        rate_per_min, statistics: as in `timeline.draw`.
        replayed: performances by video (`timeline.replay`) instead of drawn ones; then subjects,
            videos, minutes, rate_per_min and statistics are ignored. A video's subject is its name
            up to the last "_".
        rate: rows per second.
        strength, loudness: factors of the size of expressions and nuisances, instead of the
            level's.

    Raises:
        UsageError: a number that is not positive, or an unknown name.

    Example:
        >>> videos = list(aumer.simulate_features(2, minutes=0.2, seed=1))
        >>> [video.subject for video in videos]
        ['s001', 's002']
        >>> videos[0].features.values.shape
        (360, 12, 2)
    """
    whole("subjects", subjects, least=1)
    whole("videos", videos, least=1)
    whole("seed", seed, least=0)
    require_drawable(60 * number("minutes", minutes), rate_per_min, "minutes", minutes)
    if not 1 <= rate <= 1000:
        raise UsageError(f"rate must be from 1 to 1000 rows per second; found {rate}")
    usual = level_constants(level)
    strength = usual[0] if strength is None else strength
    loudness = usual[1] if loudness is None else loudness
    for name, value in (("strength", strength), ("loudness", loudness)):
        if not (value >= 0 and np.isfinite(value)):
            raise UsageError(f"{name} must be >= 0; found {value}")
    causes = nuisance.load(nuisances)

    def made() -> Iterator[SimulatedVideo]:
        for subject, name, known in _plan(subjects, videos, replayed):
            timeline = known or draw(
                _rng(seed, name, "timeline"), minutes * 60, statistics, rate_per_min=rate_per_min
            )
            yield SimulatedVideo(
                subject,
                name,
                render(
                    timeline,
                    Subject.draw(_rng(seed, subject, "subject")),
                    causes,
                    seed=seed,
                    name=name,
                    strength=strength,
                    loudness=loudness,
                    rate=rate,
                ),
                timeline,
            )

    return made()


def level_constants(level: str) -> tuple[float, float]:
    """Factors of the size of expressions and of nuisances at a level of `LEVELS`."""
    if level not in LEVELS:
        raise UsageError(
            f"level must be one of {', '.join(LEVELS)}; found {level!r}."
            f"{did_you_mean(level, LEVELS)}"
        )
    constants = nuisance.settings()["levels"][level]
    return float(constants["strength"]), float(constants["loudness"])


def render(
    timeline: Timeline,
    subject: Subject,
    causes: Mapping[str, object],
    *,
    seed: int = 0,
    name: str = "",
    strength: float = 1.0,
    loudness: float = 1.0,
    rate: float = RATE,
) -> Features:
    """Features of one performance by one subject.

    Args:
        causes: nuisances by name (`nuisance.load`). Each has its own random stream, so switching
            one on or off does not change the others.
        strength, loudness: factors of the size of expressions and of nuisances.

        Raises:
        UsageError: the performance is shorter than a row.
    """
    rows = int(np.floor(timeline.duration_s * rate + 1e-6))
    if rows < 1:
        raise UsageError(f"{timeline.duration_s} s hold no row at {rate} rows per second")
    times = np.arange(rows + 1) / rate
    path = np.zeros((rows + 1, len(ROIS), 2))
    for action, level in timeline.levels(times).items():
        path += strength * level[:, None, None] * subject.shown(action)
    head = np.zeros((rows + 1, 3))
    for key, cause in causes.items():
        if isinstance(cause, disturbances.Turning):
            turn = cause.turn(_rng(seed, name, key), times)
            head[:, :2] += loudness * subject.noise * turn
    lost: BoolArray = np.zeros(rows + 1, np.bool_)
    for key, cause in causes.items():
        rng = _rng(seed, name, key)
        if isinstance(cause, nuisance.LostFaces):
            lost |= cause.lost(rng, times)
        elif not isinstance(cause, nuisance.Quantization):
            assert isinstance(cause, nuisance.Moving)
            path += loudness * subject.noise * cause.path(rng, times)
    values = np.diff(path, axis=0) * EYE_DISTANCE
    quantization = causes.get("quantization")
    if isinstance(quantization, nuisance.Quantization):
        values = quantization.rounded(values)
    valid = ~(lost[:-1] | lost[1:])  # motion needs a face in two frames
    values[~valid] = np.nan
    return Features(
        values=values.astype(np.float32),
        times=times[:-1],
        frames=np.arange(rows, dtype=np.int64),
        valid=valid,
        rois=tuple(ROIS),
        rate=rate,
        eye_distance=EYE_DISTANCE,
        eyelids=_eyelids(causes, seed, name, times, valid),
        head=np.where(valid[:, None], head[:-1], np.nan).astype(np.float32),
    )


def _eyelids(
    causes: Mapping[str, object], seed: int, name: str, times: Signal, valid: BoolArray
) -> FloatArray:
    """Lid closure from the blinks of the head misfit; without it, from the other blinks."""
    closed = np.zeros(len(times))
    for key in ("head_misfit", "blinks"):
        cause = causes.get(key)
        if isinstance(cause, nuisance.HeadMisfit | disturbances.Blinks):
            closed = cause.lids(_rng(seed, name, key), times)
            break
    s = nuisance.settings()["eyelids"]
    shown = np.where(valid, s["open"] - s["closing"] * closed[:-1], np.nan)
    return np.repeat(shown[:, None], 2, axis=1).astype(np.float32)


def write_features(
    folder: StrPath,
    videos: Iterable[SimulatedVideo],
    *,
    layout: str = "aumer",
    overwrite: bool = False,
) -> list[Path]:
    """Write videos and ``truth.csv`` into a folder, which is created if missing.

    File names are made by `aumer.names.FileNames`, so that none leaves the folder.

    "aumer": ``SUBJECT/VIDEO.npz``, read by `read_features`. "feature_segment": the published
    ``feature_segment/{train,test}/SUBJECT/VIDEO_FIRST.npz``, segments of 256 rows with 7 of context
    on either side, normalized with the published means; ``test`` has all segments, ``train`` those
    with an expression. It has no mask: rows without a face are 0. Its unit is px of aumer's crop.

    Returns:
        The written files, ``truth.csv`` last.

    Raises:
        UsageError: an unknown layout; a file exists and `overwrite` is False; no permission to
            write.
    """
    if layout not in LAYOUTS:
        raise UsageError(
            f"layout must be one of {', '.join(LAYOUTS)}; found {layout!r}."
            f"{did_you_mean(layout, LAYOUTS)}"
        )
    folder = as_path("folder", folder, "the path of a folder")
    _make(folder)
    truth_path = folder / "truth.csv"
    check_target(truth_path, overwrite=overwrite)
    lines: list[Sequence[object]] = [_TRUTH]
    written = []
    file = _Files(folder)
    for video in videos:
        arrays = _whole(video, file) if layout == "aumer" else _segments(video, file)
        for name, content in arrays.items():
            path = inside(folder, name)
            _make(path.parent)
            atomic_write(path, lambda f, c=content: np.savez(f, **c), overwrite=overwrite)  # type: ignore[misc]
            written.append(path)
        for e, event in zip(video.expressions, video.timeline.events, strict=False):
            lines.append(
                [video.subject, video.name, e.kind, e.onset, e.apex, e.offset]
                + [f"{s:.4f}" for s in (e.onset_s, e.apex_s, e.offset_s)]
                + [f"{video.features.rate:g}", code_of(event.aus), f"{event.intensity:.3f}"]
            )
    atomic_write(truth_path, csv_lines(lines), overwrite=overwrite)
    return [*written, truth_path]


def read_features(path: StrPath) -> tuple[Features, tuple[Expression, ...]]:
    """Features and truth of a file in the layout "aumer".

    Raises:
        UsageError: the file is missing or has another format.
    """
    arrays = read_arrays(path, "simulated features")
    # Older files have none.
    signs: dict[str, Any] = {key: arrays[key] for key in ("eyelids", "head") if key in arrays}
    with foreign(path, "simulated features"):
        features = Features(
            values=arrays["values"],
            times=arrays["times"],
            frames=arrays["frames"],
            valid=arrays["valid"],
            rois=tuple(map(str, arrays["rois"])),
            rate=float(arrays["rate"]),
            eye_distance=float(arrays["eye_distance"]),
            **signs,
        )
        truth = tuple(
            _expression(k, rows, seconds)
            for k, rows, seconds in zip(
                arrays["truth_kind"], arrays["truth_rows"], arrays["truth_s"], strict=True
            )
        )
    return features, truth


def _expression(kind: object, rows: Sequence[int], seconds: Sequence[float]) -> Expression:
    name: Kind = "micro" if str(kind) == "micro" else "macro"
    onset, apex, offset = (int(row) for row in rows)
    onset_s, apex_s, offset_s = (float(s) for s in seconds)
    return Expression(name, onset, apex, offset, onset_s, apex_s, offset_s, score=1.0)


def _plan(
    subjects: int, videos: int, replayed: Mapping[str, Timeline] | None
) -> Iterator[tuple[str, str, Timeline | None]]:
    if replayed is not None:
        for name, timeline in replayed.items():
            yield name.rpartition("_")[0] or name, name, timeline
        return
    for s in range(1, subjects + 1):
        for v in range(1, videos + 1):
            yield f"s{s:03d}", f"s{s:03d}_{v}", None


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A separate random stream for each name."""
    return np.random.default_rng(np.random.SeedSequence([seed, *"/".join(names).encode()]))


def _clipped(e: Expression, last: int) -> Expression:
    return Expression(
        e.kind, e.onset, min(e.apex, last), last, e.onset_s, e.apex_s, e.offset_s, e.score
    )


class _Files:
    """Paths of videos below a folder, with a subfolder for each subject."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, FileNames] = {}

    def __call__(self, video: SimulatedVideo, ending: str, below: str = "") -> str:
        """The path relative to the folder, which starts with `below`."""
        below = f"{below}{self._of(below)(video.subject)}/"
        return f"{below}{self._of(below)(video.name, ending)}"

    def _of(self, below: str) -> FileNames:
        if below not in self._known:
            self._known[below] = FileNames(self._folder / below)
        return self._known[below]


def _whole(video: SimulatedVideo, file: _Files) -> dict[str, dict[str, npt.NDArray[np.generic]]]:
    f, truth = video.features, video.expressions
    return {
        file(video, ".npz"): {
            "values": f.values,
            "times": f.times,
            "frames": f.frames,
            "valid": f.valid,
            "rois": np.array(f.rois),
            "rate": np.array(f.rate),
            "eye_distance": np.array(f.eye_distance),
            "eyelids": f.eyelids,
            "head": f.head,
            "settings": np.array(json.dumps({"motion": IMITATED})),
            "truth_kind": np.array([e.kind for e in truth], dtype="<U5"),
            "truth_rows": np.array([(e.onset, e.apex, e.offset) for e in truth], np.int64).reshape(
                -1, 3
            ),
            "truth_s": np.array(
                [(e.onset_s, e.apex_s, e.offset_s) for e in truth], np.float64
            ).reshape(-1, 3),
        }
    }


def _segments(video: SimulatedVideo, file: _Files) -> dict[str, dict[str, npt.NDArray[np.generic]]]:
    f = video.features
    count = -(-len(f) // SEGMENT)
    values = np.zeros((count * SEGMENT + 2 * CONTEXT, len(ROIS), 2))
    values[CONTEXT : CONTEXT + len(f)] = np.where(f.valid[:, None, None], f.values, 0.0)
    normed: FloatArray = ((values - PUBLISHED_MEAN) / PUBLISHED_DEVIATION).astype(np.float32)
    labels = np.zeros((len(values), 8), np.int64)
    for e in video.expressions:
        first = 0 if e.kind == "micro" else 4
        onset, apex, offset = (CONTEXT + k for k in (e.onset, e.apex, e.offset))
        labels[onset, first] = labels[apex, first + 1] = labels[offset, first + 2] = 1
        labels[onset : offset + 1, first + 3] = 1
    out: dict[str, dict[str, npt.NDArray[np.generic]]] = {}
    for k in range(count):
        part = slice(k * SEGMENT, (k + 1) * SEGMENT + 2 * CONTEXT)
        content: dict[str, npt.NDArray[np.generic]] = {
            "feature": normed[part],
            "label": labels[part],
            "video_name": np.array(video.name),
        }
        own = labels[k * SEGMENT + CONTEXT : (k + 1) * SEGMENT + CONTEXT]
        for share in ("train", "test") if own.any() else ("test",):
            name = file(video, f"_{k * SEGMENT:04d}.npz", f"feature_segment/{share}/")
            out[name] = content
    return out


def code_of(actions: Sequence[Action]) -> str:
    """In coders' notation: "L12+6"."""
    return "+".join({"left": "L", "right": "R"}.get(side, "") + str(au) for au, side in actions)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
