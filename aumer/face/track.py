"""Faces followed through a video: which one, as long as it is seen, and never another in its name.

Identity is geometric. A face is the one that was there in the frame before, or the one that is
where it was going; nobody is recognised by looks. So a person who leaves the picture and comes back
elsewhere is a new face, unless only one is followed and nobody else can be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from aumer import registry
from aumer.config import FOLLOW, FaceSettings
from aumer.face.carried import CarriedLandmarker
from aumer.face.interface import Detector, Landmarker, box_round
from aumer.types import FloatArray, ImageArray

State = dict[str, npt.NDArray[Any]]
Box = npt.NDArray[np.floating[Any]]

#: Outer eye corners.
_EYES = (36, 45)
#: How far the nose's tip may lie from the middle of the eyes, along their line, in outer-eye
#: distances: beyond this (about 60 degrees of yaw, by the mean face's depth) half of the face is
#: hidden, and what a network says of it is invented.
_NOSE_TIP, _ASIDE = 30, 0.85
#: Frames from one look for other faces to the next, while the followed ones are seen. (They are
#: looked for on every frame where one is lost, or where another face comes near.)
_LOOK = 30
#: Two boxes may be one face if their middles lie nearer than this (in face sizes) and neither is
#: larger than the other by more than this factor. A face that is hidden may be further off ...
_NEAR, _LARGER = 0.7, 1.8
#: ... by this much a frame, up to this.
_DRIFT, _FURTHEST = 0.04, 1.5
#: Frames that a hidden face is thought to go on moving, and after which a bystander is forgotten.
_COASTS, _FORGOTTEN = 20, 45
#: A face that was just lost is found again within this of where it was going (face sizes).
_AT_ONCE = 0.25
#: Share of the smaller of two boxes in the other from which on one face hides the other.
_HIDES = 0.12
#: A picture is taken to be turned where it shows, turned back, a face of this score that is
#: clearer by this much than any it shows as it is. Scores are those of boxes that hold landmarks,
#: eyes above the mouth: boxes alone score up to .78 on pictures turned the wrong way, faces .7 up.
_CLEAR, _CLEARER = 0.65, 0.1
#: A face of this score in the picture as it is needs no comparison.
_PLAIN = 0.85


@dataclass(frozen=True, eq=False)
class Face:
    """A face in one frame: box (4,) and landmarks (68, 2), float32 px.

    Attributes:
        number: 1 where one face is followed, else the face's number by first appearance.
        run: counts how often the face was found anew. Faces of two runs may be of two people (a
            cut), so nothing is measured from one to the other.
    """

    box: FloatArray
    landmarks: FloatArray
    number: int = 1
    run: int = 0


class _Track:
    """One person: where they were last, and where they seem to go."""

    def __init__(self, box: Box, landmarker: Landmarker | None) -> None:
        self.box = box.astype(np.float64)
        self.landmarker = landmarker  # None: a bystander, known by boxes alone
        self.landmarks: FloatArray | None = None  # in the last frame, if seen there
        self.velocity = np.zeros(2)  # px a frame
        self.unseen = 0  # frames since it was
        self.looks = 0  # of the detector that found it again
        self.number = 0
        self.run = 0

    @property
    def size(self) -> float:
        return float(max(self.box[2:] - self.box[:2]))

    @property
    def predicted(self) -> npt.NDArray[np.float64]:
        """Where the box is by now, if it went on as it was going."""
        return self.box + np.tile(self.velocity, 2) * min(self.unseen, _COASTS)

    def seen(self, box: Box) -> None:
        """Found in the present frame."""
        moved = (box[:2] + box[2:4] - self.box[:2] - self.box[2:]) / 2
        if self.unseen <= _COASTS:
            share = 1 - 0.8**self.unseen  # as after so many frames of a slow mean
            self.velocity += share * (moved / max(1, self.unseen) - self.velocity)
        else:
            self.velocity[:] = 0
        self.box, self.unseen = box[:4].astype(np.float64), 0

    def lose(self) -> None:
        self.landmarks = None
        if self.landmarker is not None:
            self.landmarker.reset()


class FaceTracker:
    """Follows one face or all of them, and stays with each while it is seen.

    The detector runs on the first frame, whenever a followed face is lost, and now and then to know
    who else is there; between, a face's box comes from its landmarks in the frame before. Where two
    faces overlap neither is used, and afterwards each is where it was going.

    Args:
        detector: finds faces.
        new_landmarker: makes what finds the 68 points of one face; called once a followed face.
        min_eye_distance: faces whose outer eye corners lie closer than this (px) are not usable.
        follow: which face; see `aumer.config.FaceSettings`.
    """

    def __init__(
        self,
        detector: Detector,
        new_landmarker: Callable[[], Landmarker],
        *,
        min_eye_distance: float,
        follow: str = "largest",
    ) -> None:
        self._detect = detector
        self._new_landmarker = new_landmarker
        self._min_eye_distance = min_eye_distance
        self._follow = follow
        self._several = follow == "all" or follow not in FOLLOW
        self._spare: list[Landmarker] = []
        self._tracks: list[_Track] = []
        self.reset()

    @classmethod
    def from_settings(cls, settings: FaceSettings) -> FaceTracker:
        """The tracker that the settings describe.

        Raises:
            UsageError: a back end's name is unknown, or it cannot run here.
            WeightsError: a back end's weights are missing.
        """
        part = registry.resolve("landmarker", settings.landmarker)
        first: list[Landmarker] = [part()]  # what cannot run is known now

        def new_landmarker() -> Landmarker:
            made = first.pop() if first else part()
            return CarriedLandmarker(made) if settings.carry else made

        return cls(
            registry.resolve("detector", settings.detector)(),
            new_landmarker,
            min_eye_distance=settings.min_eye_distance,
            follow=settings.follow,
        )

    def reset(self) -> None:
        """Forget everything: the next frame is treated as the first of a video."""
        self._forget_tracks(self._tracks)
        #: Quarter turns, counterclockwise, that put the picture upright.
        self.turns = 0
        #: The most faces that were seen at once.
        self.most = 0
        self._since_look = 0
        self._blind = 0  # frames since a face was seen; 0 before the first frame
        self._numbers = 0

    def __call__(self, image: ImageArray) -> Face | None:
        """(H, W, 3) uint8 RGB -> the face that is followed, or `None` where it cannot be used."""
        return self.look(image).get(self._wanted())

    def look(self, image: ImageArray) -> dict[int, Face]:
        """(H, W, 3) uint8 RGB -> the usable faces that are followed, by number."""
        upright = self._upright(image)
        for track in self._tracks:
            track.unseen += 1
        self._follow_landmarks(upright)
        if self._must_detect():
            self._since_look = 0
            boxes = self._detect(upright)
            if self._blind % _LOOK == 0 and not any(t.landmarks is not None for t in self._tracks):
                boxes, upright = self._turn(image, upright, boxes)
            self._meet(upright, boxes[np.isfinite(boxes).all(axis=1)])
        self._since_look += 1
        self._hide_covered()
        found = any(t.landmarks is not None for t in self._tracks)
        self._blind = 1 if found else self._blind + 1
        return self._faces(image.shape)

    def close(self) -> None:
        """Give back what detector and landmarkers hold; no call comes after it."""
        self.reset()
        for part in (self._detect, *self._spare):
            if hasattr(part, "close"):
                part.close()

    # -- from one piece of a video to the next --------------------------------------------------

    def state(self) -> State:
        """All that the next frames depend on, in arrays that a file can hold."""
        rows = [
            (t.number, t.run, t.unseen, t.looks, t.landmarker is not None, *t.velocity, *t.box)
            for t in self._tracks
        ]
        none = np.full((68, 2), np.nan, np.float32)
        marks = [none if t.landmarks is None else t.landmarks for t in self._tracks]
        memories = {
            f"memory{k}_{name}": array
            for k, track in enumerate(self._tracks)
            if track.landmarks is not None and track.landmarker is not None
            for name, array in track.landmarker.memory().items()
        }
        return {
            **memories,
            "tracker": np.array(
                [self.turns, self.most, self._since_look, self._blind, self._numbers], np.int64
            ),
            "tracks": np.array(rows, np.float64).reshape(-1, 11),
            "track_landmarks": np.array(marks, np.float32).reshape(-1, 68, 2),
        }

    def restore(self, image: ImageArray, state: Mapping[str, npt.NDArray[Any]]) -> dict[int, Face]:
        """Go on from `state`, whose last frame was `image`; returns that frame's faces."""
        self.reset()
        self.turns, self.most, self._since_look, self._blind, self._numbers = map(
            int, state["tracker"]
        )
        upright = self._upright(image)
        for k, (row, landmarks) in enumerate(
            zip(state["tracks"], state["track_landmarks"], strict=True)
        ):
            number, run, unseen, looks, followed = map(int, row[:5])
            track = _Track(row[7:], self._take_landmarker() if followed else None)
            track.number, track.run, track.unseen, track.looks = number, run, unseen, looks
            track.velocity = row[5:7].copy()
            if followed and np.isfinite(landmarks).all():
                track.landmarks = landmarks
                assert track.landmarker is not None
                own = f"memory{k}_"
                memory = {n.removeprefix(own): a for n, a in state.items() if n.startswith(own)}
                track.landmarker.resume(upright, landmarks, memory)
            self._tracks.append(track)
        return self._faces(image.shape)

    # -- one frame --------------------------------------------------------------------------------

    def _followed(self) -> list[_Track]:
        return [t for t in self._tracks if t.landmarker is not None]

    def _wanted(self) -> int:
        return int(self._follow) if self._follow.isdecimal() else 1

    def _follow_landmarks(self, image: ImageArray) -> None:
        for track in self._followed():
            if track.landmarks is not None:
                assert track.landmarker is not None
                self._take(track, image, track.landmarker.near(image, track.landmarks))

    def _read(self, track: _Track, image: ImageArray, box: FloatArray) -> bool:
        """Whether `box` holds landmarks that are usable; then the track is there."""
        assert track.landmarker is not None
        return self._take(track, image, track.landmarker(image, box))

    def _take(self, track: _Track, image: ImageArray, landmarks: FloatArray | None) -> bool:
        if landmarks is None or not self._usable(landmarks, image.shape):
            track.lose()
            return False
        track.landmarks = landmarks
        track.seen(box_round(landmarks))
        return True

    def _must_detect(self) -> bool:
        followed = self._followed()
        if not followed or any(t.landmarks is None for t in followed):
            return True
        return self._since_look >= _LOOK or any(
            other is not t and _gap(t.predicted, other.predicted) < 0.3 * t.size
            for t in followed
            for other in self._tracks
        )

    def _meet(self, image: ImageArray, boxes: FloatArray) -> None:
        """Who is who among the boxes of this frame."""
        owner = self._assign(boxes)
        for k, mine in owner.items():
            track = self._tracks[k]
            track.looks += 1
            if track.landmarks is not None:
                continue
            if track.landmarker is None or self._covered(boxes[mine], track):
                track.seen(boxes[mine])
            else:
                self._find_again(track, image, boxes[mine, :4])
        free = sorted(set(range(len(boxes))) - set(owner.values()), key=self._order(boxes))
        for b in free:
            self._newcomer(image, boxes[b, :4])
        self.most = max(self.most, sum(t.unseen == 0 and t.looks > 0 for t in self._tracks))
        self._forget_tracks(
            [t for t in self._tracks if t.landmarker is None and t.unseen > _FORGOTTEN]
        )

    def _find_again(self, track: _Track, image: ImageArray, box: FloatArray) -> None:
        """A face that was lost: at once only where it was going, later also round there.

        What is seen beside that place the moment after is mostly who came in front of it.
        """
        before = track.box.copy(), track.velocity.copy(), track.unseen
        expected = track.predicted
        if not self._read(track, image, box):
            return
        apart = _apart(expected, track.box)
        if before[2] <= _COASTS and (apart is None or apart > _AT_ONCE):
            track.lose()
            track.box, track.velocity, track.unseen = before
            return
        track.run += 1

    def _assign(self, boxes: FloatArray) -> dict[int, int]:
        """Track -> box, for those that go together; each box to the track that was going there."""
        if not len(boxes) or not self._tracks:
            return {}
        far = 1e6
        cost = np.full((len(self._tracks), len(boxes)), far)
        for k, track in enumerate(self._tracks):
            reach = _NEAR + min(_DRIFT * track.unseen, _FURTHEST)
            for b in range(len(boxes)):
                apart = _apart(track.predicted, boxes[b])
                if apart is not None and apart < reach:
                    cost[k, b] = apart
        pairs = zip(*linear_sum_assignment(cost), strict=True)
        return {int(k): int(b) for k, b in pairs if cost[k, b] < far}

    def _covered(self, box: Box, track: _Track) -> bool:
        """Whether another face that is there, or was a moment ago, overlaps this track's box."""
        return any(
            other is not track
            and other.unseen <= _COASTS
            and _shared(box, other.predicted) > _HIDES
            for other in self._tracks
        )

    def _order(self, boxes: FloatArray) -> Callable[[int], float]:
        """Which of several new faces comes first."""
        if self._several or self._follow == "left":
            return lambda b: float(boxes[b, 0] + boxes[b, 2])
        if self._follow == "right":
            return lambda b: -float(boxes[b, 0] + boxes[b, 2])
        return lambda b: -float(np.prod(boxes[b, 2:4] - boxes[b, :2]))

    def _newcomer(self, image: ImageArray, box: FloatArray) -> None:
        """A box that is nobody's yet."""
        if any(t.landmarks is not None and _shared(box, t.box) > _HIDES for t in self._tracks):
            return  # a second box round a face; a person comes out of another's shadow later
        followed = self._followed()
        if not self._several and followed:
            mine = followed[0]
            if mine.landmarks is not None:
                self._tracks.append(_Track(box, None))
            elif mine.unseen <= _COASTS and _shared(box, mine.predicted) > _HIDES:
                return  # in front of the face, as it seems
            elif self._read(mine, image, box):
                # The one face that is followed is gone, and this one was not there before.
                mine.run += 1
                mine.velocity[:] = 0
            return
        track = _Track(box, self._take_landmarker())
        if not self._read(track, image, box):
            self._forget_tracks([track])
            return
        self._numbers += 1
        track.number = self._numbers
        self._tracks.append(track)

    def _hide_covered(self) -> None:
        """Faces that overlap hide each other: neither is used."""
        there = [t for t in self._followed() if t.landmarks is not None]
        for track in [t for t in there if self._covered(t.box, t)]:
            track.lose()

    def _forget_tracks(self, tracks: list[_Track]) -> None:
        for track in list(tracks):
            if track.landmarker is not None:
                track.landmarker.reset()
                self._spare.append(track.landmarker)
        self._tracks = [t for t in self._tracks if t not in tracks]

    def _take_landmarker(self) -> Landmarker:
        return self._spare.pop() if self._spare else self._new_landmarker()

    def _usable(self, landmarks: FloatArray, shape: tuple[int, ...]) -> bool:
        right, left = landmarks[list(_EYES)].astype(np.float64)
        centre = landmarks.mean(axis=0)
        if not ((centre >= 0).all() and centre[0] < shape[1] and centre[1] < shape[0]):
            return False
        eyes = left - right
        # Along the line of the eyes the nose's tip is in the middle of a frontal face.
        aside = (landmarks[_NOSE_TIP] - (right + left) / 2) @ eyes / max(eyes @ eyes, 1e-9)
        return bool(np.hypot(*eyes) >= self._min_eye_distance and abs(aside) <= _ASIDE)

    # -- turned pictures ------------------------------------------------------------------------

    def _upright(self, image: ImageArray) -> ImageArray:
        return image if not self.turns else np.ascontiguousarray(np.rot90(image, self.turns))

    def _turn(
        self, image: ImageArray, upright: ImageArray, boxes: FloatArray
    ) -> tuple[FloatArray, ImageArray]:
        """The boxes and the picture, turned if it shows a face that way alone, or more clearly."""
        if len(boxes) and boxes[:, 4].max() >= _PLAIN:
            return boxes, upright
        now = self.turns
        wanted = max(_CLEAR, self._clearest(upright, boxes) + _CLEARER)
        for turns in (t for t in range(4) if t != now):
            other = np.ascontiguousarray(np.rot90(image, turns))
            found = self._detect(other)
            score = self._clearest(other, found)
            if score >= wanted:
                self.turns, boxes, upright, wanted = turns, found, other, score
        if self.turns != now:
            self._forget_tracks([t for t in self._tracks if t.landmarker is None])
        return boxes, upright

    def _clearest(self, image: ImageArray, boxes: FloatArray) -> float:
        """The score of the clearest box that holds landmarks, eyes above the mouth; else 0."""
        landmarker = self._take_landmarker()
        best = 0.0
        for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
            landmarker.reset()
            landmarks = landmarker(image, box[:4])
            if landmarks is None or not self._usable(landmarks, image.shape):
                continue
            down = landmarks[48:68].mean(axis=0) - landmarks[36:48].mean(axis=0)
            if down[1] > abs(down[0]):
                best = float(box[4])
                break
        landmarker.reset()
        self._spare.append(landmarker)
        return best

    def _faces(self, shape: tuple[int, ...]) -> dict[int, Face]:
        """The usable faces of this frame, in the picture as it came."""
        found = {}
        for track in self._followed():
            if track.landmarks is None:
                continue
            number = track.number if self._several else 1
            if self._follow.isdecimal() and number != self._wanted():
                continue
            landmarks = _turned_back(track.landmarks, self.turns, shape)
            found[number] = Face(box_round(landmarks), landmarks, number, track.run)
        return found


