"""`aumer train CONFIG` of a recognizer: a data set of clips in, weights for `classify` out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from aumer import strict
from aumer.config import Settings, load_settings
from aumer.data.labels import MEGC_CLASSES, label_set
from aumer.data.megc2019 import NAME as MEGC2019
from aumer.errors import ConfigError, UsageError, did_you_mean
from aumer.files import StrPath, TemporaryFolder
from aumer.foreign import named
from aumer.learning.log import write_log
from aumer.learning.machine import Machine, torchrun
from aumer.names import expanded
from aumer.recognition.interface import Callback, Clips, MotionClips, Recognizer, resolve
from aumer.recognition.labeled import LabeledClips
from aumer.session import versions
from aumer.training.clips import ClipReading, Progress, extract, options_of, reading_of
from aumer.training.composite import composite
from aumer.training.listing import check_counts, listed
from aumer.training.run import Beside, prepared

_log = logging.getLogger("aumer")


@dataclass(frozen=True)
class ClipSource:
    """Where the clips come from.

    Attributes:
        source: a data set's name ("casme2", "own", ...), "megc2019" for its flow images, or
            "memory" for clips that are given as objects (`aumer.train`).
        root: the folder.
        table: the data set's table, where its root holds several.
        kinds: of expressions: "micro", "macro", or both; by default "micro", and of one's own
            table every row.
        exclude_subjects: left out of everything, to be tested on.
    """

    source: str
    root: str
    table: str | None = None
    kinds: tuple[str, ...] = ()
    exclude_subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {"micro", "macro"}
        strict.require(set(self.kinds) <= known, "kinds", list(self.kinds), "of micro, macro")


@dataclass(frozen=True)
class RecognizerConfig:
    """One training run. Paths are relative to the folder of the TOML file.

    Attributes:
        output: folder for weights, log and checkpoint; made if it is missing.
        task: what tells it from the run of a spotting network.
        recognizer: of the registry, by name.
        classes: MEGC 2019's three, or words of the data set's coders; or the name of a set of
            `aumer.data.labels.LABEL_SETS`. By default all words of the table, and of "megc2019" and
            of clips in memory their own.
        device: where it trains.
        options: of the recognizer, as in the table of a protocol: its constructor's, ``inputs`` for
            how clips are made, ``apex`` for how one is found that the table does not give.
        settings: of faces and motion, as `aumer spot --config` takes them; empty for the defaults.
        overrides: changes of `settings`: ``{"motion": {"flow": "dis"}}``.
        card: what the weights' card should say beside what aumer knows: licence, purpose, ...
    """

    data: ClipSource
    output: str
    task: Literal["recognition"] = "recognition"
    recognizer: str = "graph"
    classes: tuple[str, ...] | str = ()
    seed: int = 0
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strict.require(self.seed >= 0, "seed", self.seed, ">= 0")
        label_set(self.classes)  # which complains

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, each by its name; none for those of the data."""
        return label_set(self.classes)


def of_recognizer(path: str | PathLike[str], overrides: Mapping[str, Any] | None = None) -> bool:
    """Whether a training file is one of a recognizer, and not of a spotting network.

    Raises:
        ConfigError: the file is missing or not TOML, or its task is neither.
    """
    with named(path):
        return recognizes({**strict.read_toml(expanded(path)), **(overrides or {})})


def recognizes(values: Mapping[str, Any]) -> bool:
    """The same of the keys of a file: what its ``task`` says, or whether it names a recognizer.

    Raises:
        ConfigError: its task is neither.
    """
    if "task" not in values:
        return "recognizer" in values
    task, known = values["task"], ("spotting", "recognition")
    if task not in known:
        near = did_you_mean(str(task), known)
        raise ConfigError(f"task must be 'spotting' or 'recognition'; found {task!r}.{near}")
    return bool(task == "recognition")


def read_config(
    path: str | PathLike[str], overrides: Mapping[str, Any] | None = None
) -> RecognizerConfig:
    """A run's TOML file, its paths made absolute.

    Args:
        overrides: keys that replace the file's, with dots to reach into tables:
            ``{"output": "there", "options.learning.epochs": 3}``. Their paths stay as they are.

    Raises:
        ConfigError: the file is missing or not TOML, or a key or a value is not allowed.
        UsageError: there is no such recognizer, or it has no such option.
    """
    path, changes = expanded(path), overrides or {}
    file = strict.Layer(str(path), strict.read_toml(path))
    with named(path):
        config = strict.layered(RecognizerConfig, file, strict.Layer("overrides", changes))
    data, beside = config.data, Beside.of(path, changes)
    table = None if data.table is None else beside.absolute("data.table", data.table)
    config = replace(
        config,
        data=replace(data, root=beside.absolute("data.root", data.root), table=table),
        output=beside.absolute("output", config.output),
        settings=beside.found("settings", config.settings),
    )
    with named(path):
        untrained(config)  # what is wrong with it is told now, not after the clips were made
    return config


