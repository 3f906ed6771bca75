"""The page of a study: rows side by side, and each row's difference to the base row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aumer.report import figures
from aumer.report.page import (
    Block,
    Cell,
    Drawing,
    LeftOut,
    Link,
    ListBlock,
    Section,
    TableBlock,
    page,
)
from aumer.report.page import Text as Paragraph
from aumer.report.report import ReportPage

#: A value with its interval; its ends are `None` if unknown.
Spread = tuple[float | None, float | None, float | None]


@dataclass(frozen=True, eq=False)
class Forest:
    """One score of one data set.

    Attributes:
        values, differences: by row; the base row has no difference.
    """

    data_set: str
    score: str
    values: Mapping[str, Spread]
    differences: Mapping[str, Spread]


@dataclass(frozen=True)
class StudyRowFacts:
    """A row's description and status; see `aumer.bench.studied.StudiedRow`.

    Attributes:
        page: address of its own report beside this page; `None` if there is none.
    """

    name: str
    model: str
    description: str
    status: str
    words: str
    parameters: int | None
    minutes: float | None
    page: str | None = None


@dataclass(frozen=True, eq=False)
class StudyPage:
    """The content of the page.

    Attributes:
        tables: by data set, a header and a line for each row.
        published: a header and a line for each row with published figures; empty without.
        remarks: notes for the reader, a sentence each.
        command: the command line; "" for a run from Python.
    """

    title: str
    base: str
    rows: tuple[StudyRowFacts, ...]
    tables: Sequence[tuple[str, Sequence[Sequence[str]]]]
    published: Sequence[Sequence[str]]
    forests: tuple[Forest, ...]
    remarks: Sequence[str]
    command: str = ""


def study_report(study: StudyPage) -> ReportPage:
    """The page of a study: differences to the base row, scores, rows, published figures,
    provenance.

    Rows that failed, were left out or have not been run are listed with the reason.
    """
    undone = [row for row in study.rows if row.status != "done"]
    facts = [
        f"{len(study.rows) - len(undone)} of {len(study.rows)} rows are done",
        f"The others are held to the row {study.base}",
    ]
    warnings = [f"Row {row.name}: {row.status}: {row.words}" for row in undone]
    drawings = [_drawing(study, forest) for forest in study.forests]
    sections = [
        Section(f"Differences to {study.base}", drawings or [LeftOut("no row is done.")]),
        Section("Scores", [_scores(name, table) for name, table in study.tables]),
        Section("Rows", [_rows(study.rows)]),
        *_published(study.published),
        Section("How to read it, and how it was made", _made(study)),
    ]
    drawn = {d.name: d.figure for d in drawings}
    return ReportPage(page(study.title, facts, warnings, sections), drawn)


def _drawing(study: StudyPage, forest: Forest) -> Drawing:
    where = "" if forest.data_set == "all" else f" on {forest.data_set}"
    clear = [
        name
        for name, (_, low, high) in forest.differences.items()
        if low is not None and high is not None and low * high > 0
    ]
    sentence = (
        f"Clear of zero: {', '.join(clear)}." if clear else "No row's interval is clear of zero."
    )
    return Drawing(
        f"{forest.data_set}-{forest.score}".replace(" ", "-").lower(),
        figures.forest(forest.values, forest.differences, study.base, forest.score),
        f"{forest.score}{where}. Left: each row's score with its interval. Right: the row less "
        f"{study.base}, over the same resamples of subjects (95 %); right of the line is better. "
        f"{sentence} Intervals are of one comparison each.",
        f"{forest.score}{where} by row, and its difference to {study.base}. {sentence}",
    )


def _scores(data_set: str, table: Sequence[Sequence[str]]) -> Block:
    head, *rows = table
    where = "" if data_set == "all" else f" on {data_set}"
    return TableBlock(
        head,
        rows,
        f"Scores{where}, means over seeds. In brackets 95 % over resampled subjects, or the range "
        "of the seeds where that is wider.",
    )


def _rows(rows: Sequence[StudyRowFacts]) -> Block:
    cells: list[list[Cell]] = [
        [
            row.name if row.page is None else Link(row.name, row.page),
            row.model or None,
            row.description or None,
            None if row.parameters is None else f"{row.parameters}",
            row.status,
            row.words or None,
        ]
        for row in rows
    ]
    return TableBlock(
        ("row", "model", "what it changes", "parameters", "status", "why"),
        cells,
        "What each row is. Parameters are the learned numbers of its network.",
    )


def _published(table: Sequence[Sequence[str]]) -> list[Section]:
    if not table:
        return []
    head, *rows = table
    caption = (
        "What the publication prints for these rows, by its own split, selection and scoring: its "
        "differences may be compared with these, its levels hardly."
    )
    return [Section("Published figures", [TableBlock(head, rows, caption)])]


def _made(study: StudyPage) -> list[Block]:
    blocks: list[Block] = [ListBlock(list(study.remarks))]
    if study.command:
        blocks += [Paragraph("The command:"), Paragraph(study.command, literal=True)]
    return blocks
