"""The data of each face in a video: joined from the chunks of an analysis, and as arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from aumer.cache import Arrays, parked, rested, roomy
from aumer.config import Settings
from aumer.face.signs import eyelids, head_turn
from aumer.graph.rois import roi_set
from aumer.log_capture import unique
from aumer.motion import at_rows, nearest, resample
from aumer.motion.frames import SAME_TIME_S, FrameGrid
from aumer.types import (
    BoolArray,
    FaceTrack,
    Features,
    FloatArray,
    TimeArray,
    VideoInfo,
)

#: Arrays of `Features` and `FaceTrack`: common to all faces, and separate for each.
_SHARED_ARRAYS = ("times", "frames")
_FEATURES = ("values", "valid", "confidence")
_TRACK = ("valid", "boxes", "landmarks")

#: Frames whose eyelids and head pose are computed together.
_SIGNS_AT_ONCE = 10_000
#: Chunks after which their landmarks are moved out of memory.
_CHUNKS_AT_ONCE = 50


GetsChunk: TypeAlias = Callable[[int, Sequence[str] | None], Arrays]


@dataclass(frozen=True, eq=False)
class Analysis:
    """The data of one face in a video for spotting and results.

    Attributes:
        numbers: number of faces that were numbered, if several are followed; else at most 1.
        notes: warnings while the video was read.
    """

    video: VideoInfo
    features: Features
    track: FaceTrack
    numbers: int = 1
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the time with measured motion."""
        return float(self.features.valid.mean()) if len(self.features) else 0.0


def join(
    chunk: GetsChunk,
    count: int,
    frame_grid: FrameGrid,
    video: VideoInfo,
    settings: Settings,
) -> tuple[Analysis, ...]:
    """Concatenate all chunks; every one but the last ends with the first frame of the next.

    Args:
        chunk: loads the arrays of a chunk (`aumer.motion.analysis`), given its number, so that only
            one is in memory; or those of given names, and perhaps others.
        count: of the chunks.
        frame_grid: which has seen all decoded frames.

    Returns:
        One for each face, ordered by number; all have the same rows.
    """
    few: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("frames", "times", "mixed")}
    numbers_seen: set[int] = set()
    for k in range(count):
        part = chunk(k, (*few, "numbers"))
        numbers_seen.update(map(int, part["numbers"]))
        for name, rows_of in few.items():
            rows_of.append(part[name] if k == count - 1 else part[name][:-1])
    frames, times, since = (np.concatenate(rows_of) for rows_of in few.values())
    rate, rows = settings.motion.rate, len(times)
    numbered = sorted(numbers_seen)
    rois = len(roi_set(settings.motion.rois))
    # Rows of chunks without this face.
    boxes = {n: np.full((rows, 4), np.nan, np.float32) for n in numbered}
    landmarks = {n: roomy((rows, 68, 2), np.float32) for n in numbered}
    steps = {n: np.full((max(0, rows - 1), rois, 2), np.nan, np.float32) for n in numbered}
    measured = {n: np.zeros((max(0, rows - 1), rois), np.float32) for n in numbered}
    at = 0
    for k in range(count):
        part = chunk(k, None)
        mine = len(part["times"]) - (k < count - 1)
        for points in landmarks.values():
            points[at : at + mine] = np.nan
        for i, number in enumerate(map(int, part["numbers"])):
            boxes[number][at : at + mine] = part["boxes"][i, :mine]
            landmarks[number][at : at + mine] = part["landmarks"][i, :mine]
            between = part["steps"].shape[1]
            steps[number][at : at + between] = part["steps"][i]
            measured[number][at : at + between] = part["confidence"][i]
        at += mine
        if not k % _CHUNKS_AT_ONCE:
            for points in landmarks.values():
                rested(points)
    turns, most, numbers = map(int, part["seen"])
    indices, seen = frame_grid.seen()
    mixed = _mixed(times, since)
    found = []
    for number in numbered:
        track = FaceTrack(
            times=times,
            frames=frames,
            valid=np.asarray(np.isfinite(boxes[number]).all(axis=1)),
            boxes=boxes[number],
            landmarks=parked(landmarks.pop(number)),
            number=number,
            faces=most,
            turned=90 * turns,
        )
        moved = steps.pop(number)
        joined_up = np.asarray(np.isfinite(moved).all(axis=(1, 2)) & ~mixed)
        grid, values, valid = resample(times, moved, joined_up, rate)
        del moved
        confidence = at_rows(times, measured.pop(number), grid, rate)
        confidence[~valid] = 0
        features = Features(
            values=parked(values),
            times=grid,
            frames=indices[nearest(seen, grid)],
            valid=valid,
            rois=roi_set(settings.motion.rois).names,
            rate=rate,
            eye_distance=settings.motion.crop / 2,
            confidence=confidence,
        )
        found.append(Analysis(video, _with_signs(features, track), track, numbers))
    return tuple(found)


