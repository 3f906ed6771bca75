"""From frames to landmarks, and to motion, as aumer goes or as a prototype does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.config import Settings, load_settings
from aumer.face.track import FaceTracker
from aumer.motion import resample
from aumer.motion.analysis import analyze
from aumer.simulate.neutral_motion import ROIS
from aumer.types import Features, FloatArray, ImageArray

Film = Iterable[ImageArray]
#: Frames of one face and their rate -> its motion.
Chain = Callable[[Sequence[ImageArray], float], Features]
#: A prototype: images, landmarks (T, 68, 2) px -> (T - 1, R, 2) motion in outer-eye distances.
Estimator = Callable[[Sequence[ImageArray], npt.NDArray[Any]], npt.NDArray[Any]]

#: Frames after which the tracker starts again from the last frame's landmarks, as aumer does every
#: 10 s so that a run that was interrupted goes on as if it had not been.
RESTART = 300
#: Landmarks of a frame without a face.
NO_FACE: FloatArray = np.full((68, 2), np.nan, np.float32)


def default_tracker(film: Film) -> FloatArray:
    """The whole face stage as the settings have it."""
    rows = []
    with closing(FaceTracker.from_settings(load_settings().face)) as tracker:
        for k, image in enumerate(film):
            face = tracker(image)
            rows.append(NO_FACE if face is None else face.landmarks)
            if (k + 1) % RESTART == 0:
                tracker.restore(image, tracker.state())
    return np.stack(rows)


def chain_of(settings: Settings) -> Chain:
    """The whole of aumer, from frames to `Features`."""

    def run(frames: Sequence[ImageArray], fps: float) -> Features:
        return analyze(np.stack(frames), settings, fps=fps).features

    return run


def as_chain(estimator: Estimator, rate: float = 30.0) -> Chain:
    """A prototype behind the default face tracker, resampled to rows as aumer's motion is.

    Its ROIs are the 12 published ones; NaN is motion that could not be measured.
    """

    def run(frames: Sequence[ImageArray], fps: float) -> Features:
        landmarks = default_tracker(frames)
        steps = np.asarray(estimator(frames, landmarks), np.float32)
        times = np.arange(len(frames)) / fps
        joined = np.asarray(np.isfinite(steps).all(axis=(1, 2)))
        grid, values, valid = resample(times, steps, joined, rate)
        return Features(
            values=values,
            times=grid,
            frames=np.rint(grid * fps).astype(np.int64).clip(0, len(frames) - 1),
            valid=valid,
            rois=ROIS.names,
            rate=rate,
            eye_distance=1.0,
        )

    return run
