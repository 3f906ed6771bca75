"""Reading and writing expressions in files of other programs: what their formats have in common.

In such files only expressions are read: subtitles of speech and other speakers are ignored. Times
are integer milliseconds, and intervals half open: the last frame's time is written as the end of
its millisecond, and read back as the start of it, so that repeated conversion never changes a time
by more than 1 ms.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from abc import abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aumer._moved import moved
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write, check_target
from aumer.foreign import foreign, reason
from aumer.results.formats import Format, Json, ending, format_named, format_of, suffixes
from aumer.results.schema import printable
from aumer.tables.cells import encoding_of
from aumer.tables.intervals import named_like
from aumer.types import KINDS, ImageArray, Kind, au_text

if TYPE_CHECKING:
    from aumer.results.spot_result import SpotResult


@dataclass(frozen=True)
class Timed:
    """One expression with times only; `None` for what the file does not state.

    Attributes:
        onset_s, apex_s, offset_s: in seconds; the offset is the time of the last frame.
        aus: the acting action units, in coders' notation: "6+L12".
        comment: the comment of a coder.

    Raises:
        ValueError: unknown kind, or times that are negative or out of order.
    """

    kind: Kind
    onset_s: float
    offset_s: float
    apex_s: float | None = None
    label: str | None = None
    score: float | None = None
    aus: str | None = field(default=None, kw_only=True)
    comment: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")
        times = [t for t in (self.onset_s, self.apex_s, self.offset_s) if t is not None]
        if not all(map(math.isfinite, times)) or times[0] < 0 or times != sorted(times):
            raise ValueError(f"times must be 0 <= onset <= apex <= offset; found {times}")

    @property
    def told(self) -> Mapping[str, Any]:
        """Values besides kind and interval, by the names in `_TOLD`. For an apex, which formats
        round, whether there is one.
        """
        apex = self.apex_s is not None
        found = {name: getattr(self, name) for name in ("label", "score", "aus", "comment")}
        return {"apex_s": apex, **found}


#: Most bytes of a file of annotations, a thousand times as many as an hour needs.
_LARGEST = 512 << 20


def read_annotations(path: StrPath, *, video: str | None = None) -> tuple[Timed, ...]:
    """The expressions in a result (.json) or in a file of any annotation format.

    Args:
        video: the video, if a table (.csv) or .rttm file contains several; see `annotated_videos`.

    Raises:
        UsageError: the suffix is unknown, its format cannot be read, the file has another format,
            or it contains several videos and `video` does not name one of them.

    Example:
        >>> aumer.spot("interview.mp4").save("interview.eaf")
        >>> [(e.kind, e.onset_s, e.offset_s) for e in aumer.read_annotations("interview.eaf")]
        [('macro', 0.633, 1.366)]
    """
    return _read(path, video)[1]


def annotated_videos(path: StrPath) -> tuple[str, ...]:
    """The videos named in a file of annotations, in order; most formats name none."""
    return tuple(name for name in _exchange(path).videos(path) if name)


def _read(path: StrPath, video: str | None) -> tuple[str, tuple[Timed, ...]]:
    """The video named in a file (or an empty string) and its expressions."""
    made = format_of(path)
    if isinstance(made, Json):
        result = made.read(path)
        found: Mapping[str, tuple[Timed, ...]] = {result.video.name: timed_of(result)}
    else:
        found = _exchange(path).videos(path)
    names = [name for name in found if name]
    if video is None and len(found) > 1:
        raise UsageError(
            f"{path} holds expressions of {len(found)} videos: {_listed(names)}. Say of which with "
            "`video`"
        )
    if video is None:
        return next(iter(found.items()), ("", ()))
    name = named_like(video, names)
    if name is None:
        raise UsageError(
            f"{path} has no expression of a video {video!r}; "
            + (f"it names {_listed(names)}." if names else "it does not name its video; leave "
               "`video` out.")
            + did_you_mean(video, names)
        )  # fmt: skip
    return name, found[name]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(repr, names[:10])) + more


def _exchange(path: StrPath) -> Exchange:
    made = format_of(path)
    if not isinstance(made, Exchange):
        raise UsageError(f"{path} cannot be read as annotations; allowed are .json, {_endings()}")
    return made


@dataclass(frozen=True)
class Converted:
    """The outcome of `convert`.

    Attributes:
        count: number of expressions.
        lost: what the new file does not contain, in words; empty if nothing is lost.
    """

    count: int
    lost: str = ""


def convert(
    source: StrPath, target: StrPath, *, video: str | None = None, overwrite: bool = False
) -> Converted:
    """Convert a file of expressions to the format of another suffix.

    A result (.json) can be converted to any format, and files of annotations to one another. What a
    format cannot hold is lost: its class documents it, and the returned value says what was lost
    here.

    Args:
        video: see `read_annotations`.

    Raises:
        UsageError: as `read_annotations`; the target's format needs more than annotations; or the
            target exists and `overwrite` is False.
    """
    made = format_of(target)
    if isinstance(format_of(source), Json):
        from aumer.results.spot_result import SpotResult

        result = SpotResult.load(source)
        if video is not None:
            _read(source, video)  # refuses another video
        film = _film((source, target), result.video.name)
        replace(result, source=film).save(target, overwrite=overwrite)
        return Converted(len(result.expressions), made.lost(result))
    name, timed = _read(source, video)
    if not isinstance(made, Exchange):
        raise UsageError(
            f"{target} cannot be written: a result of aumer counts frames, and {source} holds "
            "times "
            f"alone. Choose a name that ends in one of {_endings()}"
        )
    film = _film((source, target), name or None)
    if not name:
        name = bare(Path(source).name) if film is None else film.name
    files = made.files(Path(target), printable(name), timed, film)
    _write(files, overwrite)
    more = "" if isinstance(_exchange(source), type(made)) else _exchange(source).more
    lost = lost_of(timed, [e for rows in made.videos(target).values() for e in rows])
    return Converted(len(timed), ", ".join(filter(None, (lost, more))))


#: Names of an expression's values, in the plural.
_TOLD: Mapping[str, str] = {
    "apex_s": "apexes",
    "label": "labels",
    "score": "scores",
    "aus": "action units",
    "comment": "comments",
    "confirmed": "marks of what was confirmed",
}


def lost_of(given: Sequence[Timed], left: Sequence[Timed]) -> str:
    """What is missing in converted expressions, in words: "apexes (3), scores (2)". A changed label
    counts, too.
    """

    words = []
    for name, plural in _TOLD.items():
        had, has = (Counter(e.told.get(name) for e in side) for side in (given, left))
        for none in (None, False, ""):
            del had[none]
        if missing := sum((had - has).values()):
            words.append(f"{plural} ({missing})")
    return ", ".join(words)


def _write(files: Mapping[Path, str], overwrite: bool) -> None:
    """Write all files, the requested one last; none if one exists."""
    for path in files:
        check_target(path, overwrite=overwrite)
    for path, text in files.items():
        atomic_write(path, text, overwrite=overwrite)


def bare(name: str) -> str:
    """The name of a file of annotations without its suffix."""
    found = annotation_ending(name) or Path(name).suffix
    return name[: len(name) - len(found)]


def _film(places: Iterable[StrPath], name: str | None) -> Path | None:
    """The video beside one of these files: with this name, or with that of the first file."""
    stem = bare(Path(next(iter(places := list(places)))).name)
    for folder in dict.fromkeys(Path(place).parent for place in places):
        for path in sorted(folder.glob("*")):
            if name is not None:
                fits = path.name == name
            else:
                is_film = (guess_type(path.name)[0] or "").startswith("video/")
                fits = is_film and (path.stem == stem or stem.startswith(f"{path.name}."))
            if fits:
                return path
    return None


def described(e: Timed) -> str:
    """The kind, and after a slash the label: for programs whose events have one name."""
    return e.kind if e.label is None else f"{e.kind}/{e.label}"


def parted(text: str) -> tuple[Kind | None, str | None]:
    """The inverse of `described`, ignoring the case of the kind; None for other texts.

    Also reads "micro: joy".
    """
    first, slash, label = text.partition("/")
    if not (kind := kind_of(first)):
        first, slash, label = text.partition(":")
        kind, label = kind_of(first), label.strip()
    return kind, label if kind and slash else None


def kind_of(text: str) -> Kind | None:
    return next((k for k in KINDS if k == text.strip().casefold()), None)


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Puts a position in the file before an error's message."""
    try:
        yield
    except (ValueError, KeyError) as error:
        raise ValueError(f"{place}: {reason(error)}") from error


