"""Annotation files: a coder's expressions in one video, with the history of changes.

A file is JSON with the suffix .annotations, beside the video. It holds frames and seconds; the
video's digest tells whether the frames belong to this file of the video. It can be read as a table
of intervals (`aumer.tables.intervals`), so training and evaluation read it directly.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write
from aumer.foreign import foreign
from aumer.results.exchange import Exchange, Timed, read_annotations
from aumer.results.schema import Node, jsonable, printable
from aumer.types import Expression, ImageArray, Kind, Moment, TimeArray, au_text

if TYPE_CHECKING:
    from aumer.results.spot_result import SpotResult

SCHEMA = "aumer.annotations"
SCHEMA_VERSION = 1
SUFFIX = ".annotations"

#: Seconds by which an interval may end after its video, since other programs round or count to its
#: end.
LATE_S = 0.25
#: Most characters of a coder's name, and of a comment.
_NAME, _COMMENT = 64, 10_000


@dataclass(frozen=True)
class Annotated(Timed):
    """An expression that a coder edits.

    Attributes:
        id: identifies it in its file through all changes.
        onset, apex, offset: frames, 0-based decode ordinals, ends included; None if only times are
            known. The apex may be missing.
        confirmed: whether the coder has confirmed it.

    Raises:
        ValueError: as `Timed`; no id, frames out of order, or only one of onset and offset.
    """

    id: str = ""
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    confirmed: bool = False

    @property
    def told(self) -> Mapping[str, Any]:
        frames = {name: getattr(self, name) for name in ("onset", "apex", "offset")}
        return {**super().told, **frames, "confirmed": self.confirmed}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.id:
            raise ValueError("an annotation needs an id")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"score must lie in [0, 1]; found {self.score}")
        if len(self.comment) > _COMMENT:
            raise ValueError(f"a comment has {_COMMENT} letters at most; found {len(self.comment)}")
        if (self.onset is None) != (self.offset is None):
            raise ValueError("onset and offset must both have a frame, or neither")
        frames = [f for f in (self.onset, self.apex, self.offset) if f is not None]
        if frames and (frames[0] < 0 or frames != sorted(frames)):
            raise ValueError(f"frames must be 0 <= onset <= apex <= offset; found {frames}")


@dataclass(frozen=True)
class Change:
    """One change of one expression.

    Attributes:
        who: the coder.
        when: ISO 8601 in UTC, when it was saved.
        what: "add", "delete", or the members that changed, joined by a comma.
        id: of the expression.
        before, after: values of the changed members; all members if added or deleted.
    """

    who: str
    when: str
    what: str
    id: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AnnotationFile:
    """Content of an annotation file.

    Attributes:
        video: the name of its file.
        content: the video's `aumer.video.content_digest`; None if unknown.
        frames: number of frames; None if unknown.
        duration_s: time of its last frame; None if unknown.
        coder: name of the coder; empty before it is first saved.
        source: name of the file that the coder started from; empty for none.
        expressions: sorted by onset.
        history: all changes since then, the oldest first.
    """

    video: str
    expressions: tuple[Annotated, ...] = ()
    content: str | None = None
    frames: int | None = None
    duration_s: float | None = None
    coder: str = ""
    source: str = ""
    history: tuple[Change, ...] = ()

    @classmethod
    def load(cls, path: StrPath) -> AnnotationFile:
        """The content of a file.

        Raises:
            UsageError: it cannot be read or is not an annotation file; the message names the wrong
                member.
        """
        with foreign(path, "annotations"):
            return cls.from_json(Path(path).read_text(encoding="utf-8"))

    @classmethod
    def from_json(cls, text: str) -> AnnotationFile:
        """As `load`, from text; raises the errors of `json` on other content."""
        root = Node(json.loads(text))
        if (schema := root["schema"]).text() != SCHEMA:
            schema.fail(repr(SCHEMA))
        if (version := root["schema_version"].integer()) > SCHEMA_VERSION:
            raise UsageError(
                f"schema_version is {version}, this aumer reads up to {SCHEMA_VERSION}: the "
                "annotations were written by a newer aumer; update this one (pip install -U aumer)"
            )
        return root.build(
            lambda: cls(
                video=root["video"]["name"].text(),
                content=root["video"]["content"].optional(Node.text),
                frames=root["video"]["frames"].optional(Node.integer),
                duration_s=root["video"]["duration_s"].optional(Node.number),
                coder=root["coder"].text(),
                source=root["source"].text(),
                expressions=tuple(_expression(e) for e in root["expressions"].elements()),
                history=tuple(_change(c) for c in root["history"].elements()),
            )
        )

    def to_json(self) -> str:
        """The text of the file: one expression or change per line."""
        head = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "video": {
                "name": printable(self.video),
                "content": self.content,
                "frames": self.frames,
                "duration_s": self.duration_s,
            },
            "coder": self.coder,
            "source": printable(self.source),
        }
        members = [f" {_dumps(key)}: {_dumps(value)}" for key, value in head.items()]
        for name, rows in (("expressions", self.expressions), ("history", self.history)):
            lines = ",\n".join(f"  {_dumps(vars(row))}" for row in rows)
            members.append(f" {_dumps(name)}: [{f'{chr(10)}{lines}{chr(10)} ' if rows else ''}]")
        return "{\n" + ",\n".join(members) + "\n}\n"

    def save(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write the file, complete or not at all.

        Raises:
            UsageError: another suffix than .annotations, or as `aumer.files.atomic_write`.
        """
        if Path(path).suffix.lower() != SUFFIX:
            raise UsageError(f"annotations are saved as {SUFFIX}; found {path}")
        atomic_write(path, self.to_json(), overwrite=overwrite)

    def changed(self, expressions: Iterable[Annotated], who: str) -> AnnotationFile:
        """A copy with other expressions; the changes are added to the history."""
        after = {e.id: e for e in expressions}
        if len(after) < len(ids := [e.id for e in expressions]):
            raise UsageError(f"every expression needs an id of its own; found {sorted(ids)}")
        before = {e.id: e for e in self.expressions}
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        made = []
        for one in sorted({*before, *after}):
            old, new = (vars(side[one]) if one in side else {} for side in (before, after))
            names = [n for n in {**old, **new} if old.get(n, ...) != new.get(n, ...)]
            if names:
                what = "add" if not old else "delete" if not new else ",".join(names)
                parts = ({n: side[n] for n in names if n in side} for side in (old, new))
                made.append(Change(who, when, what, one, *parts))
        order = sorted(after.values(), key=lambda e: (e.onset_s, e.offset_s, e.id))
        return replace(self, coder=who, expressions=tuple(order), history=(*self.history, *made))


