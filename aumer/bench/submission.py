"""Submission files for the challenges' servers: writing and checking.

`Challenge.fixed` lists the organizers' rules, `Challenge.chosen` the choices made here where there
is no rule. Both are printed with every file.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aumer.arguments import as_path
from aumer.data.labels import MEGC_CLASSES, megc_class
from aumer.errors import UsageError, did_you_mean
from aumer.evaluation.rows import PredictedInterval, Video
from aumer.files import StrPath
from aumer.tables.cells import Sheet, encoding_of, number_of, sheets, text_lines, text_of
from aumer.tables.intervals import named_like
from aumer.types import Expression, Kind

#: Names of the kinds in submissions.
KIND_WORDS: Mapping[Kind, str] = {"micro": "me", "macro": "mae"}
_FILES: Mapping[str, str] = {"SAMM": "samm_pred.csv", "CASME3": "cas_pred.csv"}
_FRAMES_CHOSEN = (
    "a video's first frame is called 1, as the images' own numbers begin (`first_frame`); whether "
    "the organizers count from 0 is nowhere said",
    "the offset is the interval's last frame",
    "the files are called cas_pred.csv and samm_pred.csv, as participants' are",
)


@dataclass(frozen=True)
class Challenge:
    """The format of one year's challenge.

    Attributes:
        columns: columns of the header, in order.
        also: another header that has been used, which is accepted as well.
        emotions: allowed emotions of a row; empty if only spotting is required.
        files: file name for each source of the unseen videos.
        fixed: rules stated by the organizers.
        chosen: choices made here where they state none.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    also: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=lambda: _FILES)
    fixed: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The required kinds of expressions."""
        return ("micro",) if self.emotions else ("micro", "macro")

    def describe(self) -> str:
        """The fixed rules and the choices."""
        lines = [self.title]
        lines += [f"  said by the organizers: {rule}" for rule in self.fixed]
        lines += [f"  nowhere said, done here: {rule}" for rule in self.chosen]
        return "\n".join(lines)


def _spotting(year: int) -> Challenge:
    return Challenge(
        f"megc{year}",
        f"MEGC {year}: spotting in unseen videos",
        ("vid", "pred_onset", "pred_offset", "type"),
        also=("vid", "onset", "offset", "type"),
        fixed=(
            "unseen videos of SAMM (200 frames a second) and CAS(ME)^3 (30)",
            "a csv with vid, pred_onset, pred_offset and type: me (micro) or mae (macro)",
        ),
        chosen=(*_FRAMES_CHOSEN, "vid is the path of the video below its source's folder"),
    )


def _spot_then_recognize(year: int) -> Challenge:
    return Challenge(
        f"megc{year}",
        f"MEGC {year}: spot, then recognize, in unseen videos",
        ("subject", "video", "onset", "offset", "emotion"),
        emotions=MEGC_CLASSES,
        fixed=(
            "STRS = F1 of spotting x F1 of recognition on what was spotted",
            "the organizers' script reads subject, video, onset, offset and emotion, and compares "
            "subjects and videos as they are written",
        ),
        chosen=(
            *_FRAMES_CHOSEN,
            "micro-expressions alone, of the emotions negative, positive and surprise, as the "
            "files of a participant of 2024 have them",
            "an expression that the recognizer leaves without a class is called negative, as most "
            "are in training",
            "subject is the first folder below the source's, or what stands before the first _ of "
            "the video's name, without the zeros before a number; video is the last folder",
        ),
    )


#: By name. The rules of 2023 are those of 2022; the differences of 2025 from 2024 are not
#: available.
CHALLENGES: Mapping[str, Challenge] = {
    one.name: one
    for one in (
        *map(_spotting, (2022, 2023)),
        *map(_spot_then_recognize, (2024, 2025)),
    )
}


def challenge(name: str) -> Challenge:
    """The challenge of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in CHALLENGES:
        raise UsageError(
            f"no challenge is called {name!r}; there are {', '.join(CHALLENGES)}."
            + did_you_mean(name, CHALLENGES)
        )
    return CHALLENGES[name]


def written(
    asked: Challenge, predictions: Iterable[PredictedInterval], first_frame: int = 1
) -> str:
    """The sorted csv of one source's predictions, of the required kinds.

    Raises:
        UsageError: an expression's label has no equivalent in the challenge.
    """
    rows: list[tuple[Any, ...]] = []
    for p in predictions:
        if p.kind not in asked.kinds:
            continue
        span = (p.onset + first_frame, p.offset + first_frame)
        if asked.emotions:
            rows.append((*subject_and_video(p.video), *span, emotion_of(asked, p.label)))
        else:
            rows.append((p.video, *span, KIND_WORDS[p.kind]))
    # Names are written unescaped, even if a spreadsheet would change them: a server compares them.
    return text_lines([asked.columns, *sorted(rows)])


