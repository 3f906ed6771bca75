"""Motion of ROIs between two frames by dense flow: alignment, flow, removal of head motion, MDMO.

Landmark jitter and head motion are removed in two steps. Each frame is warped by a similarity that
aligns its rigid landmarks (nose, eye corners) with a template, so that only small motion remains;
then residual motion (jitter of landmarks, the head) is fitted to the flow on the nose, as a rigid
body in weak perspective (translation, roll, scale, and two rotations out of the plane, whose motion
is proportional to depth), and subtracted at every ROI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aumer.config import MotionSettings
from aumer.face.crop import applied, cut_out, similarity
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE, RIGID
from aumer.flow import Flow, FlowFunction, Region
from aumer.flow import resolve as resolve_flow
from aumer.graph.rois import roi_set
from aumer.motion import mdmo
from aumer.motion.rigid import fit_rigid, rigid_basis
from aumer.types import FloatArray, ImageArray

#: The region for estimating head motion: the nose with adjacent skin, x0, y0, x1, y1 in template
#: units, without eyes (blinks) and nostrils (smiles).
_HEAD_BOX = (-0.2, -0.25, 0.2, 0.38)
#: Flow is computed in the box of this region and the template's ROIs with this margin, in crop
#: sides: 12 px of 128, with the same error in the ROIs as flow on the whole crop; with a smaller
#: margin more of the spotted intervals change (benchmarks/studies/flow_shortcuts.py).
_MARGIN = 12 / 128
#: If ROIs come nearer than this to the box's edge (a dropped jaw), the flow is computed on the
#: whole crop.
_LEAST_MARGIN = 4 / 128
#: A tiny ridge: for a nose without any motion some parameters are undetermined.
_RIDGE = np.full(6, 1e-6)


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face on the canonical crop: gray (C, C) uint8 and landmarks (68, 2) float32 crop px."""

    gray: ImageArray
    landmarks: FloatArray


def align(image: ImageArray, landmarks: FloatArray, crop: int) -> AlignedFace:
    """Warp a face so that its rigid landmarks match the template.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (68, 2) float32 px in `image`.
        crop: side of the square crop in px.
    """
    target = MEAN_FACE[list(RIGID), :2] * (crop / 2) + np.array(CROP_ORIGIN) * crop
    transform = similarity(landmarks[list(RIGID)].astype(np.float64), target)
    warped = applied(transform, landmarks).astype(np.float32)
    return AlignedFace(cut_out(image, transform, crop, gray=True), warped)


def roi_motion(
    previous: AlignedFace,
    following: AlignedFace,
    flow: Flow | FlowFunction,
    settings: MotionSettings,
) -> FloatArray | None:
    """Motion of the ROIs in `settings` from one aligned face to the next: (R, 2) float32 crop px.

    `None` if the two do not show the same face (a cut, failed landmarks).

    Raises:
        UsageError: `settings.rois` contains an unknown ROI.
    """
    return roi_motions([(previous, following)], flow, settings)[0]


def roi_motions(
    pairs: Sequence[tuple[AlignedFace, AlignedFace]],
    flow: Flow | FlowFunction,
    settings: MotionSettings,
) -> list[FloatArray | None]:
    """`roi_motion` of each pair, with one call of the flow.

    Raises:
        UsageError: as `roi_motion`.
    """
    landmarks = list(roi_set(settings.rois).landmarks)
    radius = settings.roi_radius
    found: list[FloatArray | None] = []
    fields = _fields(pairs, resolve_flow(flow), settings)
    for field, (_, following) in zip(fields, pairs, strict=True):
        still = without_head(field, settings.max_head_residual)
        if still is None:
            found.append(None)
            continue
        centers = np.rint(following.landmarks[landmarks]).astype(np.int64)
        windows = mdmo.boxes(still, centers - radius, centers + radius)
        found.append(mdmo.main_direction_mean(*windows, mdmo.ROI_BINS))
    return found


