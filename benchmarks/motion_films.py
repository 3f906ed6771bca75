"""The films of `accuracy/motion.py`: real neutral stretches with known motion, or light, played in.

Lengths of motion are in u: 1 u is 1/64 of the mean face's outer-eye distance as the rigid landmarks
set it in the picture (`Clip.to_face`), that is 1 px of the 128 px crop, at any crop. (A person's
own outer eye corners lie .96 to 1.11 of that apart.) x goes to the image's right and y down, in
the face's upright frame; ROIs are the 12 published ones, in their order. Images are (H, W, 3) uint8
RGB. How motion is played into a frame, `aumer.simulate.neutral_motion` says; everything is drawn by
seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.face.crop import applied, similarity
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.simulate.anatomy import Action
from aumer.simulate.neutral_motion import ROIS, Array, Field, Skin, dithered, moved
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film as SimulatedFilm
from aumer.simulate.video import Nuisance
from aumer.simulate.warp import Face, spline_coefficients
from aumer.testing.bumps import WINDOW, U, bump
from aumer.types import ImageArray
from benchmarks.chains import default_tracker
from benchmarks.data import rate_of, read_clip

_ROI, _RIGID = list(ROIS.landmarks), list(RIGID)

#: Neutral stretches for pairs: (file, first frame, last frame, whom it shows). The two fex clips
#: may show one man and count as one. webcam_mixed has two blinks, smile_512 gaze shifts; most of
#: webcam_posed's first frames repeat the one before.
NEUTRAL = (
    ("still_neutral.mp4", 0, 90, "red shirt"),
    ("fex_smile_still.mov", 0, 58, "fex"),
    ("webcam_mixed.mp4", 0, 64, "round glasses"),
    ("fex_two_smiles.mov", 0, 30, "fex"),
    ("talking_neutral.mpg", 0, 11, "grid"),
    ("selfie_smile.mp4", 0, 13, "selfie"),
    ("smile_512.mp4", 0, 9, "green screen"),
    ("webcam_posed.mp4", 10, 24, "posed"),
)  # fmt: skip
#: Neutral stretches long enough for a film: (file, first, last, whom, expressions at once).
LONG = (
    ("still_neutral.mp4", 0, 300, "red shirt", 7),
    ("fex_smile_still.mov", 0, 58, "fex", 1),
    ("webcam_mixed.mp4", 0, 64, "round glasses", 1),
)  # fmt: skip
#: Neutral stretches by what goes on: (kind, file, first, last, whom), found by looking at them.
#: Eyes close in webcam_mixed 10-18, 36-46, 380-390 and 422-430, in webcam_posed 425-430 (where the
#: head rises), in talking_neutral 42-46 and 50-56. selfie_smile is held in the hand.
NOISE = (
    ("still", "still_neutral.mp4", 0, 300, "red shirt"),
    ("still", "fex_smile_still.mov", 0, 58, "fex"),
    ("still", "fex_two_smiles.mov", 0, 30, "fex"),
    ("still", "webcam_posed.mp4", 10, 24, "posed"),
    ("still", "selfie_smile.mp4", 0, 13, "selfie"),
    ("still", "webcam_mixed.mp4", 25, 34, "round glasses"),
    ("blinking", "webcam_mixed.mp4", 0, 64, "round glasses"),
    ("blinking", "webcam_posed.mp4", 424, 440, "posed"),
    ("talking", "talking_neutral.mpg", 0, 74, "grid"),
    ("turning", "webcam_posed.mp4", 485, 640, "posed"),
    ("turning", "webcam_posed.mp4", 695, 764, "posed"),
    ("turning", "webcam_mixed.mp4", 386, 444, "round glasses"),
)  # fmt: skip

#: What is played into the films: the simulator's fields of these AUs, and the largest displacement
#: of any ROI in CASME II's median clip (u; field.md, section 7).
EXPRESSIONS: dict[str, tuple[tuple[Action, ...], float]] = {
    "4": (((4, "both"),), 0.94),
    "1+2": (((1, "both"), (2, "both")), 0.77),
    "12": (((12, "both"),), 0.26),
    "14": (((14, "both"),), 0.83),
    "17": (((17, "both"),), 0.58),
    "4+7": (((4, "both"), (7, "both")), 0.58),
    "4+10": (((4, "both"), (10, "both")), 0.70),
}
#: Seconds from onset to apex (10, 50, 90 % of CASME II's), taken in turn, and from apex to offset.
RISES, FALL = (0.165, 0.09, 0.275), 0.3
#: Largest displacements of any ROI in the films (u).
HEIGHTS = (0.2, 0.4, 0.7, 1.0, 1.4)
#: What moves further than a micro-expression, and how far (u): a jaw that drops.
JAW, JAW_HEIGHTS = ((26, "both"),), (2.0, 4.0, 6.0)
#: Amplitudes of the pairs (u).
AMPLITUDES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
#: Sigma of the bumps (outer-eye distances), drawn uniformly.
SIGMAS = (0.11, 0.19)
#: Frames of a pair's window before the motion and with it.
BEFORE, AFTER = 4, 4


# -- clips -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Clip:
    """A neutral stretch of a real video, with its landmarks by aumer's default face tracker.

    Attributes:
        skin: where the face is in each frame.
    """

    name: str
    first: int
    person: str
    fps: float
    frames: list[ImageArray]
    skin: Skin

    @property
    def landmarks(self) -> Array:
        """(T, 68, 2) px."""
        return self.skin.landmarks

    @property
    def to_face(self) -> Array:
        """(T, 2, 3), image to the face's frame."""
        return self.skin.to_face

    @property
    def mean(self) -> Array:
        """(68, 2): the landmarks' median in the face's frame."""
        return self.skin.mean

    @property
    def label(self) -> str:
        return f"{self.name} {self.first}-{self.first + len(self.frames) - 1}"

    @property
    def times(self) -> Array:
        return np.arange(len(self.frames)) / self.fps


