"""`aumer train CONFIG`: trains a spotting network by a TOML file; writes weights, log and loss
curve.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from aumer import strict
from aumer.config import Settings, load_settings
from aumer.data import load as load_data_set
from aumer.data.mismatch import DEFAULT, Mismatch, matched
from aumer.errors import ConfigError, UsageError
from aumer.files import check_target
from aumer.foreign import named
from aumer.graph import AUGraph
from aumer.learning.engine import Callback
from aumer.learning.log import tensorboard, write_log
from aumer.learning.machine import Machine, torchrun
from aumer.names import expanded, is_file
from aumer.session import versions
from aumer.spotting.network import NetSpotter
from aumer.training.loop import TrainedNetwork, checkpoint_of, train
from aumer.training.settings import TrainSettings
from aumer.training.videos import (
    Augment,
    LabeledVideo,
    NeutralFilms,
    extract,
    observed,
    read_folder,
    subjects_of,
)
from aumer.types import VideoRecord

logger = logging.getLogger("aumer")

#: Files in a run's folder besides those of `aumer.learning.log`.
WEIGHTS, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"

#: The source for a folder of `aumer simulate features`.
FEATURES = "features"
#: The source for videos or clips passed as objects (`aumer.train`).
MEMORY = "memory"
#: The prior that is counted from the annotations of the training videos.
FROM_DATA = "from-data"


@dataclass(frozen=True)
class DataSource:
    """Where the videos, or clips, to learn from come from.

    Attributes:
        source: "features" for a folder of `aumer simulate features`, "memory" for objects, or a
            data set's name: "own" for videos of your own beside one CSV, "auwgcn-features",
            "casme-sq", ...
        root: the folder.
        table: the data set's table, if its root contains several.
        exclude_subjects: left out of everything: training, prior, statistics.
        mismatch: policy for rows whose frames are not in their videos: "leave-out", "clamp" or
            "refuse" (`aumer.data.mismatch`).
    """

    source: str
    root: str
    table: str | None = None
    exclude_subjects: tuple[str, ...] = ()
    mismatch: Mismatch = DEFAULT


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a training run. Paths are relative to the folder of the TOML file.

    Attributes:
        task: distinguishes it from other kinds of runs.
        output: folder for weights, checkpoint, log and loss curve; made if it is missing.
        preset: of training (`aumer.training.settings`), `train` its keys to change, with
            ``[train.net_overrides]`` for the network's.
        graph: a prior by name or file, "from-data" to count one in the training annotations; empty
            for the one that the network's preset names.
        settings: of feature extraction, as `aumer spot --config` takes them; empty for the
            defaults, which for the published network are the published motion. For a data set of
            features, the settings of their measurement; empty if unknown.
        overrides: changes of `settings`: ``{"motion": {"rate": 60}}``.
        card: further entries of the weights' card: license, purpose, ...
        augment_neutral: recordings of neutral faces. Expressions are played into them
            (`aumer.simulate.neutral`) as `augment` says, and they become further training subjects.
            Thresholds and priors are not determined on them if there are two other subjects. They
            must not show anybody on whom the network is tested.
    """

    data: DataSource
    output: str
    preset: str = "aumer"
    graph: str = ""
    seed: int = 0
    device: str = "cpu"
    settings: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    augment_neutral: tuple[str, ...] = ()
    augment: Augment = field(default_factory=Augment)
    task: Literal["spotting"] = "spotting"

    def __post_init__(self) -> None:
        strict.within("seed", self.seed, 0, 2**63 - 1)
        self.train_settings()

    def train_settings(self) -> TrainSettings:
        """The training settings: the preset with changes."""
        return TrainSettings.preset(self.preset, self.train)


@dataclass(frozen=True)
class PathBase:
    """Base of a training file's relative paths.

    Attributes:
        folder: folder of the file.
        given: keys given besides the file, whose paths stay unchanged.
    """

    folder: Path
    given: Collection[str]

    @classmethod
    def of(cls, path: Path, changes: Mapping[str, Any]) -> PathBase:
        """The base for a file and given changes."""
        return cls(path.resolve().parent, strict.paths(strict.nested(changes)))

    def absolute(self, key: str, name: str) -> str:
        """The absolute path for the value of a key."""
        return name if key in self.given else str(self.folder / expanded(name))

    def found(self, key: str, name: str) -> str:
        """The absolute path if such a file exists; else the value, a shipped name."""
        there = self.folder / name
        return str(there) if name and key not in self.given and is_file(there) else name


