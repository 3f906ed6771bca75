"""The recognizer of ROI motion: what it reads of maps and of features, and that the two agree."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import aumer
from aumer.config import load_settings
from aumer.errors import NoFaceError, UsageError
from aumer.graph.rois import DEFAULT_ROIS
from aumer.motion.analysis import analyze
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.graph_motion import GraphMotionRecognizer
from aumer.simulate import nuisance
from aumer.simulate.features import Subject, render
from aumer.simulate.timeline import Event, Timeline
from aumer.testing.clips import clips
from aumer.types import Features

CHOICE = {"target": "none", "gamma": 0.6, "ridge": 0.2, "balance": 1.0}
EXPRESSIONS = {"positive": (6, 12), "surprise": (1, 2, 5), "negative": (4,)}


@pytest.fixture(scope="module")
def fitted() -> GraphMotionRecognizer:
    made = GraphMotionRecognizer(choice=CHOICE, position=BY_LANDMARKS).fit(clips(0, subjects=8))
    assert isinstance(made, GraphMotionRecognizer)
    return made


def test_a_roi_s_motion_is_the_mean_of_a_square_round_it() -> None:
    made = GraphMotionRecognizer()
    rows, columns = np.mgrid[:28, :28].astype(np.float32)
    maps = np.stack([columns - 13.5, rows - 13.5, 0 * rows], -1)[None]
    expected = np.array(
        [[np.clip(c, 1, 26) - 13.5 for c in BY_LANDMARKS.landmarks()[r]] for r in made.rois]
    )
    expected /= np.sqrt((expected**2).mean(0))
    np.testing.assert_allclose(made._read(maps, 3, BY_LANDMARKS)[0], expected, atol=1e-5)
    assert not made._read(np.zeros_like(maps), 3, BY_LANDMARKS).any()


def test_a_map_and_its_rois_motion_are_judged_alike(fitted: GraphMotionRecognizer) -> None:
    """Displacements in whatever unit, read off a map, are what features would hold of it."""
    from aumer.recognition.features import of_one_size

    test = clips(1)
    motion = 0.03 * fitted._read(of_one_size(test.inputs), 5, BY_LANDMARKS).astype(np.float32)
    np.testing.assert_allclose(
        fitted.predict_motion(motion), fitted.predict_proba(test.inputs), atol=1e-5
    )
    np.testing.assert_allclose(
        fitted.motion_attribution(motion[4], "positive"),
        fitted.attribution(test.inputs[4], "positive"),
        atol=1e-5,
    )


def test_sides_can_be_swapped(fitted: GraphMotionRecognizer) -> None:
    motion = np.random.default_rng(0).normal(size=(3, 12, 2)).astype(np.float32)
    twin = [
        fitted.rois.index(n.replace("_r", "_*").replace("_l", "_r").replace("_*", "_l"))
        if n.startswith(("brow", "mouth"))
        else k
        for k, n in enumerate(fitted.rois)
    ]
    other = motion[:, twin] * np.float32((-1, 1))
    np.testing.assert_allclose(
        fitted.predict_motion(other), fitted.predict_motion(motion), atol=1e-6
    )


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        (np.zeros((12, 2)), r"\(N, 12, 2\), in the order brow_.*; found \(12, 2\)"),
        (np.zeros((1, 11, 2)), r"found \(1, 11, 2\)"),
        (np.full((1, 12, 2), np.nan), "NaN"),
    ],
)
def test_motion_that_is_none(
    fitted: GraphMotionRecognizer, motion: np.ndarray, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        fitted.predict_motion(motion.astype(np.float32))
    with pytest.raises(UsageError, match="not trained"):
        GraphMotionRecognizer().predict_motion(motion.astype(np.float32))


# The weights that ship


def acted(label: str, intensity: float, seed: int) -> Features:
    """Features of one expression, by a subject of the simulated population, with all nuisances."""
    aus = tuple((au, "both") for au in EXPRESSIONS[label])
    timeline = Timeline(1.2, (Event("macro", aus, 0.2, 0.5, 0.7, 1.0, intensity),))
    subject = Subject.draw(np.random.default_rng(seed))
    return render(timeline, subject, nuisance.load(nuisance.USUAL), seed=seed, name=label)


@pytest.mark.parametrize("label", EXPRESSIONS)
@pytest.mark.parametrize("intensity", [0.3, 1.0])
def test_features_of_known_action_units(label: str, intensity: float) -> None:
    found = [aumer.classify(acted(label, intensity, k), onset=6, apex=15) for k in range(8)]
    assert sum(p.label == label for p in found) >= 7
    first = found[0]
    assert first.recognizer == "graph-motion" and first.flow_map is None
    assert tuple(first.attribution) == DEFAULT_ROIS.names
    part = {"positive": "mouth", "surprise": "brow", "negative": "brow"}[label]
    spoken = {k: v for k, v in first.attribution.items() if not k.startswith("nose")}
    assert max(spoken, key=spoken.__getitem__).startswith(part)


def test_the_apex_of_features_is_found() -> None:
    found = aumer.classify(acted("positive", 1.0, 0))
    assert found.label == "positive" and 13 <= found.apex <= 22


def test_features_of_real_smiles(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("videos/fex_smile_still.mov")
    with (path.parent / "annotations.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if r["file"] == path.name and "12" in r["au"])
    end = (int(row["offset"]) + 2) / float(row["fps"])
    features = analyze(path, load_settings(), end=end).features
    known = {name: int(row[name]) for name in ("onset", "apex", "offset")}
    assert aumer.classify(features, **known).label == "positive"
    # What moves the other way is nothing that it learned: it must not be sure of the smile.
    backward = aumer.classify(replace(features, values=-features.values), **known)
    assert backward.probs["positive"] < 0.45


def test_spotted_in_features_and_named() -> None:
    """A smile, then raised brows, in features alone."""
    events = []
    for label, t in (("positive", 3.0), ("surprise", 8.0)):
        aus = tuple((au, "both") for au in EXPRESSIONS[label])
        events.append(Event("macro", aus, t, t + 0.4, t + 0.8, t + 1.2, 1.0))
    subject = Subject.draw(np.random.default_rng(1))
    features = render(
        Timeline(12.0, tuple(events)), subject, nuisance.load(("motion_noise",)), seed=1
    )
    result = aumer.spot(features, recognizer="default")
    assert {e.label for e in result.expressions if e.onset_s < 6} == {"positive"}
    assert {e.label for e in result.expressions if e.onset_s >= 6} == {"surprise"}
    assert result.settings["recognition"] == {"recognizer": "graph-motion"}
    assert result.video.source == "features" and result.coverage == 1
    assert aumer.SpotResult.from_json(result.to_json()) == result
    bare = aumer.spot(features)
    assert [e.interval for e in bare.expressions] == [e.interval for e in result.expressions]
    assert all(e.label is None for e in bare.expressions)
    with pytest.raises(UsageError, match="reads flow maps"):
        aumer.spot(features, recognizer="graph")
    with pytest.raises(UsageError, match="have their own times"):
        aumer.spot(features, fps=30)
    lost = replace(features, valid=np.zeros(len(features), np.bool_))
    with pytest.raises(NoFaceError, match="0% of the 360 rows"):
        aumer.spot(lost)