@lru_cache(maxsize=32)
def clip(name: str, first: int, last: int, person: str) -> Clip:
    """Frames `first` to `last` of a shared clip, decoded and tracked once in a run."""
    frames = read_clip(name, first, last)
    return Clip(name, first, person, rate_of(name), frames, Skin.of(default_tracker(frames)))


# -- motion ----------------------------------------------------------------------------------------


def expression(where: Clip, actions: Sequence[Action]) -> Field:
    """The simulator's field of AUs on this face; 1 u at the ROI that moves furthest."""
    field = where.skin.field(actions)
    return field.scaled(1 / (U * field.reach))


# -- films -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moment:
    """A movement in a film: seconds of its onset, apex and offset, and the largest ROI's u."""

    name: str
    onset: float
    apex: float
    offset: float
    height: float
    field: Field

    @property
    def rise(self) -> float:
        return self.apex - self.onset

    def level(self, times: Array) -> Array:
        """Share of the height in u: raised cosines; a movement without an offset stays."""
        rise = (times - self.onset) / max(self.rise, 1e-9)
        share = np.clip(rise, 0, 1)
        if np.isfinite(self.offset):
            share = share.clip(max=(self.offset - times).clip(0) / (self.offset - self.apex))
        return self.height * (0.5 - 0.5 * np.cos(np.pi * share))


