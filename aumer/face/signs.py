"""What landmarks tell beside expressions: how far the eyes are open, and how the head is turned.

Spotters read both to tell what moves ROIs and is no expression: a blink moves the skin that head
motion is read from, and a turn out of the plane is taken off the ROIs only in part.
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
#: What is rigid enough to say how the head is turned: the nose and the corners of the eyes.
_HEAD = (*range(27, 32), 33, 35, 36, 39, 42, 45)


def eyelids(landmarks: FloatArray) -> Array:
    """How far each eye is open: the mean distance of its lids, in outer-eye distances.

    Args:
        landmarks: (N, 68, 2) px, NaN where there are none.

    Returns:
        (N, 2) float64: the person's right eye and left eye. Open eyes have .06 to .11; landmarks
        carried by flow do not close them wholly: a blink goes down by .03 to .05.
    """
    right, left = (landmarks[:, corner].astype(np.float64) for corner in _CORNERS)
    unit = np.hypot(*(left - right).T)
    upper, lower = (landmarks[:, np.array(lid)].astype(np.float64) for lid in (_UPPER, _LOWER))
    gaps = np.hypot(*np.moveaxis(upper - lower, -1, 0))
    return np.asarray(gaps.mean(axis=2) / unit[:, None])


def head_turn(landmarks: FloatArray) -> Array:
    """How the head is turned, as weak perspective shows the mean face.

    Args:
        landmarks: (N, 68, 2) px, NaN where there are none.

    Returns:
        (N, 3) float64 radians: yaw, positive where the nose goes to the image's right; pitch,
        positive where it goes down; roll, positive clockwise. They are exact in their changes, not
        in themselves: another person's face is not the mean face.
    """
    solid = MEAN_FACE[list(_HEAD)]
    solid = solid - solid.mean(axis=0)
    points = landmarks[:, list(_HEAD)].astype(np.float64)
    points = points - points.mean(axis=1, keepdims=True)
    turned = np.full((len(points), 3), np.nan)
    seen = np.isfinite(points).all(axis=(1, 2))
    # The affine map that fits best, (N, 2, 3), and the two axes of a rotation nearest to it.
    affine = np.swapaxes(np.linalg.pinv(solid) @ points[seen], 1, 2)
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    axes = u @ v
    depth = np.cross(axes[:, 0], axes[:, 1])[:, 2]
    # The mean face's z goes away from the viewer, and its nose lies at negative z.
    turned[seen, 0] = -np.arctan2(axes[:, 0, 2], depth)
    turned[seen, 1] = -np.arctan2(axes[:, 1, 2], depth)
    turned[seen, 2] = np.arctan2(affine[:, 1, 0], affine[:, 0, 0])
    return turned
