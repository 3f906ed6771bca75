"""Flow maps: the motion from onset to apex, the input of recognizers.

A map holds u (to the image's right), v (down) and optical strain on an aligned crop of the face
without head motion, at 28 x 28 like the inputs of MEGC 2019 (Liong et al., STSTNet, FG 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from aumer.errors import UsageError
from aumer.flow import FlowFunction
from aumer.motion import AlignedFace, without_head
from aumer.recognition.face_position import BY_LANDMARKS, FacePosition
from aumer.recognition.features import min_max
from aumer.recognition.interface import INPUT_SHAPE
from aumer.types import FloatArray, ImageArray

#: Side of a map in px.
SIDE = INPUT_SHAPE[0]
#: Scale of the motion of skin at rest, as a share of the crop's side: .1 px of 128. From .06 to .15
#: px the simulated expressions and the shared real ones get the same labels
#: (benchmarks/accuracy/classify.py).
_REST = 0.1 / 128


def flow_map(
    onset: AlignedFace,
    apex: AlignedFace,
    flow: FlowFunction,
    *,
    via: Sequence[AlignedFace] = (),
    max_head_residual: float = 1.0,
    position: FacePosition = BY_LANDMARKS,
) -> FloatArray | None:
    """Motion from onset to apex on a small crop of the face.

    Args:
        flow: optical flow; `aumer.flow.tvl1.tvl1` is usual in the field.
        via: faces in between, in order, for large motion; see `motion`.
        max_head_residual: see `aumer.motion.without_head`.
        position: position of the face in the map: that of the recognizer, if it has one.

    Returns:
        (28, 28, 3) float32: u and v in px of the canonical crop, and strain (px per px), averaged
        over cells of the crop; `None` if the two do not show the same face in motion.

    Raises:
        UsageError: the crops differ in size.
    """
    still = without_head(motion((onset, *via, apex), flow), max_head_residual)
    if still is None:
        return None
    still = without_residual_motion(still, position)
    full = with_strain(still)
    down, across = _cells(still.shape[0], position)
    return np.asarray(np.einsum("yr,xc,rck->yxk", down, across, full, optimize=True), np.float32)


def motion(faces: Sequence[AlignedFace], flow: FlowFunction) -> FloatArray:
    """Displacement of the first face's pixels in the last face: (C, C, 2) float32 px.

    Each face is warped back by the motion found so far and compared with the first one, so that
    errors do not accumulate and large motion is reached in small steps.

    Raises:
        UsageError: fewer than two faces, or crops of different sizes.
    """
    sizes = {face.gray.shape for face in faces}
    if len(faces) < 2 or len(sizes) > 1:
        raise UsageError(
            f"motion needs two faces or more, on crops of one size; found {len(faces)} faces, on "
            f"crops of {sorted(sizes)}"
        )
    first = faces[0].gray
    found = flow(first, faces[1].gray)
    for face in faces[2:]:
        rest = flow(first, np.asarray(_read(face.gray, found, cv2.INTER_CUBIC), np.uint8))
        found = rest + _read(found, rest, cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def without_residual_motion(field: FloatArray, position: FacePosition = BY_LANDMARKS) -> FloatArray:
    """A flow without head motion (C, C, 2) px, minus residual head motion estimated where the skin
    is at rest.

    A head whose depth differs from the mean face's leaves a gradient over cheeks and brows that
    min-max scaling would turn into motion. It is fitted as an affine field with Geman-McClure
    weights, which ignore whatever moves by more than a few tenths of a px: the expression.
    """
    left, top, right, bottom = (round(share * field.shape[0]) for share in position.region())
    rows, columns = np.mgrid[: field.shape[0], : field.shape[0]] / field.shape[0] - 0.5
    basis = np.stack([np.ones_like(rows), columns, rows], axis=-1)
    inside = slice(top, bottom, 2), slice(left, right, 2)
    seen, moved = basis[inside].reshape(-1, 3), field[inside].reshape(-1, 2).astype(np.float64)
    scale = _REST * field.shape[0]
    misfit = np.linalg.norm(moved, axis=1)
    ridge = 1e-3 * len(seen) * np.diag([1.0, 0.25, 0.25])
    for _ in range(8):
        weighted = seen * ((1 + (misfit / scale) ** 2) ** -2)[:, None]
        slope = np.linalg.solve(weighted.T @ seen + ridge, weighted.T @ moved)
        misfit = np.linalg.norm(moved - seen @ slope, axis=1)
    return np.asarray(field - basis @ slope, np.float32)


def strain(field: FloatArray) -> FloatArray:
    """Optical strain, the norm of the symmetric gradient: (..., H, W, 2) px -> (..., H, W) float32.

    e = sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), by central differences, one-sided at the border: 0
    for a shift or rotation as a whole.
    """
    # np.gradient gives the derivative along rows, which is y, first.
    (u_y, u_x), (v_y, v_x) = (np.gradient(field[..., k], axis=(-2, -1)) for k in (0, 1))
    return np.asarray(np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2), np.float32)


def with_strain(field: FloatArray) -> FloatArray:
    """(..., H, W, 2) px -> (..., H, W, 3) float32: u, v and optical strain."""
    return np.asarray(np.concatenate([field, strain(field)[..., None]], axis=-1), np.float32)


def min_max_view(maps: FloatArray) -> ImageArray:
    """Each channel scaled by its range to 0..255, as in MEGC 2019's images, which STSTNet reads.

    The amplitude and the zero level are lost. A channel without any range becomes 0.

    Shapes:
        maps (N, H, W, 3) or (H, W, 3); returns the same shape, uint8.
    """
    stack = maps[None] if maps.ndim == 3 else maps
    return np.asarray(np.rint(255 * min_max(stack)).reshape(maps.shape), np.uint8)


def where(points: FloatArray, crop: int, position: FacePosition = BY_LANDMARKS) -> FloatArray:
    """Points (N, 2) in px of the canonical crop -> px of the map, 0 at the center of the first
    pixel.
    """
    left, top, right, bottom = (share * crop for share in position.region())
    scale = np.array([SIDE / (right - left), SIDE / (bottom - top)])
    return np.asarray((points + 0.5 - (left, top)) * scale - 0.5, np.float32)


def _read(image: ImageArray | FloatArray, by: FloatArray, how: int) -> FloatArray:
    """``image(x + by(x))``; the border is replicated."""
    rows, columns = np.mgrid[: by.shape[0], : by.shape[1]].astype(np.float32)
    read = cv2.remap(
        image, columns + by[..., 0], rows + by[..., 1], how, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(read, np.float32)


@lru_cache(maxsize=8)
def _cells(crop: int, position: FacePosition) -> tuple[FloatArray, FloatArray]:
    """Weights of the crop's rows and columns in the map's: each (28, C) float32; rows sum to 1."""
    left, top, right, bottom = (share * crop for share in position.region())
    found = []
    for low, high in ((top, bottom), (left, right)):
        edges = np.linspace(low, high, SIDE + 1)
        pixel = np.arange(crop)
        inside = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        share = np.clip(inside, 0, 1)
        found.append((share / share.sum(1, keepdims=True)).astype(np.float32))
    return found[0], found[1]
