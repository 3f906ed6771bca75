"""The table of a study: figures of every row with intervals, and differences to the base row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer.bench.figure import Figure
from aumer.bench.result import Result
from aumer.bench.store import REPORT
from aumer.errors import UsageError
from aumer.evaluation.bootstrap import holm
from aumer.evaluation.power import Power, few_subjects
from aumer.tables.cells import csv_lines

if TYPE_CHECKING:
    from aumer.report.report import ReportPage

#: The page's name in a study's folder.
PAGE = "study.html"
#: Status of a row.
DONE, FAILED, LEFT_OUT, WAITING = "done", "failed", "left out", "not run"


@dataclass(frozen=True, eq=False)
class StudiedRow:
    """A row and its result.

    Attributes:
        model: its name, for people.
        description: its changes, on one line.
        status: `DONE`, `FAILED`, `LEFT_OUT` or `WAITING`.
        words: the reason if it is not done.
        note: a note for the reader.
        published: published figures for it, by name.
        figures: by data set and score; empty if it is not done.
        split: heading of its protocol, including the split.
        chosen_on: data on which the epoch was chosen.
        cautions: known biases of its scores.
        seeds, folds: their numbers.
        parameters: number of parameters of its network; `None` if there are none or it is unknown.
        minutes: total time of its folds.
        folder: folder of its run.
    """

    name: str
    model: str
    description: str
    status: str
    words: str = ""
    note: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[tuple[str, str], Figure] = field(default_factory=dict)
    split: str = ""
    chosen_on: str = ""
    cautions: tuple[str, ...] = ()
    seeds: int = 0
    folds: int = 0
    parameters: int | None = None
    minutes: float | None = None
    folder: Path | None = None


def tried(row: StudiedRow, result: Result[Any], parameters: int | None) -> StudiedRow:
    """A row with the result of its run."""
    return replace(
        row,
        model=result.model,
        status=DONE,
        words="",
        figures=result.compared_figures(),
        split=result.protocol.heading,
        chosen_on=result.chosen_on(),
        cautions=result.cautions(),
        seeds=len(result.protocol.seeds),
        folds=len(result.folds),
        parameters=parameters,
        minutes=result.run.seconds / 60,
        folder=result.run.folder,
    )


@dataclass(frozen=True)
class Line:
    """One score of one row.

    Attributes:
        value: mean over seeds; `None` for a row that is not done.
        low, high: 95 % interval over subjects, or the range of the seeds if it is wider;
            `interval_over` says which.
        less_base, less_base_low, less_base_high: the row's score minus the base row's, and its 95 %
            interval over the same resamples of subjects; `None` for the base row, or without a
            base.
        p, p_holm: two-sided p-values of this difference: uncorrected, and with Holm's correction
            for all rows compared by this score.
        seeds_range: the larger range of the seeds of the two rows. If it exceeds the width of the
            interval, another training may reverse the difference.
        subjects: number of test subjects.
        detectable: the smallest true difference to the base that is detected with a power of 80 %
            over these subjects; `None` if unknown (`aumer.evaluation.power`).
        words: the reason for a missing figure or difference.
    """

    row: str
    model: str
    changes: str
    status: str
    data_set: str = ""
    score: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval_over: str = ""
    less_base: float | None = None
    less_base_low: float | None = None
    less_base_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    seeds_range: float | None = None
    seeds: int | None = None
    folds: int | None = None
    parameters: int | None = None
    minutes: float | None = None
    subjects: int | None = None
    detectable: float | None = None
    words: str = ""

    @property
    def seeds_vary_more(self) -> bool:
        """Whether the range of the seeds exceeds the width of the difference's interval."""
        if None in (self.seeds_range, self.less_base_low, self.less_base_high):
            return False
        return self.seeds_range > self.less_base_high - self.less_base_low  # type: ignore[operator]


