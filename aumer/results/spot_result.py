"""`SpotResult`: the expressions found in one video, and how they were found."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast, overload

import numpy as np
import numpy.typing as npt

from aumer.arguments import require_path
from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write
from aumer.foreign import reason, shown
from aumer.results.schema import (
    Node,
    compact,
    compact_text,
    jsonable,
    printable,
    units_read,
    units_written,
)
from aumer.types import (
    Expression,
    FaceTrack,
    Features,
    ImageArray,
    Kind,
    Scores,
    VideoInfo,
    au_text,
    by_kind,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SCHEMA = "aumer.spot_result"
SCHEMA_VERSION = 1

#: Most rows of the table in a repr; the others are counted.
_REPR_ROWS = 30


@dataclass(frozen=True, eq=False, repr=False)
class SpotResult:
    """The expressions of one video, the scores that they come from, and everything needed to repeat
    the run.

    Two results are equal when everything that is saved is equal (NaN equals NaN). Results are not
    hashable.

    Attributes:
        video: properties of the source.
        expressions: the spotted expressions; may be empty.
        scores: the spotter's tracks, (T, K) float32 in [0, 1], NaN without a face.
        coverage: share of the time with measured motion, in [0, 1]. The rest has no usable face,
            too large gaps between frames, or cuts.
        spotter: the spotter's name.
        settings: the settings of the run, nested, with JSON values (tuples become lists).
        digests: digests of everything that the result was computed from: ``content``, ``settings``,
            ``graph``, ...
        versions: of aumer and of the packages that can change results.
        devices: the torch device of "motion", "spotter" and "recognizer", as far as they were at
            work: "cpu", "cuda", ... Motion from a cache may have been measured on another one. Not
            compared.
        face: the face's number by first appearance, if all faces or a number were requested; else
            None.
        notes: warnings of the run and other remarks: several faces, a rotated picture.
        limit: the smallest movement of this face that rises above its noise, in outer-eye
            distances: the median over movements of the rules' threshold
            (`aumer.spotting.noise.limits`). The rules miss smaller ones, so an empty result does
            not mean that there was no expression. None if unknown.
        limits: the same by region, "brow" and "mouth"; empty if unknown.
        frames: number of analyzed frames; None if unknown.
        about: further facts about the video, text by column: subject, condition, ... (from a
            manifest of `aumer spot`); they become columns of tables.
        features: the motion that the scores come from, for plots; neither saved nor compared.
        track: the track of the face, for plots; neither saved nor compared.
        source: the video's file, or its folder of frames, for links and films of faces; neither
            saved nor compared. None for other sources and loaded results.

    Raises:
        ValueError: a coverage outside [0, 1], two channels of one name, or a value that JSON
            cannot hold (an infinite number, an object among the settings), or a limit that is not
            positive.

    Example:
        >>> aumer.spot("interview.mp4").save("interview.json")
        >>> result = aumer.SpotResult.load("interview.json")
        >>> len(result.micro), len(result.macro)
        (0, 1)
        >>> result.to_dataframe()[["kind", "onset", "offset"]]
            kind  onset  offset
        0  macro     19      41
    """

    video: VideoInfo
    expressions: tuple[Expression, ...]
    scores: Scores
    coverage: float
    spotter: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict, compare=False)
    face: int | None = None
    notes: tuple[str, ...] = ()
    limit: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    frames: int | None = None
    features: Features | None = field(default=None, compare=False)
    track: FaceTrack | None = field(default=None, compare=False)
    source: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.coverage <= 1.0:
            raise ValueError(f"coverage must lie in [0, 1]; found {self.coverage}")
        if len(set(self.scores.channels)) != len(self.scores.channels):
            raise ValueError(f"two score channels share a name: {', '.join(self.scores.channels)}")
        if np.isinf(self.scores.values).any() or not np.isfinite(self.scores.times).all():
            raise ValueError("scores must be finite or NaN, and their times finite")
        if self.scores.values.dtype != np.float32:
            raise ValueError(f"scores must be float32, found {self.scores.values.dtype}")
        for limit in (self.limit, *self.limits.values()):
            if limit is not None and not limit > 0:
                raise ValueError(f"limits must be > 0 outer-eye distances; found {limit}")
        object.__setattr__(self, "expressions", tuple(self.expressions))
        for name in ("settings", "digests", "versions", "devices", "limits", "about"):
            # A copy, since the caller may change the dict later.
            object.__setattr__(self, name, jsonable(getattr(self, name), name))
        object.__setattr__(self, "notes", tuple(map(str, self.notes)))
        self._head()

    @property
    def micro(self) -> tuple[Expression, ...]:
        """The micro-expressions, in order."""
        return by_kind(self.expressions, "micro")

    @property
    def macro(self) -> tuple[Expression, ...]:
        """The macro-expressions, in order."""
        return by_kind(self.expressions, "macro")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpotResult):
            return NotImplemented
        a, b = self.scores, other.scores
        return (
            {**self._head(), "devices": None} == {**other._head(), "devices": None}
            and a.channels == b.channels
            and np.array_equal(a.values, b.values, equal_nan=True)
            and np.array_equal(a.times, b.times)
            and np.array_equal(a.frames, b.frames)
            and np.array_equal(a.valid, b.valid)
        )

    # -- JSON ---------------------------------------------------------------------------------

    def _head(self) -> dict[str, Any]:
        """Everything that is saved except the scores, as JSON values."""
        head = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "spotter": self.spotter,
            "video": self.video.to_dict(),
            "coverage": self.coverage,
            "face": self.face,
            "notes": self.notes,
            "limit": self.limit,
            "limits": self.limits,
            "about": self.about,
            "frames": self.frames,
            "expressions": [{**vars(e), "aus": units_written(e.aus)} for e in self.expressions],
            "settings": self.settings,
            "digests": self.digests,
            "versions": self.versions,
            "devices": self.devices,
        }
        return {key: jsonable(value, key) for key, value in head.items()}

    def to_dict(self) -> dict[str, Any]:
        """The result as dict, list, str, int, float, bool and None: the content of the JSON file.

        Frames are 0-based decode ordinals and intervals closed; times are seconds. ``scores`` has
        one list for each channel, and ``times``, ``frames`` and ``valid``, all of equal length; NaN
        is None.
        """
        scores = self.scores
        return self._head() | {
            "scores": {
                "times": scores.times.tolist(),
                "frames": scores.frames.tolist(),
                "valid": scores.valid.tolist(),
                "channels": {name: compact(scores.channel(name)) for name in scores.channels},
            }
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SpotResult:
        """The inverse of `to_dict`: ``from_dict(r.to_dict()) == r``.

        Unknown members are ignored: later versions may add members; the schema version increases
        only if meanings change.

        Raises:
            UsageError: not a spot result, a newer schema, or a member that is missing or wrong;
                the message names it.
        """
        root = Node(data)
        if (schema := root["schema"]).text() != SCHEMA:
            schema.fail(repr(SCHEMA))
        version = root["schema_version"]
        if version.integer() > SCHEMA_VERSION:
            raise UsageError(
                f"schema_version is {version.value}, this aumer reads up to {SCHEMA_VERSION}: the "
                "result was written by a newer aumer; update this one (pip install -U aumer)"
            )
        if version.integer() != SCHEMA_VERSION:
            version.fail(str(SCHEMA_VERSION))
        # Texts, numbers and structure are checked when read; other conditions (onset <= apex,
        # shapes) are checked by the types, and `build` adds the path.
        return root.build(
            lambda: cls(
                video=_video(root["video"]),
                expressions=tuple(_expression(e) for e in root["expressions"].elements()),
                scores=_scores(root["scores"]),
                coverage=root["coverage"].number(),
                spotter=root["spotter"].text(),
                settings=root["settings"].mapping(lambda node: node.value),
                digests=root["digests"].mapping(Node.text),
                versions=root["versions"].mapping(Node.text),
                # Older results lack these members.
                devices=root["devices"].mapping(Node.text) if "devices" in data else {},
                face=root["face"].optional(Node.integer) if "face" in data else None,
                notes=tuple(n.text() for n in root["notes"].elements()) if "notes" in data else (),
                limit=root["limit"].optional(Node.number) if "limit" in data else None,
                limits=root["limits"].mapping(Node.number) if "limits" in data else {},
                about=root["about"].mapping(Node.text) if "about" in data else {},
                frames=root["frames"].optional(Node.integer) if "frames" in data else None,
            )
        )

    @overload
    def to_json(self, path: None = None, *, overwrite: bool = False) -> str: ...
    @overload
    def to_json(self, path: StrPath, *, overwrite: bool = False) -> None: ...
    def to_json(self, path: StrPath | None = None, *, overwrite: bool = False) -> str | None:
        """The JSON text, or, given a path, write it to this file (errors as `save`).

        Strict RFC 8259 in ASCII; one top-level member or expression per line, so that the head of a
        long result can be read and results can be compared by line.
        """
        if path is None:
            return "".join(self._json())

        def save(file: IO[bytes]) -> None:
            for piece in self._json():
                file.write(piece.encode("ascii"))

        atomic_write(path, save, overwrite=overwrite)
        return None

    def _json(self) -> Iterator[str]:
        """The text in pieces: the scores of ten hours have hundreds of megabytes."""
        yield "{"
        for key, value in self._head().items():
            text = _dumps(value)
            if key == "expressions" and value:
                text = "[\n  " + ",\n  ".join(map(_dumps, value)) + "\n ]"
            yield f"\n {_dumps(key)}: {text},"
        scores = self.scores
        yield '\n "scores": {'
        for name in ("times", "frames", "valid"):
            yield f'"{name}":'
            yield from _listed(getattr(scores, name))
            yield ","
        yield '"channels":{'
        for k, name in enumerate(scores.channels):
            yield f"{',' * bool(k)}{_dumps(name)}:"
            yield from _listed(scores.channel(name))
        yield "}}\n}\n"

    @classmethod
    def from_json(cls, text: str) -> SpotResult:
        """The result in a JSON text; `load` reads a file.

        Raises:
            UsageError: invalid JSON (the message says where), or as `from_dict`.
        """
        try:
            data = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"not JSON: {reason(error)}") from error
        return cls.from_dict(data)

    @classmethod
    def load(cls, path: StrPath) -> SpotResult:
        """The result in a JSON file of `save`, or in a registered format that can be read.

        Raises:
            UsageError: the file cannot be read or does not hold a spot result; the message names
                the file, and the member that is missing or wrong.
        """
        from aumer.results.formats import Json, format_of, suffixes

        require_path("path", path)
        known = Path(path).suffix.lower() in suffixes()
        return (format_of(path) if known else Json()).read(path)

    # -- tables, plots, files -------------------------------------------------------------------

    @overload
    def to_csv(self, path: None = None, *, overwrite: bool = False) -> str: ...
    @overload
    def to_csv(self, path: StrPath, *, overwrite: bool = False) -> None: ...
    def to_csv(self, path: StrPath | None = None, *, overwrite: bool = False) -> str | None:
        """The CSV text, or, given a path, write it to this file (errors as `save`).

        One row per expression, the columns of `to_dataframe`; only the header if there are none.
        """
        from aumer.results.writers import csv_text

        return _deliver(csv_text([self]), path, overwrite)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per expression, with the same dtypes if there are no rows.

        Columns: video, kind (string); onset, apex, offset (int64, 0-based frames, closed); onset_s,
        apex_s, offset_s, duration_s, score (float64; seconds, and [0, 1]); label (string); probs
        (string: a JSON object, probability by class); face (Int64: its number, if several are
        followed); peak, duration_sd_s, micro_probability, limit (float64: units of noise, seconds,
        [0, 1], and outer-eye distances, the result's limit in each of its rows; NaN where unknown);
        spotter (string); aus (string: the acting action units in coders' notation, "6+L12"; NA if
        none were read); au_probs (string: a JSON object of probabilities by action unit); and the
        columns of `about` (string), renamed to ``about_NAME`` if the name is taken.
        """
        from aumer.results.writers import dataframe

        return dataframe([self])

    def plot(
        self,
        path: StrPath | None = None,
        *,
        thumbnails: Mapping[int, ImageArray] | None = None,
        start: float | None = None,
        end: float | None = None,
        overwrite: bool = False,
    ) -> Figure:
        """The timeline as a figure, and, given a path, as a PNG file.

        See `aumer.results.plot_timeline`.
        """
        from aumer.results.plots import plot_timeline

        return plot_timeline(
            self, thumbnails=thumbnails, start=start, end=end, path=path, overwrite=overwrite
        )

    def save(
        self,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        """Write the result in the format of the suffix, complete or not at all.

        Args:
            path: ends in .json (everything), .csv (the expressions), .png, .pdf or .svg (the
                timeline), .html, .eaf, ...: any registered "format" (`aumer.results.formats`). Some
                formats write further files beside it.
            overwrite: replace an existing file.
            thumbnails: face images for the timeline, see `aumer.results.thumbnails`.

        Raises:
            UsageError: unknown suffix, an existing file without `overwrite`, a missing folder, or
                the system refuses to write.
        """
        from aumer.results.formats import format_of

        format_of(path).write(self, path, overwrite=overwrite, thumbnails=thumbnails)

    # -- display ---------------------------------------------------------------------------------

    def summary(self) -> str:
        """One line: video, numbers of expressions, coverage and spotter."""
        return (
            f"{self.title()}: {len(self.micro)} micro, {len(self.macro)} macro; "
            f"coverage {100 * self.coverage:.4g} %; spotter {self.spotter}"
        )

    def seen(self) -> str | None:
        """One line: the smallest detectable movement; None if unknown."""
        if self.limit is None:
            return None
        percent = f"{100 * self.limit:.2g} %"
        return f"smallest movement that stands out from noise: {percent} of the outer-eye distance"

    def title(self) -> str:
        """The video's name, and the face's number if there may be several."""
        name = shown(printable(self.video.name))
        return name if self.face is None else f"{name}, face {self.face}"

    def _table(self) -> tuple[list[list[str]], str]:
        """Header and rows as text, and a line that counts omitted rows (or an empty text)."""
        rows = [["kind", "onset", "apex", "offset", "onset_s", "duration_s", "score", "label"]]
        rows[0].append("AUs")
        for e in self.expressions[:_REPR_ROWS]:
            frames = [str(e.onset), str(e.apex), str(e.offset)]
            floats = [f"{e.onset_s:.3f}", f"{e.duration_s:.3f}", f"{e.score:.3f}"]
            rows.append([e.kind, *frames, *floats, e.label or "", au_text(e.aus) or ""])
        kept = [k for k in range(len(rows[0])) if k < 7 or any(row[k] for row in rows[1:])]
        rows = [[row[k] for k in kept] for row in rows]
        more = len(self.expressions) - _REPR_ROWS
        return rows, f"... and {more} more" if more > 0 else ""

    def __repr__(self) -> str:
        head = f"SpotResult {self.summary()}"
        if not self.expressions:
            return head
        rows, more = self._table()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n  ".join([head, *lines, *([more] if more else [])])

    def _repr_html_(self) -> str:
        """For a notebook: the timeline, the table, and films of the expressions.

        There is no separate `_repr_png_`: a notebook requests all representations and would store
        the timeline twice.

        Films need `source` and `track`: ``dataclasses.replace(result, source=None)`` shows no face.
        """
        from aumer.results.drawing import png
        from aumer.results.notebook import clips, table_html

        picture = base64.b64encode(png(self.plot())).decode("ascii")
        head = f"<p><b>SpotResult</b> {html.escape(self.summary())}</p>"
        head += f'<img style="max-width:100%" alt="timeline" src="data:image/png;base64,{picture}">'
        if not self.expressions:
            return head
        rows, more = self._table()
        films = "".join(clip.html for clip in clips(self))
        return f"{head}{table_html(rows)}{more}{f'<div>{films}</div>' if films else ''}"


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


#: Numbers of a list that are converted to text at a time.
_AT_ONCE = 1 << 14


def _listed(values: npt.NDArray[Any]) -> Iterator[str]:
    """The text of an array of scores as in `to_dict`, in pieces."""
    yield "["
    for begin in range(0, len(values), _AT_ONCE):
        piece = values[begin : begin + _AT_ONCE]
        if piece.dtype == np.float32:
            text = compact_text(np.ascontiguousarray(piece))
        else:
            text = _dumps(piece.tolist())[1:-1]
        yield "," * bool(begin) + text
    yield "]"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


@overload
def _deliver(text: str, path: None, overwrite: bool) -> str: ...
@overload
def _deliver(text: str, path: StrPath, overwrite: bool) -> None: ...
@overload
def _deliver(text: str, path: StrPath | None, overwrite: bool) -> str | None: ...
def _deliver(text: str, path: StrPath | None, overwrite: bool) -> str | None:
    if path is None:
        return text
    atomic_write(path, text, overwrite=overwrite)
    return None


def _video(node: Node) -> VideoInfo:
    source = node["source"]
    if source.text() not in (sources := ("file", "folder", "array", "camera", "features")):
        source.fail(f"one of {', '.join(sources)}")
    return VideoInfo(
        name=node["name"].text(),
        source=source.value,
        width=node["width"].integer(),
        height=node["height"].integer(),
        fps=node["fps"].optional(Node.number),
        frames_estimate=node["frames_estimate"].optional(Node.integer),
    )


def _expression(node: Node) -> Expression:
    # Older results lack these members.
    later: dict[str, Any] = {}
    there = (
        node.value if isinstance(node.value, Mapping) else ()
    )  # other types: `build` raises the error
    for name in ("peak", "duration_sd_s"):
        if name in there:
            later[name] = node[name].optional(Node.number)
    for name in ("duration_bias_s", "micro_max_s"):
        if name in there:
            later[name] = node[name].number()
    later["aus"] = units_read(node)
    return node.build(
        lambda: Expression(
            kind=cast(Kind, node["kind"].text()),
            onset=node["onset"].integer(),
            apex=node["apex"].integer(),
            offset=node["offset"].integer(),
            onset_s=node["onset_s"].number(),
            apex_s=node["apex_s"].number(),
            offset_s=node["offset_s"].number(),
            score=node["score"].number(),
            label=node["label"].optional(Node.text),
            probs=node["probs"].optional(lambda probs: probs.mapping(Node.number)),
            **later,
        )
    )


def _scores(node: Node) -> Scores:
    times = node["times"].times()
    tracks = node["channels"].mapping(Node.floats)
    for name, track in tracks.items():
        if track.shape != times.shape:
            raise UsageError(
                f"{node.path}.channels.{name} has {len(track)} values, {node.path}.times "
                f"{len(times)}; they must be equally many"
            )
    return node.build(
        lambda: Scores(
            values=np.stack(list(tracks.values()), axis=1)
            if tracks
            else np.empty((len(times), 0), np.float32),
            times=times,
            frames=node["frames"].integers(),
            valid=node["valid"].booleans(),
            channels=tuple(tracks),
        )
    )
