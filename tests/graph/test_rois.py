from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from aumer import registry
from aumer.cache import FeatureCache
from aumer.config import Settings, load_settings
from aumer.errors import UsageError
from aumer.face.interface import Detector, Landmarker
from aumer.face.mean_face import MEAN_FACE
from aumer.graph.rois import DEFAULT_ROIS, LANDMARK_NAMES, NAMED, RoiSet, landmark, roi_set
from aumer.motion.analysis import analyze, cache_key
from aumer.motion.mdmo import ROIS
from aumer.spotting.rules import MOVEMENTS, RuleSpotter


def test_the_published_rois_are_the_fields() -> None:
    expected = {
        "brow_r_mid_outer": 18,
        "brow_r_mid": 19,
        "brow_r_mid_inner": 20,
        "brow_l_mid_inner": 23,
        "brow_l_mid": 24,
        "brow_l_mid_outer": 25,
        "nose_bridge": 28,
        "nose_tip": 30,
        "mouth_r": 48,
        "lip_upper": 51,
        "mouth_l": 54,
        "lip_lower": 57,
    }
    found = dict(zip(DEFAULT_ROIS.names, DEFAULT_ROIS.landmarks, strict=True))
    assert list(found.items()) == list(expected.items()) == list(ROIS.items())


def test_every_landmark_has_a_name_that_says_where_it_lies() -> None:
    assert len(LANDMARK_NAMES) == len(set(LANDMARK_NAMES)) == 68
    for name, (x, y, _) in zip(LANDMARK_NAMES, MEAN_FACE, strict=True):
        sides = {"r", "l"} & set(name.split("_"))
        assert (x < -0.01) == (sides == {"r"}), name  # image left is the subject's right
        assert (x > 0.01) == (sides == {"l"}), name
        if sides:  # the other side's twin is its mirror image
            parts = ["l" if p == "r" else "r" if p == "l" else p for p in name.split("_")]
            twin = LANDMARK_NAMES.index("_".join(parts))
            np.testing.assert_allclose(MEAN_FACE[twin, :2], (-x, y), atol=1e-6)
    heights = {
        part: np.mean(
            [y for n, (_, y, _) in zip(LANDMARK_NAMES, MEAN_FACE, strict=True) if part in n]
        )
        for part in ("brow", "eye_", "nose_tip", "lip_upper", "lip_lower", "chin")
    }
    assert list(heights.values()) == sorted(heights.values())


@pytest.mark.parametrize(
    ("spec", "landmarks"),
    [
        ("published", DEFAULT_ROIS.landmarks),
        ("18 19 20 36", (18, 19, 20, 36)),
        (" 54, mouth_r ,8", (54, 48, 8)),
        ([48, "mouth_l", "8"], (48, 54, 8)),
        ("ibug68", tuple(range(68))),
        (DEFAULT_ROIS, DEFAULT_ROIS.landmarks),
    ],
)
def test_sets_by_name_by_landmark_and_by_index(spec: object, landmarks: tuple[int, ...]) -> None:
    found = roi_set(spec)  # type: ignore[arg-type]
    assert found.landmarks == landmarks
    assert found.names == tuple(LANDMARK_NAMES[k] for k in landmarks)


