"""Studies: named variations of one protocol, each an ordinary run, in one table.

A study is a TOML file in ``configs/studies/``, or one of the user's own: rows that differ in model,
settings or training data, and a base row for comparison. Every row is a run of
`aumer.bench.run.run` in a separate folder (``DIR/ROW``), so that an interrupted study continues at
the same fold. ``study.json`` (definition and status of rows), ``study.csv``, ``study.md`` and
``study.html`` are written again after every row.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from aumer import strict
from aumer.arguments import as_path
from aumer.bench import protocol as protocols
from aumer.bench.protocol import Protocol
from aumer.bench.run import roots_by_name, run, stored, task_and_store
from aumer.bench.split import SubjectKey, plan
from aumer.bench.store import Store, intact, read_fold, sealed, write_json
from aumer.bench.studied import DONE, FAILED, LEFT_OUT, WAITING, Studied, StudiedRow, tried
from aumer.bench.task import Options, Progress, Task
from aumer.config import Settings, digest, load_settings
from aumer.errors import AumerError, ConfigError, UsageError, did_you_mean
from aumer.files import StrPath, atomic_write, check_folder
from aumer.foreign import foreign, read_json
from aumer.strict import require
from aumer.workers import Workers

_log = logging.getLogger("aumer")

#: The files of a study, beside the folders of its rows.
STUDY, TABLE, TEXT = "study.json", "study.csv", "study.md"
FORMAT = "aumer-study/1"

#: Keys of the protocol that a row may change: training data and training, but not test subjects and
#: scoring, so that all rows are scored on the same data.
OF_ROWS = ("prior", "train_subjects", "selection")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

#: Called at the start of a row with its name, its number from 1, and the number of rows.
Begins = Callable[[str, int, int], object]


@dataclass(frozen=True)
class StudyRow:
    """One variation.

    Attributes:
        model: as for `aumer bench`; "" for the study's.
        set: keys of the model's training preset or of the recognizer, and settings of faces, motion
            and rules ("rules.min_s"), in addition to the study's.
        decoder: of spotting networks; "" for the protocol's.
        changes: keys of the protocol: `OF_ROWS`.
        note: a note for the reader.
        published: published figures for it, by name.
    """

    model: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    decoder: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    published: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in self.changes:
            require(
                key in OF_ROWS,
                "changes",
                key,
                f"{', '.join(OF_ROWS)}: all rows have the same test data and the same scores; what "
                "changes in all rows belongs into `changes` of the study itself",
            )
        for name, value in self.published.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            require(number, f"published.{name}", value, "a number")

    def description(self, model: str = "") -> str:
        """Its changes, on one line.

        Args:
            model: the study's model, which is not repeated.
        """
        parts = [self.model] if self.model not in ("", model) else []
        parts += [f"{k}={json.dumps(v)}" for k, v in {**self.set, **self.changes}.items()]
        parts += [f"decoder={self.decoder}"] if self.decoder else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Study:
    """A study, the content of a file.

    Attributes:
        name: the file's.
        title: one line for people.
        protocol: by name or file.
        rows: by name, `StudyRow` as a table.
        base: the row that the others are compared with.
        model: model of rows that name none; "" for the task's.
        set: keys that all rows change, unless they have other values.
        changes: changed keys of the protocol, in all rows.
        source: the publication that it repeats, and the source of its figures.
        note: a note for the table.
    """

    name: str
    title: str
    protocol: str
    rows: Mapping[str, Any]
    base: str
    model: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require(len(self.rows) > 1, "rows", list(self.rows), "two rows or more")
        for name, table in self.rows.items():
            fits = _NAME.fullmatch(name) is not None
            require(
                fits,
                "rows",
                name,
                "named with letters, digits, - and _ alone, as each has a folder of its name",
            )
            require(isinstance(table, Mapping), f"rows.{name}", table, "a table")
            strict.build(StudyRow, table, f"rows.{name}")
        lower = [name.lower() for name in self.rows]
        twice = [name for name in self.rows if lower.count(name.lower()) > 1]
        require(
            not twice,
            "rows",
            twice,
            "different even when capitals are ignored, as each row has a folder of its name",
        )
        require(self.base in self.rows, "base", self.base, f"a row: {', '.join(self.rows)}")
        for where, key in _selections(self):
            require(
                key != "oracle",
                where,
                key,
                "fixed or inner: a table of figures that were chosen on test subjects compares how "
                "well they were chosen. `aumer bench PROTOCOL --selection oracle` gives one, "
                "labeled so",
            )

    def row(self, name: str) -> StudyRow:
        """A row by name."""
        return strict.build(StudyRow, self.rows[name], f"rows.{name}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML."""
        return strict.plain(self)


