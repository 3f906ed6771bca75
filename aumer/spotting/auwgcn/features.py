"""How the features of AUW-GCN's files are normalized."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.types import FloatArray

#: Mean and deviation (x, y) of the features, in the unit of its files, which is unresolved.
PUBLISHED_MEAN = np.array([0.003463, 0.003873], np.float32)
PUBLISHED_DEVIATION = np.array([0.548588, 0.645621], np.float32)


def published_normalization(values: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """(..., 2) features by AUW-GCN's mean and deviation, padding included."""
    normalized: FloatArray = (values.astype(np.float32) - PUBLISHED_MEAN) / PUBLISHED_DEVIATION
    return normalized
