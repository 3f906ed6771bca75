"""Data sets of benchmarks: records and features, of real videos or simulated faces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aumer import registry
from aumer.config import Settings
from aumer.data import load as load_data_set
from aumer.data.dataset import DataSet
from aumer.data.mismatch import DEFAULT, Mismatch, matched
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.simulate.features import code_of, simulate_features
from aumer.simulate.tables import read_lengths, read_table
from aumer.simulate.timeline import Timeline, replay
from aumer.training.listing import fault_notes
from aumer.training.videos import LabeledVideo, extract
from aumer.types import Annotation, Features, VideoRecord
from aumer.workers import Workers

#: Called with the present step, the amount done, and the total.
Progress = Callable[[str, int, int], object]


class Source(Protocol):
    """An open data set."""

    def records(self) -> tuple[VideoRecord, ...]:
        """Every video with its annotations."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Notes for the scores."""
        ...

    def left_out(self) -> tuple[Mapping[str, Any], ...]:
        """Rows without a record, since their frames are not in their videos."""
        ...

    def videos(
        self, settings: Settings, workers: Workers, cache: StrPath | None, progress: Progress | None
    ) -> tuple[LabeledVideo, ...]:
        """Features at ``settings.motion.rate``, in the order of the records."""
        ...


@dataclass(frozen=True)
class _Replayed:
    """The tables of a data set for replay.

    Attributes:
        fps: frame rate of the table.
        lengths: table of the videos' lengths, or "".
    """

    table: str
    lengths: str
    fps: float


SIMULATED: Mapping[str, _Replayed] = {
    "sim-casme-sq": _Replayed("casme_sq_auwgcn.csv", "casme_sq_video_lengths.csv", 30.0),
    "sim-samm-lv": _Replayed("samm_lv_25fps_auwgcn.csv", "", 25.0),
}


def open_source(
    dataset: str, root: StrPath, *, level: str, seed: int, mismatch: Mismatch = DEFAULT
) -> Source:
    """The data set below `root`.

    Args:
        level, seed: for simulated data sets only.
        mismatch: policy for rows whose frames are not in their videos.

    Raises:
        UsageError: unknown or unreadable data set.
    """
    require_source(dataset)
    if dataset in SIMULATED:
        return Simulated(dataset, Path(root), level, seed)
    return Videos(load_data_set(dataset, root), Path(root), mismatch)


def require_source(dataset: str) -> None:
    """Raise for an unknown data set.

    Raises:
        UsageError: unknown data set; the message lists the choices.
    """
    known = (*registry.names("dataset"), *SIMULATED)
    if dataset not in known:
        raise UsageError(
            f"no data set is called {dataset!r}; there are {', '.join(known)}."
            + did_you_mean(dataset, known)
        )


class Videos:
    """A data set of videos, or of features computed by its owners."""

    def __init__(self, dataset: DataSet, root: Path, mismatch: Mismatch = DEFAULT) -> None:
        self._dataset = dataset
        self._matched = matched(dataset, mismatch)
        self._records: tuple[VideoRecord, ...] = self._matched.records
        if not self._records:
            raise UsageError(f"{root} holds no video of {dataset.name}")

    def records(self) -> tuple[VideoRecord, ...]:
        return self._records

    def notes(self) -> tuple[str, ...]:
        report = self._dataset.report
        return (*report.notes, *self._matched.notes(), *fault_notes(report.faults))

    def left_out(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(one.to_dict() for one in self._matched.left_out)

    def videos(
        self, settings: Settings, workers: Workers, cache: StrPath | None, progress: Progress | None
    ) -> tuple[LabeledVideo, ...]:
        if self._dataset.comes_as == "features":
            return tuple(
                LabeledVideo(r.subject, r.name, self._dataset.features(r), r.annotations)
                for r in self._records
            )
        if missing := [f"{r.subject}/{r.name}" for r in self._records if r.path is None]:
            raise UsageError(
                f"{len(missing)} of {len(self._records)} videos are missing: "
                f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}. Their misses "
                "would go uncounted; `aumer data check` lists all faults"
            )
        jobs = [_Extraction(k, r, settings, cache) for k, r in enumerate(self._records)]
        made: dict[int, LabeledVideo] = {}
        for k, video in workers.run(_extracted, jobs):
            made[k] = video
            if progress:
                progress("features", len(made), len(jobs))
        return tuple(made[k] for k in range(len(jobs)))


