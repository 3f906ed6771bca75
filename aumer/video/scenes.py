"""Where a film goes over to another picture: by a cut at once, or by a dissolve little by little.

Both are told from small gray pictures. What light does to a picture, and what movement does, is
about a sum of its brightness and its slopes within a small block; what is left of a change after
that (`_Block`) is small in any one take, however the face turns, blinks or is lit. At a cut all of
it is left. In a dissolve what is left is the same from one moment to the next, all over the
picture, because the one picture goes as the other comes: of movement it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.types import FloatArray, ImageArray

#: The small picture, and the side of a block in it, px.
_WIDTH, _HEIGHT, _SIDE = 64, 48, 8
#: Each of its pixels is the mean of so many samples along either side.
_SAMPLES = 4
#: A cut leaves so much of the change unexplained (mean over blocks, of what two unlike pictures
#: would leave), and so many times what the last `_RECENT_S` left. Of the shared videos neighboring
#: frames leave .05 at most at 30 frames/s and .26 at 5; from one of them to another it is .31 to
#: .77.
_CUT, _OUTSTANDING, _RECENT_S = 0.29, 3.0, 0.35
#: A block has changed that leaves so much, and at a cut such a share of them has: of the shared
#: videos .58 to .9.
_CHANGED, _MOST = 0.15, 0.5
#: Gray levels squared that noise may leave.
_NOISE = 8.0
#: A dissolve: seconds from one picture to the next of three; how much the two changes between them
#: agree (correlation), and in which share of the blocks. Short spans are asked for more: the shared
#: videos reach .74 and .48 over 1/30 s, .61 and .29 over .13 s; dissolves of up to a second .87 and
#: .5, of two seconds .9 and .6 over .27 s.
_SPANS = (
    (1 / 30, 0.83, 0.55),
    (2 / 30, 0.80, 0.50),
    (4 / 30, 0.72, 0.42),
    (8 / 30, 0.72, 0.42),
)
#: In a block they agree with this correlation, and differ by so many gray levels.
_AGREES, _LEVELS = 0.7, 1.0
#: Over a dissolve's three pictures so much of the change is left unexplained, as of a cut: .018 and
#: more in dissolves of up to two seconds. A sharp picture that is moved by less than a pixel a
#: frame is mixed of its neighbors too, and leaves .006.
_APART = 0.01
#: Beyond doubt in one frame; else two in a row must show it.
_SURE = (0.92, 0.75)
#: How long pictures are kept.
_KEPT_S = 0.6


class Scenes:
    """Sees the frames of a video one after another.

    Attributes:
        mixed_since: while this frame is part of a dissolve, a time (s) from which on all frames
            are; else NaN. It is known late: for up to a quarter of the dissolve it looks like any
            other change.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is treated as the first of a video."""
        self._past: list[_Picture] = []
        self._showed = False  # whether the frame before showed a dissolve
        self.mixed_since = np.nan

    def see(self, image: ImageArray, time_s: float) -> bool:
        """Whether another scene begins with this frame: after a cut, or once a dissolve is over.

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
        """From when on a dissolve goes on, as far as one is seen, and whether beyond doubt."""
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
        """All that the next frames depend on, in arrays that a file can hold."""
        grays = [p.gray for p in self._past]
        return {
            "scene_pictures": np.array(grays, np.uint8).reshape(-1, _HEIGHT, _WIDTH),
            "scene_times": np.array([(p.time_s, p.left) for p in self._past]).reshape(-1, 2),
            "scene_now": np.array([self._showed, self.mixed_since]),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from `state`."""
        self._past = []
        for gray, (time_s, left) in zip(state["scene_pictures"], state["scene_times"], strict=True):
            self._past.append(_Picture(gray, float(time_s)))
            self._past[-1].left = float(left)
        showed, self.mixed_since = map(float, state["scene_now"])
        self._showed = bool(showed)


class _Picture:
    """One small picture, and what may become of it without a cut.

    Attributes:
        left: what of the change from the picture before is not explained; 0 of the first.
    """

    def __init__(self, gray: ImageArray, time_s: float) -> None:
        self.gray, self.time_s, self.left = gray, time_s, 0.0
        self.blocks = _blocks(gray.astype(np.float32))
        self._basis: FloatArray | None = None

    @property
    def basis(self) -> FloatArray:
        """(N, 4, P): in each block, orthogonal: offset, brightness, and slopes along x and y."""
        if self._basis is None:
            gray = self.gray.astype(np.float32)
            right, below = np.zeros_like(gray), np.zeros_like(gray)
            right[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]) / 2
            below[1:-1] = (gray[2:] - gray[:-2]) / 2
            terms = np.stack(
                [np.ones_like(self.blocks), self.blocks / 128, _blocks(right), _blocks(below)], 1
            )
            # A little more of each than there is: slopes of a plain block explain nothing.
            sizes = terms @ terms.swapaxes(1, 2) + np.eye(4, dtype=np.float32)
            self._basis = np.linalg.inv(np.linalg.cholesky(sizes)) @ terms
        return self._basis

    def unexplained(self, change: FloatArray) -> FloatArray:
        """(N, P) what light and movement do not explain of a change, from here or to here."""
        parts = self.basis @ change[..., None]
        left: FloatArray = change - (parts.swapaxes(1, 2) @ self.basis)[:, 0]
        return left

    def unlike(self, other: _Picture) -> float:
        """The unexplained, as a share of what two pictures without likeness would leave.

        0 where most of the picture stays: then somebody came or went.
        """
        left = self.apart(other)
        return float(left.mean()) if (left > _CHANGED).mean() >= _MOST else 0.0

    def apart(self, other: _Picture) -> FloatArray:
        """(N,) the unexplained of each block, in shares of what two unlike ones would leave."""
        left = _sizes(self.unexplained(other.blocks - self.blocks))
        left /= self.blocks.var(axis=1) + other.blocks.var(axis=1) + np.float32(_NOISE)
        return left


def _agreement(
    first: _Picture, middle: _Picture, last: _Picture, share: float
) -> tuple[float, float]:
    """How much the changes to and from the middle picture agree, and in which share of blocks.

    Nothing is measured where it cannot be that `share`.
    """
    before, after = middle.blocks - first.blocks, last.blocks - middle.blocks
    if (_sizes(before) * _sizes(after) > _LEVELS**4).mean() <= share:
        return 0.0, 0.0
    if first.apart(last).mean() <= _APART:
        return 0.0, 0.0
    # Light on all of the picture first: blocks of little contrast are not read for it.
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
    # One sample of many first, then the mean of those: a tenth of the time that the mean of all
    # takes.
    size = (_SAMPLES * _WIDTH, _SAMPLES * _HEIGHT)
    some = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    gray = cv2.cvtColor(some, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _blocks(picture: FloatArray) -> FloatArray:
    """(N, P): the pixels of each block."""
    parts = picture.reshape(_HEIGHT // _SIDE, _SIDE, _WIDTH // _SIDE, _SIDE)
    return np.ascontiguousarray(parts.swapaxes(1, 2).reshape(-1, _SIDE * _SIDE))
