"""The expressions that data sets' tables give: where the frames of each are, and its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from aumer.data import load as load_data_set
from aumer.data.labels import MEGC_CLASSES, composite_class
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import Annotation, VideoRecord


@dataclass(frozen=True)
class Example:
    """One expression: where its frames are, and its class.

    Attributes:
        label: index of the protocol's classes.
        onset, apex, offset: 0-based frames; `None` for an apex that the table does not give within
            the expression.
        aus: the coders' action units, in their own words.
    """

    dataset: str
    subject: str
    name: str
    label: int
    path: str
    fps: float
    onset: int
    apex: int | None
    offset: int
    aus: str = ""


@dataclass(frozen=True)
class Unseen:
    """An expression whose face cannot be seen, and why."""

    dataset: str
    subject: str
    name: str
    label: int
    reason: str


@dataclass(frozen=True)
class Listing:
    """The expressions of data sets.

    Attributes:
        left_out: clips without a class, by data set and the coders' word.
    """

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...] = ()


def listed(
    roots: Mapping[str, StrPath],
    classes: Sequence[str],
    *,
    kinds: Collection[str] = ("micro",),
    tables: Mapping[str, StrPath] | None = None,
    of: Callable[[str, Annotation, Sequence[str]], str | None] | None = None,
) -> Listing:
    """The micro-expressions below the roots, by data set, whose emotion is one of `classes`.

    MEGC 2019's three classes are made of the coders' words as `aumer.data.labels` does it; any
    other class is a word of the coders.

    Args:
        kinds: of expressions, instead of micro-expressions.
        tables: by data set, the table to read where its root holds several.
        of: which class an annotation of a data set is of, `None` for none, instead of that of its
            emotion.

    Raises:
        UsageError: a data set cannot be read, has clips without frames, or nothing of the classes.
    """
    found: list[Example] = []
    cut: list[str] = []
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    for dataset, root in roots.items():
        table = {name: path for name, path in (tables or {}).items() if name == dataset}
        data = load_data_set(dataset, root, **({"table": table[dataset]} if table else {}))
        records = data.records()
        rows = [(r, a) for r in records for a in r.annotations if a.kind in kinds]
        lacking = [f"{r.subject}/{r.name}" for r, a in rows if r.path is None]
        if lacking:
            raise UsageError(
                f"{len(lacking)} of {len(rows)} clips of {dataset} have no frames below {root}: "
                f"{', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}. Their misses "
                "would go uncounted; `aumer data check` lists all faults"
            )
        times: Counter[str] = Counter()
        for record, a in rows:
            word = (of or _class_of)(dataset, a, classes)
            if word is None:
                left_out[f"{dataset} {a.emotion or 'without emotion'}"] += 1
                continue
            times[f"{record.subject}/{record.name}"] += 1
            count = times[f"{record.subject}/{record.name}"]
            name = record.name if count == 1 else f"{record.name}-{count}"
            found.append(_example(dataset, record, a, name, classes.index(word)))
            if a.offset is not None and found[-1].offset < a.offset:
                cut.append(f"{record.subject}/{name}")
        notes += [f"{dataset}: {note}" for note in data.report.notes]
        faults = Counter(fault.code for fault in data.report.faults)
        if faults:
            told = ", ".join(f"{code} {n}" for code, n in sorted(faults.items()))
            notes.append(f"{dataset}: faults found while reading (`aumer data check`): {told}")
    if not found:
        words = ", ".join(sorted(left_out)) or "none"
        raise UsageError(f"no clip is of the classes {', '.join(classes)}; the tables have {words}")
    if cut:
        notes.append(
            f"the offset lies beyond the last frame, which stands for it: {', '.join(cut)}"
        )
    return Listing(
        tuple(classes), _own_subjects(found), dict(sorted(left_out.items())), tuple(notes)
    )


def _class_of(dataset: str, a: Annotation, classes: Sequence[str]) -> str | None:
    if set(classes) <= set(MEGC_CLASSES):
        word = composite_class(dataset, a)
    else:
        word = a.emotion.strip().casefold()
        word = {"happy": "happiness", "sad": "sadness"}.get(word, word)
    return word if word in classes else None


def _example(dataset: str, record: VideoRecord, a: Annotation, name: str, label: int) -> Example:
    offset = a.offset
    if offset is None:
        ends = [] if a.apex is None else [2 * a.apex - a.onset]
        ends += [record.frames - 1] if record.frames else []
        if not ends:
            raise UsageError(
                f"{dataset}: {record.subject}/{record.name} has neither offset nor apex, and how "
                "many frames it has is not known; give it an offset in the table"
            )
        offset = min(ends)
    elif record.frames and a.onset < record.frames - 1:
        offset = min(offset, record.frames - 1)
    within = a.apex is not None and a.onset < a.apex <= offset
    return Example(
        dataset,
        record.subject,
        name,
        label,
        str(record.path),
        record.fps,
        a.onset,
        a.apex if within else None,
        offset,
        a.aus,
    )


def _own_subjects(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Where two data sets call a subject the same, they are two people and get two names."""
    whose: dict[str, set[str]] = {}
    for e in examples:
        whose.setdefault(e.subject, set()).add(e.dataset)
    return tuple(
        replace(e, subject=f"{e.dataset} {e.subject}") if len(whose[e.subject]) > 1 else e
        for e in examples
    )
