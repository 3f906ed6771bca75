"""Labeled videos: features with annotations, for training and evaluation of networks."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aumer.arguments import as_path
from aumer.cache import FeatureCache
from aumer.config import MotionSettings, Settings, digest, load_settings
from aumer.errors import NoFaceError, UsageError
from aumer.face.trackers import Trackers
from aumer.files import StrPath, TemporaryFolder
from aumer.foreign import foreign, read_arrays
from aumer.motion.analysis import analyze, cache_key
from aumer.motion.joined import Analysis
from aumer.names import expanded, file_name, is_folder, name_of
from aumer.simulate.features import IMITATED, SimulatedVideo, code_of, read_features
from aumer.simulate.neutral import LEAST_S, VERSION, Neutral, NeutralFilm, names_of
from aumer.simulate.video import write_shot
from aumer.strict import require, within
from aumer.tables import intervals
from aumer.types import Annotation, Features, VideoRecord
from aumer.video import content_digest, open_video

logger = logging.getLogger("aumer")


@dataclass(frozen=True, eq=False)
class LabeledVideo:
    """One video's features and annotations, which are in frames of the video.

    Attributes:
        motion: motion settings that the features were measured with, or imitate; None if unknown.
        played: whether it is a neutral recording with expressions played in, as additional training
            data.
    """

    subject: str
    name: str
    features: Features
    annotations: tuple[Annotation, ...]
    motion: MotionSettings | None = None
    played: bool = False


def subjects_of(videos: Iterable[LabeledVideo]) -> tuple[str, ...]:
    """All subjects, sorted."""
    return tuple(sorted({v.subject for v in videos}))


def observed(videos: Sequence[LabeledVideo]) -> tuple[LabeledVideo, ...]:
    """The videos without played-in expressions; all, if these have fewer than two subjects.

    Thresholds and other choices are made on these.
    """
    real = tuple(v for v in videos if not v.played)
    return real if len(subjects_of(real)) > 1 else tuple(videos)


def from_simulation(videos: Iterable[SimulatedVideo]) -> tuple[LabeledVideo, ...]:
    """Simulated videos with their truth as annotations, including AUs."""
    motion = load_settings(overrides={"motion": IMITATED}).motion
    return tuple(
        LabeledVideo(
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


def read_folder(folder: StrPath) -> tuple[LabeledVideo, ...]:
    """Read a folder of `aumer simulate features`: ``SUBJECT/VIDEO.npz`` and ``truth.csv``.

    A file may state the motion settings in an array ``settings``, as those of `aumer features` and
    `aumer simulate features` do: ``{"motion": {...}}`` in JSON. Otherwise they are unknown, as for
    files of older versions.

    Raises:
        UsageError: missing folder, missing or wrong truth.csv, an unreadable row, annotations of a
            missing video, or no videos.
    """
    folder = as_path("folder", folder, "the path of a folder")
    paths = {(name_of(p.parent.name), name_of(p.stem)): p for p in sorted(folder.glob("*/*.npz"))}
    if not paths:
        raise UsageError(
            f"{folder} holds no SUBJECT/VIDEO.npz; `aumer simulate features` writes such a folder"
        )
    truth = _read_truth(folder / "truth.csv", paths)
    if lost := sorted(set(truth) - set(paths)):
        raise UsageError(
            f"{folder / 'truth.csv'} has annotations of {'/'.join(lost[0])}, and the file "
            f"{'/'.join(lost[0])}.npz is missing ({len(lost)} such videos): add it, or delete the "
            "annotations"
        )
    return tuple(
        LabeledVideo(*key, read_features(path)[0], tuple(truth.get(key, ())), _measured_with(path))
        for key, path in paths.items()
    )


def _measured_with(path: Path) -> MotionSettings | None:
    stored = read_arrays(path, "features").get("settings")
    if stored is None:
        return None
    with foreign(path, "what motion was measured with"):
        motion = json.loads(str(stored))["motion"]
        return load_settings(overrides={"motion": motion}).motion


def extract(
    records: Sequence[VideoRecord],
    settings: Settings,
    *,
    cache: StrPath | None = None,
    progress: Callable[[int, int, str], object] | None = None,
    min_coverage: float = 0.1,
) -> tuple[LabeledVideo, ...]:
    """Features of every record's video; with a cache folder an interrupted run continues.

    Args:
        progress: called before each video with its number, the total, and its name.

    Raises:
        UsageError: a record without a path.
        VideoError: a video cannot be read.
        NoFaceError: less than `min_coverage` of a video's frames show a usable face.
    """
    made = []
    with closing(Trackers(settings.face)) as trackers:
        for k, record in enumerate(records):
            if progress:
                progress(k, len(records), f"{record.subject}/{record.name}")
            made.append(_extracted(record, settings, cache, min_coverage, trackers))
    return tuple(made)


def _extracted(
    record: VideoRecord,
    settings: Settings,
    cache: StrPath | None,
    min_coverage: float,
    trackers: Trackers,
) -> LabeledVideo:
    if record.path is None:
        raise UsageError(f"{record.dataset} {record.subject}/{record.name}: no video file is known")
    # Only folders of frames need a frame rate; files have their own times.
    fps = record.fps if record.path.is_dir() else None
    store = None
    if cache is not None and (content := content_digest(record.path, fps=fps)):
        store = FeatureCache(cache, cache_key(content, settings, None, None))
    found = analyze(record.path, settings, fps=fps, cache=store, trackers=trackers)
    return LabeledVideo(
        record.subject,
        record.name,
        _usable(found, str(record.path), min_coverage),
        record.annotations,
        settings.motion,
    )


def _usable(found: Analysis, name: str, min_coverage: float) -> Features:
    if found.track.coverage < min_coverage:
        raise NoFaceError(
            f"{name}: {found.track.coverage:.0%} of the frames hold a usable face, and "
            f"{min_coverage:.0%} are needed; leave the video out of the data"
        )
    return found.features


@dataclass(frozen=True)
class Augment:
    """Settings for playing expressions into neutral recordings (`aumer.simulate.neutral`).

    Attributes:
        films: films per recording, each with different expressions.
        seconds: length of each film; a shorter recording is played back and forth. One film at a
            time is on the disk, lossless: about 200 MB for 30 s of 640 x 480 px.
        rate_per_min: expressions per minute. More than natural, since there is enough rest.
        strength: factor of their sizes, which are those of CASME II and of the coders' grades.
        held: share of the micro-expressions that begin while a macro-expression is held, in the
            other half of the face.

    Raises:
        ConfigError: a value out of range.
    """

    films: int = 4
    seconds: float = 30.0
    rate_per_min: float = 12.0
    strength: float = 1.0
    held: float = 0.2

    def __post_init__(self) -> None:
        within("augment.films", self.films, 1, 10_000)
        within("augment.seconds", self.seconds, LEAST_S, 3600, "seconds")
        within("augment.rate_per_min", self.rate_per_min, 0.001, 6000)
        within("augment.strength", self.strength, 0.001, 1000)
        require(0 <= self.held <= 1, "augment.held", self.held, "in [0, 1]")


class NeutralFilms:
    """Labeled videos from neutral recordings: each recording is a subject, ``neutral:STEM``.

    Unusable recordings are refused on construction, when each face is tracked through its
    recording.

    Args:
        clips: the recordings, files.
        settings: of the face stage and of motion, as for any video of the run.
        seed: seed of the expressions.
        progress: called before each recording with its number, the total, and its name.

    Raises:
        UsageError, VideoError, NoFaceError: as `aumer.simulate.neutral.Neutral.open`; a folder, or
            a repeated recording.
    """

    def __init__(
        self,
        clips: Sequence[StrPath],
        settings: Settings,
        augment: Augment,
        *,
        seed: int = 0,
        progress: Callable[[int, int, str], object] | None = None,
    ) -> None:
        paths = [Path(clip) for clip in clips]
        names = names_of(paths)
        for path in paths:  # all checks before the first is tracked
            if is_folder(expanded(path)):
                raise UsageError(f"{path} is a folder; a neutral recording is a video file here")
            open_video(path).close()
        self._settings, self._augment, self._seed = settings, augment, seed
        self._recordings: list[tuple[str, Path, Neutral]] = []
        for k, (name, path) in enumerate(zip(names, paths, strict=True)):
            if progress:
                progress(k, len(paths), str(path))
            neutral = Neutral.open(path, settings=settings.face)
            for note in neutral.notes:
                logger.warning("%s: %s", path, note)
            self._recordings.append((f"neutral:{name}", path, neutral))

    def __len__(self) -> int:
        return len(self._recordings) * self._augment.films

    def to_dict(self) -> dict[str, Any]:
        """For the weights' card."""
        recordings = [
            {"name": name, "seconds": round(neutral.duration_s, 1)}
            for name, _, neutral in self._recordings
        ]
        return {"recordings": recordings, **asdict(self._augment)}

    def extract(
        self,
        *,
        cache: StrPath | None = None,
        progress: Callable[[int, int, str], object] | None = None,
        min_coverage: float = 0.1,
    ) -> tuple[LabeledVideo, ...]:
        """Make the films and measure them. Args and errors as `extract`; one film at a time is on
        the disk.
        """
        with closing(Trackers(self._settings.face)) as trackers:
            return self._extracted(trackers, cache, progress, min_coverage)

    def _extracted(
        self,
        trackers: Trackers,
        cache: StrPath | None,
        progress: Callable[[int, int, str], object] | None,
        min_coverage: float,
    ) -> tuple[LabeledVideo, ...]:
        made: list[LabeledVideo] = []
        for place, (subject, path, neutral) in enumerate(self._recordings):
            content = content_digest(path)
            for number in range(self._augment.films):
                if progress:
                    progress(len(made), len(self), f"{subject}/{number + 1}")
                film = self._film(neutral, place, number)
                key = digest([content, VERSION, neutral.first, repr(film.timeline), film.seed])
                store = FeatureCache(cache, cache_key(key, self._settings, None, None))
                found = self._measured(film, path, store, trackers)
                annotations = tuple(
                    Annotation(
                        subject,
                        str(number + 1),
                        e.kind,
                        e.onset,
                        e.apex,
                        e.offset,
                        code_of(event.aus),
                    )
                    for e, event in zip(film.expressions, film.timeline.events, strict=True)
                )
                features = _usable(found, str(path), min_coverage)
                motion = self._settings.motion
                made.append(
                    LabeledVideo(subject, str(number + 1), features, annotations, motion, True)
                )
        return tuple(made)

    def _film(self, neutral: Neutral, place: int, number: int) -> NeutralFilm:
        a = self._augment
        performance = neutral.draw(
            (self._seed, place, number),
            seconds=a.seconds,
            rate_per_min=a.rate_per_min,
            held=a.held,
            strength=a.strength,
        )
        return neutral.film(performance, seed=self._seed + number)

    def _measured(
        self, film: NeutralFilm, path: Path, store: FeatureCache, trackers: Trackers
    ) -> Analysis:
        if store.whole() is not None:  # then the film is not needed
            return analyze(path, self._settings, cache=store)
        with TemporaryFolder() as folder:
            made = folder / "film.avi"
            # Lossless, to avoid further compression.
            write_shot(made, film.shot(), codec="FFV1")
            return analyze(made, self._settings, cache=store, trackers=trackers)


def _read_truth(
    path: Path, videos: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[Annotation]]:
    """The annotations by subject and video; without a column for the subject, by the name of a
    video in `videos`.
    """
    table = intervals.read(path, optional=("offset",))
    table.log_notes()
    found: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for row in table:
        if (kind := row.expression) is None:
            continue
        known = {v for _, v in videos}
        name = intervals.named_like(row.video, known) or row.video
        name = file_name(name) if name not in known and file_name(name) in known else name  # cut
        subjects = [s for s, v in videos if v == name]
        if not row.subject and len(subjects) != 1:
            problem = f"{name!r} names {len(subjects)} files, not one; add a column subject"
            raise table.error(row, "video", problem)
        subject = row.subject or subjects[0]
        if (subject, name) not in videos and (file_name(subject), name) in videos:
            subject = file_name(subject)
        onset, apex, offset = table.in_frames(row)
        found[subject, name].append(
            Annotation(subject, name, kind, onset, apex, offset, row.aus, row.label, row.line)
        )
    return found
