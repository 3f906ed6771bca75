"""AUW-GCN's released features: whole videos reassembled from segments, with the truth."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from aumer.data.dataset import JoinedDataSet
from aumer.data.folders import checked_root
from aumer.data.report import DataReport, Fault, Key
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.foreign import foreign, read_arrays
from aumer.graph.rois import DEFAULT_ROIS
from aumer.spotting.auwgcn.features import PUBLISHED_DEVIATION, PUBLISHED_MEAN
from aumer.types import KINDS, Annotation, Features, VideoRecord, runs

NAME = "auwgcn-features"
ROIS = DEFAULT_ROIS.names
#: Rows of a segment, and of its context on either side.
SEGMENT, CONTEXT = 256, 7
ROWS = SEGMENT + 2 * CONTEXT
#: Frames per second by the beginning of a video's name: CAS(ME)^2's own; SAMM-LV's as published.
RATES = {"casme": 30.0, "samm": 25.0}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Values:
    """Statistics of x or y after undoing the published normalization.

    The unit is unknown: the published extraction gives px / 20 within +-.5, which is inconsistent
    with the published standard deviation.
    """

    axis: str
    mean: float
    deviation: float
    smallest: float
    median: float
    largest: float

    def __str__(self) -> str:
        return (
            f"{self.axis}: mean {self.mean:.4f}, deviation {self.deviation:.4f}, from "
            f"{self.smallest:.4f} to {self.largest:.4f}, median {self.median:.4f} (unit unresolved)"
        )


class AuwgcnFeatures(JoinedDataSet):
    """Features and truth of each video. See `aumer.data.dataset.DataSet`.

    A record's path is the folder of its subject's segments; `features` reads them. The report's
    notes contain statistics of the values.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "feature_segment/test/casme_015/casme_015_0401_0000.npz (and train/...), each with feature "
        "(270, 12, 2), label (270, 8) and video_name"
    )
    expected: ClassVar[Mapping[str, int]] = {}
    comes_as = "features"

    @classmethod
    def from_root(cls, root: StrPath, *, rate: float | None = None) -> AuwgcnFeatures:
        """Find the segments and read their truth.

        Args:
            rate: frame rate, if it does not follow from the names of the videos (`RATES`).

        Raises:
            UsageError: `root` contains no segments, a file is not a segment, or a rate is unknown.
        """
        root = checked_root(root)
        videos, faults, values = [], [], []
        for key, paths in sorted(_segments(root).items()):
            fps = rate if rate is not None else _rate(key)
            whole = _stitched(paths)
            values.append(_unnormed(whole)[whole.seen])
            found, problems = _truth(key, whole.labels)
            faults += problems
            if not whole.seen.all():
                message = f"{int((~whole.seen).sum())} of {len(whole.seen)} rows are in no segment"
                faults.append(Fault("missing-frames", message, *key))
            # A video of T frames has T - 1 rows.
            frames = len(whole.seen) + 1
            place = next(iter(paths.values())).parent
            videos.append(VideoRecord(NAME, *key, fps, place, frames, tuple(found)))
        notes = tuple(f"values along {axis}" for axis in _described(values))
        return cls(root, tuple(videos), DataReport(faults=tuple(faults), notes=notes))

    @cached_property
    def _paths(self) -> Mapping[Key, Mapping[int, Path]]:
        return _segments(self.root)

    def features(self, record: VideoRecord, *, normed: bool = False) -> Features:
        """The motion of a whole video, (T, 12, 2); rows in no segment are invalid.

        Args:
            normed: keep the published normalization.

        Raises:
            UsageError: the record is not of this data set.
        """
        paths = self._paths.get((record.subject, record.name))
        if paths is None:
            raise UsageError(f"{record.subject}/{record.name} has no segments below {self.root}")
        whole = _stitched(paths)
        values = whole.values if normed else _unnormed(whole)
        values = np.where(whole.seen[:, None, None], values, np.nan)
        rows = np.arange(len(values), dtype=np.int64)
        return Features(
            values=values.astype(np.float32),
            times=rows / record.fps,
            frames=rows,
            valid=whole.seen,
            rois=ROIS,
            rate=record.fps,
        )


def _unnormed(whole: _Whole) -> Array:
    values: Array = whole.values * PUBLISHED_DEVIATION + PUBLISHED_MEAN
    return values


