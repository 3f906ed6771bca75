"""Simulated features: exact where they can be, the same whatever else is made, readable again."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.motion.mdmo import ROIS
from aumer.simulate import nuisance
from aumer.simulate.anatomy import ACTION_UNITS, displacement
from aumer.simulate.features import (
    CONTEXT,
    LAYOUTS,
    LEVELS,
    SEGMENT,
    SimulatedVideo,
    Subject,
    level_constants,
    read_features,
    render,
    simulate_features,
    write_features,
)
from aumer.simulate.timeline import Event, Timeline, replay
from aumer.types import Annotation, Features

AVERAGE = Subject(dict.fromkeys(ACTION_UNITS, (1.0, 1.0)), 1.0)
NAMES = list(ROIS)


def of(au: int, side: str = "both", subject: Subject = AVERAGE) -> Features:
    event = Event("macro", ((au, side),), 1.0, 1.5, 2.0, 2.5, 1.0)
    return render(Timeline(4.0, (event,)), subject, {})


def test_rois_go_where_the_face_goes_and_come_back() -> None:
    path = np.cumsum(of(12).values, axis=0, dtype=np.float64) / 64
    at = MEAN_FACE[list(ROIS.values()), :2]
    expected = displacement({(12, "both"): 1.0}, np.asarray(at))
    # An ROI shows the mean over its square, which moves a little less than its center.
    np.testing.assert_allclose(path[44], expected, atol=0.012)
    np.testing.assert_allclose(path[-1], 0, atol=1e-5)
    assert not path[:29].any()


def test_one_side_moves_one_side() -> None:
    left = np.abs(np.cumsum(of(12, "left").values, axis=0)).max(axis=(0, 2))
    assert left[NAMES.index("mouth_l")] > 5 > 0.3 > left[NAMES.index("mouth_r")]


def test_gains_are_the_subjects_own() -> None:
    lopsided = Subject({**AVERAGE.gains, 12: (0.5, 2.0)}, 1.0)
    usual, own = of(12).values, of(12, subject=lopsided).values
    right, left = NAMES.index("mouth_r"), NAMES.index("mouth_l")
    np.testing.assert_allclose(own[:, right], 0.5 * usual[:, right], atol=0.01)
    np.testing.assert_allclose(own[:, left], 2.0 * usual[:, left], atol=0.01)
    # The jaw is one: it moves by the mean of both sides' gains.
    np.testing.assert_allclose(AVERAGE.shown((26, "both")), nuisance.roi_displacement((26, "both")))


def test_subjects_differ() -> None:
    drawn = [Subject.draw(np.random.default_rng(k)) for k in range(200)]
    gains = np.log([[s.gains[12][0], s.gains[12][1]] for s in drawn])
    constants = nuisance.settings()["subject"]
    assert np.diff(gains).std() == pytest.approx(2**0.5 * constants["side_spread"], rel=0.2)
    expected = np.hypot(constants["gain_spread"], constants["side_spread"])
    assert gains[:, 0].std() == pytest.approx(expected, rel=0.2)


def by_name(**options: int) -> dict[str, SimulatedVideo]:
    settings = {"minutes": 0.5, "seed": 4, **options}
    return {v.name: v for v in simulate_features(**settings)}  # type: ignore[arg-type]


def test_a_video_depends_on_seed_and_name_alone() -> None:
    few, many = by_name(subjects=2, videos=1), by_name(subjects=4, videos=2)
    assert set(few) == {"s001_1", "s002_1"} < set(many)
    for name, video in few.items():
        np.testing.assert_array_equal(video.features.values, many[name].features.values)
        assert video.timeline == many[name].timeline and video.expressions == many[name].expressions
    other = by_name(subjects=1, seed=5)["s001_1"]
    assert not np.array_equal(other.features.values, few["s001_1"].features.values)
    first, second = many["s001_1"].features.values, many["s001_2"].features.values
    assert not np.array_equal(first, second)


def test_features_are_as_the_analysis_gives_them() -> None:
    video = by_name(subjects=1)["s001_1"]
    f = video.features
    assert f.values.shape == (900, 12, 2) and f.values.dtype == np.float32
    assert f.rois == tuple(ROIS) and f.rate == 30 and f.eye_distance == 64
    np.testing.assert_allclose(f.times, np.arange(900) / 30)
    assert all(e.offset < 900 for e in video.expressions)


def test_a_performance_is_the_same_at_any_rate() -> None:
    event = Event("macro", ((12, "both"),), 1.0, 1.5, 2.0, 2.5, 1.0)
    slow, fast = (render(Timeline(4.0, (event,)), AVERAGE, {}, rate=r) for r in (30.0, 120.0))
    summed = fast.values.reshape(-1, 4, 12, 2).sum(axis=1)
    np.testing.assert_allclose(summed, slow.values, atol=1e-4)


def test_levels_grow_harder() -> None:
    constants = [level_constants(level) for level in LEVELS]
    ratios = [strength / loudness for strength, loudness in constants]
    assert ratios == sorted(ratios, reverse=True) and len(set(ratios)) == 3
    assert constants[-1] == (1.0, 1.0)  # hard is life as measured


def test_replayed_videos_keep_subject_and_truth() -> None:
    lines = replay([Annotation("", "casme_015_0401", "macro", 557, 572, 608, "12")], 30)
    (video,) = simulate_features(replayed=lines)
    assert (video.subject, video.name) == ("casme_015", "casme_015_0401")
    (truth,) = video.expressions
    assert (truth.onset, truth.apex, truth.offset) == (557, 572, 608)


def test_our_layout_is_read_back(tmp_path: Path) -> None:
    videos = list(by_name(subjects=2).values())
    written = write_features(tmp_path / "new", videos)
    assert [p.relative_to(tmp_path / "new").as_posix() for p in written] == [
        "s001/s001_1.npz",
        "s002/s002_1.npz",
        "truth.csv",
    ]
    for path, video in zip(written, videos, strict=False):
        features, truth = read_features(path)
        np.testing.assert_array_equal(features.values, video.features.values)
        np.testing.assert_array_equal(features.valid, video.features.valid)
        np.testing.assert_array_equal(features.times, video.features.times)
        assert features.rois == video.features.rois and truth == video.expressions
    with written[-1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    truths = [(v.name, e.kind, e.onset, e.apex, e.offset) for v in videos for e in v.expressions]
    assert [
        (r["video"], r["kind"], int(r["onset"]), int(r["apex"]), int(r["offset"])) for r in rows
    ] == truths
    with pytest.raises(UsageError, match="overwrite"):
        write_features(tmp_path / "new", videos)
    write_features(tmp_path / "new", videos, overwrite=True)


def test_the_published_layout(tmp_path: Path) -> None:
    event = Event("micro", ((12, "both"),), 10.0, 10.2, 10.2, 10.4, 1.0)
    timeline = Timeline(20.0, (event,))
    causes = nuisance.load(["motion_noise"])
    video = SimulatedVideo("s1", "s1_1", render(timeline, AVERAGE, causes), timeline)
    write_features(tmp_path, [video], layout="feature_segment")
    root = tmp_path / "feature_segment"
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.npz"))
    assert names == [
        "test/s1/s1_1_0000.npz",
        "test/s1/s1_1_0256.npz",
        "test/s1/s1_1_0512.npz",
        "train/s1/s1_1_0256.npz",
    ]
    values = np.zeros((3 * SEGMENT, 12, 2))
    for k in range(3):
        with np.load(root / f"test/s1/s1_1_{k * SEGMENT:04d}.npz") as file:
            feature, label = file["feature"], file["label"]
            assert str(file["video_name"]) == "s1_1"
        assert feature.shape == (270, 12, 2) and label.shape == (270, 8)
        raw = feature * (0.548588, 0.645621) + (0.003463, 0.003873)
        values[k * SEGMENT :][:SEGMENT] = raw[CONTEXT:-CONTEXT]
        if k == 1:
            rows = [np.flatnonzero(column) - CONTEXT + SEGMENT for column in label.T]
            assert [r.tolist() for r in rows[:3]] == [[300], [306], [312]]
            assert rows[3].tolist() == list(range(300, 313)) and not label[:, 4:].any()
        else:
            assert not label.any()
    np.testing.assert_allclose(values[:600], video.features.values, atol=1e-5)
    np.testing.assert_allclose(values[600:], 0, atol=1e-6)


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for call, message in (
        (lambda: simulate_features(0), "subjects"),
        (lambda: simulate_features(1.5), "subjects must be a whole number"),  # type: ignore[arg-type]
        (lambda: simulate_features(videos=True), "videos must be a whole number"),
        (lambda: simulate_features(minutes=0), "minutes"),
        (lambda: simulate_features(minutes=math.inf), "a day at most; found inf"),
        (lambda: simulate_features(rate_per_min=1e9), "1000 at most; found 1000000000.0"),
        (lambda: simulate_features(seed=1.5), "seed must be a whole number"),  # type: ignore[arg-type]
        (lambda: simulate_features(seed=-1), "seed"),
        (lambda: simulate_features(rate=0), "rate"),
        (lambda: simulate_features(rate_per_min=0), "rate_per_min"),
        (lambda: simulate_features(level="heavy"), "easy, medium, hard"),
        (lambda: simulate_features(strength=-1), "strength"),
        (lambda: simulate_features(nuisances=["wind"]), "wind"),
        (lambda: write_features(tmp_path, [], layout="npz"), ", ".join(LAYOUTS)),
        (lambda: write_features(tmp_path / "file", []), "folder"),
        (lambda: read_features(tmp_path / "file"), "cannot read simulated features"),
        (lambda: render(Timeline(0.01, ()), AVERAGE, {}), "no row"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
