"""A mean face: positions and depths of the 68 landmarks, for alignment, head motion and drawing."""

from __future__ import annotations

import numpy as np

#: (68, 3) float64: x to the image's right, y down, z away from the viewer; iBUG-68 order. The unit
#: is the distance of the outer eye corners; the origin is the mean of `RIGID`. From MediaPipe's
#: mesh on the neutral beginnings of six real videos (aumer's shared test data: fex_smile_still,
#: fex_two_smiles, selfie_smile, smile_512, talking_neutral, webcam_mixed): Procrustes-aligned on
#: `RIGID`, averaged, and averaged with its mirror image.
MEAN_FACE = np.array(
    [
        # jaw
        (-0.747, -0.303, 0.640),
        (-0.740, 0.038, 0.828),
        (-0.726, 0.207, 0.845),
        (-0.650, 0.576, 0.774),
        (-0.582, 0.729, 0.670),
        (-0.506, 0.844, 0.549),
        (-0.326, 1.014, 0.373),
        (-0.134, 1.115, 0.241),
        (0.000, 1.128, 0.222),
        (0.134, 1.115, 0.241),
        (0.326, 1.014, 0.373),
        (0.506, 0.844, 0.549),
        (0.582, 0.729, 0.670),
        (0.650, 0.576, 0.774),
        (0.726, 0.207, 0.845),
        (0.740, 0.038, 0.828),
        (0.747, -0.303, 0.640),
        # right brow
        (-0.633, -0.340, 0.210),
        (-0.568, -0.408, 0.115),
        (-0.464, -0.444, 0.039),
        (-0.326, -0.440, -0.025),
        (-0.166, -0.423, -0.057),
        # left brow
        (0.166, -0.423, -0.057),
        (0.326, -0.440, -0.025),
        (0.464, -0.444, 0.039),
        (0.568, -0.408, 0.115),
        (0.633, -0.340, 0.210),
        # nose bridge
        (0.000, -0.210, -0.034),
        (0.000, -0.020, -0.129),
        (0.000, 0.155, -0.243),
        (0.000, 0.264, -0.264),
        # nostrils
        (-0.148, 0.365, -0.021),
        (-0.086, 0.413, -0.041),
        (0.000, 0.416, -0.059),
        (0.086, 0.413, -0.041),
        (0.148, 0.365, -0.021),
        # right eye
        (-0.500, -0.161, 0.211),
        (-0.427, -0.205, 0.134),
        (-0.310, -0.213, 0.113),
        (-0.194, -0.141, 0.153),
        (-0.295, -0.115, 0.132),
        (-0.409, -0.118, 0.152),
        # left eye
        (0.194, -0.141, 0.153),
        (0.310, -0.213, 0.113),
        (0.427, -0.205, 0.134),
        (0.500, -0.161, 0.211),
        (0.409, -0.118, 0.152),
        (0.295, -0.115, 0.132),
        # outer lips
        (-0.281, 0.658, 0.169),
        (-0.167, 0.599, -0.000),
        (-0.083, 0.580, -0.043),
        (0.000, 0.594, -0.051),
        (0.083, 0.580, -0.043),
        (0.167, 0.599, -0.000),
        (0.281, 0.658, 0.169),
        (0.154, 0.749, 0.042),
        (0.081, 0.775, 0.014),
        (0.000, 0.780, 0.009),
        (-0.081, 0.775, 0.014),
        (-0.154, 0.749, 0.042),
        # inner lips
        (-0.246, 0.649, 0.147),
        (-0.062, 0.659, 0.027),
        (0.000, 0.663, 0.018),
        (0.062, 0.659, 0.027),
        (0.246, 0.649, 0.147),
        (0.068, 0.669, 0.029),
        (0.000, 0.672, 0.021),
        (-0.068, 0.669, 0.029),
    ]
)

#: Landmarks that no expression moves much: the nose's ridge and base, the eye corners.
RIGID = (27, 28, 29, 30, 33, 36, 39, 42, 45)

#: Position of `MEAN_FACE`'s origin in a square crop, in crop sides, with the outer eye corners half
#: a side apart; leaves room for a dropped jaw.
CROP_ORIGIN = (0.5, 0.36)
