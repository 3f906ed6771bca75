"""Tracking of faces through a video, without confusing people.

Identity is geometric: a face is the one at the same position in the frame before, or at the
predicted position; nobody is recognized by appearance. So a person who leaves the picture and
returns elsewhere is a new face, unless only one face is followed and nobody else is possible. Other
people are tracked by their boxes: a person who passes in front of a face is distinguished by having
come from elsewhere. If that was not visible, the identity of the person in front stays open until
it stays or leaves; and a wrong identity is corrected when a face appears at the old position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.config import FOLLOW, FaceSettings
from aumer.face.backend import (
    CheckedDetector,
    CheckedLandmarker,
    new_detector,
    new_landmarker,
)
from aumer.face.boxes import (
    COASTS_S,
    LARGER,
    NEAR,
    Box,
    FaceLocation,
    apart,
    gap,
    hides,
    overlap,
    within,
)
from aumer.face.carried import CarriedLandmarker
from aumer.face.interface import Detector, Landmarker, box_round
from aumer.face.looks import Landmarkers, is_usable, turned_aside
from aumer.face.people import (
    JITTER_S,
    Person,
    assign,
    bystander,
    is_covered,
    is_lost_face,
    is_touched,
    was_at,
)
from aumer.face.turned import Turned, turned_back
from aumer.process import use_threads
from aumer.types import FloatArray, ImageArray, IntArray
from aumer.video.scenes import Scenes

State = dict[str, npt.NDArray[Any]]

#: Default time between frames, s.
_STEP_S = 1 / 30
#: For faces turned further than this (about 20 degrees), an independent estimate is made as well
#: whenever the detector runs: landmarks carried into a profile stay plausible, while an independent
#: estimate finds no face. (They may return toward .14 there; frontal faces stay below .12.) Beyond
#: `_FAR` (40 degrees) detector and independent estimate run more often.
_TURNED, _FAR = 0.12, 0.3
#: Seconds between searches for other faces: while the followed ones are visible; while others are
#: present, to track them; and the first time after one was found.
_LOOK_S, _OTHERS_S, _AGAIN_S = 1.0, 1 / 3, 0.1
#: A lost face is searched in every frame for this many seconds (mostly it blinked, turned or was
#: covered), then every `_SEEK_S`; if other faces are followed this ends, too, and it is found in
#: the search for others.
_SOUGHT_S, _SEEK_S, _MISSED_S = 1.0, 0.1, 5.0
#: Seconds after which an invisible bystander is forgotten.
_FORGOTTEN_S = 1.5
#: Largest distance from the predicted position (face sizes) at which a just lost face is found
#: again: by landmarks, and by the detector's box, which lies higher.
_AT_ONCE, _MAYBE = 0.25, 0.4
#: Seconds for which the position where a face was lost is reserved: after it was found at the
#: predicted position, and after it was found elsewhere and the position is free.
_SURE_S, _UNSURE_S, _IN_FRONT_S = 2.0, 3.0, 30.0
#: Covered share of a position above which somebody may be hidden there.
_BEHIND = 0.3


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face in one frame: box (4,) and landmarks (68, 2), float32 px.

    Attributes:
        number: 1 if one face is followed, else the face's number by first appearance.
        run: counts how often the face was found again. Two runs may show two people (a cut), so no
            motion is measured between them.
    """

    box: FloatArray
    landmarks: FloatArray
    number: int = 1
    run: int = 0