def untrained(config: RecognizerConfig) -> tuple[Recognizer, ClipReading]:
    """The recognizer, and how its inputs are made.

    Raises:
        UsageError: there is none of that name, it has no such option, it cannot be kept in a file,
            or it reads no flow maps and the data set has nothing else.
        ConfigError: an unknown key, or a value that is not allowed.
    """
    name = config.recognizer
    kind = resolve(name)
    if not kind.has_file():
        raise UsageError(
            f"the recognizer {name!r} cannot be saved, so it is not trained: it defines no "
            "save and load"
        )
    images = config.data.source == MEGC2019
    if images and kind.reads[0] != "flow-map":
        raise UsageError(
            f"{MEGC2019} holds flow maps and no frames, and {name} reads {kind.reads[0]}s; give a "
            "data set of frames, such as casme2"
        )
    options = options_of(name, config.options, of_frames=not images)
    if wrong := [option for option in options if option not in kind.options]:
        raise UsageError(
            f"the recognizer {name!r} has no option {wrong[0]!r}; it has "
            f"{', '.join(kind.options) or 'none'}.{did_you_mean(wrong[0], kind.options)}"
        )
    if "seed" in kind.options:
        options.setdefault("seed", config.seed)
    made = kind(**options)
    reading = reading_of(name, config.options, _settings(config), "options", made.rois)
    if not images:  # of whose flow nobody knows
        reading.tell(made)
    return made, reading


