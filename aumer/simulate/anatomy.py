"""The displacement of a face by each action unit: one table for simulated features and video.

An action unit (AU) is a few pushes on the mean face, each a local displacement. A push moves skin
the way its muscle pulls (Ekman, Friesen and Hager, *Facial Action Coding System*, 2002, names the
muscle and the direction of every AU); the displacement falls off as a Gaussian around its center,
so that the sum is smooth.

**Amplitudes** are those of a strong expression, FACS level E. The unit is the distance of the outer
eye corners, about 90 mm in adults. Measured on aumer's shared real videos, where it is posed: six
smiles carry the mouth corner .11 to .24, .165 in the median, five brow raises the brow .08 to .15,
.11 in the median (`python -m benchmarks.studies.simulation`). Lids: the mean face's own opening is
.09, which a blink has to close. Jaw: it falls by about 10 mm in AU26 and 20 mm in AU27. AU4, 14 and
17 follow micro-expressions of CASME II (`amplitude`): their ROIs move .09, .05 and .05, since with
smaller amplitudes those would be as large as graded macro-expressions. All others are scaled to
these by an argument: the skin that a muscle inserts into moves less where it is short (lids, nose,
chin) than where it is long (zygomaticus, frontalis).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError

Points = npt.NDArray[np.float64]
#: An AU and the subject's side.
Action = tuple[int, str]
SIDES = ("both", "left", "right")


@dataclass(frozen=True)
class Push:
    """A patch of skin that moves by `shift * exp(-d^2 / (2 radius^2))`, d the distance from `at`.

    Units of `aumer.face.mean_face.MEAN_FACE` (x to the image's right, y down, outer eye corners 1
    apart). The side is the subject's right (image left, x < 0), mirrored for the left; a push with
    x = 0 is on the midline, is applied once for any side, and is not mirrored.
    """

    at: tuple[float, float]
    shift: tuple[float, float]
    radius: float

    def mirrored(self) -> Push:
        """The mirrored push on the subject's left."""
        return Push((-self.at[0], self.at[1]), (-self.shift[0], self.shift[1]), self.radius)


ACTION_UNITS: dict[int, tuple[Push, ...]] = {
    # Inner brow raiser. Frontalis, pars medialis: the inner brow straight up.
    1: (Push((-0.20, -0.44), (0.0, -0.115), 0.13),),
    # Outer brow raiser. Frontalis, pars lateralis: the outer brow up.
    2: (Push((-0.52, -0.43), (-0.00575, -0.1035), 0.14),),
    # Brow lowerer. Corrugator and depressor supercilii, procerus: brows down and together, most
    # at their inner ends; a little less than frontalis lifts, for the brow starts low.
    4: (
        Push((-0.21, -0.43), (0.049, 0.077), 0.13),
        Push((-0.42, -0.44), (0.021, 0.042), 0.12),
    ),
    # Upper lid raiser. Levator palpebrae superioris: a third of the eye's opening.
    5: (Push((-0.35, -0.215), (0.0, -0.03), 0.06),),
    # Cheek raiser. Orbicularis oculi, pars orbitalis: cheek up, skin outside the eye inward, the
    # outer brow a little down.
    6: (
        Push((-0.38, 0.10), (0.010, -0.050), 0.14),
        Push((-0.58, -0.12), (0.025, 0.0), 0.09),
        Push((-0.57, -0.40), (0.005, 0.015), 0.10),
    ),
    # Lid tightener. Orbicularis oculi, pars palpebralis: the lower lid up and in, the upper down.
    7: (
        Push((-0.35, -0.09), (0.010, -0.018), 0.07),
        Push((-0.35, -0.215), (0.0, 0.010), 0.07),
    ),
    # Nose wrinkler. Levator labii superioris alaeque nasi, with procerus: wings of the nose and
    # the middle of the upper lip up, the inner brow down.
    9: (
        Push((-0.14, 0.32), (0.010, -0.045), 0.11),
        Push((-0.09, 0.57), (0.0, -0.025), 0.09),
        Push((-0.17, -0.40), (0.012, 0.035), 0.11),
    ),
    # Upper lip raiser. Levator labii superioris: the lip up, the fold beside the nose up and out.
    10: (
        Push((-0.10, 0.58), (0.0, -0.050), 0.09),
        Push((-0.20, 0.42), (-0.010, -0.030), 0.10),
    ),
    # Nasolabial deepener. Zygomaticus minor: the fold's upper part up and out.
    11: (Push((-0.20, 0.46), (-0.015, -0.030), 0.10),),
    # Lip corner puller. Zygomaticus major: the corner up and out, the cheek follows.
    12: (
        Push((-0.28, 0.66), (-0.117, -0.1235), 0.14),
        Push((-0.42, 0.38), (-0.013, -0.0455), 0.15),
    ),
    # Sharp lip puller. Levator anguli oris (caninus): the corner up at a steep angle.
    13: (Push((-0.28, 0.66), (-0.010, -0.060), 0.11),),
    # Dimpler. Buccinator: the corner tightened, in toward the teeth, seen as a little out.
    14: (Push((-0.30, 0.66), (-0.056, -0.010), 0.10),),
    # Lip corner depressor. Depressor anguli oris (triangularis): the corner down.
    15: (Push((-0.28, 0.67), (-0.010, 0.055), 0.11),),
    # Lower lip depressor. Depressor labii inferioris: the lower lip down and a little out.
    16: (Push((-0.08, 0.79), (-0.012, 0.040), 0.08),),
    # Chin raiser. Mentalis: the chin's boss up, and the lower lip with it.
    17: (
        Push((0.0, 1.00), (0.0, -0.062), 0.14),
        Push((0.0, 0.80), (0.0, -0.044), 0.10),
    ),
    # Lip puckerer. Incisivii labii, orbicularis oris: corners in, lips forward.
    18: (Push((-0.28, 0.66), (0.075, 0.0), 0.12),),
    # Lip stretcher. Risorius with platysma: the corner straight out, a little down.
    20: (Push((-0.29, 0.67), (-0.080, 0.012), 0.12),),
    # Neck tightener. Platysma: the skin over the jaw's edge out and down.
    21: (Push((-0.30, 0.92), (-0.020, 0.030), 0.15),),
    # Lip funneler. Orbicularis oris: lips forward and apart, corners in.
    22: (
        Push((-0.28, 0.66), (0.040, 0.0), 0.10),
        Push((0.0, 0.59), (0.0, -0.025), 0.07),
        Push((0.0, 0.78), (0.0, 0.030), 0.08),
    ),
    # Lip tightener. Orbicularis oris: red parts narrower, the upper lip down, the lower up.
    23: (
        Push((-0.27, 0.66), (0.015, 0.0), 0.09),
        Push((0.0, 0.59), (0.0, 0.018), 0.07),
        Push((0.0, 0.78), (0.0, -0.022), 0.07),
    ),
    # Lip pressor. Orbicularis oris: lips pressed on one another.
    24: (
        Push((0.0, 0.59), (0.0, 0.025), 0.08),
        Push((0.0, 0.78), (0.0, -0.032), 0.08),
    ),
    # Lips part. Depressor labii inferioris, or mentalis and orbicularis oris let go.
    25: (
        Push((0.0, 0.59), (0.0, -0.015), 0.07),
        Push((0.0, 0.78), (0.0, 0.045), 0.09),
    ),
    # Jaw drop. Masseter lets go: chin and lower lip down.
    26: (Push((0.0, 0.96), (0.0, 0.110), 0.20),),
    # Mouth stretch. Pterygoids, digastric: the jaw pulled down.
    27: (Push((0.0, 0.98), (0.0, 0.210), 0.24),),
    # Lip suck. Orbicularis oris: the red parts over the teeth.
    28: (
        Push((0.0, 0.59), (0.0, 0.030), 0.08),
        Push((0.0, 0.78), (0.0, -0.040), 0.09),
    ),
    # Jaw clencher. Masseter swells at the jaw's angle.
    31: (Push((-0.56, 0.62), (-0.015, 0.0), 0.12),),
    # Nostril dilator and compressor. Nasalis: the wings of the nose out, in.
    38: (Push((-0.15, 0.36), (-0.016, -0.005), 0.06),),
    39: (Push((-0.15, 0.36), (0.014, 0.0), 0.06),),
    # Eyes closed, blink. Levator palpebrae lets go: the upper lid down over the eye.
    43: (Push((-0.35, -0.21), (0.004, 0.072), 0.08),),
    45: (Push((-0.35, -0.21), (0.004, 0.072), 0.08),),
}


