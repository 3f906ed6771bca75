"""Landmarks that hold still: found on key frames, carried by flow through the frames between.

A network sees each frame afresh, and its points jitter by .2 % of the outer-eye distance or more: a
third of a micro-expression. A point that Lucas-Kanade carries from a picture of the same face moves
by what the face moves. What that leaves to do is to know when the picture no longer fits:

- Every frame is first put on the crop of the one before by the points that no expression moves, so
  that Lucas-Kanade sees only what is left: with a turned or grown crop it would answer for the
  middle of the window's texture, not for its centre.
- Points go in groups (a brow, an eye, the mouth ...). Each group has a reference: a crop, and where
  in it the points are. While the reference fits, errors do not add up, however long that is.
- Where it does not fit, the frame before becomes the reference; where that does not fit either (a
  jaw that drops within one frame), the group is found anew by the network.
- The network looks in at times and pulls each group towards what it sees, the more, the oftener the
  group's reference has changed; the pull is spread over many frames.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aumer.face.crop import applied, cut_out, inverse, similarity
from aumer.face.interface import Landmarker, box_round
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE, RIGID
from aumer.types import FloatArray, ImageArray

Points = npt.NDArray[np.float64]

#: Landmarks that change together, and how far from the network's they may be (outer-eye distances)
#: before flow is no longer believed. It is believed longest where skin only shifts, and the network
#: where something opens: of lids and lips it sees the edge itself.
_GROUPS: tuple[tuple[tuple[int, ...], float], ...] = (
    ((*range(5), *range(12, 17)), 0.05),  # sides of the face
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
#: What the head is followed by: the nose and the eyes' corners.
_HEAD = (*range(27, 36), 36, 39, 42, 45)
#: px between the outer eye corners in the crop: the face's own size within these bounds. More
#: shows no more than the video does, less leaves windows without texture.
_LEAST_EYES, _MOST_EYES = 64, 96
#: Side of the Lucas-Kanade window in outer-eye distances: an eighth of the face's width to each
#: side. Half of it doubles the noise, twice of it mixes lips with chin.
_WINDOW = 0.32
#: Grey level and contrast that every crop is brought to, so that light does not pass for motion.
_GREY, _CONTRAST = 128.0, 45.0
#: A point has lost its picture where the mean grey difference in its window exceeds this share of
#: the window's contrast, and this many grey levels.
_MISFIT, _LEAST_MISFIT = 0.3, 6.0
#: Two frames that correlate less than this over the inner face do not show the same one.
_SAME = 0.5
#: Frames from one look of the network to the next, and after a change of reference.
_LOOK, _LOOK_SOON = 30, 6
#: Frames that a pull is spread over.
_GLIDE = 15
#: Variances in squared outer-eye distances: of the network's points (jitter, and errors that
#: change with pose and face), that a change of reference adds, and that a look's interval adds.
_NETWORK, _CHANGE, _INTERVAL = 0.006**2, 0.0015**2, 0.0003**2
#: A group that has moved this far (outer-eye distances) since a look is looked at again.
_MOVED = 0.03


class CarriedLandmarker(Landmarker):
    """Another landmarker's points, carried by flow. Interface: `aumer.face.interface.Landmarker`.

    `None` is also the answer where the picture changes from one frame to the next as no face does:
    at a cut.

    Args:
        landmarker: looks at the first frame, about once in 30 afterwards, and wherever the picture
            has changed.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        self._network = landmarker
        self.reset()

    def reset(self) -> None:
        self._network.reset()
        self._points: Points | None = None  # (68, 2) in the image
        self._eyes = 0  # px between the outer eye corners in the crop
        self._place = np.zeros((2, 3))  # image -> crop of the last frame ...
        self._crop = np.zeros((0, 0), np.uint8)  # ... that crop ...
        self._seen = np.zeros((68, 2))  # ... and the landmarks in it
        self._references = [self._crop] * len(_GROUPS)  # each group's picture ...
        self._starts = np.zeros((68, 2))  # ... the landmarks in these ...
        self._limits = np.zeros(68)  # ... and by how much each window may change
        self._variance = np.zeros(len(_GROUPS))
        self._looked = np.zeros((68, 2))  # where the landmarks were at the network's last look
        self._since_look = 0
        self._changed = False
        self._pull = np.zeros((68, 2))  # outer-eye distances a frame
        self._pulls_left = 0

    def resume(self, image: ImageArray, landmarks: FloatArray) -> None:
        self.reset()
        self._begin(image, landmarks, variance=_NETWORK / 9)

    def close(self) -> None:
        self._network.close()

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        return self(image, box_round(landmarks))

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        if self._points is None or not _meet(box, box_round(self._points.astype(np.float32))):
            self.reset()
            found = self._network(image, box)
            if found is not None:
                self._begin(image, found, variance=_NETWORK)
            return found
        return self._follow(image, self._points)

    def _begin(self, image: ImageArray, landmarks: FloatArray, *, variance: float) -> None:
        """Every group's reference is this image."""
        points = landmarks.astype(np.float64)
        rigid = list(RIGID)
        size = float(np.hypot(*similarity(MEAN_FACE[rigid, :2], points[rigid])[:, 0]))
        self._eyes = int(np.clip(round(size), _LEAST_EYES, _MOST_EYES))
        template = MEAN_FACE[:, :2] * self._eyes + np.array(CROP_ORIGIN) * 2 * self._eyes
        self._place = similarity(points[rigid], template[rigid])
        self._crop = self._cut_out(image, self._place)
        self._points, self._seen = points, applied(self._place, points)
        for number in range(len(_GROUPS)):
            self._refer(number, self._crop, self._seen)
        self._variance[:] = variance
        self._looked = self._seen.copy()
        self._since_look, self._changed, self._pulls_left = 0, False, 0

    def _follow(self, image: ImageArray, points: Points) -> FloatArray | None:
        place = self._head(image)
        if place is None:
            return self._find_anew(image, points)
        crop = self._cut_out(image, place)
        if not _same(crop, self._crop):
            return None
        seen, lost = self._carry(crop)
        self._glide(seen)
        self._since_look += 1
        if (
            lost
            or self._moved(seen)
            or self._since_look >= (_LOOK_SOON if self._changed else _LOOK)
        ):
            found = self._network.near(image, applied(inverse(place), seen).astype(np.float32))
            if found is None:
                return None
            self._look_in(seen, applied(place, found), crop, lost)
        self._crop, self._seen, self._place = crop, seen, place
        self._points = applied(inverse(place), seen)
        return self._points.astype(np.float32)

    def _find_anew(self, image: ImageArray, points: Points) -> FloatArray | None:
        """The network's points, where the head went too fast to be followed."""
        found = self._network.near(image, points.astype(np.float32))
        if found is None:
            return None
        before = self._crop
        self._begin(image, found, variance=_NETWORK)
        return found if _same(self._crop, before) else None

    # -- the head ------------------------------------------------------------------------------

    def _head(self, image: ImageArray) -> Points | None:
        """Image -> crop that puts the head where the references have it."""
        half = self._place / 2
        half[:, 2] -= 0.25  # pixels are counted by their middles
        small = self._cut_out(image, half, side=self._eyes)
        before = np.asarray(
            cv2.resize(self._crop, (self._eyes, self._eyes), interpolation=cv2.INTER_AREA), np.uint8
        )
        start = self._seen[list(_HEAD)] / 2 - 0.25
        moved, misfit = _lucas_kanade(before, small, start, start, self._window() // 2 | 1)
        good = misfit <= _MISFIT * _CONTRAST
        if good.sum() < 5:
            return None
        there = applied(inverse(self._place), moved * 2 + 0.5)
        return _robust_similarity(there[good], self._starts[list(_HEAD)][good])

    # -- the points ----------------------------------------------------------------------------

    def _carry(self, crop: ImageArray) -> tuple[Points, list[int]]:
        """Where each landmark is in the crop, and the groups that no picture fits."""
        moved, bad = self._from_references(crop)
        seen, lost = self._seen.copy(), []
        for number, (group, _) in enumerate(_GROUPS):
            index = np.array(group)
            if bad[index].mean() > 1 / 3 and self._references[number] is not self._crop:
                # The frame before looks more like this one.
                self._refer(number, self._crop, self._seen)
                self._variance[number] += _CHANGE
                self._changed = True
                moved[index], bad[index] = self._flow(self._crop, crop, index)
            if bad[index].mean() > 1 / 3:
                lost.append(number)
            good = ~bad[index]
            seen[index[good]] = moved[index[good]]
            if good.any() and not good.all():
                # A point that lost its picture goes with its group.
                step = np.median((moved - self._starts)[index[good]], axis=0)
                seen[index[~good]] = self._starts[index[~good]] + step
        return seen, lost

    def _refer(self, number: int, crop: ImageArray, points: Points) -> None:
        """From now on the group is carried from this crop, where it lies at these points."""
        index = np.array(_GROUPS[number][0])
        self._references[number] = crop
        self._starts[index] = points[index]
        contrast = _contrast(crop, points[index], self._window())
        self._limits[index] = np.maximum(_LEAST_MISFIT, _MISFIT * contrast)

    def _from_references(self, crop: ImageArray) -> tuple[Points, npt.NDArray[np.bool_]]:
        """(68, 2) points carried from each group's reference; (68,) which of them lost it."""
        moved, bad = np.empty((68, 2)), np.empty(68, bool)
        waiting = list(range(len(_GROUPS)))
        while waiting:
            reference = self._references[waiting[0]]
            index = np.concatenate(
                [_GROUPS[n][0] for n in waiting if self._references[n] is reference]
            )
            waiting = [n for n in waiting if self._references[n] is not reference]
            moved[index], bad[index] = self._flow(reference, crop, index)
        return moved, bad

    def _flow(
        self, reference: ImageArray, crop: ImageArray, index: npt.NDArray[np.int64]
    ) -> tuple[Points, npt.NDArray[np.bool_]]:
        start = self._starts[index]
        moved, misfit = _lucas_kanade(reference, crop, start, self._seen[index], self._window())
        return moved, misfit > self._limits[index]

    def _moved(self, seen: Points) -> bool:
        """Whether a group has moved so far that its picture may have changed."""
        way = np.hypot(*(seen - self._looked).T) / self._eyes
        return any(np.median(way[list(group)]) > _MOVED for group, _ in _GROUPS)

    def _glide(self, seen: Points) -> None:
        """One frame's share of the last look's pull, on the points and on where they started."""
        if self._pulls_left:
            self._pulls_left -= 1
            seen += self._pull * self._eyes
            self._starts += self._pull * self._eyes

    def _look_in(self, seen: Points, found: Points, crop: ImageArray, lost: list[int]) -> None:
        """What the network sees: taken over where the picture was lost, leaned to elsewhere."""
        apart = (found - seen) / self._eyes
        self._variance += _INTERVAL
        self._pull[:] = 0
        for number, (group, believed) in enumerate(_GROUPS):
            index = list(group)
            if number in lost or np.median(np.hypot(*apart[index].T)) > believed:
                seen[index] = found[index]
                self._refer(number, crop, seen)
                self._variance[number] = _NETWORK
                continue
            gain = self._variance[number] / (self._variance[number] + _NETWORK)
            self._variance[number] *= 1 - gain
            self._pull[index] = gain / _GLIDE * apart[index]
        self._looked = seen.copy()
        self._since_look, self._changed, self._pulls_left = 0, bool(lost), _GLIDE

    # -- crops ---------------------------------------------------------------------------------

    def _window(self) -> int:
        return round(_WINDOW * self._eyes) | 1

    def _cut_out(self, image: ImageArray, place: Points, side: int | None = None) -> ImageArray:
        """The grey crop, its inner part brought to one brightness and contrast."""
        crop = cut_out(image, place, side or 2 * self._eyes, grey=True)
        inner = crop[len(crop) // 5 : -len(crop) // 4, len(crop) // 4 : -len(crop) // 4]
        mean, deviation = (float(v.item()) for v in cv2.meanStdDev(inner))
        gain = _CONTRAST / max(deviation, 1.0)
        level = cv2.addWeighted(crop, gain, crop, 0.0, _GREY - gain * mean)
        return np.asarray(level, np.uint8)


def _same(crop: ImageArray, other: ImageArray) -> bool:
    """Whether two crops show the same face, however lit."""
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


def _lucas_kanade(
    before: ImageArray,
    after: ImageArray,
    points: Points,
    guess: Points,
    window: int,
) -> tuple[Points, npt.NDArray[np.float64]]:
    """Points (N, 2) carried from one image to the other, and the mean grey difference at each.

    The difference is infinite where a window has no texture or left the image.
    """
    moved, found, misfit = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points.astype(np.float32).reshape(-1, 1, 2),
        guess.astype(np.float32, order="C").reshape(-1, 1, 2),
        winSize=(window, window),
        maxLevel=2,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    where = moved[:, 0].astype(np.float64)
    lost = (found.ravel() == 0) | ~np.isfinite(where).all(axis=1)
    where[lost] = points[lost]
    change = np.full(len(points), np.inf)
    change[~lost] = misfit.ravel()[~lost]  # what it says of the lost is not set
    return where, change


def _contrast(crop: ImageArray, points: Points, window: int) -> npt.NDArray[np.float64]:
    """(N,) standard deviation of the grey levels in the window round each point."""
    half = window // 2
    found = np.empty(len(points))
    for k, (x, y) in enumerate(np.rint(points).astype(int).clip(0, len(crop) - 1)):
        inside = crop[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
        found[k] = inside.std()
    return found


def _robust_similarity(source: Points, target: Points) -> Points:
    """`similarity` that lets go of the points that move against the rest (Cauchy weights)."""
    weight = np.ones(len(source))
    for _ in range(3):
        transform = similarity(source, target, weight)
        misfit = np.hypot(*(applied(transform, source) - target).T)
        weight = 1 / (1 + (misfit / (1.48 * np.median(misfit) + 0.05)) ** 2)
    return transform


def _meet(box: FloatArray, other: FloatArray) -> bool:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:4], other[2:4])
    return bool((high > low).all())