@dataclass(frozen=True, eq=False)
class Film:
    """A neutral stretch, and movements that can be played into it.

    Attributes:
        start, stop: the clip's frames that are shown.
        roi: whose landmark a pair's bump lies round; `None` of other films.
    """

    clip: Clip
    start: int
    stop: int
    moments: tuple[Moment, ...]
    seed: int = 0
    roi: int | None = None
    sigma: float = 0.0

    @property
    def fps(self) -> float:
        return self.clip.fps

    @property
    def times(self) -> Array:
        """(T,) seconds from the film's first frame."""
        return np.arange(self.stop - self.start) / self.fps

    @property
    def landmarks(self) -> Array:
        """(T, 68, 2) px, of the neutral film."""
        return self.clip.landmarks[self.start : self.stop]

    @property
    def middle(self) -> Array:
        """(T, 12, 2) u: displacement of the ROIs' landmarks from where they are at rest."""
        return self._played([moment.field.truth for moment in self.moments])

    @property
    def truth(self) -> Array:
        """(T, 12, 2) u: displacement of the ROIs, each the mean over its `WINDOW`."""
        places = self.clip.mean[_ROI][:, None] + WINDOW
        return self._played([moment.field.shift(places).mean(axis=1) for moment in self.moments])

    def _played(self, heights: Sequence[Array]) -> Array:
        moved = np.zeros((self.stop - self.start, len(ROIS), 2))
        for moment, height in zip(self.moments, heights, strict=True):
            moved += moment.level(self.times)[:, None, None] * (height * U)
        return moved

    def still(self) -> list[ImageArray]:
        """The frames as they are."""
        return self.clip.frames[self.start : self.stop]

    def moved(self) -> list[ImageArray]:
        """The frames with the movements played in."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(self.moved_frame, range(self.stop - self.start)))

    def moved_frame(self, k: int) -> ImageArray:
        """The film's frame `k` with the movements played in."""
        place = self.start + k
        motions = [(m.field, float(m.level(self.times[k : k + 1])[0])) for m in self.moments]
        seed = (self.seed, place)
        return moved(self.clip.frames[place], self.clip.to_face[place], motions, seed)


def frame_pairs(
    amplitudes: Sequence[float] = AMPLITUDES,
    stretches: Sequence[tuple[str, int, int, str]] = NEUTRAL,
    rois: Sequence[int] = tuple(range(len(ROIS))),
    places: int = 1,
) -> Iterator[Film]:
    """Windows of `BEFORE` + `AFTER` neutral frames; from frame `BEFORE` on a bump lies round a ROI.

    Of each stretch there are `places` for each ROI, at a time, in a direction and of a sigma of its
    own, at every amplitude (u). The bare pair is frames `BEFORE` - 1 and `BEFORE`.
    """
    for number, stretch in enumerate(stretches):
        where = clip(*stretch)
        room = len(where.frames) - BEFORE - AFTER
        for roi, place in product(rois, range(places)):
            seed = (17, number, roi)  # the first place is that of the tables before there were more
            rng = np.random.default_rng((*seed, place) if place else seed)
            angle, sigma = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(*SIGMAS))
            start = int(rng.integers(0, room + 1))
            field = bump(where.skin, roi, sigma, angle)
            at = (BEFORE - 0.5) / where.fps
            for amplitude in amplitudes:
                moment = Moment("bump", at, at, np.inf, amplitude, field)
                noise = 10_000 * place + 100 * number + roi
                yield Film(where, start, start + BEFORE + AFTER, (moment,), noise, roi, sigma)


def films(
    heights: Sequence[float] = HEIGHTS,
    clips: Sequence[tuple[str, int, int, str, int]] = LONG,
    names: Sequence[str] = tuple(EXPRESSIONS),
) -> Iterator[Film]:
    """Neutral films with a micro-expression, or several with a rest between, at every height (u).

    Apexes lie on a frame.
    """
    for number, (name, first, last, person, together) in enumerate(clips):
        where = clip(name, first, last, person)
        fields = {n: expression(where, EXPRESSIONS[n][0]) for n in names}
        for height in heights:
            for group in range(0, len(names), together):
                moments = []
                chosen = names[group : group + together]
                each = len(where.frames) / where.fps / len(chosen)
                for k, which in enumerate(chosen):
                    apex = round((k + 0.5) * each * where.fps) / where.fps
                    rise = RISES[(group + k + number) % len(RISES)]
                    moments.append(
                        Moment(which, apex - rise, apex, apex + FALL, height, fields[which])
                    )
                yield Film(where, 0, len(where.frames), tuple(moments), 1000 + number)


