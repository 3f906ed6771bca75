"""Films that several scripts use: a portrait in motion, on disk, and known action units acted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance
from aumer.simulate.warp import Face
from aumer.testing.moving_face import brow_raise, film, smile

FPS = 30
#: Action units by the name of their class.
EXPRESSIONS = {"positive": (6, 12), "surprise": (1, 2, 5), "negative": (4,)}
#: At which they are shown.
INTENSITIES = (0.15, 0.4, 1.0)
#: Seconds of every performance, and when it begins, peaks, is let go and ends.
LENGTH_S, ONSET_S, APEX_S, RELEASE_S, OFFSET_S = 1.2, 0.2, 0.5, 0.7, 1.0


def film_video(path: Path, seconds: float, *, repeat: int = 1) -> None:
    """A 640 x 480 video of a swaying, smiling, brow-raising head."""

    def sway(t: float) -> tuple[float, float, float, float]:
        turn = 2 * np.pi * t
        return 3 * np.sin(0.4 * turn), 2 * np.sin(0.3 * turn), 0.0, 2 * np.sin(0.2 * turn)

    bumps = smile(1.0, 1.4, 2.5) + brow_raise(3.5, 3.7, 3.95)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (640, 480))
    times = np.arange(round(seconds * FPS)) / FPS
    window = (65, 0, 385, 240)
    frames = film(times, bumps=bumps, head=sway, scale=2.0, window=window, noise=1.0)
    for _ in range(repeat):
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def acted_timeline(label: str, intensity: float) -> Timeline:
    """One of `EXPRESSIONS`, at a strength of 0 to 1."""
    aus = tuple((au, "both") for au in EXPRESSIONS[label])
    event = Event("macro", aus, ONSET_S, APEX_S, RELEASE_S, OFFSET_S, intensity)
    return Timeline(LENGTH_S, (event,))


def acted_film(label: str, intensity: float, seed: int, face: Face) -> Film:
    """The same by a head that sways and turns a little, in light that changes."""
    some = Nuisance.none(sway=1.0, turns=1.0, light=1.0, noise=1.0)
    return Film(acted_timeline(label, intensity), nuisance=some, seed=seed, face=face)
