"""Opening of the eyes and rotation of the head, from landmarks.

Spotters use both to recognize motion of ROIs that is not an expression: a blink moves skin that is
used to estimate head motion, and a rotation out of the plane is only partly removed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aumer.face.mean_face import MEAN_FACE
from aumer.types import FloatArray

Array = npt.NDArray[np.float64]

#: Upper and lower lid, two points each, of the right and of the left eye.
_UPPER, _LOWER = ((37, 38), (43, 44)), ((41, 40), (47, 46))
_CORNERS = (36, 45)
#: Rigid landmarks for head rotation: the nose and the eye corners.
_HEAD = (*range(27, 32), 33, 35, 36, 39, 42, 45)


def eyelids(landmarks: FloatArray) -> Array:
    """Opening of each eye: the mean distance of its lids, in outer-eye distances.

    Args:
        landmarks: (N, 68, 2) px, NaN where there are none.

    Returns:
        (N, 2) float64: the person's right eye and left eye. Open eyes have .06 to .11; with
        landmarks carried by flow a blink decreases it by .03 to .05 only.
    """
    right, left = (landmarks[:, corner].astype(np.float64) for corner in _CORNERS)
    unit = np.hypot(*(left - right).T)
    upper, lower = (landmarks[:, np.array(lid)].astype(np.float64) for lid in (_UPPER, _LOWER))
    gaps = np.hypot(*np.moveaxis(upper - lower, -1, 0))
    return np.asarray(gaps.mean(axis=2) / unit[:, None])


def head_turn(landmarks: FloatArray) -> Array:
    """Head rotation, from a weak-perspective fit of the mean face.

    Args:
        landmarks: (N, 68, 2) px, NaN where there are none.

    Returns:
        (N, 3) float64 radians: yaw, positive if the nose turns to the image's right; pitch,
        positive if it turns down; roll, positive clockwise. Changes are accurate, absolute values
        are not, since faces differ from the mean face.
    """
    solid = MEAN_FACE[list(_HEAD)]
    solid = solid - solid.mean(axis=0)
    points = landmarks[:, list(_HEAD)].astype(np.float64)
    points = points - points.mean(axis=1, keepdims=True)
    turned = np.full((len(points), 3), np.nan)
    seen = np.isfinite(points).all(axis=(1, 2))
    # The best affine fit, (N, 2, 3), and the nearest two axes of a rotation.
    affine = np.swapaxes(np.linalg.pinv(solid) @ points[seen], 1, 2)
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    axes = u @ v
    depth = np.cross(axes[:, 0], axes[:, 1])[:, 2]
    # The mean face's z goes away from the viewer, and its nose lies at negative z.
    turned[seen, 0] = -np.arctan2(axes[:, 0, 2], depth)
    turned[seen, 1] = -np.arctan2(axes[:, 1, 2], depth)
    turned[seen, 2] = np.arctan2(affine[:, 1, 0], affine[:, 0, 0])
    return turned
