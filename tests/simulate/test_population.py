"""Subjects of very different sizes."""

from __future__ import annotations

import numpy as np

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
