"""`aumer.features`: what `analyze` measures, with all that belongs to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aumer
from aumer.config import digest, load_settings
from aumer.errors import NoFaceError, UsageError
from aumer.motion.analysis import analyze
from aumer.testing.moving_face import film, smile

SETTINGS = {"motion": {"flow": "dis"}}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return film(np.arange(40) / 30, bumps=smile(0.4, 0.7, 1.1))


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def test_the_numbers_are_those_of_the_analysis(frames: np.ndarray) -> None:
    motion = aumer.features(frames, fps=30, start=0.2, end=1.2, settings=SETTINGS)
    settings = load_settings(overrides=SETTINGS)
    expected = analyze(frames, settings, fps=30, start=0.2, end=1.2)
    assert equal(motion.features.values, expected.features.values)
    assert equal(motion.features.times, expected.features.times)
    assert equal(motion.track.landmarks, expected.track.landmarks)
    assert motion.video == expected.video
    assert motion.settings["motion"] == settings.to_dict()["motion"]
    assert motion.settings["input"] == {"start": 0.2, "end": 1.2, "fps": 30}
    assert motion.digests["settings"] == digest(settings.to_dict())
    assert motion.versions["aumer"] == aumer.__version__
    assert motion.face is None
    assert repr(motion) == (
        "Motion array: 12 ROIs, 30 rows a second; 29 of 29 rows hold motion; coverage 100 %"
    )


def test_what_was_kept_for_spotting_is_used(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aumer.spot(frames, fps=30, model="rules", cache=tmp_path, settings=SETTINGS)
    kept = list(tmp_path.iterdir())
    monkeypatch.setattr("aumer.motion.roi_motions", lambda *_: pytest.fail("measured again"))
    aumer.features(frames, fps=30, cache=tmp_path, settings=SETTINGS)
    assert list(tmp_path.iterdir()) == kept


def test_rois_that_no_spotter_reads(frames: np.ndarray) -> None:
    settings = {"motion": {"rois": "36 45 chin", "flow": "dis"}}
    motion = aumer.features(frames[:8], fps=30, settings=settings)
    assert motion.features.rois == ("eye_r_outer", "eye_l_outer", "chin")


def test_every_face(frames: np.ndarray) -> None:
    two = np.concatenate([film(np.arange(40) / 30), frames], axis=2)
    found = aumer.features(two, fps=30, face="all", settings=SETTINGS)
    assert [motion.face for motion in found] == [1, 2]
    left, right = sorted(found, key=lambda motion: float(motion.track.boxes[0, 0]))
    mouth = left.features.rois.index("mouth_l")
    assert np.abs(left.displacement()[:, mouth]).max() < 0.01
    assert np.abs(right.displacement()[:, mouth]).max() > 0.02
    one = aumer.features(two, fps=30, face="right", settings=SETTINGS)
    assert equal(one.features.values, right.features.values)
    assert "2 faces are in view" in one.notes[0]
    everyone = {**SETTINGS, "face": {"follow": "all"}}
    with pytest.raises(UsageError, match=r"aumer\.features\(\.\.\., face='all'\)"):
        aumer.features(two, fps=30, settings=everyone)


def test_no_face() -> None:
    with pytest.raises(NoFaceError, match="0 of 10"):
        aumer.features(np.full((10, 120, 160, 3), 90, np.uint8), fps=30)


def test_features_are_no_video(frames: np.ndarray) -> None:
    motion = aumer.features(frames[:5], fps=30, settings=SETTINGS)
    with pytest.raises(UsageError, match="features already"):
        aumer.features(motion.features)  # type: ignore[call-overload]
