"""A real head turned toward its profile, from one picture and approximate landmarks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay

from aumer.face.crop import Matrix, applied, inverse, similarity
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.types import ImageArray

Points = npt.NDArray[np.float64]

#: Parts of a head that the mean face lacks, in its units: a forehead, and the outline, an ellipse
#: whose sides are deeper than its top. Chosen by eye.
_FOREHEAD = np.array(
    [(0.0, -0.95, 0.05), (0.0, -0.68, -0.06), (-0.35, -0.9, 0.12), (0.35, -0.9, 0.12),
     (-0.33, -0.66, 0.0), (0.33, -0.66, 0.0), (-0.66, -0.8, 0.4), (0.66, -0.8, 0.4)]
)  # fmt: skip
_ANGLE = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_OUTLINE = np.column_stack(
    [1.0 * np.cos(_ANGLE), 0.05 + 1.3 * np.sin(_ANGLE), 0.5 + 0.6 * np.abs(np.cos(_ANGLE))]
)


def upright(rough: Points) -> tuple[Matrix, float]:
    """The transform from the mean face to the image, and px per outer-eye distance."""
    transform = similarity(MEAN_FACE[list(RIGID), :2], rough[list(RIGID)].astype(np.float64))
    return transform, float(np.hypot(*transform[:, 0]))


def _solid(points: Points, rough: Points) -> tuple[Points, Matrix]:
    """(68, 3): upright landmarks in the mean face's plane with its depth; and the transform from
    the mean face to the image.
    """
    transform, _ = upright(rough)
    return np.column_stack([applied(inverse(transform), points), MEAN_FACE[:, 2]]), transform


def _rotated(solid: Points, yaw: float) -> Points:
    """Rotated about the neck's axis, which is behind the face."""
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    x, y, z = solid[:, 0], solid[:, 1], solid[:, 2] - 0.6
    return np.column_stack([c * x - s * z, y, s * x + c * z])


def turned_points(points: Points, rough: Points, yaw: float) -> Points:
    """Landmarks (68, 2) after `turned_head`."""
    solid, transform = _solid(points, rough)
    return applied(transform, _rotated(solid, yaw)[:, :2])


def turned_head(image: ImageArray, rough: Points, yaw: float) -> ImageArray:
    """The head as a textured mesh of the mean face's depth.

    Args:
        image: (H, W, 3) uint8.
        rough: (68, 2) px, approximate landmarks.
        yaw: degrees; 90 is the profile.

    Returns:
        an image of the same size; behind the head it is blurred beyond recognition.
    """
    solid, place = _solid(rough, rough)
    solid = np.concatenate([solid, _FOREHEAD, _OUTLINE])
    source = applied(place, solid[:, :2])
    rotated = _rotated(solid, yaw)
    target = applied(place, rotated[:, :2])
    eye = float(np.hypot(*place[:, 0]))
    height, width = image.shape[:2]
    # A strongly blurred background, so that there is no second face behind the first.
    small = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)
    spread = 48 * 0.8 * eye / width
    blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), spread), (width, height))
    out: ImageArray = np.asarray(blurred, np.uint8)
    triangles = Delaunay(solid[:, :2]).simplices
    for t in triangles[np.argsort(-rotated[triangles, 2].mean(axis=1))]:
        p, q = source[t].astype(np.float32), target[t].astype(np.float32)
        turned = [float(np.linalg.det(v[1:] - v[0])) for v in (p, q)]
        if abs(turned[0]) < 1e-3 or turned[0] * turned[1] <= 0:
            continue  # no area, or seen from behind
        x0, y0 = np.maximum(np.floor(q.min(axis=0)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(q.max(axis=0)).astype(int) + 2, (width, height))
        if x1 <= x0 or y1 <= y0:
            continue
        corner = np.array((x0, y0), np.float32)
        transform = cv2.getAffineTransform(p, q - corner)
        patch = cv2.warpAffine(
            image, transform, (int(x1 - x0), int(y1 - y0)), borderMode=cv2.BORDER_REPLICATE
        )
        inside: npt.NDArray[np.uint8] = np.zeros((int(y1 - y0), int(x1 - x0)), np.uint8)
        # In 1/16 px, so that the mesh moves smoothly with the head.
        corners = np.asarray(np.rint((q - corner) * 16), np.int32)
        cv2.fillConvexPoly(inside, corners, (1,), cv2.LINE_8, 4)
        region = out[y0:y1, x0:x1]
        region[inside > 0] = patch[inside > 0]
    return out
