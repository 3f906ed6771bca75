"""Normalization of the features in AUW-GCN's files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.types import FloatArray

#: Mean and standard deviation (x, y) of the features in its files, whose unit is unknown.
PUBLISHED_MEAN = np.array([0.003463, 0.003873], np.float32)
PUBLISHED_DEVIATION = np.array([0.548588, 0.645621], np.float32)


def published_normalization(values: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """(..., 2) features normalized by AUW-GCN's mean and standard deviation, padding included."""
    normalized: FloatArray = (values.astype(np.float32) - PUBLISHED_MEAN) / PUBLISHED_DEVIATION
    return normalized