@dataclass(frozen=True, eq=False)
class Studied:
    """A study with the results of its rows.

    Attributes:
        folder: folder of the study; `None` if it is not stored.
        notes: notes for the table.
    """

    name: str
    title: str
    base: str
    rows: tuple[StudiedRow, ...]
    folder: Path | None = None
    command: str = ""
    notes: tuple[str, ...] = ()

    @property
    def page_path(self) -> Path:
        """Path of the page.

        Raises:
            UsageError: the study is not stored.
        """
        if self.folder is None:
            raise UsageError(
                "this study has no page, as it was run without a folder: run it again with `folder`"
            )
        return self.folder / PAGE

    @property
    def failed(self) -> tuple[str, ...]:
        """The rows that failed in their last run."""
        return tuple(row.name for row in self.rows if row.status == FAILED)

    @property
    def heading(self) -> str:
        """The title with the present split."""
        split = next((row.split for row in self.rows if row.split), "")
        title = _line(self.title)
        return f"{title}. {split}" if split else title

    def lines(self) -> tuple[Line, ...]:
        """Every score of every row, in the order of rows; one line for a row that is not done."""
        base = next(row for row in self.rows if row.name == self.base)
        made = [line for row in self.rows for line in _lines(row, base)]
        groups: dict[tuple[str, str], list[int]] = {}
        for k, line in enumerate(made):
            if line.p is not None:
                groups.setdefault((line.data_set, line.score), []).append(k)
        for own in groups.values():
            corrected = holm([made[k].p or 0.0 for k in own])
            for k, p in zip(own, corrected, strict=True):
                made[k] = replace(made[k], p_holm=p)
        return tuple(made)

    def records(self) -> list[dict[str, Any]]:
        """The lines as JSON values."""
        return [asdict(line) for line in self.lines()]

    def to_csv(self) -> str:
        """The lines below a header; unknown values are empty."""
        records = self.records()
        return csv_lines([records[0], *(record.values() for record in records)])

    def to_markdown(self) -> str:
        """One table per data set, one line per row, and notes below."""
        parts = [f"## {self.heading}", ""]
        for data_set, table in self.tables():
            parts += [f"### {data_set}", ""] * (data_set != "all")
            head, *rows = table
            parts += [_piped(head), "|" + "---|" * len(head), *map(_piped, rows), ""]
        if published := self.published_table():
            head, *rows = published
            parts += ["Published, by rules of its own:", ""]
            parts += [_piped(head), "|" + "---|" * len(head), *map(_piped, rows), ""]
        parts += [f"- {remark}" for remark in self.remarks()]
        parts.append(f"- command: `{self.command or 'from Python'}`")
        return "\n".join(parts) + "\n"

    def tables(self) -> Iterator[tuple[str, list[list[str]]]]:
        """By data set, a header and a line for each row, as text."""
        lines = self.lines()
        for data_set in dict.fromkeys(line.data_set for line in lines if line.data_set) or ["all"]:
            own = [line for line in lines if line.data_set == data_set]
            scores = list(dict.fromkeys(line.score for line in own))
            head = ["row", "what it changes"]
            for score in scores:
                head += [f"{_score_name(score)} [95 %]", f"less {self.base} [95 %]"]
            head += [] if scores else ["status"]
            table = [[*head, "parameters", "minutes"]]
            for row in self.rows:
                found = {line.score: line for line in own if line.row == row.name}
                cells = [row.name, row.description or "-"]
                if not found:
                    cells += [row.status, *["-"] * max(0, 2 * len(scores) - 1)]
                else:
                    for score in scores:
                        cells += [value_text(found[score]), difference_text(found[score])]
                cells.append("-" if row.parameters is None else f"{row.parameters:,}")
                cells.append("-" if row.minutes is None else f"{row.minutes:.1f}")
                table.append(cells)
            yield data_set, table

    def published_table(self) -> list[list[str]]:
        """The published figures, one line for each row that has any; empty without."""
        columns = list(dict.fromkeys(k for row in self.rows for k in row.published))
        if not columns:
            return []
        rows = [
            [row.name, *(f"{row.published[c]:g}" if c in row.published else "-" for c in columns)]
            for row in self.rows
            if row.published
        ]
        return [["row", *columns], *rows]

    def remarks(self) -> list[str]:
        """Notes for the reader: how figures were made, what is missing, notes of rows."""
        compared = len([r for r in self.rows if r.status == DONE]) - 1
        said = [
            "mean over seeds; in brackets 95 % over resampled subjects, or the least and the "
            "largest of the seeds' own where these lie further apart",
            f"differences: the row less {self.base}, over the same resamples of subjects. Of many "
            "rows one in twenty is clear of zero by chance: the CSV has p with Holm's correction",
            "the best of these rows is picked on the tested subjects: its figure flatters it, "
            "unless it was named before",
        ]
        said = [*said, *self._power()] if compared > 0 else said[:1]
        for words in dict.fromkeys(row.chosen_on for row in self.rows if row.chosen_on):
            own = [row.name for row in self.rows if row.chosen_on == words]
            whose = "all rows" if len(own) == len(self.rows) else ", ".join(own)
            said.append(f"{whose}: {words}")
        said += [f"{row.name}: {row.status}: {row.words}" for row in self.rows if row.words]
        odd = {(line.row, line.words) for line in self.lines() if line.value is not None}
        said += [f"{name}: {words}" for name, words in sorted(odd) if words]
        said += [f"{row.name}: {row.note}" for row in self.rows if row.note]
        for words in dict.fromkeys(w for row in self.rows for w in row.cautions):
            whose = ", ".join(row.name for row in self.rows if words in row.cautions)
            said.append(f"{whose}: {words}")
        return list(map(_line, [*said, *self.notes]))

    def _power(self) -> list[str]:
        """The smallest differences to the base that these subjects can show, by score."""
        said, lines = [], [line for line in self.lines() if line.detectable is not None]
        for where in dict.fromkeys((line.data_set, line.score) for line in lines):
            own = [line for line in lines if (line.data_set, line.score) == where]
            own.sort(key=lambda line: line.detectable or 0.0)
            least, most = (f"{one.detectable:.4f} ({one.row})" for one in (own[0], own[-1]))
            upto = "" if least == most else f" to {most}"
            said.append(
                f"{where[0]} {_score_name(where[1])}: with these {own[0].subjects} subjects a "
                f"difference to {self.base} is found 80 % of the time from {least}{upto} on"
            )
        return [*said, *few_subjects({line.subjects or 0 for line in lines})]

    def page(self) -> ReportPage:
        """The table as a page with figures."""
        from aumer.report.study import Forest, StudyPage, StudyRowFacts, study_report

        lines = self.lines()
        forests = []
        for data_set in dict.fromkeys(line.data_set for line in lines if line.data_set):
            for score in dict.fromkeys(x.score for x in lines if x.data_set == data_set):
                own = [x for x in lines if (x.data_set, x.score) == (data_set, score)]
                forests.append(
                    Forest(
                        data_set,
                        _score_name(score),
                        {x.row: (x.value, x.low, x.high) for x in own},
                        {
                            x.row: (x.less_base, x.less_base_low, x.less_base_high)
                            for x in own
                            if x.less_base is not None
                        },
                    )
                )
        return study_report(
            StudyPage(
                self.heading,
                self.base,
                tuple(
                    StudyRowFacts(
                        row.name,
                        row.model,
                        row.description,
                        row.status,
                        row.words,
                        row.parameters,
                        row.minutes,
                        self._page_of(row),
                    )
                    for row in self.rows
                ),
                tuple(self.tables()),
                self.published_table(),
                tuple(forests),
                tuple(self.remarks()),
                self.command,
            )
        )

    def _page_of(self, row: StudiedRow) -> str | None:
        """The address of a row's own report beside the study's, if there is one."""
        if row.folder is None or self.folder is None or row.folder.parent != self.folder:
            return None
        return f"{row.folder.name}/{REPORT}" if (row.folder / REPORT).exists() else None