def jaw_drops(heights: Sequence[float] = JAW_HEIGHTS) -> Iterator[Film]:
    """The same with a jaw that drops further than any micro-expression, in .3 s."""
    for number, (name, first, last, person, _) in enumerate(LONG[1:]):
        where = clip(name, first, last, person)
        field = expression(where, JAW)
        for height in heights:
            apex = round(0.5 * len(where.frames)) / where.fps
            moment = Moment("26", apex - 0.3, apex, apex + 0.4, height, field)
            yield Film(where, 0, len(where.frames), (moment,), 2000 + number)


@dataclass(frozen=True, eq=False)
class Stretch:
    """A neutral stretch whose motion is not known: nothing of it is an expression.

    Attributes:
        kind: "still", "blinking", "talking" or "turning".
    """

    kind: str
    clip: Clip


def noise_stretches(kinds: Sequence[str] | None = None) -> Iterator[Stretch]:
    """The stretches of `NOISE`."""
    for kind, *stretch in NOISE:
        if kinds is None or kind in kinds:
            yield Stretch(kind, clip(*stretch))


# -- light -----------------------------------------------------------------------------------------

#: Frames of a clip -> the same in another light.
Light = Callable[[Clip], list[ImageArray]]


def lights() -> Mapping[str, Light]:
    """Changes of light by up to 10 %, each as a film of a clip's frames."""

    def pulse(hz: float, *, offset: bool = False) -> Light:
        def wave(t: float) -> float:
            return 0.1 * float(np.sin(2 * np.pi * hz * t))

        if offset:
            return lambda c: _lit(c, lambda t, k: (1.0, 255 / 2 * wave(t)))
        return lambda c: _lit(c, lambda t, k: (1 + wave(t), 0.0))

    def dip(t: float, k: int) -> tuple[float, float]:
        since = (t - 0.6) % 1.5 if t >= 0.6 else -1.0
        if since < 0:
            return 1.0, 0.0
        return 1 - 0.1 * min(since / 0.067, 1.0) * float(np.exp(-max(since - 0.067, 0) / 0.4)), 0.0

    return {
        "gain +-10 %, .3 Hz": pulse(0.3),
        "gain +-10 %, .7 Hz": pulse(0.7),
        "gain +-10 %, 3 Hz": pulse(3.0),
        "offset +-13 gray, .3 Hz": pulse(0.3, offset=True),
        "offset +-13 gray, 3 Hz": pulse(3.0, offset=True),
        "step down by 10 % at 1 s": lambda c: _lit(c, lambda t, k: (1.0 if t < 1 else 0.9, 0.0)),
        "auto-exposure: dips of 10 %": lambda c: _lit(c, dip),
        "flicker, every other frame": lambda c: _lit(c, lambda t, k: (0.9 if k % 2 else 1.0, 0.0)),
        "flicker, bands that roll": lambda c: _lit(c, _bands(c)),
        "colored light sweeps, 1 Hz": lambda c: _lit(c, _sweep(c, 1.0)),
        "colored light sweeps, 3 Hz": lambda c: _lit(c, _sweep(c, 3.0)),
        "colored light jumps (a film)": lambda c: _lit(c, _cuts(c)),
    }


Gain = Callable[[float, int], "tuple[npt.NDArray[Any] | float, float]"]


def _lit(where: Clip, light: Gain) -> list[ImageArray]:
    frames = []
    for k, image in enumerate(where.frames):
        gain, offset = light(k / where.fps, k)
        frames.append(dithered(image * np.asarray(gain, np.float32) + offset, (5, k)))
    return frames


