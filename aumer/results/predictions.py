"""Predictions of many clips as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aumer.results.prediction import Prediction
from aumer.results.schema import printable, unit_shares
from aumer.tables.cells import csv_lines
from aumer.types import au_text

if TYPE_CHECKING:
    import pandas as pd

#: The columns of a table of predictions and their pandas dtypes; one column ``p_CLASS`` with the
#: probability of each class follows. `aus` and `au_probs` as in tables of expressions.
COLUMNS = {
    "clip": "string",
    "status": "string",
    "outcome": "string",
    "label": "string",
    "probability": "float64",
    "onset": "Int64",
    "apex": "Int64",
    "offset": "Int64",
    "onset_s": "float64",
    "apex_s": "float64",
    "offset_s": "float64",
    "recognizer": "string",
    "aus": "string",
    "au_probs": "string",
    "doubt": "string",
    "reason": "string",
}
Failures = Mapping[str, str] | Iterable[tuple[str, str]]


def predictions_csv(predictions: Iterable[Prediction], failures: Failures = ()) -> str:
    """A header and one row per clip; see `COLUMNS`. Numbers are written exactly.

    Args:
        failures: clips without a prediction, with reasons; a mapping or pairs (a clip may contain
            several expressions): rows of status "failed" after the others, which are "ok".
    """
    known = list(predictions)
    names = _classes(known)
    header = (*COLUMNS, *(f"p_{name}" for name in names))
    return csv_lines([header, *_rows(known, failures, names)])


def predictions_dataframe(
    predictions: Iterable[Prediction], failures: Failures = ()
) -> pd.DataFrame:
    """The same as a DataFrame."""
    import pandas as pd

    known = list(predictions)
    names = _classes(known)
    kinds = {**COLUMNS, **{f"p_{name}": "float64" for name in names}}
    rows = pd.DataFrame(list(_rows(known, failures, names)), columns=list(kinds))
    table: pd.DataFrame = rows.astype(kinds)
    return table


def _classes(predictions: Iterable[Prediction]) -> list[str]:
    """The classes of all recognizers, without repetition."""
    return list(dict.fromkeys(name for p in predictions for name in p.probs))


def _rows(
    predictions: Iterable[Prediction], failures: Failures, names: Iterable[str]
) -> Iterator[tuple[Any, ...]]:
    for p in predictions:
        sure = None if p.label is None else float(p.probs[p.label])
        frames = (int(p.onset), int(p.apex), int(p.offset))
        seconds = (float(p.onset_s), float(p.apex_s), float(p.offset_s))
        about = (p.recognizer, au_text(p.aus), unit_shares(p.aus), p.doubt, None)
        shares = (p.probs.get(name) for name in names)
        cells = (printable(p.clip), "ok", p.outcome, p.label, sure)
        yield (*cells, *frames, *seconds, *about, *shares)
    empty = (None,) * (len(COLUMNS) - 3)
    for clip, why in failures.items() if isinstance(failures, Mapping) else failures:
        yield (printable(clip), "failed", *empty, printable(why), *(None for _ in names))
