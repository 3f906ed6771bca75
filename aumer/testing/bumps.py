"""Known motion of one ROI: a bump of skin, to be played into real frames.

`aumer.simulate.neutral_motion.moved` plays it. Lengths are outer-eye distances of the mean face; 1
u is 1/64 of it, 1 px of the default crop.
"""

from __future__ import annotations

import numpy as np

from aumer.simulate.neutral_motion import ROIS, Array, Field, Skin

#: u in an outer-eye distance.
U = 64
_ENDS = np.arange(-5, 6) / U
#: (121, 2) places in an ROI about its landmark: the 11 x 11 px that MDMO has on the default crop.
#: An ROI's motion is the mean over them.
WINDOW = np.stack(np.meshgrid(_ENDS, _ENDS), axis=-1).reshape(-1, 2)


def bump(skin: Skin, roi: int, sigma: float, angle: float) -> Field:
    """A Gaussian of height 1 u around an ROI's landmark.

    Args:
        roi: its number among the published ROIs.
        sigma: outer-eye distances.
        angle: direction of the motion, radians from the image's right to its bottom.
    """
    marks = skin.mean[list(ROIS.landmarks)]
    middle, height = marks[roi], np.array([np.cos(angle), np.sin(angle)]) / U

    def shift(points: Array) -> Array:
        square = ((points - middle) ** 2).sum(axis=-1, keepdims=True)
        shifted: Array = np.exp(-square / (2 * sigma**2)) * height
        return shifted

    (x0, y0), (x1, y1) = middle - 4 * sigma, middle + 4 * sigma
    return Field(shift, (x0, y0, x1, y1), shift(marks))


def mean_motion(skin: Skin, field: Field, roi: int) -> Array:
    """(2,) u: an ROI's mean motion by a field."""
    places = skin.mean[ROIS.landmarks[roi]] + WINDOW
    found: Array = field.shift(places).mean(axis=0) * U
    return found