def read_config(path: str | PathLike[str], overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read a run's TOML file and make its paths absolute.

    Args:
        overrides: keys that replace the file's, with dots for nested tables: ``{"output": "there",
            "train.epochs": 3}``. Their paths stay unchanged.

    Raises:
        ConfigError: the file is missing or not TOML, or a key or a value is not allowed.
    """
    path, changes = expanded(path), overrides or {}
    file = strict.Layer(str(path), strict.read_toml(path))
    with named(path):
        config = strict.layered(RunConfig, file, strict.Layer("overrides", changes))
    data, beside = config.data, PathBase.of(path, changes)
    config = replace(
        config,
        data=replace(
            data,
            root=beside.absolute("data.root", data.root),
            table=None if data.table is None else beside.absolute("data.table", data.table),
        ),
        output=beside.absolute("output", config.output),
        augment_neutral=tuple(
            beside.absolute("augment_neutral", clip) for clip in config.augment_neutral
        ),
        graph=beside.found("graph", config.graph),
        settings=beside.found("settings", config.settings),
    )
    with named(path):
        check(config)
    return config


def check(config: RunConfig) -> None:
    """Check the settings before videos are searched.

    Raises:
        ConfigError: a key or a value that is not allowed.
        UsageError: an unknown part of the network.
    """
    _settings(config)
    config.train_settings().require_parts()


def run(
    config: RunConfig,
    *,
    videos: Sequence[LabeledVideo] | Sequence[VideoRecord] | None = None,
    graph: AUGraph | None = None,
    overwrite: bool = False,
    cache: str | PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Callable[[int, int, str], object] | None = None,
) -> Path:
    """Train by `config` and write the weights; an interrupted run continues.

    Under ``torchrun`` all processes train, and the first one measures, reports and writes.

    Args:
        videos: training videos instead of those of `config.data`.
        graph: a prior instead of that of `config`.
        overwrite: replace the weights of an earlier run.
        cache: folder for the features of a data set's videos.
        progress: as for `aumer.training.videos.extract`.

    Returns:
        The file of weights.

    Raises:
        UsageError: weights exist and `overwrite` is False, no videos, or as `train`.
        VideoError, NoFaceError: a video or a neutral recording cannot be read, or shows no face.
    """
    folder = Path(config.output)
    weights, checkpoint = prepared(folder, overwrite=overwrite)
    settings = config.train_settings()
    with torchrun(config.device) as device:
        machine = Machine(device)
        with machine.in_turn():  # the other processes use the cache
            films = _neutral_films(config, progress)  # raises errors before the work
            learned = read_videos(config, videos, cache=cache, progress=progress)
            if films is not None:
                learned += films.extract(cache=cache, progress=progress)
        with contextlib.ExitStack() as stack:
            writers: tuple[Callback, ...] = ()
            if not machine.rank:
                writers = stack.enter_context(tensorboard(folder, goes_on=checkpoint.exists()))
            trained = train(
                learned,
                settings,
                graph=graph or _graph(config, settings, learned),
                seed=config.seed,
                device=device,
                checkpoint=checkpoint,
                callbacks=[*writers, *callbacks],
            )
    if machine.rank:
        return weights
    write_log(folder, trained.log)
    NetSpotter(trained.net, trained.decoder).save(
        weights,
        {
            **card(config, settings, [v for v in learned if not v.played], trained),
            **({} if films is None else {"augment_neutral": films.to_dict()}),
        },
        overwrite=overwrite,
    )
    for member in range(settings.members):  # no longer needed, and three times as large
        checkpoint_of(checkpoint, member).unlink(missing_ok=True)
    return weights


def prepared(folder: Path, *, overwrite: bool) -> tuple[Path, Path]:
    """Make a run's folder if missing; returns the paths of weights and checkpoint.

    Raises:
        UsageError: it cannot be made, or weights exist and `overwrite` is False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
    check_target(folder / WEIGHTS, overwrite=overwrite)
    return folder / WEIGHTS, folder / CHECKPOINT