def _mixed(times: TimeArray, since: TimeArray) -> BoolArray:
    """(N - 1,) mask of the steps in a dissolve, from the begin time of the dissolve at each
    frame.
    """
    steps = np.zeros(max(0, len(times) - 1), np.bool_)
    for last in np.flatnonzero(np.isfinite(since)):
        first = np.searchsorted(times, since[last] + SAME_TIME_S, side="right") - 1
        steps[max(0, first) : last] = True
    return steps


def _with_signs(features: Features, track: FaceTrack) -> Features:
    """Features with eyelids and head pose at each row, from the nearest landmarks."""
    valid = features.valid
    # Piecewise: the landmarks of ten hours alone have hundreds of megabytes.
    seen = np.empty(len(track), np.bool_)
    open_eyes, turned = [np.empty((0, 2))], [np.empty((0, 3))]
    for begin in range(0, len(track), _SIGNS_AT_ONCE):
        part = track.landmarks[begin : begin + _SIGNS_AT_ONCE]
        known = np.isfinite(part).all(axis=(1, 2))
        seen[begin : begin + len(part)] = known
        if known.any():
            open_eyes.append(eyelids(part[known]))
            turned.append(head_turn(part[known]))
        rested(track.landmarks)

    def at_its_rows(values: npt.NDArray[np.float64]) -> FloatArray:
        rows = np.full((len(valid), values.shape[1]), np.nan, np.float32)
        for k, column in enumerate(values.T):
            rows[valid, k] = np.interp(features.times[valid], track.times[seen], column)
        return rows

    if not (seen.any() and valid.any()):
        return features
    return replace(
        features,
        eyelids=at_its_rows(np.concatenate(open_eyes)),
        head=at_its_rows(np.concatenate(turned)),
    )


def packed(found: tuple[Analysis, ...]) -> Arrays:
    """Arrays for a file, which `unpacked` reads: common arrays once, the others with a leading axis
    of faces.
    """
    if not found:
        return {"numbers": np.empty(0, np.int64)}
    features, track = found[0].features, found[0].track
    return {
        "video": np.array(json.dumps(found[0].video.to_dict())),
        **noted(found[0].notes),
        "rois": np.array(features.rois),
        "rate": np.array(features.rate),
        "eye_distance": np.array(features.eye_distance),
        "numbers": np.array([f.track.number for f in found], np.int64),
        "seen": np.array([track.faces, track.turned, found[0].numbers], np.int64),
        **{f"features_{n}": getattr(features, n) for n in _SHARED_ARRAYS},
        **{f"track_{n}": getattr(track, n) for n in _SHARED_ARRAYS},
        **{f"features_{n}": _stacked([getattr(f.features, n) for f in found]) for n in _FEATURES},
        **{f"track_{n}": _stacked([getattr(f.track, n) for f in found]) for n in _TRACK},
    }


def _stacked(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Stacked along a new first axis; a single array is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def unpacked(arrays: Arrays) -> tuple[Analysis, ...]:
    """The analyses that `packed` made arrays of."""
    found = []
    for k, number in enumerate(arrays["numbers"]):
        faces, turned, numbers = map(int, arrays["seen"])
        rows: dict[str, Any] = {n: arrays[f"features_{n}"] for n in _SHARED_ARRAYS}
        rows |= {n: arrays[f"features_{n}"][k] for n in _FEATURES}
        rows["values"] = parked(rows["values"])
        features = Features(
            **rows,
            rois=tuple(map(str, arrays["rois"])),
            rate=float(arrays["rate"]),
            eye_distance=float(arrays["eye_distance"]),
        )
        track = FaceTrack(
            **{n: arrays[f"track_{n}"] for n in _SHARED_ARRAYS},
            **{n: arrays[f"track_{n}"][k] for n in _TRACK if n != "landmarks"},
            landmarks=parked(arrays["track_landmarks"][k]),
            number=int(number),
            faces=faces,
            turned=turned,
        )
        video = VideoInfo(**json.loads(str(arrays["video"])))
        signed = _with_signs(features, track)
        rested(track.landmarks)
        found.append(Analysis(video, signed, track, numbers, notes_of(arrays)))
    return tuple(found)


def noted(*notes: Iterable[str]) -> Arrays:
    """The warnings so far, for a file."""
    return {"notes": np.array(json.dumps(unique(*notes)))}


def notes_of(arrays: Arrays) -> tuple[str, ...]:
    """The warnings that `noted` has put into a file's arrays."""
    # Older files have no notes.
    return tuple(json.loads(str(arrays["notes"]))) if "notes" in arrays else ()