def within(begin: float, apex: float | None, end: float) -> float | None:
    """An apex moved inside the interval if only rounding put it outside by up to a millionth."""
    if apex is None or not begin - 0.001 <= apex <= end + 0.001:
        return apex
    return min(max(begin, apex), end)


def lasting(
    kind: Kind,
    onset: str,
    apex: str | None,
    duration: str,
    label: str | None,
    score: str | None,
    aus: str | None,
    comment: str,
) -> Timed:
    """An expression from cells with its onset, its apex and how long it lasts, in seconds.

    Raises:
        ValueError: a cell is not a number.
    """
    begin = float(onset)
    end = begin + float(duration)
    return Timed(
        kind,
        begin,
        end,
        within(begin, None if apex is None else float(apex), end),
        label,
        None if score is None else float(score),
        aus=aus,
        comment=comment,
    )


def closed(begin: int, after: int) -> tuple[float, float]:
    """Seconds of the first and last frame of a half-open interval in milliseconds.

    Raises:
        ValueError: it ends before it begins.
    """
    if after < begin:
        raise ValueError(f"an interval ends at {after / 1000} s, before it begins ({begin / 1000})")
    return begin / 1000, max(begin, after - 1) / 1000


class Apexes:
    """Times of apexes, looked up by the interval that contains them."""

    def __init__(self, milliseconds: Iterable[int]) -> None:
        self._at = sorted(milliseconds)

    def within(self, begin: int, after: int) -> float | None:
        """The first apex in a half-open interval, in seconds."""
        k = bisect_left(self._at, begin)
        found = k < len(self._at) and self._at[k] < max(after, begin + 1)
        return self._at[k] / 1000 if found else None


