"""Motion of ROIs from faces in frames, without head motion."""

from aumer.motion.dense import (
    AlignedFace,
    align,
    flow_region,
    roi_motion,
    roi_motions,
    without_head,
)
from aumer.motion.rows import at_rows, nearest, resample
from aumer.motion.runs import Motions, RunMotion

__all__ = [
    "AlignedFace",
    "Motions",
    "RunMotion",
    "align",
    "at_rows",
    "flow_region",
    "nearest",
    "resample",
    "roi_motion",
    "roi_motions",
    "without_head",
]