def read_any(path: StrPath) -> AnnotationFile:
    """The annotations of a file of any format; of other programs' files only the times.

    Raises:
        UsageError: as `aumer.results.exchange.read_annotations`.
    """
    if Path(path).suffix.lower() == SUFFIX:
        return AnnotationFile.load(path)
    timed = read_annotations(path)
    with foreign(path, "annotations"):
        found = tuple(marked(timed))
    return AnnotationFile(video="", expressions=found, source=Path(path).name)


def marked(timed: Iterable[Timed]) -> Iterable[Annotated]:
    """Expressions that only have times as `Annotated`, with numbers as ids."""
    names = [f.name for f in fields(Timed)]
    for k, e in enumerate(timed, 1):
        said = {n: getattr(e, n) for n in names}
        yield Annotated(**said, id=f"e{k}")


def of_result(result: SpotResult) -> AnnotationFile:
    """A result's expressions as annotations, for a coder to start from."""
    return of_expressions(result.expressions, result)


def of_expressions(expressions: Iterable[Expression], result: SpotResult) -> AnnotationFile:
    """Given expressions of a result's video as annotations."""
    found = tuple(
        Annotated(
            e.kind, e.onset_s, e.offset_s, e.apex_s, e.label and printable(e.label), e.score,
            f"e{k}", e.onset, e.apex, e.offset, aus=au_text(e.aus) or None,
        )
        for k, e in enumerate(expressions, 1)
    )  # fmt: skip
    return AnnotationFile(
        video=result.video.name, expressions=found, content=result.digests.get("content")
    )


def placed(expressions: Iterable[Annotated], times: TimeArray) -> tuple[Annotated, ...]:
    """The expressions with frames of a video: those nearest to their times.

    Args:
        times: (T,) seconds of its frames.
    """

    def near(time_s: float) -> int:
        return int(np.abs(times - time_s).argmin())

    found = []
    for e in expressions:
        apex = None if e.apex_s is None else near(e.apex_s)
        moved = replace(e, onset=near(e.onset_s), apex=apex, offset=near(e.offset_s))
        found.append(timed_by(moved, times))
    return tuple(found)


def in_frames(
    file: AnnotationFile, times: TimeArray, content: str | None
) -> tuple[AnnotationFile, bool]:
    """A file's expressions in frames of a video, and whether the file was made for another video:
    by its digest, or, without one, by its length or by an expression that ends after the video.

    If it was made for this video its frames are used, otherwise the frames nearest to its times.

    Args:
        times: (T,) seconds of the video's frames.
        content: the video's digest.
    """
    ours = content is not None and file.content == content
    fits = all(e.offset is not None and e.offset < len(times) for e in file.expressions)
    if ours and fits:  # a result has times of rows, not of frames
        found = tuple(timed_by(e, times) for e in file.expressions)
    else:
        found = placed(file.expressions, times)
    late = max((e.offset_s for e in file.expressions), default=0.0) > times[-1] + LATE_S
    longer = file.frames not in (None, len(times))
    other = not ours if file.content is not None else late or longer
    return replace(file, expressions=found), other


