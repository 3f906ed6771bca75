"""Short films of a real portrait acting known action units, and faces cut from them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aumer.motion import AlignedFace, align
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance
from aumer.simulate.warp import Face

SMILE, BROWS_UP, BROWS_DOWN = (6, 12), (1, 2, 5), (4,)
#: Seconds of every performance, and when it begins, peaks, is let go and ends.
LENGTH_S, ONSET_S, APEX_S, RELEASE_S, OFFSET_S = 1.2, 0.2, 0.5, 0.7, 1.0


@lru_cache(maxsize=1)
def face() -> Face:
    return Face(None, (320, 240))


def film(aus: tuple[int, ...], intensity: float = 0.5, *, seed: int = 0) -> Film:
    """One expression of a head that sways and turns a little, in light that changes."""
    event = Event(
        "macro",
        tuple((au, "both") for au in aus),
        ONSET_S,
        APEX_S,
        RELEASE_S,
        OFFSET_S,
        intensity,
    )
    nuisance = Nuisance.none(sway=1.0, turns=1.0, light=1.0, noise=1.0)
    return Film(Timeline(LENGTH_S, (event,)), nuisance=nuisance, seed=seed, face=face())


@lru_cache(maxsize=8)
def frames(aus: tuple[int, ...], intensity: float = 0.5, fps: int = 30) -> npt.NDArray[np.uint8]:
    """(T, H, W, 3) uint8 RGB."""
    acted = film(aus, intensity)
    return np.stack([acted.frame(k / fps, k) for k in range(round(LENGTH_S * fps))])


def aligned(acted: Film, t: float, crop: int = 128) -> AlignedFace:
    """The face at t (s), by its true landmarks."""
    return align(acted.frame(t, round(1000 * t)), acted.landmarks(t).astype(np.float32), crop)