def _turned_back(points: FloatArray, turns: int, shape: tuple[int, ...]) -> FloatArray:
    """Points of an image that was turned by so many quarters, in the image as it was."""
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    if turns == 1:
        return np.stack([width - 1 - y, x], axis=1)
    if turns == 2:
        return np.stack([width - 1 - x, height - 1 - y], axis=1)
    if turns == 3:
        return np.stack([y, height - 1 - x], axis=1)
    return points


def _apart(box: Box, other: Box) -> float | None:
    """Distance of two boxes' middles in face sizes; `None` where their sizes are too different."""
    sizes = float(max(box[2:4] - box[:2])), float(max(other[2:4] - other[:2]))
    if not min(sizes) > 0 or max(sizes) > _LARGER * min(sizes):
        return None
    middles = (box[:2] + box[2:4] - other[:2] - other[2:4]) / 2
    return float(np.hypot(*middles)) / max(sizes)


def _near(box: Box, other: Box) -> bool:
    apart = _apart(box, other)
    return apart is not None and apart < _NEAR


def _gap(box: Box, other: Box) -> float:
    """px between two boxes, along the axis in which they are further apart; 0 if they meet."""
    apart = np.maximum(box[:2] - other[2:4], other[:2] - box[2:4])
    return max(0.0, float(apart.max()))


def _shared(box: Box, other: Box) -> float:
    """What two boxes share, as a share of the smaller one."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:4], other[2:4])
    areas = [float(np.prod(b[2:4] - b[:2])) for b in (box, other)]
    return float(np.clip(high - low, 0, None).prod()) / max(min(areas), 1e-9)