def check_names(asked: Challenge, videos: Iterable[Video]) -> None:
    """Raise if a submission would use one name for two videos.

    Raises:
        UsageError: there are two of one source.
    """
    called: dict[tuple[str, ...], Video] = {}
    for video in videos:
        names = subject_and_video(video.name) if asked.emotions else (video.name,)
        other = called.setdefault((video.subject, *names), video)
        if other is not video:
            raise UsageError(
                f"{asked.name} would call {other.subject}/{other.name} and "
                f"{video.subject}/{video.name} the same, {','.join(names)}; leave one below ROOT"
            )


def subject_and_video(name: str) -> tuple[str, str]:
    """Subject and video name in the organizers' script, from the path below the source's folder.

    Example:
        >>> from aumer.bench.submission import subject_and_video
        >>> subject_and_video("017_3"), subject_and_video("5/anger1")
        (('17', '017_3'), ('5', 'anger1'))
    """
    parts = name.replace("\\", "/").split("/")
    subject = parts[0] if len(parts) > 1 else parts[0].partition("_")[0]
    return (str(int(subject)) if subject.isdecimal() else subject), parts[-1]


#: Label of an expression without a class: the class of 250 of the 442 clips of MEGC 2019's
#: composite.
MOST_FREQUENT = "negative"


def class_of(e: Expression) -> str:
    """An expression's label, or else its most probable class; "" if no class is most probable."""
    if e.label:
        return e.label
    probs = e.probs or {}
    best = max(probs, key=lambda name: probs[name], default="")
    return best if best and probs[best] > min(probs.values()) else ""


def emotion_of(asked: Challenge, label: str) -> str:
    """The challenge's label for a recognizer's.

    Raises:
        UsageError: there is none.
    """
    for word in (label, megc_class(label) or ""):
        if word in asked.emotions:
            return word
    raise UsageError(
        f"{asked.name} has the emotions {', '.join(asked.emotions)}, and none for {label!r}; give "
        "a recognizer of these classes"
    )


# -- checking --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SubmissionFault:
    """A fault in a submission file.

    Attributes:
        line: line number in the file.
        code: "encoding", "separator", "header", "blanks", "cells", "video", "frame", "reversed",
            "outside", "type", "emotion" or "duplicate".
    """

    line: int
    code: str
    message: str


@dataclass(frozen=True)
class CheckedSubmission:
    """The result of checking a file.

    Attributes:
        rows: number of rows below the header.
        notes: remarks that are not faults, but may show a mistake.
    """

    path: Path
    challenge: Challenge
    rows: int
    faults: tuple[SubmissionFault, ...]
    notes: tuple[str, ...]

    def describe(self, *, most: int = 10) -> str:
        """The verdict, faults by code, and the first of them."""
        lines = [f"{self.path}: {self.rows} rows, {self.challenge.title}"]
        counts = Counter(fault.code for fault in self.faults)
        lines += [f"  line {fault.line}: {fault.message}" for fault in self.faults[:most]]
        if len(self.faults) > most:
            lines.append(f"  ... and {len(self.faults) - most} more")
        lines += [f"  note: {note}" for note in self.notes]
        told = ", ".join(f"{n} {code}" for code, n in counts.items())
        return "\n".join([*lines, f"  {f'faults: {told}' if told else 'no fault'}"])


def check(
    path: StrPath,
    asked: Challenge,
    videos: Sequence[Video] | None = None,
    first_frame: int = 1,
) -> CheckedSubmission:
    """Check a file against a challenge's format.

    Args:
        videos: the unseen videos allowed videos, of the file's source or of all, with their numbers
            of frames, which rows must not exceed.
        first_frame: number of a video's first frame in the file.

    Raises:
        UsageError: it cannot be read as CSV.
    """
    path = as_path("path", path, "the path of a submission")
    (sheet, *more) = sheets(path)
    if more or sheet.name:
        raise UsageError(f"{path} is a workbook; a submission is a CSV file")
    lines = [
        (k, [text_of(cell) for cell in line])
        for k, line in enumerate(sheet.lines, start=1)
        if any(map(text_of, line))
    ]
    form = list(_form(path.read_bytes(), sheet))
    at, header = lines[0] if lines else (1, [])
    if not header or tuple(header) not in (asked.columns, asked.also):
        message = (
            f"the header must be {','.join(asked.columns)}; found {','.join(header) or 'nothing'}"
        )
        form.append(SubmissionFault(at, "header", message))
        return CheckedSubmission(path, asked, max(len(lines) - 1, 0), tuple(form), ())
    judge = _Judge(asked, videos, first_frame)
    faults = [*form, *(fault for number, cells in lines[1:] for fault in judge.of(number, cells))]
    notes = list(judge.notes())
    if header and tuple(header) == asked.also:
        notes.append(f"its header is not {','.join(asked.columns)}, but one that was sent before")
    if path.name not in asked.files.values():
        notes.append(f"participants' files are called {' and '.join(asked.files.values())}")
    if len(lines) < 2:
        notes.append("it has no row: nothing was spotted")
    return CheckedSubmission(path, asked, max(len(lines) - 1, 0), tuple(faults), tuple(notes))


