"""What a network is trained and judged on: features of a video with its annotations."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aumer.analysis import analyse, cache_key
from aumer.cache import FeatureCache
from aumer.config import MotionSettings, Settings, load_settings
from aumer.errors import NoFaceError, UsageError
from aumer.files import StrPath
from aumer.simulate.features import IMITATED, SimulatedVideo, code_of, read_features
from aumer.types import Annotation, Features, VideoRecord
from aumer.video import content_digest

_COLUMNS = ("subject", "video", "kind", "onset", "apex", "offset", "au")


@dataclass(frozen=True, eq=False)
class LabelledVideo:
    """One video's features and what its coders saw in it; annotations count the video's frames.

    Attributes:
        motion: what the features were measured with, or imitate; None where nobody said.
    """

    subject: str
    name: str
    features: Features
    annotations: tuple[Annotation, ...]
    motion: MotionSettings | None = None


def subjects_of(videos: Iterable[LabelledVideo]) -> tuple[str, ...]:
    """Every subject once, sorted."""
    return tuple(sorted({v.subject for v in videos}))


def from_simulation(videos: Iterable[SimulatedVideo]) -> tuple[LabelledVideo, ...]:
    """Simulated videos with their truth as annotations, AUs included."""
    motion = load_settings(overrides={"motion": IMITATED}).motion
    return tuple(
        LabelledVideo(
            v.subject,
            v.name,
            v.features,
            tuple(
                Annotation(v.subject, v.name, e.kind, e.onset, e.apex, e.offset, code_of(event.aus))
                for e, event in zip(v.expressions, v.timeline.events, strict=False)
            ),
            motion,
        )
        for v in videos
    )


def read_folder(folder: StrPath) -> tuple[LabelledVideo, ...]:
    """What `aumer simulate features` wrote: ``SUBJECT/VIDEO.npz`` and ``truth.csv``.

    A file may say what its motion was measured with by an array ``settings``, as those of `aumer
    features` and `aumer simulate features` do: ``{"motion": {...}}`` in JSON. Of one that does not
    nobody knows; files of older versions do not, whose motion was another.

    Raises:
        UsageError: no such folder, no or another truth.csv, a row that cannot be read, annotations
            of a video that is not there, or no videos at all.
    """
    folder = Path(folder)
    truth = _read_truth(folder / "truth.csv")
    paths = {(p.parent.name, p.stem): p for p in sorted(folder.glob("*/*.npz"))}
    if not paths:
        raise UsageError(
            f"{folder} holds no SUBJECT/VIDEO.npz; `aumer simulate features` writes such a folder"
        )
    if lost := sorted(set(truth) - set(paths)):
        raise UsageError(
            f"{folder / 'truth.csv'} has annotations of {'/'.join(lost[0])}, and there is no "
            f"{'/'.join(lost[0])}.npz ({len(lost)} such videos)"
        )
    return tuple(
        LabelledVideo(*key, read_features(path)[0], tuple(truth.get(key, ())), _measured_with(path))
        for key, path in paths.items()
    )


def _measured_with(path: Path) -> MotionSettings | None:
    with np.load(path, allow_pickle=False) as file:
        said = str(file["settings"]) if "settings" in file.files else None
    if said is None:
        return None
    try:
        return load_settings(overrides={"motion": json.loads(said)["motion"]}).motion
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: its settings do not say what motion was measured with: {error}"
        ) from error


def extract(
    records: Sequence[VideoRecord],
    settings: Settings,
    *,
    cache: StrPath | None = None,
    progress: Callable[[int, int, str], object] | None = None,
    min_coverage: float = 0.1,
) -> tuple[LabelledVideo, ...]:
    """Features of every record's video; with a cache folder an interrupted run goes on.

    Args:
        progress: called before each video with its number, how many there are, and its name.

    Raises:
        UsageError: a record without a path.
        VideoError: a video cannot be read.
        NoFaceError: fewer than `min_coverage` of a video's frames hold a usable face.
    """
    made = []
    for k, record in enumerate(records):
        if progress:
            progress(k, len(records), f"{record.subject}/{record.name}")
        made.append(_extracted(record, settings, cache, min_coverage))
    return tuple(made)


def _extracted(
    record: VideoRecord, settings: Settings, cache: StrPath | None, min_coverage: float
) -> LabelledVideo:
    if record.path is None:
        raise UsageError(f"{record.dataset} {record.subject}/{record.name}: no video file is known")
    # Only a folder of frames lacks times of its own; a file's are its own word.
    fps = record.fps if record.path.is_dir() else None
    store = None
    if cache is not None and (content := content_digest(record.path, fps=fps)):
        store = FeatureCache(cache, cache_key(content, settings, None, None))
    found = analyse(record.path, settings, fps=fps, cache=store)
    if found.track.coverage < min_coverage:
        raise NoFaceError(
            f"{record.path}: {found.track.coverage:.0%} of the frames hold a usable face, and "
            f"{min_coverage:.0%} are needed; leave the video out of the data or mend it"
        )
    return LabelledVideo(
        record.subject, record.name, found.features, record.annotations, settings.motion
    )


def _read_truth(path: Path) -> dict[tuple[str, str], list[Annotation]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if missing := [c for c in _COLUMNS if c not in (rows.fieldnames or ())]:
                raise UsageError(
                    f"{path}: no column {', '.join(missing)}; found {rows.fieldnames}. "
                    "`aumer simulate features` writes this file"
                )
            read: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
            for row in rows:
                try:
                    annotation = Annotation(
                        row["subject"],
                        row["video"],
                        row["kind"],  # type: ignore[arg-type]
                        int(row["onset"]),
                        int(row["apex"]),
                        int(row["offset"]),
                        row["au"],
                        row=rows.line_num,
                    )
                except (TypeError, ValueError) as error:
                    raise UsageError(f"{path}, line {rows.line_num}: {error}") from error
                read[annotation.subject, annotation.video].append(annotation)
            return read
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read annotations from {path}: {error}") from error
