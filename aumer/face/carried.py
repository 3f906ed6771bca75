"""Stable landmarks: detected on key frames, carried by flow through the frames in between.

A network's points jitter by .3 % of the outer-eye distance from frame to frame, a third of a
micro-expression. A point tracked by Lucas-Kanade from a reference picture of the same face moves
only with the face. The difficulty is to detect when the reference no longer fits:

- Every frame is first aligned with the references' crop by the points that no expression moves, so
  that Lucas-Kanade only measures the remainder: in a rotated or scaled crop it would track the
  centroid of the window's texture, not its center.
- Points form groups (a brow, an eye's lids, a lip ...). Each group has a reference: a crop with the
  points' positions. While the reference fits, errors do not accumulate.
- If it does not fit, the previous frame becomes the reference; if that does not fit either (a jaw
  that drops within one frame), the network locates the group.
- The first reference is stored as the group's home and used again as soon as it fits, so that a
  head turn or a word leaves no drift.
- The network runs from time to time and corrects each group; the more of its estimates are already
  averaged, the smaller the correction. Corrections are spread over many frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.face.crop import Cutting, applied, chained, inverse, similarity
from aumer.face.interface import Landmarker, Memory, box_round
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE, RIGID
from aumer.flow.lucas_kanade import Pyramid, Windows
from aumer.types import FloatArray, ImageArray

Points = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Groups of landmarks, and the distance from the network's estimate (outer-eye distances) above
#: which flow is rejected: large where skin only shifts, small at lids and lips, where the network
#: sees the edge itself.
_GROUPS: tuple[tuple[tuple[int, ...], float], ...] = (
    ((*range(5), *range(12, 17)), 0.03),  # sides of the face
    (tuple(range(5, 12)), 0.03),  # chin
    (tuple(range(17, 22)), 0.05),
    (tuple(range(22, 27)), 0.05),  # brows
    (tuple(range(27, 36)), 0.05),  # nose
    ((36, 39, 42, 45), 0.05),  # corners of the eyes
    ((37, 38, 40, 41), 0.02),
    ((43, 44, 46, 47), 0.02),  # lids
    ((*range(48, 55), *range(60, 65)), 0.02),  # upper lip, corners of the mouth
    ((*range(55, 60), *range(65, 68)), 0.02),  # lower lip
)
#: This group moves with the head: windows on it show mostly background.
_SIDES = 0
#: Windows of this group are lost most often, since they also show background.
_CHIN = 1
#: Points for aligning and following the head: nose and eye corners.
_RIGID = list(RIGID)
_HEAD = np.array((*range(27, 36), 36, 39, 42, 45))
#: Range of the distance of the outer eye corners in the crop, px; within it the face's own size is
#: used.
_LEAST_EYES, _MOST_EYES = 64, 96
#: Sides of the Lucas-Kanade window in outer-eye distances. The wide one has the least noise where
#: the picture is that of the reference; where the head has turned or skin has deformed, the narrow
#: one is more accurate: it is used above this share of the allowed difference.
_WINDOW, _NARROW = 0.32, 0.14
#: Smallest side in px, since small faces are noisy.
_LEAST_WINDOW = 27
#: Pyramid levels of the crop for the head; the other points need one.
_LEVELS = 2
_DEFORMED = 0.3
#: If the two windows differ by more than this (outer-eye distances), the narrow one is lost.
_SLIP = 0.04
#: Mean and contrast to which every crop is normalized, so that changes of light are not taken for
#: motion.
_GRAY, _CONTRAST = 128.0, 45.0
#: A point is lost if the mean gray difference in its window exceeds this share of the window's
#: contrast, and this many gray levels. (For an opening mouth the share exceeds .3 where the error
#: of flow is 1 % of the outer-eye distance; on still faces it is .05 to .15.)
_MISFIT, _LEAST_MISFIT = 0.3, 6.0
#: A group returns to its home if the position tracked from there is within this of the present one
#: (outer-eye distances) and its windows differ by less than this share of the limit. This is tried
#: every so many frames; after this number of frames without success a nearer home is chosen.
_HOME, _HOME_MISFIT, _HOME_TRY, _HOME_LOST = 0.06, 0.7, 8, 900
#: Groups with at least this distance are skin that only shifts. Three of four are never lost within
#: one frame, unless something comes in front of the face.
_SKIN = 0.05
#: If the network's brows, nose and eyes are further than this from the carried ones (outer-eye
#: distances), it sees another face.
_ELSEWHERE = 0.12
#: Two frames that correlate less than this over the inner face do not show the same one. (Of two
#: people it is .69 at most in 68 pairs of the shared videos, of one person .74 at least.)
_SAME = 0.7
#: If the size of a face changes between two frames by more than this factor, there is a cut: a head
#: that comes forward at a meter a second, half a meter away, grows by 1.07 in 1/30 s.
_GROWS = 1.25
#: Frames between two runs of the network, and after a change of reference.
_LOOK, _LOOK_SOON, _LOOK_APART = 30, 6, 3
#: A network's estimate depends on the position of the face in its input. So the input is shifted
#: and scaled a little in each run (outer-eye distances right and down, scale), so that this error
#: averages out even if the face holds still.
_VIEWS = tuple((x, y, s) for s in (0.98, 1.02) for x in (-0.06, 0.06) for y in (-0.06, 0.06))
#: Frames over which a correction is spread.
_GLIDE = 15
#: Variances in squared outer-eye distances: of the network's points (jitter, and errors that depend
#: on pose and face), added by a change of reference, and added between two runs of the network.
_NETWORK, _CHANGE, _INTERVAL = 0.006**2, 0.0015**2, 0.0001**2
#: Unavoidable error of the network's points when the face turns a little (outer-eye distances):
#: only the excess is corrected.
_DOUBT = 0.008
#: A single point further than this from the network's estimate is moved there.
_SLID = 0.06
#: Initial variance, of a mean of several estimates.
_START = _NETWORK / 9
#: A face is at rest while no group is further than this from its home (outer-eye distances). The
#: network's error on turned or moved faces is 1 % and more, and must not affect the home.
_REST = 0.015
#: If a group has moved this far (outer-eye distances) since the network's last run, it runs again.
_MOVED = 0.03


class _Group:
    """Landmarks that share a reference.

    Attributes:
        index: their numbers.
        believed: see `_GROUPS`.
        crop: the reference picture.
        variance: of their position, in squared outer-eye distances.
        home, home_starts, home_limits, home_variance: the home picture, positions in it, allowed
            differences of its windows in gray levels, and the variance there.
        away: frames since home was left; 0 at home.
    """

    def __init__(self, index: tuple[int, ...], believed: float) -> None:
        self.index = np.array(index)
        self.believed = believed
        self.crop = self.home = np.zeros((0, 0), np.uint8)
        self.home_limits = np.zeros(len(index))
        self.home_starts = np.zeros((len(index), 2))
        self.variance = self.home_variance = 0.0
        self.away = 0


class CarriedLandmarker(Landmarker):
    """Another landmarker's points, carried by flow. Interface: `aumer.face.interface.Landmarker`.

    Also returns `None` if the picture changes between frames more than a face can: at a cut, or if
    something comes in front.

    Args:
        landmarker: runs on the first frame, about every 30 frames afterward, and whenever the
            picture has changed.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        self._network = landmarker
        self.reset()

    def reset(self) -> None:
        self._network.reset()
        self._points: Points | None = None  # (68, 2) in the image
        self._eyes = 0  # px between the outer eye corners in the crop
        self._to_crop = np.zeros((2, 3))  # image -> crop of the last frame ...
        self._crop = np.zeros((0, 0), np.uint8)  # ... that crop ...
        self._picture: Pyramid | None = None  # ... for flow ...
        self._seen = np.zeros((68, 2))  # ... and the landmarks in it
        self._groups = [_Group(*group) for group in _GROUPS]
        self._starts = np.zeros((68, 2))  # the landmarks in their groups' references ...
        self._goals = np.zeros((68, 2))  # ... where pulls take these ...
        self._limits = np.ones(68)  # ... and the gray levels by which each window may differ
        self._pulls_left = 0
        self._looked = np.zeros((68, 2))  # where the landmarks were at the network's last look
        self._looks = 0
        self._since_look = 0
        self._changed = False

    def close(self) -> None:
        self._network.close()

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        return self(image, box_round(landmarks))

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        if self._points is None or not _meet(box, box_round(self._points.astype(np.float32))):
            self.reset()
            found = self._network(image, box)
            if found is not None:
                self._begin(image, found.astype(np.float64), variance=_START)
            return found
        return self._follow(image, self._points)

    # -- beginnings ------------------------------------------------------------------------------

    def memory(self) -> Memory:
        if self._points is None:
            return {}
        homes = list({id(g.home): g.home for g in self._groups}.values())
        return {
            "homes": np.stack(homes),
            "home_of": np.array([[h is g.home for h in homes].index(True) for g in self._groups]),
            "home_starts": np.concatenate([g.home_starts for g in self._groups]),
            "groups": np.array([(g.home_variance, g.variance, g.away) for g in self._groups]),
        }

    def resume(
        self, image: ImageArray, landmarks: FloatArray, memory: Mapping[str, Any] | None = None
    ) -> None:
        self.reset()
        points = landmarks.astype(np.float64)
        if not memory:
            self._begin(image, points, variance=_NETWORK / 9)
            return
        homes = np.asarray(memory["homes"], np.uint8)
        # In the size of the stored crops, whatever the face's present size.
        self._begin(image, points, variance=_NETWORK / 9, eyes=homes.shape[1] // 2)
        ends = np.cumsum([len(g.index) for g in self._groups])[:-1]
        starts = np.split(np.asarray(memory["home_starts"], np.float64), ends)
        for group, of, home_starts, row in zip(
            self._groups, memory["home_of"], starts, memory["groups"], strict=True
        ):
            group.home, group.home_starts = homes[int(of)], home_starts
            group.home_limits = self._limits_of(group.home, home_starts)
            self._homes.take(self._pyramid(group.home), home_starts, group.index)
            group.home_variance, group.variance, away = map(float, row)
            group.away = int(away) + 1  # this position is not home

    def _begin(
        self, image: ImageArray, points: Points, *, variance: float, eyes: int | None = None
    ) -> None:
        """Every group's reference is this image."""
        size = float(np.hypot(*similarity(MEAN_FACE[_RIGID, :2], points[_RIGID])[:, 0]))
        self._eyes = eyes or int(np.clip(round(size), _LEAST_EYES, _MOST_EYES))
        template = MEAN_FACE[:, :2] * self._eyes + np.array(CROP_ORIGIN) * 2 * self._eyes
        self._to_crop = similarity(points[_RIGID], template[_RIGID])
        side = 2 * self._eyes
        self._crop = _levelled(Cutting(image, self._to_crop, side).cut(self._to_crop, side))
        self._picture = self._pyramid(self._crop)
        self._points, self._seen = points, applied(self._to_crop, points)
        self._pulls_left = 0
        narrow = round(_NARROW * self._eyes) | 1
        #: The wide and narrow windows of the references and homes.
        self._wide, self._homes = (Windows(68, self._window, _LEVELS) for _ in range(2))
        self._narrow = Windows(68, narrow, 0)
        for group in self._groups:
            self._refer(group, self._crop, self._picture, self._seen, variance)
            self._make_home(group)
        self._looked, self._since_look, self._changed = self._seen.copy(), 0, False

    def _refer(
        self, group: _Group, crop: ImageArray, picture: Pyramid, seen: Points, variance: float
    ) -> None:
        """Make this crop the group's reference, with the points at `seen`."""
        index = group.index
        group.crop, group.variance = crop, variance
        self._wide.take(picture, seen[index], index)
        self._narrow.take(picture, seen[index], index)
        self._limits[index] = self._limits_of(crop, seen[index])
        self._starts[index] = self._goals[index] = seen[index]
        group.away = max(1, group.away)

    def _make_home(self, group: _Group) -> None:
        """Make the group's present reference its home."""
        index = group.index
        group.home, group.home_variance, group.away = group.crop, group.variance, 0
        group.home_starts, group.home_limits = self._starts[index].copy(), self._limits[index]
        self._homes.copy(self._wide, index)

    def _limits_of(self, crop: ImageArray, points: Points) -> Points:
        """Allowed difference of the window around each point, in gray levels."""
        half = self._window // 2
        contrast = np.empty(len(points))
        for k, (x, y) in enumerate(np.rint(points).astype(int).clip(0, len(crop) - 1)):
            inside = crop[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
            contrast[k] = cv2.meanStdDev(inside)[1].item()
        return np.maximum(_LEAST_MISFIT, _MISFIT * contrast)

    def _pyramid(self, crop: ImageArray) -> Pyramid:
        return Pyramid(crop, _LEVELS, self._window // 2)

    @property
    def _window(self) -> int:
        return max(_LEAST_WINDOW, round(_WINDOW * self._eyes)) | 1

    # -- one frame -------------------------------------------------------------------------------

    def _follow(self, image: ImageArray, points: Points) -> FloatArray | None:
        head = self._head(image, self._to_crop)
        if head is None:
            # Too fast to follow: the network gives the approximate position.
            rough = self._look_twice(image, points)
            if rough is None:
                return None
            moved = similarity(rough[_RIGID], points[_RIGID])
            if not _as_large(moved):
                return None
            head = self._head(image, chained(moved, self._to_crop))
            if head is None:
                return self._begin_anew(image, rough)
        to_crop, cutting = head
        crop = _levelled(cutting.cut(to_crop, 2 * self._eyes))
        picture = self._pyramid(crop)
        if not _same(crop, self._crop):
            return None
        seen, lost = self._carry(picture)
        if sum(group.believed >= _SKIN for group in lost) > 2:
            return None
        self._glide(seen)
        self._since_look += 1
        due = self._since_look >= (_LOOK_SOON if self._changed else _LOOK)
        pressing = any(group is not self._groups[_CHIN] for group in lost)
        hurried = self._since_look >= _LOOK_APART and (lost or self._moved(seen))
        if pressing or due or hurried:
            found = self._look(image, applied(inverse(to_crop), seen))
            if found is None:
                return None
            found_there = applied(to_crop, found)
            elsewhere = np.hypot(*(found_there - seen)[17:48].T) > _ELSEWHERE * self._eyes
            if _half(elsewhere):
                return None
            self._look_in(seen, found_there, crop, picture, lost)
        self._crop, self._picture, self._seen, self._to_crop = crop, picture, seen, to_crop
        self._points = applied(inverse(to_crop), seen)
        return self._points.astype(np.float32)

    def _begin_anew(self, image: ImageArray, points: Points) -> FloatArray | None:
        """Restart from the network's points, if no reference fits there."""
        found = self._network(image, box_round(points.astype(np.float32)))
        if found is None:
            return None
        before = self._crop
        self._begin(image, found.astype(np.float64), variance=_START)
        return found if _same(self._crop, before) else None

    def _head(self, image: ImageArray, to_crop: Points) -> tuple[Points, Cutting] | None:
        """The transform that aligns the head with the references, and the image part to crop from.

        `to_crop` is the initial guess. `None` if the references do not fit.
        """
        side = 2 * self._eyes
        cutting = Cutting(image, to_crop, side, room=0.1)
        picture = self._pyramid(_levelled(cutting.cut(to_crop, side)))
        moved, misfit = self._find(self._wide, picture, self._seen, _HEAD, last=1)
        good = misfit <= _MISFIT * _CONTRAST
        if good.sum() < 5:
            return None
        rest = _robust_similarity(moved[good], self._starts[_HEAD][good])
        return chained(rest, to_crop), cutting

    def _carry(self, picture: Pyramid) -> tuple[Points, list[_Group]]:
        """Positions of the landmarks in the picture, and the groups without a fitting reference."""
        seen, change = self._starts.copy(), np.zeros(68)  # the sides move with the head
        everywhere = np.concatenate([g.index for g in self._groups[_SIDES + 1 :]])
        seen[everywhere], change[everywhere] = self._flow(picture, everywhere)
        lost = []
        deformed = []
        for group in self._groups[_SIDES + 1 :]:
            index = group.index
            if _most(change[index] > 1) and group.crop is not self._crop:
                # The previous frame is more similar.
                assert self._picture is not None
                variance = group.variance + _CHANGE
                self._refer(group, self._crop, self._picture, self._seen, variance)
                self._changed = True
                seen[index], change[index] = self._flow(picture, index)
            bad = change[index] > 1
            if _most(bad):
                lost.append(group)
            elif _half(change[index] > _DEFORMED):
                deformed.append(index)
        if deformed:
            index = np.concatenate(deformed)
            moved, _ = self._find(self._narrow, picture, seen, index)
            # A narrow window can jump to a similar edge.
            keep = np.hypot(*(moved - seen[index]).T) <= _SLIP * self._eyes
            seen[index[keep]] = moved[keep]
        for group in self._groups[_SIDES + 1 :]:
            bad = change[group.index] > 1
            if bad.all():
                seen[group.index] = self._seen[group.index]
            elif bad.any():
                # A lost point moves with its group.
                own, starts = seen[group.index], self._starts[group.index]
                own[bad] = starts[bad] + np.median((own - starts)[~bad], axis=0)
                seen[group.index] = own
            if group.away and group not in lost:
                self._try_home(group, picture, seen)
        return seen, lost

    def _flow(self, picture: Pyramid, index: Index) -> tuple[Points, Points]:
        """The carried points, and the change of each window relative to its limit."""
        moved, misfit = self._find(self._wide, picture, self._seen, index, first=1)
        return moved, misfit.astype(np.float64) / self._limits[index]

    def _find(
        self, windows: Windows, picture: Pyramid, guess: Points, index: Index, **levels: int
    ) -> tuple[Points, FloatArray]:
        """Landmarks carried by windows that were cut near them (`_starts` moves, the windows do
        not).
        """
        off = self._starts[index] - windows.points[index]
        moved, misfit = windows.find(picture, guess[index] - off, index, **levels)
        return moved + off, misfit

    def _try_home(self, group: _Group, picture: Pyramid, seen: Points) -> None:
        """Return to the group's home, if it fits again."""
        group.away += 1
        index = group.index
        if group.away > _HOME_LOST:
            self._make_home(group)
        if group.away % _HOME_TRY:
            return
        here = seen[index]
        off = group.home_starts - self._homes.points[index]
        moved, change = self._homes.find(picture, here - off, index, first=1)
        moved += off
        apart = np.hypot(*(moved - here).T) / self._eyes
        fits = (change <= _HOME_MISFIT * group.home_limits) & (apart <= _HOME)
        if fits.mean() < 2 / 3:
            return
        # The accumulated error is removed gradually.
        off = np.median((here - moved)[fits], axis=0)
        group.crop, self._limits[index] = group.home, group.home_limits
        group.variance, group.away = group.home_variance, 0
        self._wide.copy(self._homes, index)
        self._narrow.take(self._pyramid(group.home), self._homes.points[index], index)
        self._starts[index] = group.home_starts + off
        self._goals[index] = group.home_starts
        seen[index] = np.where(fits[:, None], moved + off, here)
        self._pulls_left = _GLIDE

    def _glide(self, seen: Points) -> None:
        """Apply one frame's share of the corrections to the points and their starts."""
        if self._pulls_left:
            step = (self._goals - self._starts) / self._pulls_left
            self._pulls_left -= 1
            seen += step
            self._starts += step

    # -- the network -----------------------------------------------------------------------------

    def _moved(self, seen: Points) -> bool:
        """Whether a group has moved so far that its appearance may have changed."""
        way = np.hypot(*(seen - self._looked).T) / self._eyes
        if way.max() <= _MOVED:
            return False
        far = way > _MOVED
        return any(_half(far[group.index]) for group in self._groups[_SIDES + 1 :])

    def _at_rest(self, seen: Points) -> bool:
        """Whether the whole face is at home and unchanged."""
        way = np.hypot(*(seen - self._starts).T) / self._eyes > _REST
        return not any(g.away or _half(way[g.index]) for g in self._groups[_SIDES + 1 :])

    def _look_twice(self, image: ImageArray, points: Points) -> Points | None:
        """The network's estimate for a displaced face, in two steps.

        At the edge of its input, or at another scale, its error is 10 % and more.
        """
        rough = self._look(image, points)
        found = None if rough is None else self._look(image, rough.astype(np.float64))
        return None if found is None else found.astype(np.float64)

    def _look(self, image: ImageArray, points: Points) -> FloatArray | None:
        right, down, growth = _VIEWS[self._looks % len(_VIEWS)]
        self._looks += 1
        middle = points[_HEAD].mean(axis=0)
        off = np.array([right, down]) * np.hypot(*(points[45] - points[36]))
        return self._network.near(
            image, (middle + growth * (points - middle) + off).astype(np.float32)
        )

    def _look_in(
        self,
        seen: Points,
        found: Points,
        crop: ImageArray,
        picture: Pyramid,
        lost: list[_Group],
    ) -> None:
        """Use the network's estimate: replaces lost groups and corrects the others."""
        apart = (found - seen) / self._eyes
        at_rest = self._at_rest(seen)
        for group in self._groups:
            index = group.index
            if group in lost or np.median(np.hypot(*apart[index].T)) > group.believed:
                seen[index] = found[index]
                self._refer(group, crop, picture, seen, _NETWORK)
                continue
            if group.away:
                # A single point that slid along an edge.
                slid = index[np.hypot(*apart[index].T) > _SLID]
                step = found[slid] - seen[slid]
                seen[slid] += step
                self._starts[slid] += step
                self._goals[slid] += step
            elif not at_rest:
                continue  # estimates of another face or pose must not change the home
            group.variance += _INTERVAL
            gain = group.variance / (group.variance + _NETWORK)
            group.variance *= 1 - gain
            # Relative to the goal of earlier corrections, which continue.
            left = found[index] - seen[index] - (self._goals[index] - self._starts[index])
            doubt = _DOUBT * self._eyes
            beyond = 1 - doubt / np.maximum(np.hypot(*left.T), doubt)
            self._goals[index] += gain * beyond[:, None] * left
            if not group.away:
                group.home_starts, group.home_variance = self._goals[index], group.variance
        self._looked = seen.copy()
        self._since_look, self._changed, self._pulls_left = 0, bool(lost), _GLIDE


def _half(flags: npt.NDArray[np.bool_]) -> bool:
    """Whether more than half are True, so that the median is, too."""
    return 2 * int(np.count_nonzero(flags)) > len(flags)


def _most(flags: npt.NDArray[np.bool_]) -> bool:
    """Whether more than a third are True; then the others are not sufficient."""
    return 3 * int(np.count_nonzero(flags)) > len(flags)


def _levelled(crop: ImageArray) -> ImageArray:
    """The crop normalized to fixed brightness and contrast of its inner part."""
    inner = crop[len(crop) // 5 : -len(crop) // 4, len(crop) // 4 : -len(crop) // 4]
    mean, deviation = (float(v.item()) for v in cv2.meanStdDev(inner))
    gain = _CONTRAST / max(deviation, 1.0)
    return np.asarray(cv2.addWeighted(crop, gain, crop, 0.0, _GRAY - gain * mean), np.uint8)


def _as_large(moved: Points) -> bool:
    """Whether the transform keeps the size of the face approximately."""
    return 1 / _GROWS < float(np.hypot(*moved[:, 0])) < _GROWS


def _same(crop: ImageArray, other: ImageArray) -> bool:
    """Whether two crops show the same face in any light."""
    a, b = (
        cv2.resize(
            c[len(c) // 8 : -len(c) // 8, len(c) // 6 : -len(c) // 6],
            (32, 32),
            interpolation=cv2.INTER_AREA,
        ).astype(np.float64)
        for c in (crop, other)
    )
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return norm == 0 or float((a * b).sum()) / norm >= _SAME


def _robust_similarity(source: Points, target: Points) -> Points:
    """`similarity` with robust Cauchy weights."""
    weight = np.ones(len(source))
    for _ in range(3):
        transform = similarity(source, target, weight)
        misfit = np.hypot(*(applied(transform, source) - target).T)
        weight = 1 / (1 + (misfit / (1.48 * np.median(misfit) + 0.05)) ** 2)
    return transform


def _meet(box: FloatArray, other: FloatArray) -> bool:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:4], other[2:4])
    return bool((high > low).all())
