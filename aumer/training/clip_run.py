"""Training runs on clips: configuration and execution.

`aumer.training.recognizers` and `aumer.training.au_readers` specialize it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

from aumer import strict
from aumer.config import load_settings
from aumer.data.megc2019 import NAME as MEGC2019
from aumer.errors import ConfigError, UsageError, did_you_mean
from aumer.files import StrPath, TemporaryFolder
from aumer.foreign import named
from aumer.learning.log import tensorboard, write_log
from aumer.learning.machine import Machine, device_of, torchrun
from aumer.names import expanded
from aumer.recognition.trained import Callback, Trained
from aumer.session import versions
from aumer.training.clips import (
    ClipReading,
    Progress,
    Seen,
    StoredClips,
    extract,
    options_of,
    reading_of,
)
from aumer.training.listing import Listing, listed
from aumer.training.run import DataSource, PathBase, prepared
from aumer.types import Annotation

_log = logging.getLogger("aumer")

Task = Literal["spotting", "recognition", "action-units"]
TASKS: tuple[Task, ...] = get_args(Task)
#: Keys of a file that imply its task if ``task`` is missing.
_TELLING: Mapping[str, Task] = {"recognizer": "recognition", "au_reader": "action-units"}


@dataclass(frozen=True)
class ClipSource(DataSource):
    """The source of the clips: a data set, or "megc2019" for its flow images.

    Attributes:
        kinds: of expressions: "micro", "macro", or both; by default "micro", and every row of one's
            own table.
        others: as `DataSource`.
    """

    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {"micro", "macro"}
        strict.require(set(self.kinds) <= known, "kinds", list(self.kinds), "of micro, macro")


@dataclass(frozen=True)
class ClipRun(ABC):
    """Configuration of a training run on clips. Paths are relative to the folder of the TOML file.

    Attributes:
        output: folder for weights, log and checkpoint; made if it is missing.
        task: distinguishes the kinds of runs.
        device: torch device for training.
        options: options of the trained part, as in the table of a protocol: constructor arguments,
            ``inputs`` for how clips are made, ``apex`` for finding apexes missing in the table.
        settings: settings of faces and motion, as for `aumer spot --config`; empty for the
            defaults.
        overrides: changes of `settings`: ``{"motion": {"flow": "dis"}}``.
        card: further entries of the weights' card: license, purpose, ...
    """

    #: Word for the trained part in messages.
    called: ClassVar[str]

    data: ClipSource
    output: str
    task: Task = "recognition"
    seed: int = 0
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strict.require(self.seed >= 0, "seed", self.seed, ">= 0")

    @abstractmethod
    def kind(self) -> type[Trained]:
        """The class of the trained part.

        Raises:
            UsageError: unknown name.
        """

    @abstractmethod
    def read(
        self, reading: ClipReading, cache: StrPath, progress: Progress | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Read the training clips, without the excluded subjects.

        Returns:
            The clips, and facts about them: ``notes``, settings of ``inputs``, and further entries
            for the card.

        Raises:
            UsageError: there are no clips, or they cannot be used for training.
            ConfigError: an excluded subject does not occur, or the file requests missing classes.
        """

    @abstractmethod
    def in_memory(self, clips: Any) -> Any:
        """Clips in memory, without the excluded subjects.

        Raises:
            UsageError, ConfigError: as `read`; or clips of a wrong type.
        """

    @abstractmethod
    def counts(self, made: Any, clips: Any) -> dict[str, Any]:
        """Numbers of clips for the card."""

    def untrained(self) -> tuple[Trained, ClipReading]:
        """The untrained part, and the reading of its inputs.

        Raises:
            UsageError: unknown name or option, a part that cannot be saved, or one that does not
                read flow maps although the data set has nothing else.
            ConfigError: an unknown key, or a value that is not allowed.
        """
        kind, images = self.kind(), self.data.source == MEGC2019
        if not kind.has_file():
            raise UsageError(
                f"the {self.called} {kind.name!r} cannot be saved, so it is not trained: it "
                "defines no save and load"
            )
        if images and kind.reads[0] != "flow-map":
            raise UsageError(
                f"{MEGC2019} holds flow maps and no frames, and {kind.name} reads "
                f"{kind.reads[0]}s; give a data set of frames, such as casme2"
            )
        options = options_of(kind, self.options, of_frames=not images)
        if wrong := [option for option in options if option not in kind.options]:
            raise UsageError(
                f"the {self.called} {kind.name!r} has no option {wrong[0]!r}; it has "
                f"{', '.join(kind.options) or 'none'}.{did_you_mean(wrong[0], kind.options)}"
            )
        if "seed" in kind.options:
            options.setdefault("seed", self.seed)
        made = kind(**options)
        settings = load_settings(self.settings or None, self.overrides)
        reading = reading_of(kind, self.options, settings, "options", made.rois)
        if not images:  # with unknown flow settings
            reading.record_on(made)
        return made, reading

    def listing(
        self,
        classes: Sequence[str] = (),
        of: Callable[[str, Annotation, Sequence[str]], str | None] | None = None,
    ) -> Listing:
        """The expressions except those of excluded subjects; see `aumer.training.listing.listed`.

        Raises:
            UsageError: as `listed`, or none is left.
            ConfigError: an excluded subject does not occur.
        """
        data = self.data
        tables = {} if data.table is None else {data.source: data.table}
        found = listed(
            {data.source: data.root},
            classes,
            kinds=data.kinds,
            tables=tables,
            of=of,
            mismatch=data.mismatch,
        )
        out = excluded(data, tuple(e.subject for e in found.examples))
        found = replace(found, examples=tuple(e for e in found.examples if e.subject not in out))
        if not found.examples:
            raise UsageError(f"{data.root}: no clip is left to train on")
        return found

    def check_subjects(self, listing: Listing) -> None:
        """Raise an error for too few subjects before clips are made.

        Raises:
            UsageError: the trained part needs more.
        """
        made, _ = self.untrained()
        names = list(dict.fromkeys(e.subject for e in listing.examples))
        if len(names) >= (needed := made.subjects_needed()):
            return
        raise UsageError(
            f"{self.data.root}: all clips are of {', '.join(names)}, and the {self.called} "
            f"{made.name!r} needs those of {needed} subjects or more, for it leaves some out to "
            "choose on",
            fixes=(
                "say whose each clip is in a column `subject`",
                "give clips of others",
                *(
                    ["set `options.learning` to { inner_share = 0.0, patience = 0 }"]
                    if made.stopping()["inner_share"]
                    else []
                ),
            ),
        )

    def card_entries(self, made: Trained, clips: Any, about: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of the card after training on these clips.

        Args:
            about: further facts about the clips: how they were made, notes.
        """
        data = {"source": self.data.source, **about, **self.counts(made, clips)}
        excluded = {"excluded_subjects": list(self.data.exclude_subjects)}
        return card(made, {**data, **excluded}, self.options, self.seed)


C = TypeVar("C", bound=ClipRun)


def card(
    made: Trained, data: Mapping[str, Any], options: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """The common entries of the card.

    Args:
        made: the trained part.
        data: facts about the training data.
        options: options of training.
    """
    return {
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "data": dict(data),
        "options": dict(options),
        "stopping": made.stopping(),
        "seed": seed,
        "chosen": dict(made.chosen),
        **({"epochs": len(made.log), "last_epoch": dict(made.log[-1])} if made.log else {}),
        "versions": versions(),
    }


def task_of(values: Mapping[str, Any]) -> Task:
    """The task of a training file: its ``task``, or implied by other keys.

    Raises:
        ConfigError: its task is none.
    """
    if "task" not in values:
        return next((task for key, task in _TELLING.items() if key in values), "spotting")
    for task in TASKS:
        if values["task"] == task:
            return task
    found = values["task"]
    raise ConfigError(
        f"task must be one of {', '.join(map(repr, TASKS))}; found {found!r}."
        f"{did_you_mean(str(found), TASKS)}"
    )


def task_of_file(path: str | PathLike[str], overrides: Mapping[str, Any] | None = None) -> Task:
    """`task_of` for a file with overrides.

    Raises:
        ConfigError: the file is missing or not TOML, or its task is unknown.
    """
    with named(path):
        return task_of({**strict.read_toml(expanded(path)), **(overrides or {})})


def read_config(
    kind: type[C], path: str | PathLike[str], overrides: Mapping[str, Any] | None = None
) -> C:
    """Read a run's TOML file and make its paths absolute.

    Args:
        overrides: keys that replace the file's, with dots for nested tables: ``{"output": "there",
            "options.learning.epochs": 3}``. Their paths stay unchanged.

    Raises:
        ConfigError: the file is missing or not TOML, or a key or a value is not allowed.
        UsageError: unknown name or option.
    """
    path, changes = expanded(path), overrides or {}
    file = strict.Layer(str(path), strict.read_toml(path))
    with named(path):
        config = strict.layered(kind, file, strict.Layer("overrides", changes))
    data, beside = config.data, PathBase.of(path, changes)
    table = None if data.table is None else beside.absolute("data.table", data.table)
    config = replace(
        config,
        data=replace(data, root=beside.absolute("data.root", data.root), table=table),
        output=beside.absolute("output", config.output),
        settings=beside.found("settings", config.settings),
    )
    with named(path):
        config.untrained()  # raises errors before clips are made
    return config


def run(
    config: ClipRun,
    *,
    clips: Any = None,
    overwrite: bool = False,
    cache: StrPath | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> Path:
    """Train by `config` and write the weights; an interrupted run continues.

    Args:
        clips: training clips instead of those of `config.data`.
        overwrite: replace the weights of an earlier run.
        cache: cache folder for inputs made from frames.
        callbacks: called after every epoch with its record.
        progress: called with the number of finished clips and of all.

    Returns:
        The file of weights.

    Raises:
        UsageError: weights exist and `overwrite` is False, no clips, or as `fit` of the trained
            part.
    """
    made, reading = config.untrained()
    folder = Path(config.output)
    weights, checkpoint = prepared(folder, overwrite=overwrite)
    can, asked = made.to(config.device), config.device
    if not can and asked not in ("auto", "cpu"):
        _log.warning("%s trains on the CPU alone: %s is not used", made.name, asked)
    if asked == "auto":
        asked = str(device_of("auto"))
    facts: Mapping[str, Any] = {}
    with torchrun(asked if can else "cpu") as device:
        machine = Machine(device)
        made.to(str(device))
        with machine.in_turn():  # the other processes use the cache
            if clips is not None:
                learned = config.in_memory(clips)
            elif cache is None:
                with TemporaryFolder() as kept:
                    learned, facts = config.read(reading, kept, progress)
            else:
                learned, facts = config.read(reading, cache, progress)
        for note in () if machine.rank else facts.get("notes", ()):
            _log.warning("%s", note)
        with contextlib.ExitStack() as stack:
            writers: tuple[Callback, ...] = ()
            if not machine.rank:
                writers = stack.enter_context(tensorboard(folder, goes_on=checkpoint.exists()))
            made.fit(learned, checkpoint=checkpoint, callbacks=[*writers, *callbacks])
    if machine.rank:
        return weights
    if made.log:
        write_log(folder, made.log)
    made.save(
        weights, {**config.card, **config.card_entries(made, learned, facts)}, overwrite=overwrite
    )
    if made.log:  # otherwise the log belongs to another, interrupted run
        checkpoint.unlink(missing_ok=True)
    return weights


# -- clips of a data set ---------------------------------------------------------------------------


def inputs_of(
    listing: Listing, reading: ClipReading, cache: StrPath, progress: Progress | None
) -> tuple[StoredClips, tuple[Seen, ...], list[str]]:
    """Inputs of all visible examples, these examples, and notes on the others.

    Raises:
        UsageError: no clip shows a face.
    """
    stored, seen, unseen = extract(listing, reading, cache=cache, progress=progress)
    if not unseen:
        return stored, seen, []
    told = "; ".join(f"{u.subject}/{u.name} ({u.reason})" for u in unseen)
    many = "1 clip" if len(unseen) == 1 else f"{len(unseen)} clips"
    return stored, seen, [f"{many} cannot be learned from: {told}"]


def excluded(data: ClipSource, subjects: Sequence[str]) -> set[str]:
    """The excluded subjects, checked.

    Raises:
        ConfigError: one is not in `subjects`.
    """
    if unknown := sorted(set(data.exclude_subjects) - set(subjects)):
        raise ConfigError(
            f"exclude_subjects names {', '.join(unknown)}; the subjects are "
            f"{', '.join(sorted(set(subjects)))}"
        )
    return set(data.exclude_subjects)