def check_actions(actions: Iterable[Action]) -> None:
    """Raise for an AU that is not in `ACTION_UNITS` or a side that is not in `SIDES`.

    Raises:
        UsageError: the message lists the known AUs or sides.
    """
    for au, side in actions:
        if au not in ACTION_UNITS:
            known = ", ".join(map(str, sorted(ACTION_UNITS)))
            raise UsageError(f"the simulator has no action unit {au}; it has {known}")
        if side not in SIDES:
            raise UsageError(f"side must be one of {', '.join(SIDES)}; found {side!r}")


def displacement(aus: Mapping[Action, float], points: Points) -> Points:
    """Displacement of the skin: the sum of the AUs' pushes.

    It is linear in the intensities. Each AU alone, and each combination seen in CAS(ME)^2 and
    SAMM-LV, is a diffeomorphism at intensity 1 (tests/simulate/test_anatomy.py).

    Args:
        aus: intensity in [0, 1] by (AU, side); the side is the subject's: "left" is the image's
            right.
        points: (N, 2) float64 on the mean face, unit the outer-eye distance.

    Returns:
        (N, 2) float64 in the same unit, x to the image's right and y down.

    Raises:
        UsageError: unknown AU or side.
    """
    check_actions(aus)
    moved = np.zeros_like(points)
    for action, intensity in aus.items():
        at, shift, radius = _pushes(action)
        square = ((points[:, None, :] - at) ** 2).sum(axis=2)
        moved += intensity * (np.exp(-square / (2 * radius**2)) @ shift)
    return moved


@lru_cache(maxsize=256)
def _pushes(action: Action) -> tuple[Points, Points, Points]:
    """Centers (P, 2), shifts (P, 2) and radii (P,) of one action."""
    au, side = action
    pushes = []
    for push in ACTION_UNITS[au]:
        midline = push.at[0] == 0
        if midline or side != "left":
            pushes.append(push)
        if not midline and side != "right":
            pushes.append(push.mirrored())
    return (
        np.array([p.at for p in pushes]),
        np.array([p.shift for p in pushes]),
        np.array([p.radius for p in pushes]),
    )
