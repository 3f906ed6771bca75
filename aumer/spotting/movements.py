"""Named movements of brows and mouth: weighted sums of ROIs' displacements, which the rules
analyze.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError

Signal = npt.NDArray[np.float64]

REGIONS = ("brow", "mouth")


@dataclass(frozen=True)
class Movement:
    """A direction in which ROIs move together.

    Attributes:
        region: "brow" or "mouth".
        weights: (wx, wy) per ROI name; the movement is the weighted sum of displacements.
        back: weight of the opposite direction, in (0, 1]. Both occur (AU4 lowers a brow), but
            between two raises the return looks like a lowering.
    """

    region: str
    weights: dict[str, tuple[float, float]]
    back: float


_THIRD = 1 / 3
_BROWS = tuple(f"brow_{s}_{part}" for s in "rl" for part in ("mid_outer", "mid", "mid_inner"))
MOVEMENTS: dict[str, Movement] = {
    "brow_raise_r": Movement(  # AU1, AU2; back: AU4
        "brow",
        {f"brow_r_{part}": (0.0, -_THIRD) for part in ("mid_outer", "mid", "mid_inner")},
        0.7,
    ),
    "brow_raise_l": Movement(
        "brow",
        {f"brow_l_{part}": (0.0, -_THIRD) for part in ("mid_outer", "mid", "mid_inner")},
        0.7,
    ),
    "brow_knit": Movement(  # AU4
        "brow", {"brow_r_mid_inner": (0.5, 0.0), "brow_l_mid_inner": (-0.5, 0.0)}, 0.5
    ),
    # Movements of both sides together have less noise than those of one side.
    "brow_raise": Movement("brow", dict.fromkeys(_BROWS, (0.0, -1 / 6)), 0.7),  # AU1+2
    "brow_lower": Movement(  # AU4, as in the simulator's anatomy and in CASME II's clips
        "brow",
        {
            "brow_r_mid": (0.09, 0.17),
            "brow_r_mid_inner": (0.16, 0.27),
            "brow_l_mid_inner": (-0.16, 0.27),
            "brow_l_mid": (-0.09, 0.17),
        },
        0.7,
    ),
    "corner_raise_r": Movement("mouth", {"mouth_r": (0.0, -1.0)}, 0.7),  # AU12, 13; back: AU15
    "corner_raise_l": Movement("mouth", {"mouth_l": (0.0, -1.0)}, 0.7),
    "stretch": Movement(  # AU12, 14, 20; back: AU18, 23
        "mouth", {"mouth_r": (-0.5, 0.0), "mouth_l": (0.5, 0.0)}, 0.7
    ),
    "smile": Movement("mouth", {"mouth_r": (-0.34, -0.37), "mouth_l": (0.34, -0.37)}, 0.7),  # AU12
    "lip_lower_drop": Movement("mouth", {"lip_lower": (0.0, 1.0)}, 0.7),  # AU25, 26; back: AU17
    "lip_upper_raise": Movement("mouth", {"lip_upper": (0.0, -1.0)}, 0.7),  # AU10; back: AU23, 24
}


def _missing(rois: tuple[str, ...]) -> set[str]:
    return {roi for m in MOVEMENTS.values() for roi in m.weights} - set(rois)


def readable(rois: tuple[str, ...]) -> bool:
    """Whether all ROIs of the movements are available."""
    return not _missing(rois)


def columns(rois: tuple[str, ...]) -> dict[str, Signal]:
    """For each movement the (2 R,) weights w such that flattened features @ w is the movement.

    Raises:
        UsageError: an ROI that the movements are made of is missing.
    """
    missing = _missing(rois)
    if missing:
        raise UsageError(
            "the rule-based spotter needs ten of the 12 published ROIs; these features lack "
            f"{', '.join(sorted(missing))} (they have {', '.join(rois)}). Add them to the setting "
            "motion.rois, or use a trained spotter for other ROIs."
        )
    found = {}
    for name, movement in MOVEMENTS.items():
        weights = np.zeros((len(rois), 2))
        for roi, weight in movement.weights.items():
            weights[rois.index(roi)] = weight
        found[name] = weights.ravel()
    return found