class FaceTracker:
    """Follows one face or all faces.

    The detector runs on the first frame, whenever a followed face is lost, and regularly to find
    other people; in between, a face's box comes from its landmarks in the previous frame. If two
    faces overlap neither is used, and afterward each is at its predicted position. At a cut, and
    after a dissolve, all are found again, by position, in a new run.

    Args:
        detector: finds faces.
        new_landmarker: makes a landmarker; called once for each simultaneously visible face.
        min_eye_distance: smallest distance of the outer eye corners of a usable face, px.
        follow: which face; see `aumer.config.FaceSettings`.

    Raises:
        UsageError: in `look`: the output of detector or landmarker has a wrong shape.
    """

    def __init__(
        self,
        detector: Callable[[ImageArray], FloatArray],
        new_landmarker: Callable[[], Landmarker],
        *,
        min_eye_distance: float,
        follow: str = "largest",
    ) -> None:
        self._detect: Detector = CheckedDetector(detector)
        self._landmarkers = Landmarkers(new_landmarker)
        self._turned = Turned(self._detect, self._landmarkers, min_eye_distance)
        self._min_eye_distance = min_eye_distance
        self._follow = follow
        self._several = follow == "all" or follow not in FOLLOW
        self._tracks: list[Person] = []
        self._scenes = Scenes()
        self.reset()

    @classmethod
    def from_settings(cls, settings: FaceSettings) -> FaceTracker:
        """A tracker by the settings.

        Raises:
            UsageError: unknown back end, one that cannot run here, or a registered object that is
                not a back end.
            WeightsError: a back end's weights are missing.
        """
        use_threads()

        def make() -> Landmarker:
            made = new_landmarker(settings.landmarker)
            return CarriedLandmarker(CheckedLandmarker(made)) if settings.carry else made

        first = CheckedLandmarker(make())  # raises errors now
        try:
            detector = new_detector(settings.detector)
        except BaseException:
            first.close()
            raise
        made = cls(
            detector,
            make,
            min_eye_distance=settings.min_eye_distance,
            follow=settings.follow,
        )
        made._landmarkers.add(first)
        return made

    def reset(self) -> None:
        """Forget everything; the next frame is the first of a video."""
        for track in self._tracks:
            self._lose(track)
        self._turned.reset()
        self._tracks = []
        self._scenes.reset()
        self._time = np.nan  # of the last frame
        # Seconds since the detector ran, since a wanted face was visible, and since the first one.
        self._since_look = np.inf
        self._blind = 0.0
        self._met = 0.0
        self._most, self._first_met = 0, 0
        self._numbers = 0

    @property
    def turns(self) -> int:
        """Counterclockwise quarter turns that make the picture upright."""
        return self._turned.turns

    @property
    def most(self) -> int:
        """The most faces that were visible at once.

        A face counts when it was confirmed; until then the faces of the last detection count.
        """
        return max(self._most, self._first_met if self._met < _LOOK_S - JITTER_S else 0)

    @property
    def numbers(self) -> int:
        """Number of numbered faces; at most 1 if one is followed."""
        return self._numbers

    @property
    def counts(self) -> IntArray:
        """(3,) `turns`, `most` and `numbers`, for `state`."""
        return np.array([self.turns, self.most, self._numbers], np.int64)

    @property
    def mixed_since(self) -> float:
        """During a dissolve between scenes its begin (s), else NaN.

        Faces are unreliable during a dissolve.
        """
        return self._scenes.mixed_since

    def __call__(self, image: ImageArray, time_s: float | None = None) -> TrackedFace | None:
        """(H, W, 3) uint8 RGB -> the followed face, or `None` if it cannot be used."""
        return self.look(image, time_s).get(self._wanted())

    def look(self, image: ImageArray, time_s: float | None = None) -> dict[int, TrackedFace]:
        """The usable followed faces by number.

        Args:
            image: (H, W, 3) uint8 RGB.
            time_s: time of the frame in seconds; by default 1/30 after the previous one.
        """
        self._age(time_s)
        if self._scenes.see(image, self._time):
            self._part()
        upright = self._turned.upright(image)
        self._follow_landmarks(upright)
        if self._since_look >= self._wait() - JITTER_S:
            self._look_afresh(upright)
            boxes = self._detect(upright)
            unseen = min((t.lost for t in self._followed()), default=np.inf)
            if not self._seen() and self._turned.is_due(boxes, unseen):
                boxes, upright = self._turn(image, boxes)
            self._meet(upright, boxes)
            self._since_look = 0.0
            self._turned.forget()
        there = [t for t in self._tracks if t.location.away == 0]
        self._most = max(self._most, sum(t.found_again for t in there))
        self._hide_covered()
        for track in self._seen():
            track.lost = 0.0
        if self._wanted_is_seen():
            self._blind = 0.0
        return self._faces(image.shape)

    def close(self) -> None:
        """Release detector and landmarkers; no further calls are allowed."""
        self.reset()
        self._detect.close()
        self._landmarkers.close()

    # -- from one chunk of a video to the next --------------------------------------------------

    def state(self) -> State:
        """The complete state, as arrays for a file."""
        rows = [t.row() for t in self._tracks]
        none = np.full((68, 2), np.nan, np.float32)
        marks = [none if t.landmarks is None else t.landmarks for t in self._tracks]
        memories = {
            f"memory{k}_{name}": array
            for k, track in enumerate(self._tracks)
            if track.landmarker is not None
            for name, array in track.landmarker.memory().items()
        }
        return {
            **memories,
            **self._scenes.state(),
            "seen": self.counts,
            "tracker": np.array(
                [
                    *(self._time, self._since_look, self._turned.since, self._blind, self._met),
                    *(self._most, self._first_met),
                ],
                np.float64,
            ),
            "tracks": np.array(rows, np.float64).reshape(-1, Person.ROW),
            "track_landmarks": np.array(marks, np.float32).reshape(-1, 68, 2),
        }

    def restore(
        self, image: ImageArray, state: Mapping[str, npt.NDArray[Any]]
    ) -> dict[int, TrackedFace]:
        """Continue from `state`, whose last frame was `image`; returns that frame's faces."""
        self.reset()
        self._turned.turns, _, self._numbers = map(int, state["seen"])
        self._time, self._since_look, self._turned.since, self._blind, self._met = map(
            float, state["tracker"][:5]
        )
        self._most, self._first_met = map(int, state["tracker"][5:])
        self._scenes.restore(state)
        upright = self._turned.upright(image)
        for k, (row, landmarks) in enumerate(
            zip(state["tracks"], state["track_landmarks"], strict=True)
        ):
            track = Person.from_row(row)
            if np.isfinite(landmarks).all():
                prefix = f"memory{k}_"
                track.landmarks, track.landmarker = landmarks, self._landmarkers.take()
                track.landmarker.resume(
                    upright,
                    landmarks,
                    {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)},
                )
            self._tracks.append(track)
        return self._faces(image.shape)

    # -- one frame --------------------------------------------------------------------------------

    def _followed(self) -> list[Person]:
        return [t for t in self._tracks if t.number]

    def _bystanders(self) -> list[Person]:
        return [t for t in self._tracks if not t.number]

    def _seen(self) -> list[Person]:
        return [t for t in self._tracks if t.landmarks is not None]

    def _wanted(self) -> int:
        return int(self._follow) if self._follow.isdecimal() else 1

    def _wanted_is_seen(self) -> bool:
        """Whether a requested face is visible; before it has appeared, whether any is."""
        followed = self._followed()
        wanted = [t for t in followed if t.number == self._wanted()]
        if self._follow == "all" or not wanted:
            wanted = followed
        return any(t.landmarks is not None for t in wanted)

    def _age(self, time_s: float | None) -> None:
        """Advance all states to the time of this frame."""
        now = (self._time + _STEP_S) if time_s is None else time_s
        step = max(0.0, now - self._time) if np.isfinite(now - self._time) else 0.0
        self._time = now if np.isfinite(now) else 0.0
        self._since_look += step
        self._turned.since += step
        self._blind += step
        self._met += step if self._first_met else 0.0
        for track in self._tracks:
            track.lost += step
            track.location.away += step
            if track.former is not None:
                track.former.away += step
                # A person taken for the face may stand in front of it for some time.
                if track.former_s <= _SURE_S or not hides(track.former.box, track.location.box):
                    track.former_s -= step
                if track.former_s <= 0 or track.former.away > _IN_FRONT_S:
                    track.former = None

    def _part(self) -> None:
        """A new scene begins: predictions are invalid, and bystanders are gone."""
        self._tracks = self._followed()
        for track in self._tracks:
            self._lose(track)
            track.part()

    def _wait(self) -> float:
        """Seconds between two runs of the detector."""
        if not self._wanted_is_seen():
            lost = (t.lost for t in self._followed() if t.landmarks is None)
            sought = min(lost, default=self._blind)
            return 0.0 if sought < _SOUGHT_S else _SEEK_S
        waits = [_LOOK_S]
        for track in self._followed():
            if track.landmarks is None:
                if track.lost < _MISSED_S:
                    waits.append(0.0 if track.lost < _SOUGHT_S else _SEEK_S)
            elif track.former is not None and not hides(track.former.box, track.location.box):
                waits.append(_AGAIN_S)
            elif turned_aside(track.landmarks) > _FAR:
                waits.append(_OTHERS_S)
        for track in self._tracks:
            if track.missing or track.location.away > _FORGOTTEN_S or track.landmarks is not None:
                continue
            if any(gap(t.expected, track.expected) < 0.3 * t.location.size for t in self._seen()):
                return 0.0
            if not track.number:
                waits.append(_OTHERS_S if track.found_again else _AGAIN_S)
        seen = self._seen()
        if any(
            gap(t.location.box, other.location.box) < 0.3 * t.location.size
            for k, t in enumerate(seen)
            for other in seen[:k]
        ):
            return 0.0
        return min(waits)

    def _follow_landmarks(self, image: ImageArray) -> None:
        for track in self._seen():
            assert track.landmarker is not None
            assert track.landmarks is not None
            found = track.landmarker.near(image, track.landmarks)
            if (
                found is not None
                and track.location.squeezed(box_round(found), exact=True)
                and is_touched(track.location.predicted, track, self._tracks, self._since_look)
            ):
                # Landmarks are pushed away by an occluding person, and so would the position be.
                found, track.covered = None, True
            track.found_again |= self._take(track, image, found)

    def _look_afresh(self, image: ImageArray) -> None:
        """Drop faces turned far away that an independent estimate does not find."""
        for track in self._followed():
            if track.landmarks is None or turned_aside(track.landmarks) <= _TURNED:
                continue
            landmarker = self._landmarkers.take()
            landmarks = landmarker(image, box_round(track.landmarks))
            self._landmarkers.give_back(landmarker)
            if landmarks is None or not self._usable(landmarks, image.shape):
                self._lose(track)

    def _read(self, track: Person, image: ImageArray, box: Box) -> bool:
        """Read landmarks in `box`; returns whether they are usable and updates the track."""
        looked = self._turned.seen_in(box)
        if looked is not None:
            self._lose(track)
            track.landmarker, landmarks = looked
            return self._take(track, image, landmarks)
        if track.landmarker is None:
            track.landmarker = self._landmarkers.take()
        return self._take(track, image, track.landmarker(image, box[:4].astype(np.float32)))

    def _take(self, track: Person, image: ImageArray, landmarks: FloatArray | None) -> bool:
        if landmarks is None or not self._usable(landmarks, image.shape):
            self._lose(track)
            return False
        track.landmarks = landmarks
        track.missing = track.covered = False
        track.location.seen(box_round(landmarks), exact=True)
        return True

    def _lose(self, track: Person) -> None:
        track.landmarks = None
        if track.landmarker is not None:
            self._landmarkers.give_back(track.landmarker)
            track.landmarker = None

    # -- who is who -------------------------------------------------------------------------------

    def _meet(self, image: ImageArray, boxes: FloatArray) -> None:
        """Update all people with the detector's boxes in this frame."""
        if not self._several:
            # A face that was seen only once was a false detection: choose again among the others.
            chance = [t for t in self._followed() if not t.found_again and t.lost > COASTS_S]
            self._tracks = chance or self._tracks
        known = list(self._tracks)
        owner = assign(self._tracks, boxes, self._since_look)
        for k, track in enumerate(known):
            track.missing = (
                track.landmarks is None
                and k not in owner
                and not any(overlap(track.expected, box) > _BEHIND for box in boxes)
            )
        # Bystanders first: a hidden face is recognized when the person who hid it is elsewhere.
        for k, mine in sorted(owner.items(), key=lambda pair: known[pair[0]].number > 0):
            track = known[k]
            track.found_again = True
            if track.landmarks is None:
                self._there(track, image, boxes[mine])
        for track in self._followed():
            if track.landmarks is None and is_covered(track.expected, track, self._tracks):
                track.covered = True
        free = sorted(set(range(len(boxes))) - set(owner.values()), key=self._order(boxes))
        for b in free:
            self._newcomer(image, boxes[b], known)
        there = [t for t in self._bystanders() if t.location.away == 0]
        order = self._order(np.array([t.location.box for t in there]).reshape(-1, 4))
        for k in sorted(range(len(there)), key=order):
            self._decide_bystander(there[k], image)
        if self._met < _LOOK_S - JITTER_S:
            self._first_met = sum(t.location.away == 0 for t in self._tracks)
        self._tracks = [
            t for t in self._tracks if t.number or t.location.away <= _FORGOTTEN_S + JITTER_S
        ]

    def _there(self, track: Person, image: ImageArray, box: FloatArray) -> None:
        """A box at the predicted position of a track without landmarks."""
        hidden = is_covered(box, track, self._tracks)
        if hidden or not track.number:
            track.covered = hidden and track.number > 0
            if not (hidden and track.location.squeezed(box)):
                track.location.seen(box, steer=not track.number)
            return
        if (
            track.covered
            and track.location.squeezed(box)
            and is_touched(box, track, self._tracks, self._since_look)
        ):
            return  # only partly visible yet
        # A face beside the position shortly afterward is mostly the person who came in front.
        hid = track.covered and any(
            t is not track and t.location.away == 0 and not hides(t.location.box, box)
            for t in self._tracks
        )
        anywhere = hid or track.location.away > COASTS_S
        near = within(track.expected, box, _MAYBE)
        if not (anywhere or near) or not self._find_again(track, image, box, anywhere=anywhere):
            self._tracks.append(bystander(box, may_be=track))

    def _find_again(
        self, track: Person, image: ImageArray, box: FloatArray, *, anywhere: bool
    ) -> bool:
        """Whether this box belongs to a lost face, which may have moved `anywhere`."""
        before, expected = track.location.copy(), track.expected
        if not self._read(track, image, box):
            if within(expected, box, _MAYBE):
                # Turned away or too small; or partly hidden with a partial box.
                if track.location.squeezed(box) and is_touched(
                    box, track, self._tracks, self._since_look
                ):
                    track.covered = True
                else:
                    track.location.seen(box)
                return True
            return anywhere
        sure = within(expected, track.location.box, _AT_ONCE)
        if not (sure or anywhere):
            self._lose(track)
            track.location = before
            return False
        self._anew(track, before, sure=sure)
        return True

    def _anew(self, track: Person, before: FaceLocation, *, sure: bool) -> None:
        """Record that the face was found again; it may still be at the old position if this was
        wrong.
        """
        track.run += 1
        if track.parted:
            track.parted = False
        elif track.former is None or not sure:
            track.former = track.former or before
            track.former_s = _SURE_S if sure else _UNSURE_S

    def _order(self, boxes: FloatArray) -> Callable[[int], float]:
        """Order of several new faces."""
        if self._several or self._follow == "left":
            return lambda b: float(boxes[b, 0] + boxes[b, 2])
        if self._follow == "right":
            return lambda b: -float(boxes[b, 0] + boxes[b, 2])
        return lambda b: -float(np.prod(boxes[b, 2:4] - boxes[b, :2]))

    def _newcomer(self, image: ImageArray, box: FloatArray, known: list[Person]) -> None:
        """Handle a box that is not assigned to anybody."""
        over = [t for t in self._seen() if hides(box, t.location.box)]
        distances = [apart(t.location.box, box) for t in over]
        if any(distance is None or distance <= _MAYBE for distance in distances):
            return  # a second box of the same face
        may_be = next((t for t in self._followed() if was_at(t, box)), None)
        if over or may_be:
            self._tracks.append(bystander(box, may_be=may_be))
        elif self._several or not (followed := self._followed()):
            self._begin(bystander(box), image)
        elif followed[0].landmarks is not None or any(
            hides(followed[0].expected, t.expected)
            and t.location.away <= COASTS_S
            and not t.missing
            and t.location.size * LARGER >= followed[0].location.size
            for t in known
            if not t.number
        ):
            self._tracks.append(bystander(box))
        else:
            # The only followed face is gone, and this one is new.
            self._become(followed[0], bystander(box), image)

    def _begin(self, track: Person, image: ImageArray) -> None:
        """Start following a person, if the face is usable."""
        if not self._read(track, image, track.location.box):
            self._tracks = [t for t in self._tracks if t is not track]
            return
        self._numbers += 1
        track.number, track.may_be = self._numbers, 0
        if track not in self._tracks:
            self._tracks.append(track)

    def _become(self, face: Person, other: Person, image: ImageArray) -> bool:
        """If `other` has usable landmarks, make it the face, and the former one a bystander;
        returns whether it did.

        A lost face only leaves its last position.
        """
        before = face.location.copy()
        was_seen = face.landmarks is not None
        if not self._read(other, image, other.location.box):
            return False
        other.number, other.may_be, other.run = face.number, 0, face.run
        other.parted = face.parted
        other.found_again |= face.found_again
        self._lose(face)
        self._tracks = [t for t in self._tracks if t is not face and t is not other]
        self._tracks.append(other)
        if was_seen:
            other.run += 1
            left = Person(before)
            left.found_again = face.found_again
            self._tracks.append(left)
        else:
            other.former, other.former_s = face.former, face.former_s
            self._anew(other, before, sure=False)
        return True

    def _decide_bystander(self, other: Person, image: ImageArray) -> None:
        """Decide whether a bystander is a lost face, a new face to follow, or stays a bystander."""
        face = next((t for t in self._followed() if t.number == other.may_be), None)
        if face is not None and face.landmarks is None:
            alone = not self._several and all(
                t.may_be == face.number for t in self._bystanders() if t.location.away <= COASTS_S
            )
            is_it = is_lost_face(face, other, alone=alone)
            if is_it is None or (is_it and self._become(face, other, image)):
                return
        elif face is not None and face.former is None:
            other.may_be = 0
        elif (
            face is not None
            and face.former is not None
            and not hides(other.location.box, face.location.box)
            and within(face.former.predicted, other.location.box, NEAR)
            and self._become(face, other, image)
        ):
            return
        if self._several and not is_covered(other.location.box, other, self._tracks):
            self._begin(other, image)

    def _hide_covered(self) -> None:
        """Mark overlapping faces as hidden, so that neither is used."""
        hidden = [t for t in self._seen() if is_covered(t.location.box, t, self._tracks, sure=True)]
        for track in hidden:
            self._lose(track)
            track.covered = True

    def _usable(self, landmarks: FloatArray, shape: tuple[int, ...]) -> bool:
        return is_usable(landmarks, shape, self._min_eye_distance)

    def _turn(self, image: ImageArray, boxes: FloatArray) -> tuple[FloatArray, ImageArray]:
        """Rotate boxes and picture upright, and the positions of all known people with them."""
        now = self.turns
        boxes, upright = self._turned.find(image, boxes, self._order)
        if self.turns != now:
            self._tracks = self._followed()
            for track in self._tracks:
                corners = track.location.box.astype(np.float32).reshape(2, 2)
                corners = turned_back(corners, now, image.shape)
                corners = turned_back(corners, -self.turns % 4, upright.shape)
                away, track.location = track.location.away, FaceLocation(box_round(corners))
                track.location.away, track.former = away, None
        return boxes, upright

    def _faces(self, shape: tuple[int, ...]) -> dict[int, TrackedFace]:
        """The usable faces of this frame, in coordinates of the original picture."""
        found = {}
        for track in self._seen():
            if self._follow.isdecimal() and track.number != self._wanted():
                continue
            assert track.landmarks is not None
            landmarks = turned_back(track.landmarks, self.turns, shape)
            found[track.number] = TrackedFace(
                box_round(landmarks), landmarks, track.number, track.run
            )
        return found
