"""Motion of one face in one run of frames, by the method of the settings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Protocol

import numpy as np

from aumer.config import MotionSettings
from aumer.flow import Flow
from aumer.flow import resolve as resolve_flow
from aumer.graph.rois import roi_set
from aumer.motion.dense import AlignedFace, align, roi_motions
from aumer.motion.windows import WindowMotion
from aumer.types import FloatArray, ImageArray


class RunMotion(Protocol):
    """Interface: takes consecutive frames of one face, returns the motion of its ROIs."""

    def add(self, image: ImageArray, landmarks: FloatArray) -> None:
        """Add the next frame: (H, W, 3) uint8 RGB, and landmarks (68, 2) float32 px."""
        ...

    def steps(self) -> tuple[FloatArray, FloatArray]:
        """Motion from each frame to the next, for all frames so far; more may be added later.

        Returns:
            (n - 1, R, 2) float32 px of the canonical crop, NaN if unknown, and the confidence (n -
            1, R) float32 in [0, 1].
        """
        ...


class DenseMotion:
    """By dense flow and MDMO (`aumer.motion.dense`). Interface: `RunMotion`.

    A flow receives `batch` pairs at a time; each batch runs on its own core.
    """

    def __init__(self, pool: Executor, settings: MotionSettings, flow: Flow) -> None:
        self._pool, self._settings, self._flow = pool, settings, flow
        self._last: AlignedFace | None = None
        self._pairs: list[tuple[AlignedFace, AlignedFace]] = []
        self._size = flow.batch
        self._measured: list[Future[list[FloatArray | None]]] = []

    def add(self, image: ImageArray, landmarks: FloatArray) -> None:
        face = align(image, landmarks, self._settings.crop)
        if self._last is not None:
            self._pairs.append((self._last, face))
            if len(self._pairs) >= self._size:
                self._measure()
        self._last = face

    def _measure(self) -> None:
        pairs, self._pairs = self._pairs, []
        self._measured.append(self._pool.submit(roi_motions, pairs, self._flow, self._settings))
        if len(self._measured) > 16:  # bounds the pool's queue
            self._measured[-16].result()

    def steps(self) -> tuple[FloatArray, FloatArray]:
        if self._pairs:
            self._measure()
        found = [step for task in self._measured for step in task.result()]
        steps = np.full((len(found), len(roi_set(self._settings.rois)), 2), np.nan, np.float32)
        for row, step in zip(steps, found, strict=True):
            if step is not None:
                row[:] = step
        known = np.isfinite(steps).all(axis=2)
        return steps, np.asarray(known, np.float32)


class Motions:
    """Makes a `RunMotion` for each run, by the settings.

    Raises:
        UsageError: a name in the settings is unknown, or its back end cannot run here.
    """

    def __init__(self, settings: MotionSettings) -> None:
        roi_set(settings.rois)
        self._make = _maker(settings)

    def __call__(self, pool: Executor) -> RunMotion:
        """The `RunMotion` for a new run; the pool measures."""
        return self._make(pool)


def motion_device(settings: MotionSettings) -> str:
    """The torch device on which motion is measured with these settings here.

    Raises:
        UsageError: the flow is unknown.
    """
    if settings.preset == "windows-torch":
        from aumer.learning.machine import device_of

        return str(device_of("auto"))
    return "cpu" if settings.preset == "windows" else resolve_flow(settings.flow).device


def _maker(settings: MotionSettings) -> Callable[[Executor], RunMotion]:
    if settings.preset == "windows":
        return lambda pool: WindowMotion(pool, settings)
    if settings.preset == "windows-torch":
        from aumer.motion.windows_torch import TorchWindowMotion

        return lambda pool: TorchWindowMotion(pool, settings)
    flow = resolve_flow(settings.flow)
    if settings.preset == "published":
        from aumer.motion.published import PublishedMotion, check

        check(settings)
        return lambda pool: PublishedMotion(pool, settings, flow)
    return lambda pool: DenseMotion(pool, settings, flow)
