"""Identities in a video by position: assignment of boxes to people, occlusion, and possible
identities.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from aumer.face.boxes import COASTS_S, NEAR, Box, FaceLocation, apart, gap, hides, within
from aumer.face.interface import Landmarker
from aumer.types import FloatArray

#: Tolerance of due times in seconds, since times of frames jitter.
JITTER_S = 0.005
#: Seconds after which an invisible followed face is dormant: then only a face exactly at its
#: position is taken for it.
_GONE_S = 10.0
#: A person who appears where a face was lost is that face if it keeps still there for this long, or
#: as still as the face moved before (face sizes per second); or if it moves this far away (face
#: sizes) and nobody is visible at the old position. A person who first approached by this distance
#: is passing, and may be the face only if it stops there.
_STILL, _STAYS_S, _MOVED, _PASSES = 0.4, 0.3, 1.5, 0.15
#: A box that may belong to a hidden face or to the person who hid it is assigned to the latter
#: unless it is nearer to the face by this (in squared spreads; see `assign`).
_COVERED = 2.0
#: A bystander who was out of sight is recognized within this of the predicted position (face
#: sizes), if the sizes differ by less than this factor.
_KNOWN, _KNOWN_SIZE = 0.35, 1.25
#: Faces nearer than this (face sizes) touch.
_TOUCHES = 0.2


class Person:
    """One person: a followed face, or a bystander, who is known only by boxes.

    Attributes:
        number: number of a followed face, from 1; 0 for a bystander.
        landmarks, landmarker: landmarks in this frame and the landmarker, if the face is visible.
        lost: seconds since it was visible.
        found_again: whether it was confirmed by a second detection.
        missing: the last detection found nobody there.
        covered: another person was in front of it since it was lost.
        may_be: for a bystander: number of the face that it may be, until both are visible;
            `appeared` is the initial distance from it, in face sizes, and `passing` whether it has
            approached since.
        parted: a new scene began since it was visible, so its position is less informative.
        former: position of the face before it was found again elsewhere, while it may still be
            there; `former_s`: for how long.
    """

    #: Length of `row`.
    ROW = 31

    def __init__(self, location: FaceLocation) -> None:
        self.location = location
        self.number = 0
        self.run = 0
        self.landmarker: Landmarker | None = None
        self.landmarks: FloatArray | None = None
        self.lost = 0.0
        self.found_again = False
        self.missing = False
        self.covered = False
        self.may_be = 0
        self.appeared = 0.0
        self.passing = False
        self.parted = False
        self.former: FaceLocation | None = None
        self.former_s = 0.0

    @property
    def dormant(self) -> bool:
        """Whether it has been gone so long that only its position counts."""
        return self.number > 0 and self.location.away > _GONE_S

    @property
    def expected(self) -> npt.NDArray[np.float64]:
        """Predicted box at constant velocity."""
        return self.location.box if self.dormant else self.location.predicted

    @property
    def reach(self) -> float:
        """Largest distance from the prediction, in face sizes."""
        return NEAR if self.dormant else self.location.reach

    def part(self) -> None:
        """A new scene begins: treat it as having been away."""
        self.location.velocity[:] = 0
        self.location.away = max(self.location.away, 1.01 * COASTS_S)
        self.missing = self.covered = False
        self.former, self.parted = None, True

    def row(self) -> tuple[float, ...]:
        """The state without landmarks and landmarker, as numbers; NaN for missing values."""
        nowhere = (np.nan,) * len(self.location.row())
        return (
            *(self.number, self.run, self.may_be),
            *(self.found_again, self.missing, self.covered, self.passing, self.parted),
            *(self.lost, self.appeared, self.former_s),
            *self.location.row(),
            *(nowhere if self.former is None else self.former.row()),
        )

    @classmethod
    def from_row(cls, row: npt.NDArray[np.float64]) -> Person:
        """The inverse of `row`."""
        whole, flags, reals, location, former = np.split(row, [3, 8, 11, 21])
        person = cls(FaceLocation.from_row(location))
        person.number, person.run, person.may_be = map(int, whole)
        person.found_again, person.missing, person.covered, *others = map(bool, flags)
        person.passing, person.parted = others
        person.lost, person.appeared, person.former_s = map(float, reals)
        person.former = FaceLocation.from_row(former) if np.isfinite(former).all() else None
        return person


def bystander(box: Box, *, may_be: Person | None = None) -> Person:
    """A new bystander in this box, who may be the followed face that was lost there."""
    person = Person(FaceLocation(box))
    if may_be is not None:
        person.may_be = may_be.number
        person.appeared = apart(may_be.expected, box) or 0.0
    return person


def assign(people: Sequence[Person], boxes: FloatArray, since_look: float) -> dict[int, int]:
    """Assignment of boxes (N, 5) to people by predicted position.

    `since_look`: seconds since the previous detection.
    """
    if not len(boxes) or not people:
        return {}
    far = 1e6
    cost = np.full((len(people), len(boxes)), far)
    unseen = [person.location.away > since_look + JITTER_S for person in people]
    for k, person in enumerate(people):
        hidden = person.covered and unseen[k]
        for b in range(len(boxes)):
            distance = apart(person.expected, boxes[b])
            if distance is not None and distance < person.reach:
                # Cost with a spread of a third of the reach: recently seen people with accurate
                # predictions have priority.
                cost[k, b] = (3 * distance / person.reach) ** 2 + 2 * np.log(person.reach)
                cost[k, b] += _COVERED if hidden else 0.0
    pairs = zip(*linear_sum_assignment(cost), strict=True)
    found = {int(k): int(b) for k, b in pairs if cost[k, b] < far}
    for k, b in tuple(found.items()):
        lost = [j for j, p in enumerate(people) if p.number and j not in found and cost[j, b] < far]
        if lost and unseen[k] and not people[k].number and not _is_known(people[k], boxes[b]):
            # Bystanders who left may be anywhere; a hidden face must reappear.
            found[min(lost, key=lambda j: cost[j, b])] = found.pop(k)
    return found


def _is_known(person: Person, box: Box) -> bool:
    """Whether a box certainly belongs to a person who was out of sight."""
    size = float(max(box[2:4] - box[:2]))
    return within(person.expected, box, _KNOWN) and (
        1 / _KNOWN_SIZE < size / person.location.size < _KNOWN_SIZE
    )


def is_covered(box: Box, person: Person, people: Collection[Person], *, sure: bool = False) -> bool:
    """Whether another face that is or was just visible overlaps this box of a person.

    `sure`: ignore faces seen only once, in an earlier frame.
    """
    return any(
        other is not person
        and not (sure and not other.found_again and other.location.away > 0)
        and other.location.away <= COASTS_S
        and not other.missing
        and hides(box, other.expected)
        for other in people
    )


def is_touched(box: Box, person: Person, people: Collection[Person], since_look: float) -> bool:
    """Whether another visible face touches this box."""
    return any(
        other is not person
        and other.location.away <= since_look + JITTER_S
        and gap(box, other.expected) < _TOUCHES * person.location.size
        for other in people
    )


def was_at(face: Person, box: Box) -> bool:
    """Whether a followed face was lost at this position, now or before it was found elsewhere."""
    if face.landmarks is None:
        distance = apart(face.expected, box)
        near = hides(box, face.expected) if distance is None else distance < _MOVED
        return near and face.location.away <= COASTS_S
    return face.former is not None and within(face.former.predicted, box, NEAR)


def is_lost_face(face: Person, other: Person, *, alone: bool) -> bool | None:
    """Whether `other`, who appeared where the face was lost, is that face; `None` if undecided.

    `alone`: nobody who was visible with the face is in the picture, as after a cut to a close-up.
    """
    speeds = (
        np.hypot(*other.location.velocity),
        np.hypot(*(other.location.velocity - face.location.velocity)),
    )
    still = min(speeds) < _STILL * face.location.size
    stopped = still and other.location.sightings > 3
    over = hides(face.expected, other.location.box)
    if alone and face.location.away > COASTS_S and (stopped if over else face.missing):
        return True
    distance = apart(face.expected, other.location.box)
    if distance is None:
        return False
    other.passing |= not still and distance < other.appeared - _PASSES
    if distance >= _MOVED:
        return face.missing and not other.passing
    if other.passing and not over:
        return False
    stays = face.location.away > (COASTS_S if other.passing else _STAYS_S)
    return True if stopped and stays else None