def ms(seconds: float) -> int:
    """The millisecond that contains a time, with tolerance for rounding."""
    return math.floor(seconds * 1000 + 1e-6)


def annotation_endings() -> tuple[str, ...]:
    """Suffixes of all annotation formats, including registered ones."""
    names = [suffix[1:] for suffix in suffixes()]
    return tuple(ending(n) for n in names if isinstance(format_named(n), Exchange))


def annotation_ending(path: StrPath) -> str | None:
    """The suffix of a file of annotations; None if the name has no such suffix."""
    name = Path(path).name.lower()
    suffix = Path(name).suffix
    if suffix not in suffixes() or not isinstance(made := format_named(suffix[1:]), Exchange):
        return None
    return next((end for end in made.endings or (suffix,) if name.endswith(end)), None)


def _endings() -> str:
    return ", ".join(annotation_endings())


def tiers(timed: Sequence[Timed]) -> Iterator[tuple[str, list[Timed]]]:
    """Tiers by name, at least one of each kind, without overlaps within a tier."""
    for kind in KINDS:
        for k, lane in enumerate(_lanes([e for e in timed if e.kind == kind]) or [[]], 1):
            yield kind if k == 1 else f"{kind} {k}", lane


def kinds_of(names: Iterable[str]) -> dict[str, Kind]:
    """The kind of each tier whose name is one of `tiers`, ignoring case.

    Raises:
        ValueError: there is no such tier.
    """
    names = list(names)
    read = {name: re.sub(r" \d+$", "", name.strip()).casefold() for name in names}
    found = {name: kind for name, kind in read.items() if kind in KINDS}
    if not found:
        there = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"it has no tier {' or '.join(KINDS)}; its tiers are {there}")
    return found


def _lanes(timed: Sequence[Timed]) -> list[list[Timed]]:
    """As few lists without overlaps as possible, one per tier."""
    found: list[list[Timed]] = []
    for e in sorted(timed, key=lambda e: (e.onset_s, e.offset_s)):
        lane = next((lane for lane in found if ms(lane[-1].offset_s) < ms(e.onset_s)), None)
        if lane is None:
            found.append([e])
        else:
            lane.append(e)
    return found


