"""The table of inputs: the outcome of each, including failed ones and those without expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from aumer.errors import NoFaceError, NoMotionError
from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.results.writers import about_columns
from aumer.tables.cells import csv_lines

if TYPE_CHECKING:
    import pandas as pd

Status: TypeAlias = Literal["ok", "no face", "no motion", "failed", "not analyzed"]

#: The columns of a table of inputs and their pandas dtypes.
COLUMNS = {
    "input": "string",
    "video": "string",
    "face": "Int64",
    "status": "string",
    "reason": "string",
    "coverage": "float64",
    "frames": "Int64",
    "fps": "float64",
    "micro": "Int64",
    "macro": "Int64",
}


@dataclass(frozen=True)
class InputRow:
    """The outcome of one input, or of one face in it; values are None if it was not analyzed.

    Attributes:
        input: as it was given.
        video: its name in the table of expressions.
        face: the face's number, if each face has its own result.
        reason: reason of a status other than "ok".
        coverage: share of the time in which motion was measured.
        frames: number of analyzed frames.
        fps: frame rate of the video, if stated.
        micro, macro: numbers of expressions.
        about: further columns, text by name.
    """

    input: str
    video: str
    status: Status = "not analyzed"
    reason: str = ""
    face: int | None = None
    coverage: float | None = None
    frames: int | None = None
    fps: float | None = None
    micro: int | None = None
    macro: int | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        given: object,
        outcome: SpotResult | BaseException | None,
        *,
        video: str | None = None,
        reason: str | None = None,
        about: Mapping[str, str] | None = None,
    ) -> InputRow:
        """The row for an input.

        Args:
            given: the input of `aumer.spot`.
            outcome: its result, or its error; None if it was not analyzed.
            video: its name in the table of expressions; by default that of the result.
            reason: replaces the text of the error.
            about: further columns, text by name.
        """
        text = printable(str(given))
        about = about or {}
        if isinstance(outcome, SpotResult):
            return cls(
                text,
                printable(video or outcome.video.name),
                "ok",
                face=outcome.face,
                coverage=outcome.coverage,
                frames=_frames(outcome),
                fps=outcome.video.fps,
                micro=len(outcome.micro),
                macro=len(outcome.macro),
                about=about,
            )
        name = printable(video or text)
        if outcome is None:
            return cls(text, name, about=about)
        reason = " ".join((reason or str(outcome)).split()) or type(outcome).__name__
        return cls(text, name, _status(outcome), printable(reason), about=about)


def _status(error: BaseException) -> Status:
    if isinstance(error, NoMotionError):
        return "no motion"
    return "no face" if isinstance(error, NoFaceError) else "failed"


def _frames(result: SpotResult) -> int:
    if result.frames is not None:
        return result.frames
    frames = result.scores.frames  # results of earlier versions: nearest frame of each row
    return int(frames.max() - frames.min()) + 1 if len(frames) else 0


def inputs_csv(rows: Iterable[InputRow]) -> str:
    """A header and the rows; see `COLUMNS`. Unknown values are empty."""
    rows = list(rows)
    _, cells = _cells(rows)
    return inputs_header(row.about for row in rows) + csv_lines(cells)


def inputs_header(abouts: Iterable[Mapping[str, str]]) -> str:
    """The header of `inputs_csv`, with further columns."""
    return csv_lines([(*COLUMNS, *about_columns(abouts, COLUMNS).values())])


def inputs_dataframe(rows: Iterable[InputRow]) -> pd.DataFrame:
    """The same as a DataFrame, with the same dtypes if there are no rows."""
    import pandas as pd

    columns, cells = _cells(rows)
    return cast("pd.DataFrame", pd.DataFrame(cells, columns=list(columns)).astype(columns))


def _cells(rows: Iterable[InputRow]) -> tuple[dict[str, str], list[list[Any]]]:
    """Columns with dtypes, and the cells."""
    rows = list(rows)
    more = about_columns((row.about for row in rows), COLUMNS)
    cells = [
        [*(getattr(row, name) for name in COLUMNS), *(row.about.get(name) for name in more)]
        for row in rows
    ]
    return COLUMNS | dict.fromkeys(more.values(), "string"), cells