def _upright(where: Clip) -> Array:
    """(H, W, 2): where the pixels of the first frame lie in the face's frame."""
    height, width = where.frames[0].shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2)
    return applied(where.to_face[0], grid.astype(np.float64)).reshape(height, width, 2)


def _bands(where: Clip) -> Gain:
    """Mains light under a rolling shutter: bands of +-5 %, two face heights long."""
    y = _upright(where)[..., 1]
    return lambda t, k: (1 - 0.05 + 0.05 * np.sin(2 * np.pi * (y / 2 - 1.3 * t))[..., None], 0.0)


def _sweep(where: Clip, hz: float) -> Gain:
    """A soft edge of colored light, a third of an outer-eye distance wide, crosses the face."""
    x = _upright(where) @ (0.9, 0.436)

    def gain(t: float, k: int) -> tuple[npt.NDArray[Any], float]:
        number, share = divmod(t * hz, 1.0)
        color = np.array(_COLORS[int(number) % len(_COLORS)])
        edge = 1 / (1 + np.exp((x - (3.0 * share - 1.5)) / 0.08))
        before = np.array(_COLORS[int(number - 1) % len(_COLORS)])
        return 1 + 0.1 * (edge[..., None] * color + (1 - edge[..., None]) * before), 0.0

    return gain


def _cuts(where: Clip) -> Gain:
    """The light of a film's pictures, another every .4 s: a color, stronger on one side."""
    points = _upright(where)

    def gain(t: float, k: int) -> tuple[npt.NDArray[Any], float]:
        rng = np.random.default_rng([8, int(t / 0.4)])
        color, angle = rng.uniform(-1, 1, 3), rng.uniform(0, 2 * np.pi)
        along = np.clip(points @ (np.cos(angle), np.sin(angle)), -1, 1)
        return 1 + 0.05 * color * (1 + along)[..., None], 0.0

    return gain


_COLORS = ((-0.2, 0.1, 1.0), (1.0, 0.3, -0.4), (-0.6, -0.6, -0.4), (0.3, 1.0, 0.2), (0, 0, 0))


# -- simulated -------------------------------------------------------------------------------------

#: The simulated performance: three micro-expressions and a smile in 4 s.
PERFORMANCE = Timeline(
    4.0,
    (
        Event("micro", ((4, "both"),), 0.4, 0.4 + RISES[0], 0.6, 0.85, 0.2),
        Event("micro", ((12, "both"),), 1.2, 1.2 + RISES[2], 1.5, 1.75, 0.08),
        Event("micro", ((1, "both"), (2, "both")), 2.0, 2.0 + RISES[0], 2.2, 2.4, 0.12),
        Event("macro", ((6, "both"), (12, "both")), 2.7, 3.0, 3.3, 3.7, 0.4),
    ),
)


def simulated(size: tuple[int, int], *, sway: float = 0.0) -> SimulatedFilm:
    """`PERFORMANCE` by the simulator's astronaut, with the sensor's noise."""
    return SimulatedFilm(
        PERFORMANCE,
        nuisance=Nuisance.none(noise=1.0, sway=sway, turns=sway),
        seed=4,
        face=Face(None, size),
    )


def simulated_truth(film: SimulatedFilm, times: Array) -> Array:
    """(T, 12, 2) u: displacement of the ROIs' landmarks by expression alone."""
    face = film.face
    to_face = similarity(face.landmarks[_RIGID], MEAN_FACE[_RIGID, :2])
    points = face.landmarks[_ROI]
    lower = np.array([landmark in range(55, 60) for landmark in _ROI])
    rows = []
    for t in times:
        sheets = face.expression(film.performance.actions(float(t)))
        upper, below = (face.lattice.at(spline_coefficients(s), points) for s in sheets)
        rows.append(np.where(lower[:, None], below, upper) @ to_face[:, :2].T * U)
    return np.stack(rows)