def read_videos(
    config: RunConfig,
    videos: Sequence[LabeledVideo] | Sequence[VideoRecord] | None = None,
    *,
    cache: str | PathLike[str] | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> tuple[LabeledVideo, ...]:
    """The training videos of a run, without the excluded subjects.

    Args:
        videos: these instead of those of `config.data`.

    Raises:
        UsageError: there are no videos, or an excluded subject does not occur.
    """
    data = config.data
    features = None
    if videos is None and data.source == FEATURES:
        videos = read_folder(data.root)
    elif videos is None:
        options = {} if data.table is None else {"table": data.table}
        found = load_data_set(data.source, data.root, **options)
        under = matched(found, data.mismatch)
        for note in under.notes():
            logger.warning("%s: %s", data.source, note)
        videos = under.records
        features = found.features if found.comes_as == "features" else None  # AUW-GCN's
    subjects = sorted({v.subject for v in videos})
    if unknown := sorted(set(data.exclude_subjects) - set(subjects)):
        raise ConfigError(
            f"exclude_subjects names {', '.join(unknown)}; the subjects are {', '.join(subjects)}"
        )
    left = [v for v in videos if v.subject not in data.exclude_subjects]
    made = tuple(v for v in left if isinstance(v, LabeledVideo))
    records = [v for v in left if isinstance(v, VideoRecord)]
    if features is not None:
        changes = config.settings or config.overrides
        motion = _settings(config).motion if changes else None
        made = tuple(
            LabeledVideo(r.subject, r.name, features(r), r.annotations, motion) for r in records
        )
    elif records:
        made = extract(records, _extraction(config), cache=cache, progress=progress)
    if not made:
        where = data.root or "the data in memory"
        raise UsageError(f"{where}: no video is left to train on")
    return made


def _neutral_films(
    config: RunConfig, progress: Callable[[int, int, str], object] | None
) -> NeutralFilms | None:
    if not config.augment_neutral:
        return None
    return NeutralFilms(
        config.augment_neutral,
        _extraction(config),
        config.augment,
        seed=config.seed,
        progress=progress,
    )


def _extraction(config: RunConfig) -> Settings:
    """The settings for measuring motion: a published network uses published features."""
    if config.settings or config.train_settings().net != "published":
        return _settings(config)
    return _settings(config, {"motion.preset": "published"})


def _settings(config: RunConfig, usual: Mapping[str, Any] | None = None) -> Settings:
    return load_settings(config.settings or None, {**(usual or {}), **config.overrides})


def card(
    config: RunConfig,
    settings: TrainSettings,
    videos: Sequence[LabeledVideo],
    trained: TrainedNetwork,
) -> dict[str, Any]:
    """The card of the weights."""
    annotations = [a for v in videos for a in v.annotations]
    return {
        **config.card,
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "data": {
            "source": config.data.source,
            "subjects": len(subjects_of(videos)),
            "excluded_subjects": list(config.data.exclude_subjects),
            "videos": len(videos),
            "minutes": round(sum(len(v.features) / v.features.rate for v in videos) / 60, 1),
            "micro": sum(a.kind == "micro" for a in annotations),
            "macro": sum(a.kind == "macro" for a in annotations),
        },
        "training": settings.to_dict(),
        "seed": config.seed,
        "inner_subjects": list(trained.inner_subjects),
        "epochs": len(trained.log),
        "last_epoch": trained.log[-1],
        "versions": versions(),
    }


def _graph(
    config: RunConfig, settings: TrainSettings, videos: Sequence[LabeledVideo]
) -> AUGraph | None:
    if not config.graph:
        return None
    if config.graph != FROM_DATA:
        return AUGraph.load(config.graph)
    return AUGraph.from_annotations(
        (a for v in observed(videos) for a in v.annotations),
        rois=videos[0].features.rois,
        name="from the training videos",
    )
