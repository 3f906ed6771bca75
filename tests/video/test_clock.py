from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumer.video import Clock

STEP = 0.04
NO_TIMESTAMP = -(2.0**63) / 90000


def times(readings: list[float], step: float = STEP) -> list[float]:
    clock = Clock(step)
    return [clock.at(reading) for reading in readings]


@pytest.mark.parametrize(
    ("readings", "expected", "filled"),
    [
        ([0, 0.04, 0.08], [0, 0.04, 0.08], 0),
        ([0, 0.033, 0.04, 0.5], [0, 0.033, 0.04, 0.5], 0),
        ([5.0, 5.04, 5.08], [0, 0.04, 0.08], 0),
        # no_face_then_face.mov and face_then_no_face.mov: decode time in place of presentation 0
        ([-0.028, 0.0137, 0.0553], [0, 0.0137, 0.0553], 0),
        ([-0.0167, 0.0333, 0.0667], [0, 0.0333, 0.0667], 0),
        # a stream that really begins before its nominal start
        ([-0.08, -0.04, 0.04, 0.08], [0, 0.04, 0.12, 0.16], 0),
        # raw streams; AVI, whose last frames lack a time
        ([0, 0, 0, 0], [0, 0.04, 0.08, 0.12], 3),
        ([0.08, 0.12, 0.16, 0, 0], [0, 0.04, 0.08, 0.12, 0.16], 2),
        ([0, 0.04, math.nan, 0.12], [0, 0.04, 0.08, 0.12], 1),
        ([0, 0.04, NO_TIMESTAMP, 0.12], [0, 0.04, 0.08, 0.12], 1),
        ([NO_TIMESTAMP, 0.04, 0.08], [0, 0.04, 0.08], 0),
        # twice the same: catches up
        ([0, 0.04, 0.04, 0.08, 0.12, 0.16], [0, 0.04, 0.08, 0.10, 0.12, 0.16], 2),
        # out of order by a frame: catches up
        ([0, 0.08, 0.04, 0.16, 0.12, 0.2], [0, 0.08, 0.10, 0.16, 0.18, 0.2], 2),
        # two recordings joined: the second counts on with its own distances
        ([0, 0.5, 1.0, 0.001, 0.041, 0.1], [0, 0.5, 1.0, 1.04, 1.08, 1.139], 1),
        # the first frame is at 0 and the rest at the time of day
        ([0, 1.7e8, 1.7e8 + 0.04, 1.7e8 + 0.1], [0, 0.04, 0.08, 0.14], 1),
    ],
)
def test_times_for_readings(readings: list[float], expected: list[float], filled: int) -> None:
    clock = Clock(STEP)
    assert [clock.at(reading) for reading in readings] == pytest.approx(expected, abs=1e-6)
    assert clock.filled == filled
    assert clock.time == pytest.approx(expected[-1], abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-1e7, 1e7) | st.floats(), min_size=1), st.floats(1e-3, 1))
def test_times_begin_at_zero_and_rise_whatever_is_read(readings: list[float], step: float) -> None:
    result = times(readings, step)
    assert result[0] == 0
    assert all(math.isfinite(t) for t in result)
    assert all(a < b for a, b in pairwise(result))


@settings(deadline=None)
@given(st.floats(0, 1e4), st.lists(st.floats(1e-3, 450), max_size=30))
def test_rising_readings_are_believed(first: float, gaps: list[float]) -> None:
    readings = [first]
    for gap in gaps:
        readings.append(readings[-1] + gap)
    assert times(readings) == pytest.approx([r - first for r in readings], abs=1e-6)


def test_a_gap_of_hours_parts_a_video_and_does_not_fill_it() -> None:
    clock = Clock(STEP)
    found = [clock.at(reading) for reading in (0, 0.04, 172_800.0, 172_800.04)]
    assert found == pytest.approx([0, 0.04, 1.04, 1.08], abs=1e-6)
    assert clock.parts == [0.04]
    assert clock.parted_s == pytest.approx(172_800 - 1.04, abs=1e-6)
    assert clock.filled == 0


def test_gaps_that_are_hours_together_part_a_video_too() -> None:
    """The first four hours of them are kept; times rise by no more than what is pictures then."""
    clock = Clock(STEP)
    for k in range(1000):
        clock.at(3000.0 * (k // 2) + STEP * (k % 2))
    assert len(clock.parts) == 499 - 4
    assert clock.time < 4 * 3600 + 1000 * 1.04