def _selections(study: Study) -> list[tuple[str, Any]]:
    tables = {"changes": study.changes}
    tables |= {f"rows.{name}.changes": row.get("changes", {}) for name, row in study.rows.items()}
    return [(f"{k}.selection", t["selection"]) for k, t in tables.items() if "selection" in t]


def names() -> tuple[str, ...]:
    """The built-in studies."""
    return strict.presets("studies")


def load(which: str | PathLike[str] | Study) -> Study:
    """A built-in study by name, or the TOML file at a path.

    Raises:
        ConfigError: no such study or file, not TOML, or a key or value that is not allowed.
    """
    if isinstance(which, Study):
        return which
    path = strict.preset("studies", which, "study or file")
    values = {"name": path.stem, **strict.read_toml(path)}
    study = replace(strict.build(Study, values, str(which)), name=path.stem)
    beside = path.parent / study.protocol
    if study.protocol.endswith(".toml") and not Path(study.protocol).is_absolute():
        # Paths in a file are relative to its folder, as in `aumer train`.
        study = replace(study, protocol=str(beside)) if beside.is_file() else study
    return study


# -- what will be run ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PlannedRow:
    """A row before it is run.

    Attributes:
        model: its name, for people.
        description: its changes, on one line.
        folder: folder of its run.
        parameters: number of parameters of its network; `None` if it has none or it is unknown.
        epochs: largest number of training epochs; `None` if there are none.
        folds, done: number of folds with all seeds, and of finished ones; `None` without data.
        seconds: remaining time with one worker, estimated from finished folds; `None` without any.
    """

    name: str
    model: str
    description: str
    folder: Path
    parameters: int | None = None
    epochs: int | None = None
    folds: int | None = None
    done: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class _Ready:
    """A row with valid settings."""

    name: str
    row: StudyRow
    protocol: Protocol
    model: str
    options: Options
    task: Task[Any, Any, Any]
    about: Mapping[str, Any]
    store: Store


@dataclass(frozen=True)
class Changes:
    """Changes to a study; values of rows take precedence.

    Attributes:
        protocol: another protocol, by name or file; "" for the study's.
        of_protocol: changed keys of the protocol, also nested ones such as "scoring.iou".
        overrides, decoder, settings, cache: see `aumer.bench.task.Options`.
    """

    protocol: str = ""
    of_protocol: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    decoder: str | None = None
    settings: Settings | None = None
    cache: StrPath | None = None


def plan_study(
    study: str | PathLike[str] | Study,
    roots: StrPath | Mapping[str, StrPath] | None = None,
    *,
    changes: Changes | None = None,
    folder: StrPath | None = None,
    rows: Sequence[str] = (),
) -> tuple[PlannedRow, ...]:
    """The plan of a study: its rows, and what is finished. No video is read, and nothing is run or
    written.

    Args:
        roots: folders of the data sets; without them the number of folds is unknown.
        rows: only these rows; by default all.

    Raises:
        UsageError, ConfigError: the error of the first row that cannot be run.
    """
    study, changes = load(study), changes or Changes()
    ready = _ready(study, changes, _folder(folder, study, changes), _chosen(study, rows))
    subject_keys = _subject_keys(ready, roots_by_name(ready[0].protocol, roots))
    return tuple(_planned(one, study, subject_keys) for one in ready)


def _planned(one: _Ready, study: Study, subject_keys: Sequence[SubjectKey] | None) -> PlannedRow:
    task = one.task
    planned = PlannedRow(
        one.name,
        task.name,
        one.row.description(study.model),
        one.store.folder,
        task.parameters(),
        task.epochs(),
    )
    if subject_keys is None:
        return planned
    folds = plan(task.protocol, subject_keys, pooled=task.pooled)
    asked = [(seed, fold.name) for seed in task.protocol.seeds for fold in folds]
    taken = [s for s in (_seconds(one, *each) for each in asked) if s is not None]
    left = len(asked) - len(taken)
    rest = left * sum(taken) / len(taken) if taken else None
    return replace(planned, folds=len(asked), done=len(taken), seconds=rest)


