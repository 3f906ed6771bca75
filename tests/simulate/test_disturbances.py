"""A disturbance is drawn once: ROIs and pixels show the same curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aumer.motion.mdmo import ROIS
from aumer.simulate import nuisance
from aumer.simulate.disturbances import Signal, roi_displacement
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance, Performance

#: The grid on which films draw.
TIMES = np.arange(60 * 200 + 2) / 200
REST = Timeline(60.0, ())


def rng(stream: int = 0, seed: int = 4) -> np.random.Generator:
    return np.random.default_rng([seed, stream])


def shown(name: str, stream: int = 0) -> Signal:
    """The ROIs' displacement (N, 12, 2)."""
    path: Signal = nuisance.load([name])[name].path(rng(stream), TIMES)
    return path


def test_the_brow_follows_the_very_gaze_that_eyes_show() -> None:
    shifts = nuisance.load(["gaze_shifts"])["gaze_shifts"]
    gaze = shifts.gaze(rng(), TIMES)
    brow = sum(roi_displacement((au, "both"))[1, 1] for au in (1, 2))
    expected = shown("gaze_shifts")[:, 1, 1] / (shifts.brow * brow)
    np.testing.assert_allclose(gaze[:, 1] / shifts.eyes[1], expected, atol=1e-9)
    assert gaze.std(axis=0) == pytest.approx(shifts.eyes, rel=0.5)


def test_light_that_passes_for_motion_is_the_light_of_a_film() -> None:
    light = nuisance.load(["lighting_drift"])["lighting_drift"].light(rng(), TIMES)
    path = shown("lighting_drift").reshape(len(TIMES), -1)
    assert np.abs(np.corrcoef(path.T, light[:, 0])[-1, :-1]).min() > 0.999
    performance = Performance(REST, Nuisance.none(light=1.0), 4)
    drawn = nuisance.load(["lighting_drift"])["lighting_drift"].light(rng(2), TIMES)
    assert performance.light(7.5) == pytest.approx(drawn[1500] + (1, 0))


def test_lids_close_in_a_film_as_they_do_in_features() -> None:
    blinks = nuisance.load(["blinks"])["blinks"]
    lids = blinks.lids(rng(3), TIMES)
    assert lids.max() == pytest.approx(1, abs=0.01)
    performance = Performance(REST, Nuisance.none(blinks=1.0), 4)
    np.testing.assert_allclose([performance.closure(t) for t in TIMES[:-2:7]], lids[:-2:7])


def test_a_lip_that_talks_goes_as_far_in_pixels_as_its_roi() -> None:
    talking = nuisance.load(["talking"])["talking"]
    often = replace(talking, per_min=20.0)
    film = Film(
        REST, size=(320, 240), nuisance=Nuisance.none(talking=20.0 / talking.per_min), seed=4
    )
    begin = film.performance.talking[0][0]
    times = begin + 0.3 + np.arange(40) / 20
    path = often.path(rng(5), TIMES)[:, list(ROIS).index("lip_lower"), 1]
    ours = np.interp(times, TIMES, path)
    mark = ROIS["lip_lower"]
    lips = np.array([film.landmarks(float(t))[mark, 1] for t in times])
    seen = (lips - film.face.landmarks[mark, 1]) / film.face.eye
    down = ours > 0.01
    assert down.sum() > 5 and np.corrcoef(seen[down], ours[down])[0, 1] > 0.9
    assert np.median(seen[down] / ours[down]) == pytest.approx(1, abs=0.4)
    assert seen.min() > -0.01  # lips that touch go no further


def test_no_bout_of_talking_touches_an_expression() -> None:
    smile = Event("macro", ((12, "both"),), 14.0, 15.0, 16.0, 17.0, 0.8)
    kept = Performance(Timeline(60.0, (smile,)), Nuisance.none(talking=3.0), 4).talking
    all_ = Performance(REST, Nuisance.none(talking=3.0), 4).talking
    assert 0 < len(kept) < len(all_)
    assert all(end < 14 - 0.29 or begin > 17 + 0.29 for begin, end in kept)
