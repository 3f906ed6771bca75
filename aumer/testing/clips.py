"""Labeled synthetic clips: brows together, mouth corners out and up, brows up.

For each kind of input of recognizers; small and fast to make.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aumer.graph.rois import DEFAULT_ROIS
from aumer.recognition.face_position import BY_LANDMARKS, FacePosition
from aumer.recognition.interface import Clips, MotionClips, Recognizer
from aumer.recognition.labeled import LabeledClips
from aumer.types import FloatArray

CLASSES = ("negative", "positive", "surprise")
_ROWS, _COLUMNS = np.mgrid[:28, :28]

#: (u, v) of ROIs by class; v is down.
MOVES: dict[int, dict[str, tuple[float, float]]] = {
    0: {"brow_r_mid_inner": (1.0, 0.8), "brow_l_mid_inner": (-1.0, 0.8)},
    1: {"mouth_r": (-0.8, -1.0), "mouth_l": (0.8, -1.0)},
    2: {name: (0.0, -1.0) for name in DEFAULT_ROIS.names if name.startswith("brow")},
}


def flow_map(
    label: int, rng: np.random.Generator, noise: float = 0.1, position: FacePosition = BY_LANDMARKS
) -> FloatArray:
    """(28, 28, 3) u, v, strain of a class with random amplitude and noise."""
    flow = rng.normal(0, noise, (28, 28, 2))
    landmarks = position.landmarks()
    for roi, move in MOVES[label].items():
        x, y = landmarks[roi]
        near = np.exp(-((_COLUMNS - x) ** 2 + (_ROWS - y) ** 2) / (2 * 2.0**2))
        flow += near[..., None] * np.array(move) * rng.uniform(0.7, 1.3)
    u, v = flow[..., 0], flow[..., 1]
    (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
    strain = np.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2)
    whole = np.stack([u, v, strain], -1) * rng.uniform(0.5, 5)
    return np.asarray(whole, np.float32)


def clips(
    seed: int, subjects: int = 4, each: int = 3, position: FacePosition = BY_LANDMARKS
) -> Clips:
    """`each` clips per class and subject, from two sources."""
    rng = np.random.default_rng(seed)
    rows = [(s, c) for s in range(subjects) for c in range(3) for _ in range(each)]
    return Clips(
        np.stack([flow_map(c, rng, position=position) for _, c in rows]),
        np.array([c for _, c in rows], np.int64),
        tuple(f"s{s}" for s, _ in rows),
        CLASSES,
        tuple(f"clip{k}" for k in range(len(rows))),
        tuple(("one", "two")[s % 2] for s, _ in rows),
    )


def motions(rois: tuple[str, ...], seed: int, subjects: int = 4, each: int = 3) -> MotionClips:
    """Motion of these ROIs in `each` clips per class and subject."""
    rng = np.random.default_rng(seed)
    rows = [(s, c) for s in range(subjects) for c in range(3) for _ in range(each)]
    moved = rng.normal(0, 0.002, (len(rows), len(rois), 2))
    for k, (_, label) in enumerate(rows):
        for roi, move in MOVES[label].items():
            if roi in rois:
                moved[k, rois.index(roi)] += 0.03 * rng.uniform(0.7, 1.3) * np.array(move)
    return MotionClips(
        moved.astype(np.float32),
        np.array([c for _, c in rows], np.int64),
        tuple(f"s{s}" for s, _ in rows),
        CLASSES,
        tuple(f"clip{k}" for k in range(len(rows))),
    )


def clips_for(recognizer: Recognizer, seed: int, subjects: int = 4) -> LabeledClips[Any]:
    """Clips with a recognizer's kind of input, for every class and subject.

    Sequences are 32 px wide and last 0.25 to 0.5 s at 50 frames per second.
    """
    if recognizer.reads[0] == "motion":
        return motions(recognizer.rois, seed, subjects)
    if recognizer.reads[0] == "flow-map":
        return clips(seed, subjects, position=recognizer.position)
    from aumer.recognition.sequences.simulated import Simulation, simulated_clips

    settings = recognizer.inputs or recognizer.default_inputs
    flow = "none" if settings is not None and settings.flow == "none" else "farneback"
    return simulated_clips(Simulation(subjects, 1, size=32, fps=50.0, flow=flow), seed)