def run(
    config: RecognizerConfig,
    *,
    clips: LabeledClips[Any] | None = None,
    overwrite: bool = False,
    cache: StrPath | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> Path:
    """Train as `config` says and write the weights; a run that was interrupted goes on.

    Args:
        clips: what to learn from, instead of what `config.data` names.
        overwrite: replace the weights of an earlier run.
        cache: folder for what is made of frames.
        callbacks: called after every epoch with its record.
        progress: called with the clips that are made and all there are.

    Returns:
        The file of weights.

    Raises:
        UsageError: weights are there already and `overwrite` is False, no clips, or as the
            recognizer's `fit`.
    """
    made, reading = untrained(config)
    folder = Path(config.output)
    weights, checkpoint = prepared(folder, overwrite=overwrite)
    can, asked = made.to(config.device), config.device
    if not can and asked not in ("auto", "cpu"):
        _log.warning("%s trains on the CPU alone: %s is not used", made.name, asked)
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    learned: LabeledClips[Any]
    facts: Mapping[str, Any] = {}
    with torchrun(asked if can else "cpu") as device:
        machine = Machine(device)
        made.to(str(device))
        with machine.in_turn():  # the others find the clips in the cache
            if clips is not None:
                learned = given_clips(config, clips)
            elif cache is None:
                with TemporaryFolder() as kept:
                    learned, facts = read_clips(config, reading, kept, progress)
            else:
                learned, facts = read_clips(config, reading, cache, progress)
        for note in () if machine.rank else facts.get("notes", ()):
            _log.warning("%s", note)
        made.fit(learned, checkpoint=checkpoint, callbacks=callbacks)
    if machine.rank:
        return weights
    if made.log:
        write_log(folder, made.log)
    about = {"source": config.data.source, **facts}
    excluded = config.data.exclude_subjects
    told = card(made, learned, about, excluded, config.options, config.seed)
    made.save(weights, {**config.card, **told}, overwrite=overwrite)
    checkpoint.unlink(missing_ok=True)
    return weights


def read_clips(
    config: RecognizerConfig, reading: ClipReading, cache: StrPath, progress: Progress | None = None
) -> tuple[LabeledClips[Any], dict[str, Any]]:
    """The clips that a run learns from, without the excluded subjects.

    Returns:
        The clips; and what to know of them: ``notes``, labels that are ``left_out`` with how often
        each is there, how ``inputs`` were made.

    Raises:
        UsageError: there are none, of these classes or at all, or none of one class.
        ConfigError: an excluded subject is not among them, or other classes than the data have.
    """
    data = config.data
    if data.source == MEGC2019:
        _check_classes(config, MEGC_CLASSES, MEGC2019)
        return _left(data, composite(data.root)), {}
    tables = {} if data.table is None else {data.source: data.table}
    listing = listed({data.source: data.root}, config.labels, kinds=data.kinds, tables=tables)
    out = _excluded(data, tuple(e.subject for e in listing.examples))
    listing = replace(listing, examples=tuple(e for e in listing.examples if e.subject not in out))
    if not listing.examples:
        raise UsageError(f"{data.root}: no clip is left to train on")
    check_counts(listing, (e.label for e in listing.examples), data.root)
    stored, _, unseen = extract(listing, reading, cache=cache, progress=progress)
    notes = list(listing.notes)
    if listing.left_out:
        told = ", ".join(f"{word} {n}" for word, n in listing.left_out.items())
        notes.append(
            f"left out, as of none of the classes {', '.join(listing.classes)}: {told}"
            + _near(listing.left_out, listing.classes)
        )
    if unseen:
        told = "; ".join(f"{u.subject}/{u.name} ({u.reason})" for u in unseen)
        notes.append(f"{len(unseen)} clips cannot be learned from: {told}")
        check_counts(listing, stored.labels, f"{data.root}: {notes[-1]}")
    facts = {
        "notes": notes,
        "left_out": dict(listing.left_out),
        "inputs": reading.to_dict(),
    }
    return stored.load(), facts


def _near(words: Iterable[str], classes: Sequence[str]) -> str:
    """What a label that is left out may have been meant as."""
    hints = (did_you_mean(word.partition(" ")[2].casefold(), classes) for word in words)
    return next(filter(None, (f".{hint}" for hint in hints if hint)), "")


def given_clips(config: RecognizerConfig, clips: LabeledClips[Any]) -> LabeledClips[Any]:
    """Clips in memory, without the excluded subjects.

    Raises:
        UsageError: they are not what the recognizer reads, or none is left.
        ConfigError: an excluded subject is not among them, or other classes are asked for.
    """
    kinds: dict[type, str] = {Clips: "flow-map", MotionClips: "motion"}
    what = next((name for kind, name in kinds.items() if isinstance(clips, kind)), "sequence")
    reads = resolve(config.recognizer).reads[0]
    if what != reads:
        raise UsageError(
            f"the recognizer {config.recognizer!r} learns from clips of the kind {reads!r}; found "
            f"{type(clips).__name__}, of the kind {what!r}"
        )
    _check_classes(config, clips.classes, "the clips")
    left = _left(config.data, clips)
    if not len(left):
        raise UsageError("no clip is left to train on")
    return left


def _left(data: ClipSource, clips: LabeledClips[Any]) -> LabeledClips[Any]:
    """Those of the subjects that are not excluded."""
    out = _excluded(data, clips.subjects)
    return clips.take(np.array([s not in out for s in clips.subjects], np.bool_))


def _check_classes(config: RecognizerConfig, classes: tuple[str, ...], of: str) -> None:
    if config.labels not in ((), classes):
        raise ConfigError(f"the classes of {of} are {', '.join(classes)}")


def card(
    made: Recognizer,
    clips: LabeledClips[Any],
    data: Mapping[str, Any],
    excluded: Sequence[str],
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """What the weights of a recognizer say of themselves.

    Args:
        made: the recognizer, which has learned.
        clips: what it has learned from.
        data: what else is to be known of these: their source, how they were made, notes.
        excluded: subjects that were kept out of all of it.
        options: that it was trained with.
    """
    counts = Counter(clips.classes[k] for k in clips.labels)
    return {
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "classes": list(clips.classes),
        "data": {
            **data,
            "subjects": len(set(clips.subjects)),
            "excluded_subjects": list(excluded),
            "clips": {name: counts[name] for name in clips.classes},
        },
        "options": dict(options),
        "stopping": made.stopping(),
        "seed": seed,
        "chosen": dict(made.chosen),
        **({"epochs": len(made.log), "last_epoch": dict(made.log[-1])} if made.log else {}),
        "versions": versions(),
    }


def _settings(config: RecognizerConfig) -> Settings:
    return load_settings(config.settings or None, config.overrides)


def _excluded(data: ClipSource, subjects: Sequence[str]) -> set[str]:
    if unknown := sorted(set(data.exclude_subjects) - set(subjects)):
        raise ConfigError(
            f"exclude_subjects names {', '.join(unknown)}; the subjects are "
            f"{', '.join(sorted(set(subjects)))}"
        )
    return set(data.exclude_subjects)
