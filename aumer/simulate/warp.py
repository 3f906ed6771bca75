"""Smooth displacement on a coarse lattice, inverted there and refined to pixels by cubic splines.

`cv2.remap` rounds coordinates to 1/32 px, more than a micro-expression moves between two frames;
here coordinates stay floating point from the lattice to the sampled colour.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, map_coordinates, spline_filter
from scipy.sparse import csr_array

from aumer.types import FloatArray

Array = npt.NDArray[np.float64]
#: Rows and columns of lattice nodes.
Block = tuple[slice, slice]
WHOLE: Block = (slice(None), slice(None))
#: Splines know nothing of what is beyond their ends; so many nodes inside they are right to .3 %
#: of what they do not know.
_RIM = 4

#: The inversion ends when no node misses its pixel by more (px).
TOLERANCE = 0.002
#: A displacement whose gradient is .9 everywhere still converges from 50 px to `TOLERANCE`.
_MAX_STEPS = 100


class Lattice:
    """Nodes `step` px apart over a film of `size` (width, height) and `margin` px round it.

    Displacements must be smooth at the scale of `step`: a Gaussian of radius 1.5 steps is met to
    .2 % of its height.
    """

    def __init__(self, size: tuple[int, int], step: float, margin: float) -> None:
        self.size, self.step = size, step
        before = int(np.ceil(margin / step))
        self._first = -before * step
        counts = [before + int(np.ceil((n - 1 + margin) / step)) + 1 for n in size]
        self.x, self.y = (self._first + step * np.arange(count) for count in counts)
        #: (Ny, Nx, 2) px: where each node lies.
        self.nodes: Array = np.stack(np.meshgrid(self.x, self.y), axis=-1)

    def block(self, x0: float, y0: float, x1: float, y1: float) -> Block:
        """The nodes within a box given in px; at least 10 each way."""

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

        Solved at the nodes and refined. Where skin is pressed together the inverse is sharper than
        the nodes can show; there each pixel is solved by itself.

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

        # The middle of a cell is where its spline is worst; a neighbour's fault reaches it.
        centres = spline_middles(at_nodes - q)
        there = (q[:-1, :-1] + self.step / 2 + centres).reshape(-1, 2)
        missed = self.at(coefficients, there) + centres.reshape(-1, 2)
        rough = (np.abs(missed).max(axis=1) > TOLERANCE).reshape(centres.shape[:2])
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
        p = start.copy()
        unmet = np.arange(len(q))
        for _ in range(_MAX_STEPS):
            missed = q[unmet] - p[unmet] - self.at(coefficients, p[unmet])
            p[unmet] += missed
            unmet = unmet[np.abs(missed).max(axis=1) > TOLERANCE / 2]
            if not len(unmet):
                break
        return p

    def at(self, coefficients: Array, points: Array | FloatArray) -> Array:
        """A field, given by `spline_coefficients`, read at (N, 2) px: (N, C)."""
        where = ((points - self._first) / self.step).T[::-1]
        return np.stack(
            [
                map_coordinates(c, where, order=3, mode="nearest", prefilter=False)
                for c in coefficients
            ],
            axis=-1,
        )

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