def flow_region(settings: MotionSettings) -> Region:
    """The part of the canonical crop with ROIs and nose, for most faces."""
    return _region(roi_set(settings.rois).landmarks, settings.roi_radius, settings.crop)


def _fields(
    pairs: Sequence[tuple[AlignedFace, AlignedFace]], flow: Flow, settings: MotionSettings
) -> list[FloatArray]:
    """The flow (C, C, 2) of each pair; it may be 0 outside `flow_region` if no ROI is near."""
    fields: dict[int, FloatArray] = {}

    def measure(chosen: Flow, which: list[int]) -> None:
        images = [(pairs[k][0].gray, pairs[k][1].gray) for k in which]
        fields.update(zip(which, chosen.many(images), strict=True))

    everywhere = list(range(len(pairs)))
    # A fixed box: one from landmarks would transfer their jitter to the flow.
    part = flow.within(flow_region(settings))
    if part is not flow:
        inside = [k for k in everywhere if _needs_region_only(pairs[k][1], settings)]
        if inside:
            measure(part, inside)
        everywhere = [k for k in everywhere if k not in fields]
    if everywhere:
        measure(flow, everywhere)
    return [fields[k] for k in range(len(pairs))]


def _needs_region_only(face: AlignedFace, settings: MotionSettings) -> bool:
    left, top, right, bottom = flow_region(settings)
    margin = settings.roi_radius + round(_LEAST_MARGIN * settings.crop)
    centers = np.rint(face.landmarks[list(roi_set(settings.rois).landmarks)])
    low = np.maximum(centers.min(axis=0) - margin, 0)
    high = np.minimum(centers.max(axis=0) + margin + 1, settings.crop)
    return bool((low >= (left, top)).all() and (high <= (right, bottom)).all())


@lru_cache(maxsize=8)
def _region(landmarks: tuple[int, ...], radius: int, crop: int) -> Region:
    rois = MEAN_FACE[list(landmarks), :2] * (crop / 2) + np.array(CROP_ORIGIN) * crop
    head = np.array(_HEAD_BOX).reshape(2, 2) * (crop / 2) + np.array(CROP_ORIGIN) * crop
    margin = round(_MARGIN * crop)
    low = np.minimum(rois.min(axis=0) - radius, head[0]) - margin
    high = np.maximum(rois.max(axis=0) + radius + 1, head[1]) + margin
    left, top = np.floor(low).astype(int).clip(0, crop - 1)
    right, bottom = np.ceil(high).astype(int).clip(1, crop)
    return int(left), int(top), int(right), int(bottom)


def without_head(field: FloatArray, max_residual: float) -> FloatArray | None:
    """A flow (C, C, 2) px on the canonical crop minus the head's rigid motion, estimated on the
    nose.

    `None` if the flow is not finite, or if the median misfit of the nose is above `max_residual`
    px.
    """
    head = _fit_head(field)
    if head is None or head[1] > max_residual:
        return None
    moved: FloatArray = field - rigid_basis(field.shape[0]) @ head[0]
    return moved


@lru_cache(maxsize=4)
def _head_pixels(crop: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the pixels for estimating head motion: every other one of the box."""
    corners = np.array(_HEAD_BOX).reshape(2, 2) * (crop / 2) + np.array(CROP_ORIGIN) * crop
    x0, y0, x1, y1 = corners.round().astype(int).ravel()
    rows, columns = np.mgrid[y0:y1:2, x0:x1:2]
    return rows.ravel(), columns.ravel()


def _fit_head(field: FloatArray) -> tuple[FloatArray, float] | None:
    """Robust fit of the head's rigid motion: six parameters and the median misfit in px.

    `None` if the flow is not finite.
    """
    pixels = _head_pixels(field.shape[0])
    seen = field[pixels]
    if not np.isfinite(seen).all():
        return None
    found, misfits = fit_rigid(rigid_basis(field.shape[0])[pixels], seen, _RIDGE)
    return found[0].astype(np.float32), float(misfits[0])