def _seconds(one: _Ready, seed: int, fold: str) -> float | None:
    """Duration of a finished fold; its data are not checked for changes."""
    path = one.store.fold_path(seed, fold)
    if not path.exists():
        return None
    try:
        found: tuple[str, float] = read_fold(
            path, lambda values: (values["depends"]["run"], float(values["seconds"]))
        )
    except UsageError:  # damaged: it will be run again
        return None
    return found[1] if found[0] == digest(one.about) else None


def _ready(
    study: Study,
    changes: Changes,
    folder: Path,
    rows: Sequence[str],
    *,
    overwrite: bool = False,
    score_only: bool = False,
) -> list[_Ready]:
    """The rows, all checked before anything is read or run."""
    protocol = protocols.load(changes.protocol or study.protocol)
    for table in (study.changes, changes.of_protocol):
        protocol = protocol.changed(table) if table else protocol
    require(
        protocol.selection != "oracle",
        "selection",
        protocol.selection,
        "fixed or inner in a study: its table holds nothing that was chosen on test subjects",
    )
    require(
        protocol.split != "unseen", "split", protocol.split, "one with a truth: a study is scored"
    )
    return [
        _row_ready(name, study, protocol, changes, folder, overwrite, score_only) for name in rows
    ]


def _row_ready(
    name: str,
    study: Study,
    protocol: Protocol,
    changes: Changes,
    folder: Path,
    overwrite: bool,
    score_only: bool,
) -> _Ready:
    row = study.row(name)
    try:
        protocol = protocol.changed(row.changes) if row.changes else protocol
        common, own = _parted(study.set), _parted(row.set)
        options = Options(
            overrides=_over(common[1], changes.overrides, own[1]) or None,
            decoder=row.decoder or changes.decoder,
            settings=_settings(common[0], changes.settings, own[0]),
            cache=changes.cache,
        )
        model = row.model or study.model
        task, about, store = task_and_store(protocol, model, options, folder / name)
        if not score_only or store.claimed:
            store.check(about, overwrite=overwrite, score_only=score_only)
    except ConfigError as error:
        raise ConfigError(f"row {name} of the study {study.name}: {error}") from error
    except UsageError as error:
        raise UsageError(f"row {name} of the study {study.name}: {error}") from error
    return _Ready(name, row, protocol, model, options, task, about, store)


