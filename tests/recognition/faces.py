"""Flow maps of made-up faces: brows together, corners of the mouth out and up, brows up."""

from __future__ import annotations

import numpy as np

from aumer.recognition.place import BY_LANDMARKS, Place
from aumer.recognition.seam import Clips
from aumer.rois import DEFAULT_ROIS
from aumer.types import FloatArray

CLASSES = ("negative", "positive", "surprise")
_ROWS, _COLUMNS = np.mgrid[:28, :28]

#: (u, v) of a ROI by class: v is down.
MOVES: dict[int, dict[str, tuple[float, float]]] = {
    0: {"brow_r_mid_inner": (1.0, 0.8), "brow_l_mid_inner": (-1.0, 0.8)},
    1: {"mouth_r": (-0.8, -1.0), "mouth_l": (0.8, -1.0)},
    2: {name: (0.0, -1.0) for name in DEFAULT_ROIS.names if name.startswith("brow")},
}


def flow_map(
    label: int, rng: np.random.Generator, noise: float = 0.1, place: Place = BY_LANDMARKS
) -> FloatArray:
    """(28, 28, 3) u, v, strain of a class, of any amplitude, with some noise."""
    flow = rng.normal(0, noise, (28, 28, 2))
    landmarks = place.landmarks()
    for roi, move in MOVES[label].items():
        x, y = landmarks[roi]
        near = np.exp(-((_COLUMNS - x) ** 2 + (_ROWS - y) ** 2) / (2 * 2.0**2))
        flow += near[..., None] * np.array(move) * rng.uniform(0.7, 1.3)
    u, v = flow[..., 0], flow[..., 1]
    (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
    strain = np.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2)
    whole = np.stack([u, v, strain], -1) * rng.uniform(0.5, 5)
    return np.asarray(whole, np.float32)


def clips(seed: int, subjects: int = 4, each: int = 3, place: Place = BY_LANDMARKS) -> Clips:
    """`each` clips of every class of every subject, of two sources."""
    rng = np.random.default_rng(seed)
    rows = [(s, c) for s in range(subjects) for c in range(3) for _ in range(each)]
    return Clips(
        np.stack([flow_map(c, rng, place=place) for _, c in rows]),
        np.array([c for _, c in rows], np.int64),
        tuple(f"s{s}" for s, _ in rows),
        CLASSES,
        tuple(f"clip{k}" for k in range(len(rows))),
        tuple(("one", "two")[s % 2] for s, _ in rows),
    )
