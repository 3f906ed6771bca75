"""Tables of the results of one or many videos."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aumer.results.schema import printable, unit_shares
from aumer.results.spot_result import SpotResult
from aumer.tables.cells import csv_lines
from aumer.types import au_text

if TYPE_CHECKING:
    import pandas as pd

#: The columns of a table of expressions and their pandas dtypes.
COLUMNS = {
    "video": "string",
    "kind": "string",
    "onset": "int64",
    "apex": "int64",
    "offset": "int64",
    "onset_s": "float64",
    "apex_s": "float64",
    "offset_s": "float64",
    "duration_s": "float64",
    "score": "float64",
    "label": "string",
    "probs": "string",
    "face": "Int64",
    "peak": "float64",
    "duration_sd_s": "float64",
    "micro_probability": "float64",
    "limit": "float64",
    "spotter": "string",
    "aus": "string",
    "au_probs": "string",
}


def csv_text(results: Iterable[SpotResult]) -> str:
    """A header and one row per expression, in the order of `results`; see `COLUMNS`.

    Seconds and scores round-trip as float64; `probs` and `au_probs` are JSON objects of
    probabilities by class and by action unit.
    """
    results = list(results)
    abouts = [result.about for result in results]
    rows = _rows(results, about_columns(abouts, COLUMNS))
    return csv_header(abouts) + csv_lines(rows)


def csv_header(abouts: Iterable[Mapping[str, str]]) -> str:
    """The header of `csv_text`, with further columns."""
    return csv_lines([(*COLUMNS, *about_columns(abouts, COLUMNS).values())])


def about_columns(abouts: Iterable[Mapping[str, str]], taken: Collection[str]) -> dict[str, str]:
    """Column names for facts about videos: the name, or ``about_NAME`` if the table has a column of
    this name.
    """
    names = dict.fromkeys(name for about in abouts for name in about)
    titles: dict[str, str] = {}
    for name in names:
        title = name
        while title in taken or title in titles.values() or (title != name and title in names):
            title = f"about_{title}"
        titles[name] = title
    return titles


def dataframe(results: Iterable[SpotResult]) -> pd.DataFrame:
    """One row per expression, in the order of `results`; see `SpotResult.to_dataframe`."""
    import pandas as pd

    results = list(results)
    more = about_columns((result.about for result in results), COLUMNS)
    dtypes = COLUMNS | dict.fromkeys(more.values(), "string")
    rows = pd.DataFrame(list(_rows(results, more)), columns=list(dtypes))
    table: pd.DataFrame = rows.astype(dtypes)
    return table


def _rows(results: Iterable[SpotResult], more: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    for result in results:
        name = printable(result.video.name)
        for e in result.expressions:
            frames = (int(e.onset), int(e.apex), int(e.offset))
            seconds = (float(e.onset_s), float(e.apex_s), float(e.offset_s), float(e.duration_s))
            probs = None if e.probs is None else json.dumps(dict(e.probs))
            # With the spotter: scores of judge, rules and network are not comparable.
            sure = (e.peak, e.duration_sd_s, e.micro_probability, result.limit, result.spotter)
            yield (
                name,
                e.kind,
                *frames,
                *seconds,
                float(e.score),
                None if e.label is None else printable(e.label),
                probs,
                result.face,
                *sure,
                au_text(e.aus),
                unit_shares(e.aus),
                *(result.about.get(column) for column in more),
            )