def _parted(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A table of keys split into settings of faces, motion and rules, and the model's keys."""
    of_settings = {section.name for section in fields(Settings)}
    found: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for key, value in table.items():
        found[key.partition(".")[0] not in of_settings][key] = value
    return found


def _settings(
    common: Mapping[str, Any], asked: Settings | None, own: Mapping[str, Any]
) -> Settings | None:
    """A row's settings; None for the default ones."""
    if not (common or own):
        return asked
    usual = strict.paths(load_settings().to_dict())
    changed = {
        key: value
        for key, value in strict.paths({} if asked is None else asked.to_dict()).items()
        if value != usual.get(key)
    }
    layers = (("its defaults", usual), ("set", common), ("settings", changed), ("set", own))
    return strict.layered(Settings, *(strict.Layer(name, table) for name, table in layers))


def _over(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables merged; keys of later ones take precedence and come last, since they may be nested
    in earlier ones.
    """
    found: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            found.pop(key, None)
            found[key] = value
    return found


def _subject_keys(
    ready: Sequence[_Ready], roots: Mapping[str, StrPath]
) -> Sequence[SubjectKey] | None:
    return ready[0].task.subject_keys(roots) if roots else None


def _chosen(study: Study, rows: Sequence[str]) -> tuple[str, ...]:
    """The requested rows, in the study's order."""
    for name in rows:
        if name not in study.rows:
            raise UsageError(
                f"the study {study.name} has no row {name!r}; there are {', '.join(study.rows)}."
                + did_you_mean(name, tuple(study.rows))
            )
    return tuple(name for name in study.rows if not rows or name in rows)


def _folder(folder: StrPath | None, study: Study, changes: Changes) -> Path:
    if folder is not None:
        return as_path("folder", folder)
    known: list[Any] = [study.to_dict(), changes.protocol, changes.of_protocol, changes.overrides]
    known += [changes.decoder, changes.settings and changes.settings.to_dict()]
    return Path("aumer-bench") / f"study-{study.name}-{digest(known)[:8]}"


# -- running ---------------------------------------------------------------------------------------


def run_study(
    study: str | PathLike[str] | Study,
    roots: StrPath | Mapping[str, StrPath] | None,
    *,
    changes: Changes | None = None,
    folder: StrPath | None = None,
    rows: Sequence[str] = (),
    overwrite: bool = False,
    score_only: bool = False,
    workers: Workers | None = None,
    progress: Progress | None = None,
    begins: Begins | None = None,
    command: str = "",
    keep_weights: bool = False,
) -> Studied:
    """Run the unfinished rows of a study, and write its table.

    A failed row does not stop the others: the table gives the reason. The same call runs it again.

    Args:
        study: or its name or file.
        roots: the folder of the data set, or of each by name.
        folder: folder of the study; by default ``aumer-bench/study-NAME-DIGEST`` here.
        rows: run only these; the table shows the others if they were run before.
        overwrite: replace another run in a row's folder.
        score_only, workers, progress, command, keep_weights: see `aumer.bench.run.run`.
        begins: called at the start of each row.

    Raises:
        UsageError: unreadable data, or a folder with other content.
        ConfigError: settings of a row that do not fit; before anything is run.
    """
    study, changes = load(study), changes or Changes()
    chosen, target = _chosen(study, rows), _folder(folder, study, changes)
    check_folder(target)
    _check_other(target, study, overwrite=overwrite)
    every = _ready(study, changes, target, chosen, overwrite=overwrite, score_only=score_only)
    given = roots_by_name(every[0].protocol, roots)
    if not given and not score_only:
        raise UsageError(
            f"the study reads {' and '.join(every[0].protocol.datasets)}, whose folder is not "
            "given: name it with `roots`"
        )
    _subject_keys(every, given)  # unreadable data raise here, once for all rows
    before = _before(target)
    found = {name: _not_done(study, name, before, chosen) for name in study.rows}
    for name in study.rows:
        # Also for requested rows, so that they are visible after an interruption.
        if name not in chosen or before.get(name, {}).get("status") == DONE:
            found[name] = _as_stored(study, changes, target, name) or found[name]
    made = Studied(
        study.name,
        study.title,
        study.base,
        tuple(found.values()),
        target,
        command,
        study_notes(study, changes),
    )
    target.mkdir(parents=True, exist_ok=True)
    _write(made, study)  # marks the folder as this study's
    for number, one in enumerate(every, start=1):
        if begins:
            begins(one.name, number, len(every))
        found[one.name] = _run_row(
            one,
            study,
            given,
            overwrite=overwrite,
            score_only=score_only,
            workers=workers,
            progress=progress,
            command=command,
            keep_weights=keep_weights,
        )
        made = replace(made, rows=tuple(found.values()))
        _write(made, study)
    return made


def stored_study(folder: StrPath) -> Studied:
    """The finished part of a study, scored again from the folds of its rows; nothing is run.

    Raises:
        UsageError: the folder has no study, or a damaged one.
    """
    target = as_path("folder", folder, "the path of a study's folder")
    document = _document(target)
    with foreign(target / STUDY, "a study of `aumer bench`"):
        study = strict.build(Study, document["study"], str(target / STUDY))
        before, command = dict(document["rows"]), str(document["command"])
        notes = tuple(map(str, document["notes"]))
        parameters = {name: row.get("parameters") for name, row in before.items()}
    rows = []
    for name in study.rows:
        row = _not_done(study, name, before, tuple(study.rows))
        if before.get(name, {}).get("status") == DONE:
            try:
                row = tried(row, stored(target / name), parameters[name])
            except UsageError as error:
                row = replace(row, status=FAILED, words=str(error))
        rows.append(row)
    return Studied(study.name, study.title, study.base, tuple(rows), target, command, notes)


def is_study(folder: StrPath) -> bool:
    """Whether a folder has a study."""
    return (Path(folder) / STUDY).is_file()


def study_notes(study: Study, changes: Changes) -> tuple[str, ...]:
    """Notes for the table on the study and its changes, a sentence each."""
    told = [study.note] if study.note else []
    told += [f"repeats {study.source}"] if study.source else []
    common = _over(study.set, study.changes, changes.overrides, changes.of_protocol)
    if common:
        values = "; ".join(f"{k}={json.dumps(v)}" for k, v in common.items())
        told.append(f"in all rows, unless they say otherwise: {values}")
    return tuple(told)


def _run_row(one: _Ready, study: Study, roots: Mapping[str, StrPath], **how: Any) -> StudiedRow:
    if how["score_only"] and not one.store.claimed:
        return _bare(study, one.name, WAITING, _WAITS)
    options = one.options
    try:
        result = run(
            one.protocol,
            roots,
            one.model,
            overrides=options.overrides,
            decoder=options.decoder,
            settings=options.settings,
            cache=options.cache,
            folder=one.store.folder,
            **how,
        )
    except Exception as error:
        # A fault in one row, perhaps in a user's part, must not stop the others.
        words = str(error) if isinstance(error, AumerError) else f"{type(error).__name__}: {error}"
        _log.warning("row %s failed: %s", one.name, words)
        _log.debug("row %s", one.name, exc_info=True)
        return _bare(study, one.name, FAILED, words)
    return tried(_bare(study, one.name, DONE), result, one.task.parameters())


def _bare(study: Study, name: str, status: str, words: str = "") -> StudiedRow:
    row = study.row(name)
    return StudiedRow(
        name,
        row.model or study.model,
        row.description(study.model),
        status,
        words,
        note=row.note,
        published=row.published,
    )


def _as_stored(study: Study, changes: Changes, target: Path, name: str) -> StudiedRow | None:
    """A row that is not requested now, if it was finished before with these settings."""
    try:
        (one,) = _ready(study, changes, target, [name], overwrite=True)
        if one.store.about() != one.about:
            return None
        return tried(_bare(study, name, DONE), stored(one.store.folder), one.task.parameters())
    except UsageError:  # no such run, or an unfinished one
        return None


_WAITS = "the same command runs it"


def _not_done(
    study: Study, name: str, before: Mapping[str, Any], chosen: Sequence[str]
) -> StudiedRow:
    """A row before it is run, with its last status."""
    was = before.get(name, {})
    if was.get("status") == FAILED:
        return _bare(study, name, FAILED, str(was.get("words", "")))
    if name not in chosen:
        return _bare(study, name, LEFT_OUT, "other rows were asked for")
    return _bare(study, name, WAITING, _WAITS)


# -- a study's folder ------------------------------------------------------------------------------


def _check_other(target: Path, study: Study, *, overwrite: bool) -> None:
    """Raise if a folder has anything other than this study, in its present or an earlier form."""
    if Store(target).claimed:
        raise UsageError(
            f"{target} holds a run of `aumer bench`, and a study has one for every row: give it "
            "another `folder`"
        )
    if is_study(target):
        with foreign(target / STUDY, "a study of `aumer bench`"):
            other = str(_document(target)["study"]["name"])
        if other != study.name and not overwrite:
            raise UsageError(
                f"{target} holds the study {other}, whose table {study.name} would replace",
                fixes=("give another `folder`", "`overwrite`, which keeps the rows' folders"),
            )
        return
    if not target.is_dir():
        return
    strange = sorted(p.name for p in target.iterdir() if not Store(p).claimed)
    if strange:
        raise UsageError(
            f"{target} holds other files, such as {strange[0]}; give an empty or a new `folder`"
        )


def _document(target: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(target / STUDY, "a study of `aumer bench`")
    with foreign(target / STUDY, "a study of `aumer bench`"):
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        if not intact(found):
            raise ValueError("it is not as it was written, as its digest does not fit")
    return found


def _before(target: Path) -> Mapping[str, Any]:
    """By name, the status of rows in the study's last run."""
    if not is_study(target):
        return {}
    found = _document(target)
    with foreign(target / STUDY, "a study of `aumer bench`"):
        return dict(found["rows"])


def _write(made: Studied, study: Study) -> None:
    """Write all files beside the rows' folders, replacing existing ones."""
    target = made.folder
    assert target is not None
    rows = {
        row.name: {"status": row.status, "words": row.words, "parameters": row.parameters}
        for row in made.rows
    }
    document = {
        "format": FORMAT,
        "study": study.to_dict(),
        "command": made.command,
        "notes": list(made.notes),
        "rows": rows,
        "scores": made.records(),
    }
    write_json(target / STUDY, sealed(document))
    atomic_write(target / TABLE, made.to_csv(), overwrite=True)
    atomic_write(target / TEXT, made.to_markdown(), overwrite=True)
    made.page().save(made.page_path)
