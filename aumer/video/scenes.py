"""Detects scene changes in a video: cuts and dissolves.

Both are detected in small gray pictures. Within a small block (`_SIDE`), changes by light and
movement are about a linear combination of an offset, brightness and gradients. The residual is
small within one take, even if the face turns, blinks or the light changes. At a cut the whole
change is residual. In a dissolve the residual is the same from one moment to the next all over the
picture, because one picture fades out as the other fades in; in movement it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.types import FloatArray, ImageArray

#: Size of the small picture and of a block, px.
_WIDTH, _HEIGHT, _SIDE = 64, 48, 8
#: Each of its pixels is the mean of this number of samples per side.
_SAMPLES = 4
#: Least residual of a cut (mean over blocks, as a share of that of two unrelated pictures), and its
#: least ratio to the residuals of the last `_RECENT_S`. In the shared videos the residual of
#: neighboring frames is at most .05 at 30 frames/s and .26 at 5; between two of these videos it is
#: .31 to .77.
_CUT, _OUTSTANDING, _RECENT_S = 0.29, 3.0, 0.35
#: Residual of a changed block, and least share of changed blocks at a cut: between the shared
#: videos .58 to .9.
_CHANGED, _MOST = 0.15, 0.5
#: Variance of noise, in squared gray levels.
_NOISE = 8.0
#: A dissolve: seconds between each two of three pictures; least correlation of the two changes
#: between them, and least share of blocks in which they agree. Short spans need more: the shared
#: videos reach .74 and .48 over 1/30 s, .61 and .29 over .13 s; dissolves of up to a second .87 and
#: .5, of two seconds .9 and .6 over .27 s.
_SPANS = (
    (1 / 30, 0.83, 0.55),
    (2 / 30, 0.80, 0.50),
    (4 / 30, 0.72, 0.42),
    (8 / 30, 0.72, 0.42),
)
#: Least correlation of the changes in a block, and least change in gray levels.
_AGREES, _LEVELS = 0.7, 1.0
#: Least residual over a dissolve's three pictures, measured as for a cut: .018 and more in
#: dissolves of up to two seconds. A sharp picture that moves by less than a pixel per frame is also
#: a mix of its neighbors, with a residual of .006.
_APART = 0.01
#: Certain in one frame; else two frames in a row must show it.
_SURE = (0.92, 0.75)
#: How long pictures are stored, s.
_KEPT_S = 0.6


class Scenes:
    """Detects scene changes, frame by frame.

    Attributes:
        mixed_since: while this frame is part of a dissolve, a time (s) from which all frames are;
            else NaN. It is known late: the first quarter of a dissolve may look like any other
            change.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is treated as the first of a video."""
        self._past: list[_Picture] = []
        self._showed = False  # whether the frame before showed a dissolve
        self.mixed_since = np.nan

    def see(self, image: ImageArray, time_s: float) -> bool:
        """Whether a new scene begins with this frame: after a cut or at the end of a dissolve.

        Args:
            image: (H, W, 3) uint8 RGB.
            time_s: when it is shown, in seconds.
        """
        now = _Picture(_small(image), time_s)
        was_mixed = bool(np.isfinite(self.mixed_since))
        cut = False
        if self._past and self._past[-1].gray.shape == now.gray.shape:
            now.left = self._past[-1].unlike(now)
            recent = [p.left for p in self._past if p.time_s >= time_s - _RECENT_S]
            cut = now.left > max(_CUT, _OUTSTANDING * max(recent, default=0.0))
        if cut:
            self._past, now.left = [], 0.0  # another cut may follow at once
        since, sure = self._mixed(now)
        shows = bool(np.isfinite(since))
        confirmed = shows and (sure or self._showed)
        self._showed = shows
        self.mixed_since = min(since, self.mixed_since if was_mixed else since)
        if not confirmed:
            self.mixed_since = np.nan
        self._past = [p for p in self._past if p.time_s >= time_s - _KEPT_S] + [now]
        return cut or (was_mixed and not confirmed)

    def _mixed(self, now: _Picture) -> tuple[float, bool]:
        """Since when a dissolve is seen (s; NaN for none), and whether it is certain."""
        since, sure, done = np.inf, False, set()
        times = np.array([p.time_s for p in self._past])
        for span, agreement, share in _SPANS:
            if not len(times):
                break
            middle = int(np.abs(times - (now.time_s - span)).argmin())
            if not middle:
                break
            first = int(np.abs(times[:middle] - (2 * times[middle] - now.time_s)).argmin())
            if (middle, first) in done:
                continue
            done.add((middle, first))
            found = _agreement(self._past[first], self._past[middle], now, share)
            if found[0] > agreement and found[1] > share:
                since = min(since, times[first])
                sure = sure or (found[0] > _SURE[0] and found[1] > _SURE[1])
        return (since, sure) if np.isfinite(since) else (np.nan, False)

    # -- from one piece of a video to the next --------------------------------------------------

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The whole state as arrays, which a file can hold."""
        grays = [p.gray for p in self._past]
        return {
            "scene_pictures": np.array(grays, np.uint8).reshape(-1, _HEIGHT, _WIDTH),
            "scene_times": np.array([(p.time_s, p.left) for p in self._past]).reshape(-1, 2),
            "scene_now": np.array([self._showed, self.mixed_since]),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from `state`."""
        self._past = []
        for gray, (time_s, left) in zip(state["scene_pictures"], state["scene_times"], strict=True):
            self._past.append(_Picture(gray, float(time_s)))
            self._past[-1].left = float(left)
        showed, self.mixed_since = map(float, state["scene_now"])
        self._showed = bool(showed)


class _Picture:
    """One small picture, and the linear model of its changes without a cut.

    Attributes:
        left: the residual of the change from the previous picture; 0 for the first.
    """

    def __init__(self, gray: ImageArray, time_s: float) -> None:
        self.gray, self.time_s, self.left = gray, time_s, 0.0
        self.blocks = _blocks(gray.astype(np.float32))
        self._basis: FloatArray | None = None

    @property
    def basis(self) -> FloatArray:
        """(N, 4, P) orthogonal basis of each block: offset, brightness, gradients along x and y."""
        if self._basis is None:
            gray = self.gray.astype(np.float32)
            right, below = np.zeros_like(gray), np.zeros_like(gray)
            right[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]) / 2
            below[1:-1] = (gray[2:] - gray[:-2]) / 2
            terms = np.stack(
                [np.ones_like(self.blocks), self.blocks / 128, _blocks(right), _blocks(below)], 1
            )
            # Regularized: gradients of a uniform block explain nothing.
            sizes = terms @ terms.swapaxes(1, 2) + np.eye(4, dtype=np.float32)
            self._basis = np.linalg.inv(np.linalg.cholesky(sizes)) @ terms
        return self._basis

    def unexplained(self, change: FloatArray) -> FloatArray:
        """(N, P) residual of a change from or to this picture after light and movement."""
        parts = self.basis @ change[..., None]
        left: FloatArray = change - (parts.swapaxes(1, 2) @ self.basis)[:, 0]
        return left

    def unlike(self, other: _Picture) -> float:
        """The mean residual, as a share of that of two unrelated pictures; 0 if most of the picture
        is unchanged, as when a person enters or leaves.
        """
        left = self.apart(other)
        return float(left.mean()) if (left > _CHANGED).mean() >= _MOST else 0.0

    def apart(self, other: _Picture) -> FloatArray:
        """(N,) residual of each block, as a share of that of two unrelated ones."""
        left = _sizes(self.unexplained(other.blocks - self.blocks))
        left /= self.blocks.var(axis=1) + other.blocks.var(axis=1) + np.float32(_NOISE)
        return left


def _agreement(
    first: _Picture, middle: _Picture, last: _Picture, share: float
) -> tuple[float, float]:
    """Correlation of the changes to and from the middle picture, and the share of blocks that
    agree.

    Both are 0 if the share cannot reach `share`.
    """
    before, after = middle.blocks - first.blocks, last.blocks - middle.blocks
    if (_sizes(before) * _sizes(after) > _LEVELS**4).mean() <= share:
        return 0.0, 0.0
    if first.apart(last).mean() <= _APART:
        return 0.0, 0.0
    # Global light is removed first: blocks of little contrast cannot model it.
    level = middle.blocks - middle.blocks.mean()
    size = np.vdot(level, level) + 1
    before = middle.unexplained(before - np.vdot(before, level) / size * level)
    after = middle.unexplained(after - np.vdot(after, level) / size * level)
    common = np.einsum("np,np->n", before, after) / before.shape[1]
    sizes = _sizes(before), _sizes(after)
    both = np.sqrt(sizes[0] * sizes[1])
    whole = float(common.sum()) / max(float(np.sqrt(sizes[0].sum() * sizes[1].sum())), 1e-6)
    return whole, float(((common > _AGREES * both) & (both > _LEVELS**2)).mean())


def _sizes(change: FloatArray) -> FloatArray:
    """(N,) mean squares of each block."""
    sizes: FloatArray = np.einsum("np,np->n", change, change) / np.float32(change.shape[1])
    return sizes


def _small(image: ImageArray) -> ImageArray:
    # Samples first, then their mean: a tenth of the time of the mean of all pixels.
    size = (_SAMPLES * _WIDTH, _SAMPLES * _HEIGHT)
    some = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    gray = cv2.cvtColor(some, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _blocks(picture: FloatArray) -> FloatArray:
    """(N, P): the pixels of each block."""
    parts = picture.reshape(_HEIGHT // _SIDE, _SIDE, _WIDTH // _SIDE, _SIDE)
    return np.ascontiguousarray(parts.swapaxes(1, 2).reshape(-1, _SIDE * _SIDE))
