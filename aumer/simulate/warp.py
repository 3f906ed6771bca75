"""A portrait as a movable face: positions of its skin, displacement fields, background.

Displacement is smooth and stored on a coarse lattice; it is inverted there and refined to pixels by
cubic splines. `cv2.remap` rounds coordinates to 1/32 px, more than a micro-expression moves between
two frames; here coordinates are floating point from the lattice to the sampled color.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator, RBFInterpolator
from scipy.ndimage import binary_dilation, map_coordinates, spline_filter
from scipy.sparse import csr_array

from aumer.errors import NoFaceError, UsageError
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.files import StrPath
from aumer.names import is_file
from aumer.simulate.anatomy import ACTION_UNITS, Action, Push, displacement
from aumer.types import FloatArray, ImageArray

Array = npt.NDArray[np.float64]
#: (..., 2) px, x to the right and y down, of any floating type.
Points = npt.NDArray[Any]
Portrait = StrPath | ImageArray | None
#: Rows and columns of lattice nodes.
Block = tuple[slice, slice]
WHOLE: Block = (slice(None), slice(None))
#: Splines are wrong near their ends; this number of nodes inside, the error is .3 % of the unknown
#: values beyond the ends.
_RIM = 4

#: The inversion ends when the error of all nodes is at most this (px).
TOLERANCE = 0.002
#: A displacement whose gradient is .9 everywhere still converges from 50 px to `TOLERANCE`.
_MAX_STEPS = 100


class Lattice:
    """Nodes `step` px apart over an image of `size` (width, height) and `margin` px around it.

    Displacements must be smooth at the scale of `step`: a Gaussian of radius 1.5 steps is
    represented to .2 % of its height.
    """

    def __init__(self, size: tuple[int, int], step: float, margin: float) -> None:
        self.size, self.step = size, step
        before = int(np.ceil(margin / step))
        self._first = -before * step
        counts = [before + int(np.ceil((n - 1 + margin) / step)) + 1 for n in size]
        self.x, self.y = (
            np.asarray(self._first + step * np.arange(count), np.float64) for count in counts
        )
        #: (Ny, Nx, 2) px: position of each node.
        self.nodes: Array = np.stack(np.meshgrid(self.x, self.y), axis=-1)

    def block(self, x0: float, y0: float, x1: float, y1: float) -> Block:
        """The nodes within a box in px; at least 10 in each direction."""

        def cut(low: float, high: float, count: int) -> slice:
            begin = int(np.clip((low - self._first) // self.step, 0, count - 10))
            end = int(np.clip(-((self._first - high) // self.step) + 1, begin + 10, count))
            return slice(begin, end)

        return cut(y0, y1, len(self.y)), cut(x0, x1, len(self.x))

    def pixels(self, block: Block = WHOLE) -> tuple[slice, slice]:
        """Rows and columns of the film's pixels that `refine` gives for a block."""
        ends = []
        for axis, part, limit in zip((self.y, self.x), block, self.size[::-1], strict=True):
            inside = axis[part]
            begin = int(np.clip(np.ceil(inside[_RIM]), 0, limit))
            ends.append(slice(begin, int(np.clip(inside[-1 - _RIM] + 1, begin, limit))))
        return ends[0], ends[1]

    def inverse(self, forward: Array, block: Block = WHOLE) -> FloatArray:
        """For each pixel q of `pixels(block)` the p with p + forward(p) = q: (h, w, 2) float32 px.

        Solved at the nodes and refined. Where skin is compressed the inverse is sharper than the
        nodes can represent; there each pixel is solved separately.

        Shapes:
            forward (Ny, Nx, 2) px at all nodes: a contraction.
        """
        coefficients = spline_coefficients(forward)
        q = self.nodes[block]
        start = (q - forward[block]).reshape(-1, 2)
        at_nodes = self._solve(coefficients, q.reshape(-1, 2), start).reshape(q.shape)
        rows, columns = self.pixels(block)
        grid = np.stack(
            np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)),
            axis=-1,
        )
        p: FloatArray = self.refine(at_nodes - q, block) + grid.astype(np.float32)

        # The spline's error is largest in the middle of a cell, and includes errors of neighbors.
        centers = spline_middles(at_nodes - q)
        there = (q[:-1, :-1] + self.step / 2 + centers).reshape(-1, 2)
        missed = self.at(coefficients, there) + centers.reshape(-1, 2)
        rough = (np.abs(missed).max(axis=1) > TOLERANCE).reshape(centers.shape[:2])
        rough = binary_dilation(rough, np.ones((3, 3), bool))
        y, x = (
            ((axis[part] - nodes[0]) // self.step).astype(int).clip(0, size - 1)
            for axis, part, nodes, size in (
                (np.arange(self.size[1]), rows, q[:, 0, 1], rough.shape[0]),
                (np.arange(self.size[0]), columns, q[0, :, 0], rough.shape[1]),
            )
        )
        poor = rough[y[:, None], x]
        if poor.any():
            wanted = grid[poor].astype(np.float64)
            p[poor] = self._solve(coefficients, wanted, p[poor].astype(np.float64))
        return p

    def _solve(self, coefficients: Array, q: Array, start: Array) -> Array:
        """(N, 2) px p with p + forward(p) = q, from a first guess."""
        p: Array = start.copy()
        unmet = np.arange(len(q))
        for _ in range(_MAX_STEPS):
            missed = q[unmet] - p[unmet] - self.at(coefficients, p[unmet])
            p[unmet] += missed
            unmet = unmet[np.abs(missed).max(axis=1) > TOLERANCE / 2]
            if not len(unmet):
                break
        return p

    def at(self, coefficients: Array, points: Array | FloatArray) -> Array:
        """A field of `spline_coefficients`, sampled at (N, 2) px: (N, C)."""
        where = ((points - self._first) / self.step).T[::-1]
        read: Array = np.stack(
            [
                map_coordinates(c, where, order=3, mode="nearest", prefilter=False)
                for c in coefficients
            ],
            axis=-1,
        )
        return read

    def refine(self, field: Array, block: Block = WHOLE) -> FloatArray:
        """A field at the block's nodes (ny, nx, C) -> at `pixels(block)`: (h, w, C) float32."""
        rows, columns = self.pixels(block)
        down = _spline(self.y[block[0]], rows)
        across = _spline(self.x[block[1]], columns)
        planes = [across @ (down @ plane).T for plane in spline_coefficients(field)]
        return np.asarray(np.stack(planes, axis=-1).swapaxes(0, 1), np.float32)


def spline_coefficients(field: Array) -> Array:
    """(Ny, Nx, C) -> (C, Ny, Nx), for `Lattice.at`."""
    return np.stack([spline_filter(c, order=3, mode="nearest") for c in np.moveaxis(field, -1, 0)])


def spline_middles(field: Array) -> Array:
    """A field at the nodes (Ny, Nx, C) -> in the middles of the cells (Ny - 1, Nx - 1, C)."""
    shape = field.shape
    down = _weights(0.5, 1.0, shape[0], 1, shape[0])
    across = _weights(0.5, 1.0, shape[1], 1, shape[1])
    return np.stack([(across @ (down @ c).T).T for c in spline_coefficients(field)], axis=-1)


@lru_cache(maxsize=64)
def _weights(first: float, step: float, count: int, begin: int, end: int) -> csr_array:
    """(end - begin, count): four B-spline weights a row; pixels keep `_RIM` nodes from the ends."""
    position = (np.arange(begin, end) - first) / step
    node = np.floor(position).astype(int)
    t = position - node
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    columns = np.clip(node[:, None] + np.arange(-1, 3), 0, count - 1)
    rows = np.repeat(np.arange(end - begin), 4)
    values = np.stack(weights, axis=1).ravel() / 6
    return csr_array((values, (rows, columns.ravel())), shape=(end - begin, count))


def _spline(nodes: Array, pixels: slice) -> csr_array:
    step = float(nodes[1] - nodes[0])
    return _weights(float(nodes[0]), step, len(nodes), pixels.start, pixels.stop)


def sample(texture: FloatArray, where: npt.NDArray[Any]) -> FloatArray:
    """Bilinear colors at floating-point texel coordinates: (h, w, 2) -> (h, w, 3) float32."""
    import torch

    height, width = texture.shape[:2]
    scale = np.array([2 / (width - 1), 2 / (height - 1)], where.dtype)
    grid = torch.from_numpy(np.ascontiguousarray(where * scale - 1, np.float32))[None]
    planes = torch.from_numpy(texture).permute(2, 0, 1)[None]
    with torch.no_grad():
        read = torch.nn.functional.grid_sample(
            planes, grid, mode="bilinear", padding_mode="border", align_corners=True
        )
    return np.asarray(read[0].permute(1, 2, 0).numpy(), np.float32)


# -- the face --------------------------------------------------------------------------------------

#: Distance of the outer eye corners as a share of the image's shorter side: a face as wide as a
#: third of a 640 x 480 image, as in interviews and in aumer's shared webcam videos.
FACE_SHARE = 0.25
#: Position of the mean face's origin (middle of the nose) in the image, as shares of its sides.
FACE_AT = (0.5, 0.46)
#: Texels per film pixel: bilinear sampling then preserves at least 71 % (cos 45 degrees) of the
#: finest detail of an image, and more of coarser detail.
OVERSAMPLING = 2

#: Blur outside of the portrait, as a share of the texture's shorter side.
_OUT_OF_FOCUS = 0.06

#: Margin outside of the image that may become visible when the head sways, as a share of its
#: shorter side.
_MARGIN = 0.1
#: The skin between lid and brow unfolds over the eye; a lid's height of 2.2 openings keeps the fold
#: from turning over (the easing's steepest slope is 1.5).
_LID = 2.2
#: Actions that close the lids; rendered by the lids (both, for any side).
LIDS = (43, 45)
#: Share of the distance to the lower lid that the upper lid moves; the lower lid's margin stays
#: visible.
_LID_REACH = 0.97
#: The inside of an open mouth beyond the teeth, RGB.
_MOUTH_RGB = (58.0, 24.0, 22.0)
#: Height of the teeth above the upper lip's edge at rest (outer-eye distances): an upper incisor's
#: 10 mm less the two thirds that a smile shows.
_TEETH = 0.04
#: A mouth with a smaller distance of the inner lips (outer-eye distances) is closed.
_CLOSED = 0.03
#: The head with its hair on the mean face: center and half-axes of the ellipse that moves fully
#: with the head, and the factor of its size beyond which nothing moves.
_HEAD_CENTER, _HEAD_AXES, _HEAD_FADE = (0.0, 0.1), (1.05, 1.35), 1.9


#: Positions at which `Curves` are tabulated.
_CURVE_U = np.linspace(-1, 1, 401)


class Curves:
    """Two curves from one corner to the other, v(u) in a frame whose u axis joins the corners.

    u is -1 and 1 at the corners, v is px down; outside of the corners both are 0.
    """

    def __init__(self, upper: Array, lower: Array) -> None:
        """Points (N, 2) px from the left corner in the image to the right one, both included."""
        self.center = (upper[0] + upper[-1]) / 2
        axis = (upper[-1] - upper[0]) / 2
        self.half = float(np.hypot(*axis))
        self._along = axis / self.half
        self._across = np.array([-self._along[1], self._along[0]])
        self._upper, self._lower = (self._curve(points) for points in (upper, lower))

    def _curve(self, points: Array) -> Array:
        u, v = self.frame(points)
        inner = slice(1, -1)
        curve = PchipInterpolator(
            np.concatenate([[-1.0], u[inner], [1.0]]), np.concatenate([[0.0], v[inner], [0.0]])
        )
        return np.asarray(curve(_CURVE_U), np.float64)

    def close(self) -> None:
        """Replace both curves by their mean."""
        self._upper = self._lower = (self._upper + self._lower) / 2

    def frame(self, points: Points) -> tuple[Array, Array]:
        """(..., 2) px -> u and v."""
        moved = points - self.center
        return moved @ self._along / self.half, moved @ self._across

    def vector(self, u: Array, v: Array) -> Array:
        """A displacement (u, v), both in px along the frame's axes -> (..., 2) px."""
        return np.asarray(u[..., None] * self._along + v[..., None] * self._across)

    def upper(self, u: Array) -> Array:
        return np.asarray(np.interp(u, _CURVE_U, self._upper))

    def lower(self, u: Array) -> Array:
        return np.asarray(np.interp(u, _CURVE_U, self._lower))


class Face:
    """A portrait placed in an image: its texture, landmarks and displacement fields of actions.

    Args:
        portrait: image file, (H, W, 3) uint8 RGB array, or `None` for the astronaut. The face
            should be neutral and frontal.
        size: the image's (width, height) px.

    Raises:
        UsageError: the image or the size cannot be used.
        NoFaceError: no face is found in the portrait.
    """

    def __init__(self, portrait: Portrait, size: tuple[int, int]) -> None:
        width, height = _checked_size(size)
        self.size = (width, height)
        image = load_portrait(portrait)
        landmarks = find_face(image)
        found = landmarks[[36, 45]]
        #: Distance of the outer eye corners in the film, px.
        self.eye = FACE_SHARE * min(self.size)
        scale = self.eye / float(np.hypot(*(found[1] - found[0])))
        origin = landmarks[list(RIGID)].mean(axis=0)
        shift = np.array(FACE_AT) * self.size - scale * origin
        #: (68, 2) px in the film at rest.
        self.landmarks: Array = landmarks * scale + shift
        self._margin = math.ceil(_MARGIN * min(self.size))
        self.lattice = Lattice(self.size, step=self.eye / 24, margin=self._margin)
        self.texture = _texture(image, scale, shift, self.size, self._margin)

        turn = _similarity(MEAN_FACE[list(RIGID), :2], self.landmarks[list(RIGID)])
        nodes = self.lattice.nodes
        # Slightly smoothed: jaw points are on the outline, which is not a fixed position on the
        # skin.
        interpolate = RBFInterpolator(
            self.landmarks / self.eye, MEAN_FACE[:, :2], kernel="thin_plate_spline", smoothing=1e-3
        )
        #: (Ny, Nx, 2): positions of the nodes on the mean face.
        self.on_mean: Array = interpolate(nodes.reshape(-1, 2) / self.eye).reshape(nodes.shape)
        depth = RBFInterpolator(
            MEAN_FACE[:, :2], MEAN_FACE[:, 2], kernel="thin_plate_spline", smoothing=1e-3
        )
        low, high = MEAN_FACE[:, 2].min(), MEAN_FACE[:, 2].max()
        flat = depth(self.on_mean.reshape(-1, 2)).clip(low, high)
        #: (Ny, Nx) px away from the viewer; 0 is the mean depth of `RIGID`.
        self.depth: Array = flat.reshape(nodes.shape[:2]) * self.eye
        out = np.linalg.norm((self.on_mean - _HEAD_CENTER) / _HEAD_AXES, axis=-1)
        fade = np.clip((_HEAD_FADE - out) / (_HEAD_FADE - 1), 0, 1)
        #: (Ny, Nx): 1 on the head, 0 behind it.
        self.head: Array = fade**2 * (3 - 2 * fade)
        self.center: Array = self.landmarks[list(RIGID)].mean(axis=0)
        self._turn = turn
        self._fields: dict[Action, tuple[Array, Array]] = {}

        points = self.landmarks
        self.eyes = [
            Curves(points[[a, a + 1, a + 2, a + 3]], points[[a, a + 5, a + 4, a + 3]])
            for a in (36, 42)
        ]
        self.mouth = Curves(points[[60, 61, 62, 63, 64]], points[[60, 67, 66, 65, 64]])
        middle = np.array(0.0)
        opening = float(self.mouth.lower(middle) - self.mouth.upper(middle))
        self._has_teeth = opening > _CLOSED * self.eye
        if not self._has_teeth:
            self.mouth.close()
        self.inside = self._mouth_inside()
        self._still = np.prod([1 - self._eye_window(eye, nodes) for eye in self.eyes], axis=0)[
            ..., None
        ]
        reach = self.eye
        x, y = self.mouth.center
        #: The nodes where the lower lip's sheet may differ from the upper's.
        self.jaw = self.lattice.block(
            x - 0.6 * reach, y - 0.5 * reach, x + 0.6 * reach, y + 1.6 * reach
        )

    def expression(self, actions: Mapping[Action, float]) -> tuple[Array, Array]:
        """d at the lattice's nodes for the upper sheet and the lower one: (Ny, Nx, 2) px each."""
        upper, lower = np.zeros_like(self.lattice.nodes), np.zeros_like(self.lattice.nodes)
        for action, intensity in actions.items():
            if intensity > 0 and action[0] not in LIDS:
                fields = self._field(action)
                upper += intensity * fields[0]
                lower += intensity * fields[1]
        return upper, lower

    def _field(self, action: Action) -> tuple[Array, Array]:
        """The displacement of both sheets at intensity 1: `displacement` is linear.

        Actions of the lower lip do not move the upper one and vice versa; this separation is full
        in the middle of the mouth and 0 at its corners.
        """
        if action not in self._fields:
            points = self.on_mean.reshape(-1, 2)
            whole = displacement({action: 1.0}, points)
            u, _ = self.mouth.frame(self.lattice.nodes)
            held = (np.clip(1 - u**2, 0, 1) ** 2)[..., None]
            sheets = []
            for other in (_below_mouth, _above_mouth):
                pushes = [p for p in ACTION_UNITS[action[0]] if other(p)]
                theirs = np.zeros_like(points)
                for push in _on_side(pushes, action[1]):
                    square = ((points - push.at) ** 2).sum(axis=1, keepdims=True)
                    theirs += np.exp(-square / (2 * push.radius**2)) * push.shift
                moved = whole.reshape((*held.shape[:2], 2))
                moved = (moved - held * theirs.reshape(moved.shape)) * self._still
                sheets.append(moved @ self._turn.T)
            self._fields[action] = (sheets[0], sheets[1])
        return self._fields[action]

    def _eye_window(self, eye: Curves, points: Array) -> Array:
        """1 in the middle of the eye, 0 outside: the part that does not move with the skin."""
        u, v = eye.frame(points)
        opening = float(eye.lower(np.array(0.0)) - eye.upper(np.array(0.0)))
        middle = (eye.lower(u) + eye.upper(u)) / 2
        return np.exp(-((u / 0.8) ** 2) - ((v - middle) / max(opening, 0.05 * self.eye)) ** 2)

    def look(self, points: Points, gaze: tuple[float, float]) -> Array:
        """Shift of the sampling position in the portrait at `points` (..., 2) for a turned eye."""
        shift = np.zeros_like(points)
        for eye in self.eyes:
            u, v = eye.frame(points)
            inside = soft(v - eye.upper(u)) * soft(eye.lower(u) - v)
            window = inside * np.clip((1 - np.abs(u)) / 0.5, 0, 1)
            shift -= window[..., None] * (np.array(gaze) * self.eye)
        return shift

    def lid(self, points: Points, closure: float) -> Array:
        """Shift of the sampling position in the portrait at `points` (..., 2) for a closing lid."""
        shift = np.zeros_like(points)
        for eye in self.eyes:
            u, v = eye.frame(points)
            top, bottom = eye.upper(u), eye.lower(u)
            travel = closure * _LID_REACH * np.maximum(bottom - top, 0)
            tall = _LID * max(float((bottom - top).max()), 1.0)
            margin = top + travel
            s = np.clip((margin - v) / tall, 0, 1)
            eased = (1 - s) ** 2 * (1 + 2 * s)
            shift += eye.vector(np.zeros_like(v), np.where(v <= margin, -travel * eased, 0.0))
        return shift

    def _mouth_inside(self) -> FloatArray:
        """The inside of the mouth on the texture: teeth if the portrait shows them, else dark."""
        inside = np.empty_like(self.texture)
        inside[:] = _MOUTH_RGB
        if not self._has_teeth:
            return inside
        x, y = self.texels(self.landmarks[48:68].min(axis=0) - _TEETH * self.eye).astype(int)
        x1, y1 = self.texels(self.landmarks[48:68].max(axis=0)).astype(int) + 1
        box = slice(max(y, 0), y1), slice(max(x, 0), x1)
        rows, columns = np.mgrid[box]
        points = np.stack([columns, rows], axis=-1) / OVERSAMPLING - self._margin
        u, v = self.mouth.frame(points)
        top, bottom = self.mouth.upper(u), self.mouth.lower(u)
        # Under a lifted lip the teeth continue upward, since gums are seldom visible; they continue
        # the visible teeth at the lip's edge, without its shadow.
        seen = np.maximum(v, top + 0.2 * (bottom - top))
        read = points + self.mouth.vector(np.zeros_like(v), seen - v)
        teeth = sample(self.texture, self.texels(read))
        shown = soft(v - top + _TEETH * self.eye) * soft(bottom - v) * (np.abs(u) < 1)
        inside[box] += shown[..., None] * (teeth - inside[box])
        return np.asarray(inside, np.float32)

    def texels(self, points: Points) -> Array:
        """Film px at rest -> texel coordinates."""
        return np.asarray((points + points.dtype.type(self._margin)) * OVERSAMPLING)


def soft(distance: Array) -> Array:
    """Coverage of a pixel whose center lies `distance` px inside an edge."""
    return np.clip(distance + 0.5, 0.0, 1.0)


def _below_mouth(push: Push) -> bool:
    return push.at[1] > 0.70 and abs(push.at[0]) < 0.2


def _above_mouth(push: Push) -> bool:
    return 0.5 < push.at[1] < 0.62 and abs(push.at[0]) < 0.2


def _on_side(pushes: Sequence[Push], side: str) -> list[Push]:
    """The pushes of an action on this side; see `Push` for the midline."""
    made = []
    for push in pushes:
        if push.at[0] == 0 or side != "left":
            made.append(push)
        if push.at[0] != 0 and side != "right":
            made.append(push.mirrored())
    return made


def load_portrait(portrait: Portrait) -> ImageArray:
    """(H, W, 3) uint8 RGB.

    Raises:
        UsageError: the file cannot be read, or the array has another shape or type.
    """
    if portrait is None:
        from skimage import data

        return np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
    if isinstance(portrait, np.ndarray):
        if portrait.ndim != 3 or portrait.shape[2] != 3 or portrait.dtype != np.uint8:
            raise UsageError(
                f"a portrait must be an (H, W, 3) uint8 RGB array; found {portrait.shape} "
                f"{portrait.dtype}"
            )
        return portrait
    path = Path(portrait)
    if not is_file(path):
        raise UsageError(f"{path} does not exist: give a portrait as an image file or an array")
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UsageError(f"{path} is not an image that OpenCV reads")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def find_face(image: ImageArray) -> Array:
    """The largest face's (68, 2) landmarks in px, by aumer's default back ends.

    Raises:
        NoFaceError: there is none.
    """
    from aumer.config import load_settings
    from aumer.face.track import FaceTracker

    settings = load_settings().face
    with closing(FaceTracker.from_settings(settings)) as tracker:
        face = tracker(image)
    if face is None:
        raise NoFaceError(
            f"no face in the portrait ({image.shape[1]} x {image.shape[0]} px) whose outer eye "
            f"corners lie at least {settings.min_eye_distance:g} px apart: give a frontal, "
            "neutral face that fills a good part of the image"
        )
    return face.landmarks.astype(np.float64)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if not (64 <= width <= 8192 and 64 <= height <= 8192) or width % 2 or height % 2:
        raise UsageError(
            "a film's size (width, height) must be even numbers from 64 to 8192 px, as codecs "
            f"need; found {width} x {height}"
        )
    return int(width), int(height)


def _similarity(source: Array, target: Array) -> Array:
    """(2, 2) rotation and scale that maps `source` to `target` in least squares."""
    a, b = ((p - p.mean(axis=0)) @ (1, 1j) for p in (source, target))
    ratio = np.vdot(a, b) / np.vdot(a, a)
    return np.array([(ratio.real, -ratio.imag), (ratio.imag, ratio.real)])


def _texture(
    image: ImageArray, scale: float, shift: Array, size: tuple[int, int], margin: int
) -> FloatArray:
    """The portrait on the image and its margin, `OVERSAMPLING` texels per pixel; float32 RGB.

    Outside of the portrait its edge is extended, with increasing blur.
    """
    source = np.asarray(image, np.float32)
    if scale < 1:  # as a lens: no detail finer than the image's pixels
        spread = 0.5 * math.sqrt(scale**-2 - 1) + 1e-3
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), spread), np.float32)
    shape = [OVERSAMPLING * (n + 2 * margin) for n in size]
    transform = np.column_stack([scale * np.eye(2), shift + margin]) * OVERSAMPLING
    warped = cv2.warpAffine(
        source,
        transform,
        (shape[0], shape[1]),
        flags=cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REPLICATE,
    )
    whole = _unsmeared(np.asarray(warped, np.float32), image, np.asarray(transform, float), margin)
    return np.asarray(np.clip(whole, 0, 255), np.float32)


def _unsmeared(warped: FloatArray, image: ImageArray, transform: Array, margin: int) -> FloatArray:
    """`warped` without the stripes of its extended border pixels.

    A portrait that fills the image except for a strip no wider than the margin has short stripes,
    which are not visible, and is not changed.
    """
    height, width = image.shape[:2]
    corners = transform @ np.array([[0, 0, 1], [width - 1, height - 1, 1]]).T
    (left, right), (top, bottom) = corners.tolist()
    x, y = np.arange(warped.shape[1])[None], np.arange(warped.shape[0])[:, None]
    away = np.hypot(
        np.maximum(0, np.maximum(left - x, x - right)),
        np.maximum(0, np.maximum(top - y, y - bottom)),
    )
    frame = slice(OVERSAMPLING * margin, -OVERSAMPLING * margin)
    if away[frame, frame].max() <= OVERSAMPLING * margin:
        return warped
    spread = _OUT_OF_FOCUS * min(warped.shape[:2])
    blurred = cv2.GaussianBlur(warped, (0, 0), spread)
    share = np.clip(2 * away / spread, 0, 1)[..., None]
    return np.asarray(warped + share * (blurred - warped), np.float32)