def _described(videos: Sequence[Array]) -> Iterator[Values]:
    flat = np.concatenate([video.reshape(-1, 2) for video in videos])
    for axis, v in zip("xy", flat.T, strict=True):
        mean, deviation = float(v.mean()), float(v.std())
        smallest, median, largest = (float(q) for q in np.quantile(v, (0, 0.5, 1)))
        yield Values(axis, mean, deviation, smallest, median, largest)


def _rate(key: Key) -> float:
    for text, rate in RATES.items():
        if key[1].startswith(text):
            return rate
    known = ", ".join(f"{text}_... at {rate:g}" for text, rate in RATES.items())
    raise UsageError(
        f"the frame rate of {key[1]} is not known; known are {known}. Give it with `rate`"
    )


def _segments(root: Path) -> Mapping[Key, Mapping[int, Path]]:
    """Segments by video and first row. The test folder is complete; train lacks some."""
    found: dict[Key, dict[int, Path]] = defaultdict(dict)
    for share in ("train", "test"):
        for path in sorted(root.glob(f"**/{share}/*/*.npz")):
            name = re.fullmatch(r"(.+)_(\d{4,})", path.stem)
            if name is None:
                raise UsageError(f"{path}: needs a name such as casme_015_0401_0256.npz")
            found[path.parent.name, name[1]][int(name[2])] = path
    if not found:
        raise UsageError(f"{root} has no segments; it must hold {AuwgcnFeatures.layout}")
    return found


@dataclass(frozen=True)
class _Whole:
    values: Array
    labels: npt.NDArray[np.bool_]
    seen: npt.NDArray[np.bool_]


def _stitched(paths: Mapping[int, Path]) -> _Whole:
    """Values (T, 12, 2), labels (T, 8) and a mask of the rows in segments."""
    length = max(paths) + SEGMENT
    values = np.zeros((length, len(ROIS), 2))
    labels = np.zeros((length, 8), np.bool_)
    seen = np.zeros(length, np.bool_)
    own = slice(CONTEXT, CONTEXT + SEGMENT)
    for first, path in paths.items():
        feature, label = _read(path)
        rows = slice(first, first + SEGMENT)
        values[rows], labels[rows], seen[rows] = feature[own], label[own] > 0, True
    # The last segment is padded with zeros, which were normalized, too.
    filled = np.isclose(values, -PUBLISHED_MEAN / PUBLISHED_DEVIATION, atol=1e-6)
    filled = filled.all(axis=(1, 2)) & ~labels.any(axis=1)
    end = length - int(np.argmin(filled[::-1])) if not filled.all() else 0
    return _Whole(values[:end], labels[:end], seen[:end])


def _read(path: Path) -> tuple[Array, Array]:
    arrays = read_arrays(path, "a segment of features")
    with foreign(path, "a segment of features"):
        feature, label = (arrays[name] for name in ("feature", "label"))
    for name, found, shape in (
        ("feature", feature, (ROWS, len(ROIS), 2)),
        ("label", label, (ROWS, 8)),
    ):
        if found.shape != shape:
            raise UsageError(f"{path}: {name} must be {shape}, found {found.shape}")
    with foreign(path, "a segment of features"):  # text cells are errors
        return feature.astype(np.float64), label.astype(np.float64)


def _truth(key: Key, labels: npt.NDArray[np.bool_]) -> tuple[list[Annotation], list[Fault]]:
    """Expressions from the tracks start, apex, end and action of each kind."""
    found, faults = [], []
    for kind, first in zip(KINDS, (0, 4), strict=True):
        starts, apexes, ends = (np.flatnonzero(labels[:, first + k]).tolist() for k in range(3))
        pairs = list(_pairs(starts, ends))
        if len(pairs) != max(len(starts), len(ends)):
            message = (
                f"{kind}: {len(starts)} starts and {len(ends)} ends do not pair; the "
                f"{len(runs(labels[:, first + 3]))} runs of the action track are taken"
            )
            faults.append(Fault("unpaired-labels", message, *key))
            pairs = [(a, b - 1) for a, b in runs(labels[:, first + 3])]
        for onset, offset in pairs:
            inside = [apex for apex in apexes if onset <= apex <= offset]
            found.append(Annotation(*key, kind, onset, inside[0] if inside else None, offset))
    return sorted(found, key=lambda a: (a.onset, a.kind)), faults


def _pairs(starts: Sequence[int], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of each start with the first unused end at or after it."""
    left = list(ends)
    for start in starts:
        end = next((end for end in left if end >= start), None)
        if end is not None:
            left.remove(end)
            yield start, end
