"""The expressions that data sets' tables give: where the frames of each are, and its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aumer.data import load as load_data_set
from aumer.data.dataset import DataSet
from aumer.data.labels import MEGC_CLASSES, composite_class, word_of
from aumer.data.mismatch import DEFAULT, Matched, Mismatch, matched, rows_text
from aumer.data.own import NAME as OWN
from aumer.data.report import Fault
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.recognition.labeled import frequent
from aumer.types import Annotation, VideoRecord

#: Kinds of expressions that are clips where nobody says: of one's own table every row.
_USUAL, _OWN = ("micro",), ("micro", "macro")


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
        mismatched: rows of the classes that are left out, as their frames are not in their videos:
            each as `aumer.data.mismatch.Mismatched.to_dict` gives it, with its ``dataset``.
    """

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...] = ()
    mismatched: tuple[Mapping[str, Any], ...] = ()


def listed(
    roots: Mapping[str, StrPath],
    classes: Sequence[str] = (),
    *,
    kinds: Collection[str] = (),
    tables: Mapping[str, StrPath] | None = None,
    of: Callable[[str, Annotation, Sequence[str]], str | None] | None = None,
    mismatch: Mismatch = DEFAULT,
) -> Listing:
    """The expressions below the roots, by data set, whose emotion is one of `classes`.

    MEGC 2019's three classes are made of the coders' words as `aumer.data.labels` does it; any
    other class is a word of the coders, whatever its case.

    Args:
        classes: by default every word of the tables, in the order of the alphabet.
        kinds: of expressions; by default micro-expressions, and of one's own table ("own") all.
        tables: by data set, the table to read where its root holds several.
        of: which class an annotation of a data set is of, `None` for none, instead of that of its
            emotion.
        mismatch: what becomes of rows whose frames are not in their videos.

    Raises:
        UsageError: a data set cannot be read, has clips without frames or without labels, or
            nothing of the classes; or two rows say different things of the same frames.
    """
    found: list[Example] = []
    mismatched: list[Mapping[str, Any]] = []
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    read = {
        name: _read(name, root, kinds, (tables or {}).get(name), mismatch, labeled=of is None)
        for name, root in roots.items()
    }
    every = [a for _, rows, *_ in read.values() for _, a in rows]
    classes = tuple(classes) or _words(a.emotion for a in every)
    for dataset, root in roots.items():
        data, rows, unread, under = read[dataset]
        if unread:
            others = ", ".join(f"{kind} {n}" for kind, n in sorted(unread.items()))
            notes.append(f"{dataset}: expressions of other kinds are left out (`kinds`): {others}")
        lacking = [f"{r.subject}/{r.name}" for r, a in rows if r.path is None]
        if lacking:
            raise UsageError(
                f"{len(lacking)} of {len(rows)} clips of {dataset} have no frames below {root}: "
                f"{', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}. Their misses "
                "would go uncounted; `aumer data check` lists all faults"
            )
        times: Counter[str] = Counter()
        before: dict[tuple[Any, ...], Annotation] = {}
        again: list[str] = []
        for record, a in rows:
            word = (of or _class_of)(dataset, a, classes)
            if word is None:
                left_out[f"{dataset} {a.emotion or 'without emotion'}"] += 1
                continue
            first = before.setdefault((record.subject, record.name, a.onset, a.offset), a)
            if first is not a:
                _require_same(dataset, first, a, coded=of is not None)
                again.append(f"{record.subject}/{record.name}")
                continue
            times[f"{record.subject}/{record.name}"] += 1
            count = times[f"{record.subject}/{record.name}"]
            name = record.name if count == 1 else f"{record.name}-{count}"
            found.append(_example(dataset, record, a, name, classes.index(word)))
        under = under.only(_classed(of or _class_of, dataset, classes))
        notes += [f"{dataset}: {note}" for note in under.notes()]
        mismatched += [{"dataset": dataset, **one.to_dict()} for one in under.left_out]
        if again:
            notes.append(
                f"{dataset}: frames that stand in two rows are taken once: {', '.join(again[:5])}"
                f"{', ...' if len(again) > 5 else ''}"
            )
        notes += [f"{dataset}: {note}" for note in data.report.notes]
        notes += [f"{dataset}: {note}" for note in fault_notes(data.report.faults)]
    if not any(rows for _, rows, *_ in read.values()) and notes:
        raise UsageError(f"there is no clip to learn from. {'. '.join(notes)}")
    if not found:
        words = ", ".join(sorted(left_out)) or "none"
        raise UsageError(
            f"no clip is of the classes {', '.join(classes) or '(none)'}; the tables have {words}"
            + "".join(f". {note}" for note in notes if "(`kinds`)" in note)
        )
    return Listing(
        tuple(classes),
        _own_subjects(found),
        dict(sorted(left_out.items())),
        tuple(notes),
        tuple(mismatched),
    )


def fault_notes(faults: Iterable[Fault]) -> tuple[str, ...]:
    """How many faults of each kind a data set's reader found, those that need no word left out."""
    # Rows without their frames are told one by one, and what lies beside the videos is nobody's.
    quiet = ("unjoinable-row", "unknown-video")
    counts = Counter(fault.code for fault in faults if fault.code not in quiet)
    found = ", ".join(f"{code} {n}" for code, n in sorted(counts.items()))
    return (f"faults found while reading (`aumer data check`): {found}",) if found else ()


