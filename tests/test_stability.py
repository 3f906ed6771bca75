"""What `benchmarks.accuracy.stability` counts."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from aumer.simulate.features import simulate_features
from aumer.types import Features

stability = pytest.importorskip("benchmarks.accuracy.stability", reason="no checkout")
Film, Spotted = stability.Film, stability.Spotted
CHANGES, compared, cut = stability.CHANGES, stability.compared, stability.cut
differs = stability.differs


def test_what_survives_a_harmless_change() -> None:
    film = Film(np.zeros((100, 2, 2, 3), np.uint8), 10.0)
    before = [Spotted("macro", 0.0, 1.0), Spotted("micro", 4.0, 5.0), Spotted("micro", 8.0, 9.0)]
    assert compared(before, before, film).counts == (3, 3, 0)
    later = cut(0.2)(film)
    assert (later.start_s, len(later.frames), later.end_s) == (0.2, 98, 10.0)
    after = [
        Spotted("macro", 0.3, 0.9),  # of the .8 s that are left
        Spotted("micro", 4.5, 5.5),  # a third in common
        Spotted("macro", 8.0, 9.0),  # of another kind, but nothing new
        Spotted("micro", 6.0, 6.5),
    ]
    found = compared(before, after, later)
    assert found.counts == (3, 1, 1)
    assert (list(found.lost), list(found.new)) == (before[1:], after[3:])
    shorter = cut(0.6)(film)  # the first has lost more than half
    assert compared(before, [], shorter).counts == (2, 0, 0)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_harmless_change_keeps_the_time_of_its_frames(name: str) -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(60, 190, (6, 8, 3)).astype(np.uint8), (64, 48))
    film = Film(np.stack([np.clip(smooth + k, 0, 255) for k in range(20)]).astype(np.uint8), 20.0)
    made = CHANGES[name](film)
    assert made.frames.dtype == np.uint8 and len(made.frames) > 8
    k = len(made.frames) // 2
    source = film.frames[round((made.start_s + k / made.rate) * film.rate)]
    seen = cv2.resize(made.frames[k], (64, 48)).astype(np.float64)
    assert np.abs(seen - source).mean() < 6  # and the frames differ by one gray level each
    assert abs(seen.mean() - source.mean()) < 3
    assert made.start_s <= 0.2 and made.end_s >= film.end_s - 0.1 - 1e-9


def test_by_how_much_the_motion_of_two_films_differs() -> None:
    (video,) = simulate_features(1, minutes=0.5, seed=3)
    motion = video.features
    assert differs(motion, motion, 0.0) == pytest.approx(0, abs=1e-9)
    assert differs(motion, replace(motion, values=1.1 * motion.values), 0.0) == pytest.approx(0.1)
    first = 6
    later = Features(
        motion.values[first:],
        motion.times[:-first],
        motion.frames[:-first],
        motion.valid[first:],
        motion.rois,
        motion.rate,
    )
    start_s = first / motion.rate
    assert differs(motion, later, start_s) == pytest.approx(0, abs=1e-3)
    assert differs(motion, later, 0.0) > 0.3  # the same movements, .2 s too early
    # What only one of the two has measured says nothing of the other.
    lost = motion.valid.copy()
    lost[200:260] = False
    holes = np.where(lost[:, None, None], motion.values, np.nan).astype(np.float32)
    assert differs(motion, replace(motion, values=holes, valid=lost), 0.0) == pytest.approx(
        0, abs=1e-9
    )
    still = replace(motion, values=np.zeros_like(motion.values))
    assert np.isnan(differs(still, motion, 0.0))