class Exchange(Format):
    """Base class of text formats of other programs that are read back as `Timed`.

    Attributes:
        encoding: fallback encoding for bytes that are neither UTF-8 nor UTF-16, if the program uses
            one.
        more: further content besides expressions, in words.
    """

    encoding: ClassVar[str | None] = None
    more: ClassVar[str] = ""

    def videos(self, path: StrPath) -> Mapping[str, tuple[Timed, ...]]:
        """The expressions by name of video; an empty name if the file names none.

        Raises:
            UsageError: the file cannot be read or is not of this format.
        """
        with foreign(path, "annotations"):
            return self.named(_text(Path(path), self.encoding))

    def named(self, text: str) -> Mapping[str, tuple[Timed, ...]]:
        """`videos` from a file's content."""
        return {"": tuple(map(cleaned, self.parse(text)))}

    def lost(self, result: SpotResult) -> str:
        timed = timed_of(result)
        words = lost_of(timed, self.parse(self.text(printable(result.video.name), timed)))
        return ", ".join(filter(None, (words, *self.unheld(result))))

    def unheld(self, result: SpotResult) -> Iterator[str]:
        """What a result contains besides expressions and this format does not."""
        if len(result.scores.times):
            yield "scores over time"
        if any(e.probs or e.aus for e in result.expressions):
            yield "probabilities"
        yield "settings and versions"

    @abstractmethod
    def text(self, name: str, timed: Sequence[Timed]) -> str:
        """The content of the file for a video of this name."""

    @abstractmethod
    def parse(self, text: str) -> tuple[Timed, ...]:
        """The inverse of `text`; may raise any error on other content."""

    def files(
        self,
        path: Path,
        name: str,
        timed: Sequence[Timed],
        film: Path | None = None,
        result: SpotResult | None = None,
    ) -> dict[Path, str]:
        """All files to write, content by path; `path` is the last.

        Args:
            name: name of the video.
            film: the video's file, if known.
            result: the result of the expressions, if any.
        """
        return {path: self.text(name, timed)}

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        name, timed = printable(result.video.name), timed_of(result)
        _write(self.files(Path(path), name, timed, result.source, result), overwrite)

    def alone(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        if self.companions(Path(path)):
            atomic_write(path, self.text(printable(result.video.name), timed_of(result)))
        else:
            self.write(replace(result, source=None), path)


def timed_of(result: SpotResult) -> tuple[Timed, ...]:
    """A result's expressions as `Timed`."""
    return tuple(
        Timed(
            e.kind,
            e.onset_s,
            e.offset_s,
            e.apex_s,
            None if e.label is None else printable(e.label),
            e.score,
            aus=au_text(e.aus) or None,
        )
        for e in result.expressions
    )


FACTS = ("label", "score", "aus", "comment")


def _text(path: Path, encoding: str | None) -> str:
    """The text of a file."""
    if (size := path.stat().st_size) > _LARGEST:
        raise ValueError(f"{size} bytes are more than annotations have ({_LARGEST} at most)")
    content = path.read_bytes()
    try:
        return content.decode(encoding_of(content))
    except UnicodeDecodeError:
        if encoding is None:
            raise
        return content.decode(encoding)


def lines_of(text: str) -> list[str]:
    """Lines with any line ending."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def cleaned(e: Timed) -> Timed:
    """The expression with characters that text files cannot hold escaped, and without empty
    texts.
    """
    label = None if e.label is None else printable(e.label)
    aus = printable(e.aus) if e.aus else None
    return replace(e, label=label, aus=aus, comment=printable(e.comment))


def some_of(names: Iterable[str]) -> str:
    """Some of the names, for a message."""
    found = sorted(names)
    return ", ".join(map(repr, found[:10])) + (", ..." if len(found) > 10 else "")


def clock_of(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def one_line(timed: Timed) -> str:
    """The kind, and further values except the apex as a JSON object."""
    said = {name: value for name in FACTS if (value := getattr(timed, name)) is not None}
    if not timed.comment:
        del said["comment"]
    return timed.kind + (f" {json.dumps(said, ensure_ascii=False)}" if said else "")


def subtitle_lines(timed: Timed) -> list[str]:
    """The lines of a subtitle; a label is quoted as in JSON, so that it stays on one line."""
    text = {name: getattr(timed, name) for name in FACTS}
    apex = [] if timed.apex_s is None else [f"apex: {clock_of(ms(timed.apex_s), '.')}"]
    rest = [
        f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in text.items() if v not in (None, "")
    ]
    if timed.label == "":
        rest.insert(0, 'label: ""')
    return [timed.kind, *apex, *rest]


def heard(kind: Kind, first: str, rest: Iterable[str]) -> dict[str, Any] | None:
    """The values in the lines of an expression, by the names of `Timed`: lines of `subtitle_lines`
    or `one_line`, and lines added by hand; None if the first does not name the kind.

    A line without a known name is a comment, and so is an invalid number.
    """
    named, brace, inside = first.partition("{")
    if brace and kind_of(named) == kind and isinstance(known := _json(brace + inside), dict):
        first, lines = kind, [f"{key}: {json.dumps(value)}" for key, value in known.items()]
        rest = [*lines, *rest]
    found, label = parted(first)
    if found != kind:
        return None
    values: dict[str, Any] = {} if label is None else {"label": label}
    words = []
    for line in rest:
        key, colon, value = line.partition(":")
        key, value = key.strip().casefold(), value.strip()
        if not colon or key not in (*FACTS, "apex"):
            words.append(line)
            continue
        if key == "apex":
            values["apex_s"] = seconds_of(value)
            continue
        said = _json(value)
        fits = isinstance(said, (int, float) if key == "score" else str)
        if key == "score" and not fits:
            words.append(line)
        else:
            values[key] = said if fits else value
    if comment := "\n".join(filter(None, [values.get("comment", ""), *words])):
        values["comment"] = comment
    return values


def _json(text: str) -> Any:
    """The value of a JSON text; None if it is invalid."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def seconds_of(clock: str) -> float:
    total = 0.0
    for part in clock.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return round(total, 3)


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(  # for one release
        __name__,
        {
            "Rttm": "aumer.results.rttm",
            "SubRip": "aumer.results.subtitles",
            "TextGrid": "aumer.results.textgrid",
            "WebVtt": "aumer.results.subtitles",
        },
    )
