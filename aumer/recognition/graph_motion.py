"""The recognizer ``graph-motion``: like ``graph``, but on the motion of the ROIs, as in `Features`.

It is trained on flow maps: each ROI's u and v are means over a small square. For a clip with
`Features`, the displacements from onset to apex are used instead. Both are normalized by channel,
since the maps of MEGC 2019 have lost their scale.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.recognition.face_position import SIDE, FacePosition
from aumer.recognition.graph_kernel import GraphRecognizer, _twins
from aumer.recognition.interface import Floats, column, fitted
from aumer.types import FloatArray


class GraphMotionRecognizer(GraphRecognizer):
    """See `GraphRecognizer`; here a scale is the side of the squares instead of the number of
    cells.
    """

    name: ClassVar[str] = "graph-motion"
    reads = ("flow-map", "motion")
    #: Sides of the squares in px of a map. Features are means over about 9 px of a map.
    SCALES: ClassVar[tuple[int, ...]] = (3, 5, 7)
    _levels: ClassVar[bool] = True

    def _read(self, maps: FloatArray, scale: int, position: FacePosition) -> Floats:
        across, down = self._squares(scale, position)
        moved = np.einsum("ry,nyxk,rx->nrk", down, maps[..., :2], across, optimize=True)
        return _level(moved)

    def _pixels(self, scale: int, position: FacePosition) -> Floats:
        across, down = self._squares(scale, position)
        pixels: Floats = np.einsum("ry,rx->yxr", down, across).reshape(SIDE**2, -1)
        return pixels

    def _squares(self, scale: int, position: FacePosition) -> tuple[Floats, Floats]:
        """(R, 28) each: weights of columns and of rows in each ROI's square."""
        landmarks = position.landmarks()
        at = np.array([landmarks[roi] for roi in self.rois])
        across, down = (_shares(centers, scale) for centers in at.T)
        return across, down

    def _parts(self, scale: int, position: FacePosition) -> Floats:
        """Every ROI is one part."""
        return np.eye(len(self.rois))

    def predict_motion(self, motion: FloatArray) -> Floats:
        """(N, R, 2) displacements from onset to apex -> (N, C) probabilities.

        Args:
            motion: x to the image's right and y down, on any scale.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        return self._judged(self._motions(motion))

    def motion_attribution(self, motion: FloatArray, label: str | None = None) -> Floats:
        """(R,): contribution of each ROI's motion (R, 2) to the score of the class; see
        `attribution`.
        """
        k = column(self, label, self.predict_motion(motion[None])[0])
        return self._labeled(self._motions(np.stack([motion, np.zeros_like(motion)])), k)

    def motion_familiarity(self, motion: FloatArray) -> float:
        """`familiarity` of (R, 2) motion."""
        return self._familiar(self._motions(motion[None]))

    def _motions(self, motion: FloatArray) -> dict[int, tuple[Floats, Floats]]:
        fitted(self)
        array = np.asarray(motion, np.float64)
        if array.ndim != 3 or array.shape[1:] != (len(self.rois), 2):
            raise UsageError(
                f"motion is of shape (N, {len(self.rois)}, 2), in the order "
                f"{', '.join(self.rois)}; found {array.shape}"
            )
        if not np.isfinite(array).all():
            raise UsageError("motion holds NaN or infinity; where none is known put 0")
        face = _level(array)
        mirror = face[:, _twins(self.rois)] * (-1, 1)
        return {member.scale: (face, mirror) for member in self._members}


def _level(moved: npt.NDArray[np.float64]) -> Floats:
    """(N, R, 2) with each clip's u and v scaled to root mean square 1; 0 if nothing moves."""
    size = np.sqrt((moved**2).mean(1, keepdims=True))
    level: Floats = moved / np.where(size > 1e-9, size, 1)
    return level


def _shares(centers: npt.NDArray[np.float64], side: int) -> Floats:
    """(R, 28): weight of each pixel in the mean over `side` px around each center, within the
    map.
    """
    low = np.clip(centers + 0.5 - side / 2, 0, SIDE - side)[:, None]
    pixel = np.arange(SIDE)
    inside = np.clip(np.minimum(low + side, pixel + 1) - np.maximum(low, pixel), 0, 1)
    shares: Floats = inside / inside.sum(1, keepdims=True)
    return shares
