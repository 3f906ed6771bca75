"""Totals by group against sums made by hand."""

from __future__ import annotations

import pytest

from aumer.results.totals import VideoTally, totals, totals_csv, totals_dataframe, totals_table

REST = {"subject": "a", "condition": "rest"}
FILM = {"subject": "a", "condition": "film"}
TALLIES = [
    VideoTally(REST, 2.0, {"micro": (0.2, 0.4), "macro": ()}),
    VideoTally(FILM, 0.5, {"micro": (0.3,), "macro": (1.0, 2.0, 6.0)}),
    VideoTally(REST, 1.0, {"micro": (), "macro": ()}),
    VideoTally({"subject": "b"}, 0.0, {"micro": (), "macro": ()}),
]


def test_rates_are_over_measured_minutes_and_durations_over_expressions() -> None:
    nameless, film, rest = totals(TALLIES, ["condition"])
    assert nameless.group == {"condition": ""}  # a video that says nothing of it is not lost
    assert (rest.videos, rest.minutes) == (2, 3.0)
    assert (rest.micro.count, rest.micro.per_minute) == (2, pytest.approx(2 / 3))
    assert rest.micro.mean_s == pytest.approx(0.3)
    assert (rest.macro.count, rest.macro.per_minute, rest.macro.mean_s) == (0, 0.0, None)
    assert (film.macro.per_minute, film.macro.mean_s, film.macro.median_s) == (6.0, 3.0, 2.0)


def test_no_minute_has_no_rate() -> None:
    (_, b) = totals(TALLIES, ["subject"])
    assert b.micro.per_minute is None
    assert totals_csv([b]).splitlines()[1] == "b,1,0.0,0,,,,0,,,"


def test_groups_add_up_to_all() -> None:
    (everything,) = totals(TALLIES)
    parts = totals(TALLIES, ["subject", "condition"])
    assert everything.group == {"group": "all"}
    assert everything.videos == sum(part.videos for part in parts) == 4
    assert everything.minutes == sum(part.minutes for part in parts)
    assert everything.macro.count == sum(part.macro.count for part in parts) == 3


def test_the_table_says_the_same_in_each_form() -> None:
    found = totals(TALLIES, ["subject", "condition"])
    frame = totals_dataframe(found)
    assert list(frame.columns) == totals_csv(found).splitlines()[0].split(",")
    assert list(frame["videos"]) == [1, 2, 1]
    assert len(totals_table(found).splitlines()) == 4
    assert totals_table([]) == totals_csv([]) == ""
