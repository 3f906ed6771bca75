"""Real faces in stillness, whose measured motion is noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aumer.motion.joined import Analysis

Rows = npt.NDArray[np.float64]

#: Still stretches without a blink: file, first and last frame of the source, whom it shows.
STILL = (
    ("still_neutral.mp4", 0, 300, "red shirt"),
    ("fex_smile_still.mov", 0, 58, "fex"),
    ("fex_two_smiles.mov", 0, 30, "fex"),
    ("fex_two_smiles.mov", 66, 94, "fex"),
    ("webcam_posed.mp4", 10, 24, "posed"),
    ("selfie_smile.mp4", 0, 13, "selfie"),
    ("smile_512.mp4", 0, 8, "green screen"),
    ("webcam_mixed.mp4", 19, 35, "round glasses"),
)


def stretch(analysis: Analysis, first: int, last: int) -> Rows:
    """(N, 12, 2) valid rows whose frame lies in [first, last]."""
    f = analysis.features
    chosen = f.valid & (f.frames >= first) & (f.frames <= last)
    return f.values[chosen].astype(np.float64)
