"""Sections of every report: how the figures were made, and published figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aumer.evaluation.bootstrap import Estimate
from aumer.report.page import Block, Cell, ListBlock, Section, TableBlock, Text
from aumer.report.runs import About

#: Up to this number, different values are listed one by one.
_LISTED = 8


def made_of(about: About, chosen: Sequence[Mapping[str, Any]]) -> Section:
    """The section on notes, choices of folds, command, versions and settings.

    Args:
        chosen: choices of each fold, as plain values.
    """
    blocks: list[Block] = [ListBlock(list(about.notes))] if about.notes else []
    if rows := list(_summary(chosen)):
        caption = (
            f"What the {len(chosen)} folds' models were and chose. The number of folds stands in "
            "brackets; where values are many, their median and range."
        )
        blocks.append(TableBlock(("of each fold", "values (folds)"), rows, caption))
    if about.command:
        blocks += [
            Text("The command, as it was typed but for the folders of absolute paths:"),
            Text(about.command, literal=True),
        ]
    if about.versions:
        found = [(name, number) for name, number in about.versions.items()]
        blocks.append(TableBlock(("package", "version"), found, "Versions the run was made with."))
    if about.settings:
        settings = [(key, json.dumps(value)) for key, value in _flat(about.settings)]
        caption = "Every setting in force, as JSON has it."
        folded = f"All {len(settings)} settings"
        blocks.append(TableBlock(("setting", "value"), settings, caption, folded=folded))
    return Section("How this was made", blocks)


def published(about: About) -> list[Section]:
    """A section with the published figures, if there are any."""
    if not about.published:
        return []
    columns = tuple(dict.fromkeys(key for row in about.published for key in row))
    rows = [[row.get(column) for column in columns] for row in about.published]
    caption = (
        "Figures that others published on the same data, each by rules of its own: they compare "
        "with this run only as far as data, split, selection and scoring are the same."
    )
    return [Section("Published figures", [TableBlock(columns, rows, caption)])]


def between(estimate: Estimate) -> str:
    """``0.742 to 0.809``."""
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def _summary(chosen: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Cell, Cell]]:
    flat = [dict(_flat(one)) for one in chosen]
    for key in dict.fromkeys(k for one in flat for k in one):
        values = [one[key] for one in flat if key in one]
        counts = Counter(json.dumps(v) for v in values)
        numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        if len(counts) <= _LISTED:
            text = ", ".join(f"{_plain(v)} ({n})" for v, n in counts.most_common())
        elif len(numbers) == len(values):
            low, middle, high = np.quantile(numbers, [0, 0.5, 1])
            text = f"{middle:.4g} ({low:.4g} to {high:.4g})"
        else:
            text = f"{len(counts)} different ones"
        yield key, text


def _plain(value: str) -> str:
    found = json.loads(value)
    return found if isinstance(found, str) else value


def _flat(values: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested tables with dotted keys, such as ``scoring.iou``, 0.5."""
    for key, value in values.items():
        where = f"{name}.{key}" if name else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, where)
        else:
            yield where, value
