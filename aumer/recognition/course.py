"""The course of an expression: where the apex lies, as the median of a posterior. numpy only.

An expression is taken for a displacement of the ROIs, the same all along, times a level that rises,
holds and falls: so all ROIs move by one course, each by an amount of its own. `apex_position`
compares the courses of a grid. Their probability follows from three things:

- how expressions move ROIs: any action unit of `aumer.simulate.anatomy`, of either side or both;
- how errors of measurement move them: as in still faces (``configs/simulation.toml``), from
  row to row and slowly, by ROI and together;
- where coders see the apex, and how near to onset and offset the face begins and ends to move.

Neither the size of the expression nor that of the errors is given: the one is integrated over, the
other as well. Where errors are large all courses fit alike, and the prior remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aumer.simulate import nuisance
from aumer.simulate.anatomy import ACTION_UNITS, Action
from aumer.simulate.disturbances import NAMES, roi_displacement
from aumer.types import FloatArray, IntArray

Floats = npt.NDArray[np.float64]

#: Most points at which courses are compared.
POINTS = 65
#: Steps of the grid on which a course's knots lie.
_KNOTS = 20
#: Share of a smooth step (3 x^2 - 2 x^3) in a rise or fall; the rest is linear.
_EASED = 0.5
#: Levels at which a course may end.
_ENDS = (0.0, 0.2)
#: Prior of the apex's position in the interval: normal around the middle, with the standard
#: deviation of the coders of CASME II (.15), DFME (.15) and SAMM (.16); their means are .51, .52
#: and .46.
_SPREAD = 0.155
#: Prior of how long the face rests at either end, as a share of the interval: half-normal.
_REST = 0.1
#: Variance of a row's own error, and seconds in which the correlation of slow errors falls to 1/e;
#: the variance of slow errors is 1.
_ROW_ERROR, _SLOW_S = 0.2, 1.0
#: Independent errors, as a share of those measured on still faces: other faces differ.
_OTHER_ERRORS = 0.3
#: Independent displacements, as a share of those of action units, and the share of one-sided ones.
_OTHER_MOVES, _ONE_SIDED = 0.05, 0.15
#: Standard deviations of displacements over that of errors which are integrated over.
_SIZES = np.geomspace(0.3, 100.0, 8)
#: Weight of the likelihood: errors and courses are not quite as assumed.
_WORTH = 0.5


def apex_position(path: Floats, seconds: float, rois: Sequence[str]) -> float:
    """The most probable middle of the hold: the median of its posterior.

    Args:
        path: (T, R, 2) positions of the ROIs at even steps from onset to offset, in any unit.
        seconds: from onset to offset.
        rois: their names. For ROIs other than `aumer.motion.mdmo.ROIS` errors and displacements
            are taken as independent.

    Returns:
        A share of the interval, 0 to 1; .5 if nothing moves.
    """
    path = thinned(path, POINTS)
    moved = np.diff(path, axis=0).reshape(len(path) - 1, -1)
    if not moved.any():
        return 0.5
    moved = moved / np.abs(moved).max()  # squares of tiny ones would be 0
    steps, places, which, prior = _courses(len(path))
    whitening, power = _spatial(tuple(rois))
    lower = np.linalg.cholesky(_step_errors(len(path), seconds))
    measured = np.linalg.solve(lower, moved @ whitening)
    shapes = steps @ np.linalg.inv(lower).T
    long = (shapes**2).sum(axis=1)[:, None]
    met = (shapes @ measured) ** 2
    whole = (measured**2).sum()
    belief = np.full(len(prior), -np.inf)
    for size in _SIZES:
        signal = power * size**2
        spread = 1 + signal * long
        left = whole - (met * (signal / spread)).sum(axis=1)
        # Errors of unknown size: their variance is integrated over, with Jeffreys' prior.
        fits = np.log(np.maximum(left / whole, 1e-9)) * measured.size + np.log(spread).sum(axis=1)
        belief = np.logaddexp(belief, -fits / 2)
    belief = _WORTH * belief + prior
    # Courses with the same apex count together, so that the median moves evenly between apexes.
    weight = np.bincount(which, np.exp(belief - belief.max()))
    below = (np.cumsum(weight) - weight / 2) / weight.sum()
    return float(np.interp(0.5, below, places))


def thinned(path: Floats, points: int) -> Floats:
    """A path (T, R, 2) at no more than `points` even steps: means weighted by nearness."""
    if len(path) <= points:
        return path
    step = (len(path) - 1) / (points - 1)
    apart = np.arange(len(path)) - step * np.arange(points)[:, None]
    weights = np.maximum(1 - np.abs(apart) / step, 0)
    return np.asarray(np.tensordot(weights / weights.sum(axis=1, keepdims=True), path, 1))


def _step_errors(points: int, seconds: float) -> Floats:
    """Covariance of the errors of the steps between `points` rows, up to a factor."""
    at = np.linspace(0, seconds, points)
    errors = np.exp(-np.abs(at[:, None] - at) / _SLOW_S) + _ROW_ERROR * np.eye(points)
    return np.asarray(np.diff(np.diff(errors, axis=0), axis=1))


@lru_cache(maxsize=8)
def _spatial(rois: tuple[str, ...]) -> tuple[Floats, Floats]:
    """(2R, 2R) that makes errors independent and equal, and displacements independent; and the
    variances (2R,) of these, in the mean those of the errors.
    """
    size = 2 * len(rois)
    errors, moves = np.eye(size), np.eye(size)
    if rois == NAMES:
        (noise,) = nuisance.load(("motion_noise",)).values()
        errors = _balanced(noise.slow_covariance(), _OTHER_ERRORS)
        moves = _balanced(_displacements(), _OTHER_MOVES)
    root = np.linalg.inv(np.linalg.cholesky(errors)).T
    power, axes = np.linalg.eigh(root.T @ moves @ root)
    return root @ axes, np.maximum(power, 0.0)


def _displacements() -> Floats:
    """Sum over action units of equally long displacements and their products: (24, 24)."""
    total = np.zeros((2 * len(NAMES), 2 * len(NAMES)))
    for au in ACTION_UNITS:
        sides = ("both", 1 - _ONE_SIDED), ("left", _ONE_SIDED / 2), ("right", _ONE_SIDED / 2)
        for side, share in sides:
            action: Action = (au, side)
            moved = roi_displacement(action).ravel()
            total += share * np.outer(moved, moved) / (moved @ moved)
    return total


def _balanced(covariance: Floats, other: float) -> Floats:
    """Scaled to variances of 1 in the mean, with `other` added to each."""
    size = len(covariance)
    return np.asarray(covariance * size / np.trace(covariance) + other * np.eye(size))


@lru_cache(maxsize=4)
def _courses(points: int) -> tuple[FloatArray, Floats, IntArray, Floats]:
    """The courses: rest, rise, hold, fall and rest, with knots on a grid.

    Returns:
        Their steps between `points` rows (N, points - 1); the apexes (M,) as shares of the
        interval; the index of each course's apex (N,); and the log prior of each course (N,).
    """
    grid = range(_KNOTS + 1)
    knots = np.array(
        [(a, b, c, d) for a in grid for b in grid[a + 1 :] for c in grid[b:] for d in grid[c + 1 :]]
    )
    places, which = np.unique(knots[:, 1] + knots[:, 2], return_inverse=True)
    places = places / (2 * _KNOTS)
    rises, starts, ends, rests = (knots.T / _KNOTS)[:, :, None]
    at = np.linspace(0, 1, points)
    rise, fall = _step((at - rises) / (starts - rises)), _step((at - ends) / (rests - ends))
    levels = np.concatenate([rise * (1 - (1 - end) * fall) for end in _ENDS])
    prior = -(rises[:, 0] ** 2 + (1 - rests[:, 0]) ** 2) / (2 * _REST**2)
    # Corrects for the grid, on which more courses peak near the middle than near the ends.
    prior -= np.log(np.bincount(which, np.exp(prior)))[which]
    prior -= (places[which] - 0.5) ** 2 / (2 * _SPREAD**2)
    many = len(_ENDS)
    steps = np.diff(levels, axis=1).astype(np.float32)
    return steps, places, np.tile(which, many), np.tile(prior, many)


def _step(at: Floats) -> Floats:
    """From 0 at 0 to 1 at 1."""
    at = np.clip(at, 0, 1)
    return np.asarray((1 - _EASED) * at + _EASED * (3 - 2 * at) * at**2)
