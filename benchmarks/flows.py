"""Pairs of faces between which flow is measured, and the truth where they are simulated."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.config import load_settings
from aumer.face.track import FaceTracker
from aumer.motion import AlignedFace, align
from aumer.types import FloatArray
from aumer.video import open_video
from benchmarks.data import test_data

Pair = tuple[AlignedFace, AlignedFace]
#: Sides of the crops, px.
SIZES = (128, 192, 256)
#: Action units that simulated faces show, in turn.
ACTIONS = ((6, 12), (1, 2), (4,), (15, 17), (25, 26), (10,), (14,))


def length(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Lengths of (..., 2)."""
    return np.hypot(vectors[..., 0], vectors[..., 1])


def face_pairs(per_video: int) -> dict[int, list[Pair]]:
    """Neighboring frames of the real videos, aligned on crops of each size."""
    settings = load_settings()
    found: dict[int, list[Pair]] = {size: [] for size in SIZES}
    for path in sorted((test_data() / "videos").iterdir()):
        if path.suffix == ".csv":
            continue
        tracker = FaceTracker.from_settings(settings.face)
        last, count = None, 0
        for k, frame in enumerate(open_video(path)):
            if k % 12 > 1:
                continue
            if count == per_video or k > 12 * 4 * per_video:
                break
            face = tracker(frame.image)
            crops = (
                {size: align(frame.image, face.landmarks, size) for size in SIZES} if face else None
            )
            if k % 12 == 1 and last and crops:
                count += 1
                for size in SIZES:
                    found[size].append((last[size], crops[size]))
            last = crops
    return found


def truth_on_crop(motion: FloatArray, landmarks: FloatArray, aligned: AlignedFace) -> FloatArray:
    """Film motion (H, W, 2) px -> crop motion (C, C, 2) px under the alignment of `landmarks`."""
    ones = np.ones((68, 1))
    transform = np.linalg.lstsq(np.hstack([landmarks, ones]), aligned.landmarks, rcond=None)[0].T
    crop = aligned.gray.shape[0]
    inverse = cv2.invertAffineTransform(transform)
    y, x = np.mgrid[0:crop, 0:crop]
    at = np.stack([x, y, np.ones_like(x)], axis=-1) @ inverse.T
    read = cv2.remap(
        motion, at[..., 0].astype(np.float32), at[..., 1].astype(np.float32), cv2.INTER_LINEAR
    )
    return np.asarray(read @ transform[:, :2].T, np.float32)
