"""Subjects of very different sizes."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.simulate.features import SimulatedVideo
from aumer.simulate.population import Population


def test_a_subject_is_the_same_however_many_there_are() -> None:
    few = list(Population(2, 5, minutes=0.3).draw())
    more = list(Population(4, 5, minutes=0.3).draw())
    assert [v.subject for v in more] == [f"5-{k:03d}" for k in range(4) for _ in range(2)]
    for a, b in zip(few, more, strict=False):
        np.testing.assert_array_equal(a.features.values, b.features.values)
        assert a.timeline == b.timeline


def test_sizes_and_rates_span_their_ranges() -> None:
    """The largest excursion of each subject without disturbances, and expressions a minute."""
    plain = Population(30, 11, videos=1, minutes=1.0, loudness=(1e-6, 2e-6))
    reach, rates = [], []
    for video in plain.draw():
        path = np.cumsum(np.where(video.features.valid[:, None, None], video.features.values, 0), 0)
        reach.append(float(np.abs(path).max()) / video.features.eye_distance)
        rates.append(len(video.timeline.events))
    reach = sorted(r for r in reach if r > 0)
    assert reach[-3] > 4 * reach[3]
    assert max(rates) > 3 * (1 + min(rates))


def test_any_aus_act_where_they_are_asked_for() -> None:
    """As many expressions at the same times of the other subjects, and mouths alone in these."""
    usual = list(Population(12, 21, videos=1, minutes=1.0).draw())
    mixed = list(Population(12, 21, videos=1, minutes=1.0, any_aus=0.5).draw())
    every = list(Population(12, 21, videos=1, minutes=1.0, any_aus=1.0).draw())
    same = [a.timeline == b.timeline for a, b in zip(usual, mixed, strict=True)]
    assert 2 < sum(same) < 10
    assert not any(a.timeline == b.timeline for a, b in zip(usual, every, strict=True))

    def seen(videos: list[SimulatedVideo]) -> set[int]:
        return {au for v in videos for e in v.timeline.events for au, _ in e.aus}

    assert len(seen(every) - seen(usual)) >= 2
    alone = [e for v in every for e in v.timeline.events if len(e.aus) == 1]
    assert sum(e.aus[0][0] >= 10 for e in alone) > len(alone) / 2


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="must be from 0 to 1; found"):
        Population(1, 1, any_aus=share)
