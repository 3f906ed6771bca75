"""Published figures, to stand beside ours: ``configs/published.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aumer import strict
from aumer._data import data_dir
from aumer.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class PublishedRow:
    """One method on one benchmark.

    Attributes:
        benchmark: "casme-sq", "samm-lv", "megc2019", "casme2-5class", "samm-5class".
        figures: by name, in the order of the file.
        selection: what the epoch or threshold was chosen on; "not stated" is a figure's own fault.
        source: where the figures were read.
    """

    benchmark: str
    method: str
    selection: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return strict.plain(self)


@cache
def every_row() -> tuple[PublishedRow, ...]:
    """All rows.

    Raises:
        ConfigError: the file is not what it should be.
    """
    path = data_dir("configs") / "published.toml"
    table = strict.read_toml(path)
    return tuple(strict.build(PublishedRow, row, str(path)) for row in table["row"])


def require_rows(benchmark: str) -> None:
    """Complain of a benchmark of which no row is.

    Raises:
        UsageError: none is; the message lists the choices.
    """
    known = tuple(dict.fromkeys(row.benchmark for row in every_row()))
    if benchmark not in known:
        raise UsageError(
            f"there are no published figures for the benchmark {benchmark!r}; there are "
            f"figures for {', '.join(known)}.{did_you_mean(benchmark, known)}"
        )


def rows_for(benchmark: str) -> tuple[PublishedRow, ...]:
    """The rows of one benchmark, in the order of the file."""
    return tuple(row for row in every_row() if row.benchmark == benchmark)