def _line(text: str) -> str:
    """A text of several lines joined into one."""
    return " ".join(text.split())


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_line(cell).replace("|", "\\|") for cell in cells) + " |"


_NAMES = {"uf1": "UF1", "uar": "UAR", "overall": "F1", "macro": "F1 macro", "micro": "F1 micro"}


def _score_name(score: str) -> str:
    return _NAMES.get(score, score)


def value_text(line: Line) -> str:
    """``0.7214 [0.6360, 0.7850]``."""
    if line.value is None:
        return "-"
    if line.low is None:
        return f"{line.value:.4f}"
    over = " (seeds)" if line.interval_over == "seeds" else ""
    return f"{line.value:.4f} [{line.low:.4f}, {line.high:.4f}]{over}"


def difference_text(line: Line) -> str:
    """``+0.0120 [-0.0100, +0.0380]``."""
    if line.less_base is None:
        return "-"
    if line.seeds_vary_more:
        return f"{line.less_base:+.4f} (seeds vary more: by {line.seeds_range:.4f})"
    return f"{line.less_base:+.4f} [{line.less_base_low:+.4f}, {line.less_base_high:+.4f}]"


def _lines(row: StudiedRow, base: StudiedRow) -> Iterator[Line]:
    start = Line(row.name, row.model, row.description, row.status, words=row.words)
    if not row.figures:
        yield start
        return
    for (data_set, score), figure in row.figures.items():
        spread = figure.spread()
        line = replace(
            start,
            data_set=data_set,
            score=score,
            value=figure.value,
            low=spread.low if spread else None,
            high=spread.high if spread else None,
            interval_over=spread.over if spread else "",
            seeds=row.seeds,
            folds=row.folds,
            parameters=row.parameters,
            minutes=None if row.minutes is None else round(row.minutes, 2),
            subjects=len(figure.subjects),
        )
        yield line if row.name == base.name else _compared(line, figure, base)


def _compared(line: Line, figure: Figure, base: StudiedRow) -> Line:
    theirs = base.figures.get((line.data_set, line.score))
    if theirs is None:
        return replace(line, words=f"no difference: {base.name} is {base.status}")
    try:
        d = figure.compare(theirs)
    except UsageError as error:
        return replace(line, words=f"no difference to {base.name}: {error}")
    seeds = max(max(f.by_seed) - min(f.by_seed) for f in (figure, theirs))
    return replace(
        line,
        less_base=d.value,
        less_base_low=d.low,
        less_base_high=d.high,
        p=d.p,
        seeds_range=seeds,
        detectable=Power.of(d, *figure.size).detectable(),
    )