def timed_by(e: Annotated, times: TimeArray) -> Annotated:
    """A copy with the times of its frames."""
    assert e.onset is not None and e.offset is not None, "it has frames"
    return replace(
        e,
        onset_s=float(times[e.onset]),
        offset_s=float(times[e.offset]),
        apex_s=None if e.apex is None else float(times[e.apex]),
    )


def moments(expressions: Iterable[Annotated]) -> list[tuple[Kind, Moment]]:
    """Kind and frames of expressions that have frames; a missing apex becomes the onset."""
    found = []
    for e in expressions:
        if e.onset is not None and e.offset is not None:
            apex = e.onset if e.apex is None else e.apex
            found.append((e.kind, Moment(e.onset, e.offset, apex)))
    return found


def path_for(video: Path, coder: str) -> Path:
    """Path of a coder's annotations of a video: ``VIDEO.CODER.annotations`` beside it.

    Raises:
        UsageError: the coder's name is empty, too long, or not printable text.
    """
    name = coder.strip()
    if not 0 < len(name) <= _NAME or not name.isprintable():
        raise UsageError(
            f"a coder's name must have 1 to {_NAME} characters without line breaks; found {coder!r}"
        )
    plain = "".join(c if c.isalnum() else "-" for c in unicodedata.normalize("NFC", name))
    return video.with_name(f"{video.name}.{plain.casefold()}{SUFFIX}")


class Annotations(Exchange):
    """A coder's file as saved by `aumer view`, with frames, comments, history and the video's
    digest.

    Made from a result it has the video's digest; made from other formats only times.
    """

    use = "`aumer view`"
    holds = "a coder's intervals, comments, history, the video's digest"
    more = "the history of changes, the video's digest"

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        own = tuple(e for e in timed if isinstance(e, Annotated))
        found = own if len(own) == len(timed) else tuple(marked(timed))
        return AnnotationFile(name, found).to_json()

    def parse(self, text: str) -> tuple[Timed, ...]:
        return AnnotationFile.from_json(text).expressions

    def named(self, text: str) -> Mapping[str, tuple[Timed, ...]]:
        file = AnnotationFile.from_json(text)
        return {file.video: file.expressions}

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        of_result(result).save(path, overwrite=overwrite)


def expression_of(node: Node, times: TimeArray) -> Annotated:
    """An expression in frames from the page's JSON, with the times of these frames.

    Raises:
        UsageError: a member is missing or wrong, or the frames do not exist.
    """

    def frame(name: str) -> int:
        if not 0 <= (found := node[name].integer()) < len(times):
            node[name].fail(f"a frame from 0 to {len(times) - 1}")
        return found

    onset, offset = frame("onset"), frame("offset")
    apex = None if node["apex"].value is None else frame("apex")
    return node.build(
        lambda: Annotated(
            kind=cast(Kind, node["kind"].text()),
            onset_s=float(times[onset]),
            offset_s=float(times[offset]),
            apex_s=None if apex is None else float(times[apex]),
            label=node["label"].optional(_words) or None,
            score=node["score"].optional(Node.number),
            id=_words(node["id"]),
            onset=onset,
            apex=apex,
            offset=offset,
            comment=_words(node["comment"]),
            confirmed=bool(_flag(node["confirmed"])),
            aus=_aus(node),
        )
    )


def _expression(node: Node) -> Annotated:
    return node.build(
        lambda: Annotated(
            kind=cast(Kind, node["kind"].text()),
            onset_s=node["onset_s"].number(),
            offset_s=node["offset_s"].number(),
            apex_s=node["apex_s"].optional(Node.number),
            label=node["label"].optional(_words),
            score=node["score"].optional(Node.number),
            id=_words(node["id"]),
            onset=node["onset"].optional(Node.integer),
            apex=node["apex"].optional(Node.integer),
            offset=node["offset"].optional(Node.integer),
            comment=_words(node["comment"]),
            confirmed=_flag(node["confirmed"]),
            aus=_aus(node),
        )
    )


def _aus(node: Node) -> str | None:
    """Old files, and new expressions of the page, have no action units."""
    return node["aus"].optional(Node.text) if "aus" in node.value else None


def _change(node: Node) -> Change:
    def side(name: str) -> dict[str, Any]:
        return node[name].mapping(lambda n: n.value)

    who, when, what, one = (node[name].text() for name in ("who", "when", "what", "id"))
    return Change(who, when, what, one, side("before"), side("after"))


def _words(node: Node) -> str:
    """A string. JSON escapes may contain lone surrogates, which UTF-8 cannot hold."""
    return printable(node.text())


def _flag(node: Node) -> bool:
    if not isinstance(node.value, bool):
        node.fail("true or false")
    return bool(node.value)


def _dumps(value: Any) -> str:
    # `printable` turns what UTF-8 cannot hold into JSON's escape.
    return printable(
        json.dumps(jsonable(value, "annotations"), allow_nan=False, ensure_ascii=False)
    )
