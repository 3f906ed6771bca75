"""Video of a face in known motion: a real portrait warped by a timeline of expressions.

Motion is a continuous function of time, so that one performance can be rendered at any frame rate
and size. Film coordinates are pixels with the head at rest, x to the right and y down. A point p of
the skin moves to

    G(p) = p + d(p) + w(p) [head(p + d(p), depth(p)) - p - d(p)]

where d is the expression (`aumer.simulate.anatomy` on this face) and w is 1 on the head and fades
to 0 in the background. The color of a frame at q is the portrait's color at the p with G(p) = q,
solved to .002 px. Three motions are not a warp and are rendered separately: the lips are two
sheets, which open over the inside of a mouth; a blink unfolds the upper lid over the eye; the
eyeball stays with the skull while the skin around it moves, and rotates.

The default portrait is scikit-image's astronaut (NASA, public domain), who smiles at rest: her
smiles start from this smile.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from aumer.face.mean_face import MEAN_FACE
from aumer.simulate.performance import Nuisance, Performance
from aumer.simulate.timeline import Timeline
from aumer.simulate.warp import (
    Array,
    Curves,
    Face,
    Points,
    Portrait,
    sample,
    soft,
    spline_coefficients,
)
from aumer.types import FloatArray, ImageArray

#: Sensor noise: variance read^2 + gain * level, in gray levels (Foi et al. 2008, Poisson and
#: Gauss); 1.8 gray levels at mid gray, an assumption for a webcam indoors.
NOISE_READ, NOISE_GAIN = 0.8, 0.02
#: Largest shift of the noise image, px in each direction.
_NOISE_ROOM = 512


class Film:
    """One performance of one face: its picture and true motion at any time.

    Args:
        timeline: the expressions.
        portrait, size: see `Face`.
        nuisance: motion, light and noise besides expressions.
        seed: draws the nuisances; expressions depend only on the timeline.

    Raises:
        UsageError, NoFaceError: as `Face`.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        portrait: Portrait = None,
        size: tuple[int, int] = (640, 480),
        nuisance: Nuisance | None = None,
        seed: int = 0,
        face: Face | None = None,
    ) -> None:
        self.nuisance = nuisance or Nuisance()
        self.performance = Performance(timeline, self.nuisance, seed)
        self.face = face or Face(portrait, size)
        self._seed = seed
        self._grain: FloatArray | None = None
        width, height = self.face.size
        grid = np.meshgrid(np.arange(width), np.arange(height))
        self._pixels: FloatArray = np.stack(grid, axis=-1).astype(np.float32)

    def frame(self, t: float, index: int = 0) -> ImageArray:
        """The picture at t (s): (H, W, 3) uint8 RGB. `index` selects the noise."""
        face, lattice = self.face, self.face.lattice
        skin, lower, above_by, below_by = self._sheets(t)
        box = lattice.pixels(face.jaw)
        skin[box] = np.where((below_by > above_by)[..., None], lower, skin[box])
        # Half a pixel more than a soft edge, so that touching lips leave no gap.
        cover = soft(np.maximum(above_by, below_by) + 0.5)[..., None].astype(np.float32)
        for eye in face.eyes:
            part = self._around(eye)
            skin[part] += face.lid(skin[part], self.performance.closure(t))
            skin[part] += face.look(skin[part], self.performance.gaze(t))
        image = sample(face.texture, face.texels(skin))
        behind = sample(face.inside, face.texels(self._skull(self._pixels[box], t)))
        image[box] = behind + cover * (image[box] - behind)
        return self._develop(image, t, index)

    def forward(self, t: float) -> tuple[Array, Array]:
        """G(p) - p at the lattice's nodes, for the upper sheet and the lower: (Ny, Nx, 2) px."""
        face = self.face
        moved = [face.lattice.nodes + d for d in face.expression(self.performance.actions(t))]
        carried = [m + face.head[..., None] * (self._carry(m, face.depth, t) - m) for m in moved]
        return carried[0] - face.lattice.nodes, carried[1] - face.lattice.nodes

    def motion(self, t: float, later: float) -> FloatArray:
        """True motion of each pixel's point from t to `later`: (H, W, 2) float32 px.

        Only of the skin: without lids, eyeballs and the inside of the mouth.
        """
        face, lattice = self.face, self.face.lattice
        skin, lower, above_by, below_by = self._sheets(t)
        upper, below = map(spline_coefficients, self.forward(later))
        there = skin + lattice.at(upper, skin.reshape(-1, 2)).reshape(skin.shape)
        apart = lower + lattice.at(below, lower.reshape(-1, 2)).reshape(lower.shape)
        box = lattice.pixels(face.jaw)
        there[box] = np.where((below_by > above_by)[..., None], apart, there[box])
        return np.asarray(there - self._pixels, np.float32)

    def _sheets(self, t: float) -> tuple[FloatArray, FloatArray, Array, Array]:
        """Positions in the portrait of the skin at each pixel.

        Shapes:
            the upper sheet's (H, W, 2) px; in the pixels of `Face.jaw` the lower sheet's (h, w, 2)
            px; and the distance of each inside its own lip edge, (h, w) px. The lower sheet is
            visible where it is further inside.
        """
        face, lattice = self.face, self.face.lattice
        upper, lower = self.forward(t)
        box = lattice.pixels(face.jaw)
        skin, below = lattice.inverse(upper), lattice.inverse(lower, face.jaw)
        u, v = face.mouth.frame(skin[box])
        above_by = face.mouth.upper(u) - v
        u, v = face.mouth.frame(below)
        # Outside of the mouth corners there is one sheet.
        below_by = np.where(np.abs(u) < 1, v - face.mouth.lower(u), -above_by)
        return skin, below, above_by, below_by

    def landmarks(self, t: float) -> Array:
        """The (68, 2) landmarks at t, px; each lip moves with its own sheet."""
        face = self.face
        rest = face.landmarks
        upper, below = (
            face.lattice.at(spline_coefficients(sheet), rest) for sheet in self.forward(t)
        )
        lower = np.zeros(68, bool)
        lower[[*range(4, 13), *range(55, 60), 65, 66, 67]] = True
        return np.asarray(rest + np.where(lower[:, None], below, upper))

    def _carry(self, points: Points, depth: Array | float, t: float) -> Array:
        """Points (..., 2) px of given depth (px) moved by the head's pose."""
        face, pose = self.face, self.performance.pose(t)
        x, y = np.moveaxis(points - face.center, -1, 0)
        z = depth * self.performance.depth
        x, z = (
            x * math.cos(pose.yaw) - z * math.sin(pose.yaw),
            (x * math.sin(pose.yaw) + z * math.cos(pose.yaw)),
        )
        y = y * math.cos(pose.pitch) - z * math.sin(pose.pitch)
        cos, sin = ((1 + pose.growth) * f(pose.roll) for f in (math.cos, math.sin))
        shift = face.center + face.eye * np.array([pose.x, pose.y])
        carried: Array = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) + shift
        return carried

    def _skull(self, points: Points, t: float) -> Array:
        """Rest positions of the points that the head's pose moves to `points` (the inside of the
        mouth).
        """
        depth = float(MEAN_FACE[60:68, 2].mean()) * self.face.eye
        # At one depth the pose is affine: three points determine it.
        corners = self.face.center + np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
        o, a, b = self._carry(corners, depth, t)
        linear = np.column_stack([a - o, b - o])
        return np.asarray((points - o) @ np.linalg.inv(linear).T + self.face.center)

    def _around(self, eye: Curves) -> tuple[slice, slice]:
        """The pixels that an eye and its lid may cover while the head moves."""
        reach = 2.4 * eye.half + 0.1 * self.face.eye
        pose = self.face.size
        x, y = eye.center
        rows = slice(int(max(0, y - reach)), int(min(pose[1], y + reach)))
        return rows, slice(int(max(0, x - reach)), int(min(pose[0], x + reach)))

    def _develop(self, image: FloatArray, t: float, index: int) -> ImageArray:
        """Light, noise, 8 bits, compression."""
        gain, slope = self.performance.light(t)
        if gain != 1 or slope != 0:
            across = (np.arange(self.face.size[0]) - self.face.center[0]) / self.face.eye
            image = image * (gain + slope * np.clip(across, -2, 2))[:, None].astype(np.float32)
        if self.nuisance.noise:
            variance = np.maximum(image, 0) * np.float32(NOISE_GAIN) + np.float32(NOISE_READ**2)
            image = image + np.sqrt(variance) * self._noise(index)
        developed = np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)
        if self.nuisance.quality is None:
            return developed
        parameters = [cv2.IMWRITE_JPEG_QUALITY, self.nuisance.quality]
        _, packed = cv2.imencode(".jpg", developed[..., ::-1], parameters)
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)

    def _noise(self, index: int) -> FloatArray:
        """(H, W, 3) noise: a randomly shifted and turned window of one noise image.

        Drawing new noise for each frame would take longer than warping the face. With a million
        windows, neighboring frames practically never share one.
        """
        if self._grain is None:
            rng = np.random.default_rng([self._seed, 98])
            width, height = self.face.size
            shape = (height + _NOISE_ROOM, width + _NOISE_ROOM, 3)
            self._grain = rng.standard_normal(shape, np.float32) * np.float32(self.nuisance.noise)
        rng = np.random.default_rng([self._seed, 99, index])
        y, x = rng.integers(0, _NOISE_ROOM, 2)
        window = self._grain[y : y + self.face.size[1], x : x + self.face.size[0]]
        return np.asarray(window[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))])
