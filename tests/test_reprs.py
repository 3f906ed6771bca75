"""What a notebook shows of an object: a line, never its arrays."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.graph import AUGraph
from aumer.results import Prediction
from aumer.types import FaceTrack, Features, Scores

T = 400
TIMES, FRAMES = 1 + np.arange(T) / 30, np.arange(T)
VALID = np.arange(T) < 300
GRAPH = AUGraph.from_edges({("brow_r_mid", "nose_tip"): 1.0}, name="mine")
PREDICTION = Prediction(
    *("a.mp4", "positive", {"positive": 0.7, "negative": 0.3}, 3, 5, 9, 0.1, 0.17, 0.3),
    attribution={"nose_tip": 0.5},
    recognizer="default",
    settings={"face": {"detector": "blazeface"}},
    flow_map=np.zeros((28, 28, 3), np.float32),
)


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        (
            FaceTrack(
                *(TIMES, FRAMES, VALID, np.zeros((T, 4), np.float32)),
                np.zeros((T, 68, 2), np.float32),
            ),
            "FaceTrack of face 1: 1.00 to 14.30 s, a usable face in 300 of 400 frames",
        ),
        (
            Features(
                np.zeros((T, 2, 2), np.float32), TIMES, FRAMES, VALID, ("chin", "nose_tip"), 30.0
            ),
            "Features of 2 ROIs at 30 rows a second: 1.00 to 14.30 s, 300 of 400 rows hold motion",
        ),
        (
            Scores(np.zeros((0, 1), np.float32), TIMES[:0], FRAMES[:0], VALID[:0], ("micro",)),
            "Scores of 1 channels (micro): no time, 0 of 0 rows valid",
        ),
        (
            GRAPH,
            f"AUGraph 'mine': {len(GRAPH.rois)} ROIs, 2 weights above 0, "
            f"digest {GRAPH.digest[:12]}",
        ),
        (
            PREDICTION,
            "Prediction a.mp4: positive (positive 0.70, negative 0.30; most by nose_tip)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_line(thing: object, line: str) -> None:
    assert repr(thing) == line
