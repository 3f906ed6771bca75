"""Action units of whole videos."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from aumer.graph.au import NAMES
from aumer.report.video import video_page
from aumer.results.spot_result import SpotResult
from aumer.results.totals import measured_minutes
from aumer.results.units import unit_rows, units_csv, units_dataframe
from aumer.types import ActingUnit


@pytest.fixture
def read(result: SpotResult) -> SpotResult:
    """AU12 acts in the first two expressions, once on the left; AU6 never does."""
    first, second, *others = result.expressions
    quiet = ActingUnit(6, 0.2, acts=False)
    one = (quiet, ActingUnit(12, 0.9, acts=True, side="left"))
    two = (replace(quiet, probability=0.3), ActingUnit(12, 0.7, acts=True))
    rest = tuple(replace(e, aus=(quiet, ActingUnit(12, 0.1, acts=False))) for e in others)
    told = (replace(first, aus=one), replace(second, aus=two), *rest)
    return replace(result, expressions=told, about={"condition": "rest"})


def test_how_often_how_surely_and_when(read: SpotResult) -> None:
    six, twelve = unit_rows(read)
    acting = read.expressions[:2]
    assert (six.au, six.expressions, six.probability, six.probability_max) == (6, 0, None, 0.3)
    assert (twelve.expressions, twelve.read) == (2, len(read.expressions))
    assert twelve.micro + twelve.macro == 2
    assert twelve.micro == sum(e.kind == "micro" for e in acting)
    assert (twelve.left, twelve.right, twelve.both) == (1, 0, 0)
    assert twelve.probability == pytest.approx(0.8) and twelve.probability_max == 0.9
    assert twelve.apexes_s == tuple(e.apex_s for e in acting)
    assert twelve.seconds == pytest.approx(sum(e.duration_s for e in acting))
    assert twelve.per_minute == pytest.approx(2 / measured_minutes(read))
    assert twelve.name == "lip corner puller"


def test_as_tables(read: SpotResult, result: SpotResult) -> None:
    rows = list(csv.DictReader(io.StringIO(units_csv(unit_rows(read)))))
    assert [row["au"] for row in rows] == ["6", "12"]
    assert rows[1]["condition"] == "rest" and rows[0]["probability"] == ""
    assert [float(s) for s in rows[1]["apexes_s"].split()] == [
        pytest.approx(s, abs=5e-4) for s in unit_rows(read)[1].apexes_s
    ]
    table = units_dataframe([read, result])
    assert list(table.au) == [6, 12] and list(table.condition) == ["rest"] * 2
    assert units_csv(unit_rows(result)).count("\n") == 1  # nothing was read: the header alone


def test_on_the_page_of_a_video(read: SpotResult, result: SpotResult) -> None:
    page = video_page(read, {})
    assert "lip corner puller" in page and "Read, and never acting: 6." in page
    assert "Action units" not in video_page(result, {})
    quiet = tuple(replace(e, aus=(ActingUnit(6, 0.2, acts=False),)) for e in result.expressions)
    assert "None acts in any expression." in video_page(replace(result, expressions=quiet), {})


def test_every_unit_that_is_read_has_a_name() -> None:
    from aumer.recognition.action_units import load

    assert set(load().aus) <= set(NAMES)