def _form(content: bytes, sheet: Sheet) -> Iterator[SubmissionFault]:
    """Faults of form that only aumer's tolerant CSV reader accepts."""
    if encoding_of(content) != "utf-8-sig":
        yield SubmissionFault(1, "encoding", "the file is in UTF-16; save it in UTF-8")
    elif content.startswith(codecs.BOM_UTF8):
        message = (
            "the file begins with a byte order mark, which a reader may take for a part of the "
            "first column's name; save it in UTF-8 without one"
        )
        yield SubmissionFault(1, "encoding", message)
    declared = content.lstrip(codecs.BOM_UTF8)[:5].lower().lstrip(b'"').startswith(b"sep=")
    if sheet.decimal_comma or declared:
        message = "cells must be separated by commas, without a line that says so"
        yield SubmissionFault(1, "separator", message)
    for number, line in enumerate(sheet.lines, start=1):
        if any(isinstance(cell, str) and cell != cell.strip() for cell in line):
            yield SubmissionFault(number, "blanks", "there are blanks around the text of a cell")


class _Judge:
    """Checks line by line."""

    def __init__(self, asked: Challenge, videos: Sequence[Video] | None, first_frame: int) -> None:
        self._challenge, self._first = asked, first_frame
        self._videos: dict[str, Video] | None = None
        if videos is not None:
            self._videos = {self._called(v.name): v for v in videos}
        self._seen: dict[tuple[str, ...], int] = {}
        self._named: set[str] = set()

    def of(self, line: int, cells: Sequence[str]) -> Iterator[SubmissionFault]:
        """The faults of a line."""
        columns = self._challenge.columns
        if len(cells) != len(columns):
            yield SubmissionFault(
                line, "cells", f"{len(cells)} cells where the header has {len(columns)}"
            )
            return
        *names, onset, offset, word = cells
        video = self._known("/".join(names))
        if video is None and self._videos is not None:
            near = did_you_mean("/".join(names), self._videos)
            yield SubmissionFault(
                line, "video", f"there is no unseen video {'/'.join(names)!r}.{near}"
            )
        yield from self._span(line, onset, offset, video)
        allowed = self._challenge.emotions or tuple(KIND_WORDS.values())
        if word not in allowed:
            code = "emotion" if self._challenge.emotions else "type"
            yield SubmissionFault(
                line,
                code,
                f"{columns[-1]} must be one of {', '.join(allowed)}; found {word!r}."
                + did_you_mean(word, allowed),
            )
        # A second emotion for the same interval is also a duplicate prediction.
        key = (*names, onset, offset, "" if self._challenge.emotions else word)
        if key in self._seen:
            yield SubmissionFault(
                line, "duplicate", f"the same interval as in line {self._seen[key]}"
            )
        self._seen.setdefault(key, line)

    def notes(self) -> Iterator[str]:
        """Remarks after all lines."""
        if self._videos:
            silent = [name for name in self._videos if name not in self._named]
            if silent:
                yield (
                    f"{len(silent)} of {len(self._videos)} videos have no row, such as {silent[0]}"
                )

    def _called(self, name: str) -> str:
        return "/".join(subject_and_video(name)) if self._challenge.emotions else name

    def _known(self, name: str) -> Video | None:
        if self._videos is None:
            return None
        found = name if name in self._videos else None
        if found is None and not self._challenge.emotions:
            found = named_like(name, self._videos)
        if found is None:
            return None
        self._named.add(found)
        return self._videos[found]

    def _span(
        self, line: int, onset: str, offset: str, video: Video | None
    ) -> Iterator[SubmissionFault]:
        values = [number_of(text) for text in (onset, offset)]
        for text, value in zip((onset, offset), values, strict=True):
            if value is None or not value.is_integer():
                yield SubmissionFault(line, "frame", f"a frame is a whole number; found {text!r}")
        begin, end = values
        if begin is None or end is None:
            return
        if end < begin:
            yield SubmissionFault(line, "reversed", f"offset {offset} lies before onset {onset}")
        last = None if video is None or video.frames is None else video.frames + self._first - 1
        if begin < self._first or (last is not None and end > last):
            yield SubmissionFault(
                line,
                "outside",
                f"frames {onset} to {offset} do not lie in the video, which has {self._first} to "
                f"{last if last is not None else 'an unknown last one'}",
            )