def without_rare(listing: Listing, least: int) -> Listing:
    """Only the classes with `least` clips or more; the others' clips are left out, with a note.

    Raises:
        UsageError: fewer than two classes are left.
    """
    if not least:
        return listing
    labels = np.array([e.label for e in listing.examples], np.int64)
    kept = frequent(labels, listing.classes, least).tolist()
    rare = [k for k in range(len(listing.classes)) if k not in kept]
    if not rare:
        return listing
    counts = Counter(labels.tolist())
    told = ", ".join(f"{listing.classes[k]} {counts[k]}" for k in rare)
    note = f"left out, as of classes with fewer than {least} clips (min_clips): {told}"
    return replace(
        listing,
        classes=tuple(listing.classes[k] for k in kept),
        examples=tuple(
            replace(e, label=kept.index(e.label)) for e in listing.examples if e.label in kept
        ),
        notes=(*listing.notes, note),
    )


def check_counts(listing: Listing, labels: Iterable[int], where: str) -> None:
    """Raise if the clips allow no training.

    Args:
        labels: of the clips that are left.
        where: what the message begins with.

    Raises:
        UsageError: a class has no clip, or all clips are of one class.
    """
    classes, counts = listing.classes, Counter(labels)
    told = ", ".join(f"{name} {counts[k]}" for k, name in enumerate(classes))
    if len(classes) < 2:
        raise UsageError(
            f"{where}: all clips are of one class ({told}); a recognizer needs two or more to tell "
            "apart"
        )
    if empty := [name for k, name in enumerate(classes) if not counts[k]]:
        words = [word.partition(" ")[2] for word in listing.left_out]
        raise UsageError(
            f"{where}: no clip is of the class {', '.join(empty)}; there are {told}. Labels "
            f"in the table without a class: {', '.join(words) or 'none'}. Leave the class "
            f"out, or give it clips to learn from.{did_you_mean(empty[0], words)}"
        )


def _read(
    dataset: str,
    root: StrPath,
    kinds: Collection[str],
    table: StrPath | None,
    mismatch: Mismatch,
    *,
    labeled: bool,
) -> tuple[DataSet, list[tuple[VideoRecord, Annotation]], Counter[str], Matched]:
    """A data set, its expressions of these kinds, how many there are of others, and rows of these
    kinds whose frames are not in their videos."""
    options: dict[str, Any] = {} if table is None else {"table": table}
    if dataset == OWN:
        options["clips"] = True
    data = load_data_set(dataset, root, **options)
    kinds = kinds or (_OWN if dataset == OWN else _USUAL)
    under = matched(data, mismatch).only(lambda a: a.kind in kinds)
    every = [(r, a) for r in under.records for a in r.annotations]
    rows = [(r, a) for r, a in every if a.kind in kinds]
    if under.left_out and not rows:
        raise UsageError(
            f"{dataset}: no row has its frames in its video; `aumer data check` lists all faults: "
            f"{rows_text(under.left_out)}"
        )
    if labeled and rows and not any(a.emotion.strip() for _, a in rows):
        tables = ", ".join(str(one.path) for one in data.report.tables)
        raise UsageError(
            f"{dataset}: none of its {len(rows)} clips has a label ({tables}), so that there is "
            "nothing to learn. Give the table a column `label` (or emotion) with the class of each"
        )
    return data, rows, Counter(a.kind for _, a in every if a.kind not in kinds), under


def _require_same(dataset: str, one: Annotation, other: Annotation, *, coded: bool) -> None:
    """Raise if two rows of the same frames contradict each other.

    Args:
        coded: compare action units instead of emotions.
    """
    says = [a.aus if coded else word_of(a.emotion) for a in (one, other)]
    if says[0] == says[1]:
        return
    shown = [a.aus if coded else a.emotion for a in (one, other)]
    told = " and ".join(
        f"{text!r}" + (f" (row {a.row})" if a.row else "")
        for text, a in zip(shown, (one, other), strict=True)
    )
    frames = f"frames {one.onset} to {'the last' if one.offset is None else one.offset}"
    raise UsageError(
        f"{dataset}: two rows contradict each other about {frames} of {one.subject}/{one.video}: "
        f"{told}. Correct one of them, or delete it"
    )


def _words(emotions: Iterable[str]) -> tuple[str, ...]:
    """The classes of a table, each as it is spelled first."""
    spelled: dict[str, str] = {}
    for emotion in emotions:
        if word := word_of(emotion):
            spelled.setdefault(word, emotion.strip())
    if set(spelled) <= set(MEGC_CLASSES):
        return tuple(spelled[word] for word in MEGC_CLASSES if word in spelled)
    return tuple(spelled[word] for word in sorted(spelled))


def _classed(
    of: Callable[[str, Annotation, Sequence[str]], str | None],
    dataset: str,
    classes: Sequence[str],
) -> Callable[[Annotation], bool]:
    return lambda a: of(dataset, a, classes) is not None


def _class_of(dataset: str, a: Annotation, classes: Sequence[str]) -> str | None:
    spelled = {word_of(name): name for name in classes}
    if set(spelled) <= set(MEGC_CLASSES):
        return spelled.get(composite_class(dataset, a) or "")
    return spelled.get(word_of(a.emotion))


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