@dataclass(frozen=True)
class _Extraction:
    number: int
    record: VideoRecord
    settings: Settings
    cache: StrPath | None


def _extracted(job: _Extraction) -> tuple[int, LabeledVideo]:
    # A video without a face is not left out: its expressions count as missed.
    (video,) = extract([job.record], job.settings, cache=job.cache, min_coverage=0.0)
    return job.number, video


class Simulated:
    """A data set's coded timelines, replayed by simulated faces.

    Truth is in frames of the table, independent of the features' rate.
    """

    def __init__(self, dataset: str, root: Path, level: str, seed: int) -> None:
        known = SIMULATED[dataset]
        needed = [name for name in (known.table, known.lengths) if name]
        if missing := [name for name in needed if not (root / name).is_file()]:
            raise UsageError(
                f"{dataset} replays {' and '.join(needed)}; {', '.join(missing)} is not in {root}. "
                "Give the folder of the tables as `roots`"
            )
        lengths = read_lengths(root / known.lengths) if known.lengths else None
        self._timelines: dict[str, Timeline] = replay(
            read_table(root / known.table), known.fps, seed=seed, lengths=lengths
        )
        self._dataset, self._fps, self._level, self._seed = dataset, known.fps, level, seed

    def notes(self) -> tuple[str, ...]:
        return (
            f"simulated faces replay the coders' timelines, level {self._level}, seed "
            f"{self._seed}: no figure here is one of real faces",
        )

    def left_out(self) -> tuple[Mapping[str, Any], ...]:
        return ()

    def records(self) -> tuple[VideoRecord, ...]:
        found = [self._record(name, timeline) for name, timeline in self._timelines.items()]
        return tuple(sorted(found, key=lambda r: (r.subject, r.name)))

    def _record(self, name: str, timeline: Timeline) -> VideoRecord:
        subject = name.rpartition("_")[0] or name
        frames = max(1, round(timeline.duration_s * self._fps))
        last = frames - 1
        annotations = tuple(
            Annotation(
                subject,
                name,
                e.kind,
                min(e.onset, last),
                min(e.apex, last),
                min(e.offset, last),
                code_of(event.aus),
            )
            for e, event in zip(timeline.expressions(self._fps), timeline.events, strict=True)
        )
        return VideoRecord(
            self._dataset, subject, name, self._fps, frames=frames, annotations=annotations
        )

    def videos(
        self, settings: Settings, workers: Workers, cache: StrPath | None, progress: Progress | None
    ) -> tuple[LabeledVideo, ...]:
        made = {}
        rate = settings.motion.rate
        every = simulate_features(
            seed=self._seed, level=self._level, replayed=self._timelines, rate=rate
        )
        for video in every:
            made[video.name] = video.features
            if progress:
                progress("features", len(made), len(self._timelines))
        return tuple(
            LabeledVideo(r.subject, r.name, _in_frames(made[r.name], r), r.annotations)
            for r in self.records()
        )


def _in_frames(features: Features, record: VideoRecord) -> Features:
    """The features with frame numbers of the record's video, which may have another rate."""
    assert record.frames is not None
    frames = np.rint(features.times * record.fps).astype(np.int64)
    return replace(features, frames=np.minimum(frames, record.frames - 1))


def features_digest(features: Features) -> str:
    """Hex SHA-256 of everything that a spotter reads."""
    known = hashlib.sha256(
        repr((features.rois, features.rate, features.eye_distance, features.values.shape)).encode()
    )
    known.update(np.ascontiguousarray(features.values[features.valid]).tobytes())
    for array in (features.times, features.frames, features.valid):
        known.update(np.ascontiguousarray(array).tobytes())
    return known.hexdigest()


def annotations_digest(annotations: tuple[Annotation, ...]) -> str:
    """Hex SHA-256 of everything that a model may learn from."""
    return hashlib.sha256(repr(annotations).encode()).hexdigest()
