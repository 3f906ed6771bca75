"""Windows of fixed length cut from clips: their starts and number. numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aumer.recognition.sequences.clips import ClipSequence
from aumer.strict import require
from aumer.types import FloatArray, ImageArray, IntArray


@dataclass(frozen=True, eq=False)
class Window:
    """A window of one clip. Beyond the clip's ends the last frame is repeated, with zero flow.

    Shapes:
        gray (L, S, S) uint8, landmarks (L, 68, 2) float32, flow (L - 1, S, S, 2) float32 px, or
        `None` if the clip has none.
    """

    gray: ImageArray
    landmarks: FloatArray
    flow: FloatArray | None


@dataclass(frozen=True)
class WindowPlace:
    """Position of a window: index of its clip and its first frame (may be negative)."""

    clip: int
    start: int


def centered_start(clip: ClipSequence, length: int) -> int:
    """First frame of the window centered on the apex, moved inside the clip if it fits."""
    return _clamped(clip.apex - length // 2, clip, length)


def further_start(clip: ClipSequence, length: int, rng: np.random.Generator) -> int:
    """First frame of one more window of a clip.

    In an expression of `length` frames or more: anywhere. In a shorter one: the apex-centered
    window moved by at most `length` // 4 frames, with onset and offset still inside (CNN-LSTM's
    section 4.4 and algorithm 1; its section 11.1 uses a normal deviate).
    """
    if clip.offset - clip.onset + 1 >= length:
        return int(rng.integers(clip.onset, clip.offset - length + 2))
    start = clip.apex - length // 2
    room = min(length // 4, clip.onset - start, start + length - 1 - clip.offset)
    if room > 0:
        start += int(rng.integers(-room, room + 1))
    return _clamped(start, clip, length)


def balanced_windows(
    clips: Sequence[ClipSequence],
    labels: IntArray,
    length: int,
    target: int,
    rng: np.random.Generator,
) -> list[WindowPlace]:
    """Windows of every clip, so that each class has `target` of them or a few more.

    The N_c clips of a class are used ceil(target / N_c) times, at least once: first with windows
    centered on the apexes, then with further ones.

    Args:
        target: windows per class; 0 for one window per clip.

    Raises:
        ConfigError: length < 1 or target < 0.
    """
    require(length >= 1, "length", length, ">= 1 frame")
    require(target >= 0, "target", target, ">= 0 windows")
    counts = np.bincount(labels) if len(labels) else np.zeros(0, np.int64)
    places = []
    for k, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        rounds = max(1, math.ceil(target / counts[label]))
        places.append(WindowPlace(k, centered_start(clip, length)))
        places += [WindowPlace(k, further_start(clip, length, rng)) for _ in range(rounds - 1)]
    return places


def cut(clip: ClipSequence, start: int, length: int) -> Window:
    """The window of `length` frames that begins at frame `start` of the clip."""
    frames = np.clip(np.arange(start, start + length), 0, len(clip) - 1)
    flow = None
    if clip.flow is not None:
        flow = np.zeros((length - 1, *clip.flow.shape[1:]), np.float32)
        moves = np.flatnonzero(np.diff(frames))  # repeated frames have no motion
        flow[moves] = clip.flow[frames[moves]]
    return Window(clip.gray[frames], clip.landmarks[frames], flow)


def _clamped(start: int, clip: ClipSequence, length: int) -> int:
    """Move the start so that the window lies inside the clip, or covers a shorter clip."""
    low, high = sorted((0, len(clip) - length))
    return min(max(start, low), high)