def test_names_of_ones_own() -> None:
    found = roi_set({"left corner": 54, "chin": 8})
    assert found == RoiSet(("left corner", "chin"), (54, 8)) and len(found) == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("publishd", "Did you mean 'published'"),
        ("mouth_r l_mouth", "Did you mean 'mouth_l'"),
        ("brow_inner_l", "Did you mean 'brow_l_inner'"),
        ("18 68", "from 0 to 67 .* found 68"),
        ([18, -1], "from 0 to 67 .* found -1"),
        ([True], "from 0 to 67"),
        ([1.5], "from 0 to 67"),
        ("18 brow_r_mid_outer", "brow_r_mid_outer.* more often"),
        ({"a": 4, "b": 4}, "4 is given more often"),
        ({"": 4}, "not empty"),
        ("", "one ROI at least"),
        ([], "one ROI at least"),
    ],
)
def test_what_is_no_roi_is_named(spec: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        roi_set(spec)  # type: ignore[arg-type]


def test_names_and_landmarks_come_in_pairs() -> None:
    with pytest.raises(UsageError, match="2 names and 1 landmarks"):
        RoiSet(("a", "b"), (1,))
    assert landmark("chin") == landmark(8) == landmark("8") == 8


# Through the pipeline


def settings(rois: str) -> Settings:
    return load_settings(
        overrides={
            "face": {"detector": "standing", "landmarker": "standing"},
            "motion": {"rois": rois, "flow": "right"},
        }
    )


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face that stands while the image's right half moves to the right, but for its middle."""
    parts = {k: dict(v) for k, v in registry._parts.items()}
    monkeypatch.setattr(registry, "_parts", parts)
    points = (MEAN_FACE[:, :2] * 64 + (64, 46)).astype(np.float32)

    class Standing(Detector):
        def __call__(self, image: np.ndarray) -> np.ndarray:
            return np.array([(0, 0, 128, 128, 0.9)], np.float32)

    class Points(Landmarker):
        def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
            return points

    def right(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        field = np.zeros((*previous.shape, 2), np.float32)
        field[:, 70:, 0] = 1  # beside the nose, so no motion of the head
        field[20:64, 70:] = 0
        return field

    parts["detector"]["standing"], parts["landmarker"]["standing"] = Standing, Points
    parts["flow"]["right"] = right


def test_features_carry_the_rois_of_the_setting(standing: None, tmp_path: object) -> None:
    frames = np.full((8, 128, 128, 3), 120, np.uint8)
    for rois in ("54 48 8 lip_lower", "published"):
        chosen = settings(rois)
        cache = FeatureCache(tmp_path, cache_key("content", chosen, None, None))  # type: ignore[arg-type]
        first = analyze(frames, chosen, fps=30, cache=cache).features
        again = analyze(frames, chosen, fps=30, cache=cache).features
        assert first.rois == again.rois == roi_set(rois).names
        assert first.values.shape == (7, len(first.rois), 2) and first.valid.all()
        np.testing.assert_array_equal(first.values, again.values)
        moved = dict(zip(first.rois, first.values[0, :, 0], strict=True))
        assert moved["mouth_l"] > 0.9 and abs(moved["mouth_r"]) < 0.1


def test_other_rois_are_other_features_in_the_cache() -> None:
    keys = {cache_key("content", settings(r), None, None) for r in ("published", "18 19", "19 18")}
    assert len(keys) == 3
    assert asdict(load_settings())["motion"]["rois"] in NAMED


def test_an_unknown_roi_is_told_before_the_video_is_read() -> None:
    chosen = load_settings(overrides={"motion": {"rois": "mouth_rr"}})
    with pytest.raises(UsageError, match="Did you mean 'mouth_r'"):
        analyze("no such video.mp4", chosen)


def test_the_rules_say_which_rois_they_lack_before_a_video_is_read() -> None:
    needed = {roi for m in MOVEMENTS.values() for roi in m.weights}
    enough = load_settings(overrides={"motion": {"rois": " ".join(sorted(needed))}})
    RuleSpotter.from_settings(enough)
    lacking = load_settings(overrides={"motion": {"rois": " ".join(sorted(needed - {"mouth_l"}))}})
    with pytest.raises(UsageError, match=r"lack mouth_l .*motion\.rois"):
        RuleSpotter.from_settings(lacking)


def test_a_registered_set_is_found_and_another_thing_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})
    mine = registry.register("roi-set", "mine")(RoiSet(("a",), (8,)))
    assert roi_set("mine") is roi_set(" mine ") is mine
    with pytest.raises(UsageError, match=r"sets are .*mine"):
        roi_set("mien")
    registry.register("roi-set", "odd")(8)
    with pytest.raises(UsageError, match="registered as 'odd' is not a RoiSet"):
        roi_set("odd")
