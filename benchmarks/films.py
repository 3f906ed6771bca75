"""Films that several scripts use: a portrait in motion, on disk, and known action units acted."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from aumer.recognition.sequences.simulated import CLASSES
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance, developed
from aumer.simulate.warp import Face
from aumer.testing.moving_face import brow_raise, film, smile
from aumer.types import ImageArray
from aumer.video.writer import VideoFile
from benchmarks.data import read_clip

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


#: Where somebody looks neutral: the frame of a shared clip, by whom it shows. All different people.
NEUTRAL: Mapping[str, tuple[str, int]] = {
    "still": ("still_neutral.mp4", 0),
    "talking": ("talking_neutral.mpg", 0),
    "fex": ("fex_smile_still.mov", 20),
    "selfie": ("selfie_smile.mp4", 2),
    "smile": ("smile_512.mp4", 0),
    "webcam": ("webcam_mixed.mp4", 0),
    "posed": ("webcam_posed.mp4", 0),
}


def people() -> dict[str, ImageArray | None]:
    """Eight portraits by name; the one that aumer has of itself is `None`."""
    shared = {who: read_clip(name, k, k)[0] for who, (name, k) in NEUTRAL.items()}
    return {"astronaut": None, **shared}


def labeled_films(
    folder: Path,
    takes: int,
    *,
    seed: int = 0,
    fps: float = 60.0,
    size: tuple[int, int] = (400, 300),
    intensity: tuple[float, float] = (0.3, 0.8),
) -> list[dict[str, str]]:
    """A film of one expression for each of `people`, class and take, and the table of all.

    The classes and their action units are those of `aumer.recognition.sequences.simulated`. Heads
    sway and turn, light changes, the sensor is noisy; every film has its own.

    Args:
        folder: gets the films and table.csv; films that are there are kept.
        intensity: least and greatest, of `aumer.simulate.anatomy`'s full amplitudes.

    Returns:
        the table's rows: file, subject, onset, apex, offset (frames), label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (who, portrait) in enumerate(people().items()):
        face = None
        for index, (label, groups) in enumerate(CLASSES.items()):
            for take in range(takes):
                rng = np.random.default_rng([seed, number, index, take])
                begin, rise, held = 0.15, rng.uniform(0.12, 0.25), rng.uniform(0.03, 0.08)
                apex, release = begin + rise, begin + rise + held
                end = release + rng.uniform(0.12, 0.2)
                aus = tuple((au, "both") for au in groups[rng.integers(len(groups))])
                strength = float(rng.uniform(*intensity))
                event = Event("micro", aus, begin, apex, release, end, strength)
                path = folder / f"{who}-{label}-{take}.avi"
                frames = [round(t * fps) for t in (begin, apex, end)]
                told = dict(zip(("onset", "apex", "offset"), map(str, frames), strict=True))
                rows.append({"file": path.name, "subject": who, **told, "label": label})
                if path.exists():
                    continue
                face = face or Face(portrait, size)
                some = Nuisance.none(sway=1.0, turns=1.0, light=1.0, noise=1.0)
                draws = int(rng.integers(2**31))
                one = Film(Timeline(end + 0.15, (event,)), nuisance=some, seed=draws, face=face)
                count = frames[-1] + round(0.15 * fps)
                with VideoFile(path, fps=fps, size=size, codec="MJPG") as file:
                    for image in developed(partial(one.frame, k / fps, k) for k in range(count)):
                        file.write(image)
    write_rows(folder / "table.csv", rows)
    return rows


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Rows of `labeled_films` as a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
