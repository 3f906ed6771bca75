"""Simulated faces that several scripts use, and how spotters are judged on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from aumer import demo
from aumer.config import Settings, load_settings
from aumer.evaluation.matching import count
from aumer.motion.analysis import analyze
from aumer.simulate import features as simulator
from aumer.simulate import nuisance
from aumer.simulate.population import Population
from aumer.simulate.timeline import Timeline
from aumer.simulate.video import truth as performed
from aumer.spotting.combined import CombinedSpotter
from aumer.spotting.network import NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.training.faces import another_face
from aumer.training.recordings import Span, by_camera, interrupted, spans
from aumer.training.samples import truth_intervals
from aumer.training.videos import LabeledVideo, from_simulation, subjects_of
from aumer.types import KINDS, Annotation, BoolArray, Counts, Expression, Features, Scores

Spots = Callable[[Features], tuple[Scores, tuple[Expression, ...]]]

#: Expressions from half of their usual size on, or small ones are not learned; and up to one every
#: second and a half, or the rest between two is taken for a third: of micro-expressions of .3 and
#: .5/64 in neutral films `combined` finds 12 and 21 of 21 so, with at most 15 a minute 8 and 17.
#: A third of the subjects move any AUs, and half of the videos show `another_face`: a network that
#: has seen the tables' combinations on one table of movements alone misses mouths on real faces.
_SUBJECTS = Population(160, 500_000, strength=(0.5, 6.0), rate_per_min=(3.0, 40.0), any_aus=0.35)


@dataclass(frozen=True)
class World:
    """What one network of the ensemble that ships is trained on.

    Attributes:
        subjects: population of the videos.
        unlike: share of the videos that show `another_face`.
        seed: of the training.
    """

    subjects: Population
    unlike: float
    seed: int


#: Two of the six networks see more subjects with any AUs, but no face that moves unlike the table:
#: what one kind of training makes a network miss, another finds. Three see the same subjects.
WORLDS = (
    World(_SUBJECTS, 0.5, 0),
    World(replace(_SUBJECTS, seed=510_000, any_aus=0.5), 0.0, 1),
    World(replace(_SUBJECTS, seed=520_000), 0.5, 2),
    World(replace(_SUBJECTS, seed=530_000, any_aus=0.5), 0.0, 3),
    World(_SUBJECTS, 0.5, 1),
    World(_SUBJECTS, 0.5, 2),
)
#: Frames a second of the cameras of `SLOW` of these subjects' videos, the others have 30; and of
#: `CUT` of them nothing is seen but pieces of so many seconds, with such gaps between them. Users'
#: clips are short and begin within expressions, and their cameras differ.
CAMERAS, SLOW, CUT = (10.0, 12.5, 15.0, 20.0, 24.0, 25.0), 0.4, 0.6
PIECES: dict[str, tuple[float, float]] = {"seconds": (1.5, 15.0), "gap_s": (0.5, 4.0)}
#: Seeds of the films that the threshold is chosen on; `accuracy/demo.py` judges on others.
FILMS = range(100, 116)


@dataclass(frozen=True)
class ChosenOn:
    """Simulated subjects of level medium, of no benchmark, on which a network's parts are chosen.

    Attributes:
        tested: how many, the last ones, networks are judged on; the others are there to learn from.
    """

    subjects: int = 44
    tested: int = 27
    videos: int = 2
    minutes: float = 3.0
    seed: int = 910_000


CHOSEN_ON = ChosenOn()


@lru_cache(maxsize=1)
def _chosen_on() -> tuple[LabeledVideo, ...]:
    on = CHOSEN_ON
    drawn = simulator.simulate_features(
        on.subjects, videos=on.videos, minutes=on.minutes, seed=on.seed, level="medium"
    )
    return from_simulation(drawn)


def chosen_on(count: int) -> tuple[list[LabeledVideo], list[LabeledVideo]]:
    """Videos of the first `count` of `CHOSEN_ON`, and of those that are tested."""
    everyone = _chosen_on()
    subjects = subjects_of(everyone)
    first, last = subjects[:count], subjects[-CHOSEN_ON.tested :]
    return [v for v in everyone if v.subject in first], [v for v in everyone if v.subject in last]


def spotters(settings: Settings, network: Path | None = None) -> dict[str, Spots]:
    """By name, with the network that ships or another one."""
    rules = RuleSpotter.from_settings(settings)

    def net() -> NetSpotter:
        return NetSpotter.load(network) if network else NetSpotter.from_settings(settings)

    return {"rules": rules, "network": net(), "combined": CombinedSpotter(settings.rules, net())}


def counts(spotted: Iterable[Expression], video: LabeledVideo) -> Counts:
    """Kinds must agree."""
    truth, spotted = truth_intervals(video), list(spotted)
    return Counts.total(
        count([e.interval for e in spotted if e.kind == kind], truth[kind]) for kind in KINDS
    )


def overlapping(spotted: Sequence[Expression], video: LabeledVideo) -> BoolArray:
    """(N,) whether each overlaps an expression by half or more; kind ignored."""
    truth = [a.interval for a in video.annotations if a.interval is not None]
    return np.array([any(e.interval.iou(t) >= 0.5 for t in truth) for e in spotted], np.bool_)


def judged(spot: Spots, videos: Sequence[LabeledVideo]) -> Counts:
    return Counts.total(counts(spot(v.features)[1], v) for v in videos)


def recorded(
    videos: Iterable[LabeledVideo], seed: int
) -> Iterator[tuple[LabeledVideo, tuple[Span, ...]]]:
    """Each video as some camera gave it, and the pieces that are seen of it; () is all of it."""
    rng = np.random.default_rng(seed)
    for video in videos:
        kept: tuple[Span, ...] = ()
        if rng.random() < CUT:
            kept = spans(video, rng, **PIECES)
        if rng.random() < SLOW:
            video = by_camera(video, float(rng.choice(CAMERAS)), float(rng.random()))
        yield video, kept


def training_videos(world: World) -> tuple[LabeledVideo, ...]:
    """What `accuracy.spotters --train` trains a network on."""
    seed = world.subjects.seed
    rng = np.random.default_rng([seed, 1])
    drawn = from_simulation(world.subjects.draw())
    faces = (another_face(v, rng) if rng.random() < world.unlike else v for v in drawn)
    videos = recorded(faces, seed)
    return tuple(interrupted(video, kept) if kept else video for video, kept in videos)


def films(seeds: Iterable[int], settings: Settings | None = None) -> list[LabeledVideo]:
    """The demo's films, measured as any video is; a film a subject."""
    settings, made = settings or load_settings(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            path = Path(folder) / f"film-{seed}.mp4"
            timeline = demo.film(path, seed)
            annotations = tuple(
                Annotation(path.stem, path.stem, e.kind, e.onset, e.apex, e.offset)
                for e in performed(timeline, demo.FPS)
            )
            features = analyze(path, settings).features
            made.append(LabeledVideo(path.stem, path.stem, features, annotations))
            print(f"{path.stem}: {len(annotations)} expressions", flush=True)
    return made


def alone(name: str, minute: int, *, noise: bool = False) -> Features:
    """A minute of one nuisance of the mean subject, without or with noise of the motion."""
    subject = simulator.Subject(dict.fromkeys(simulator.ACTION_UNITS, (1.0, 1.0)), 1.0)
    return simulator.render(
        Timeline(60.0, ()),
        subject,
        nuisance.load(sorted({name, *(["motion_noise"] if noise else [])})),
        seed=minute,
        name=name,
    )


def rest(
    subjects: int, minutes: float, seed: int, causes: Sequence[str] = nuisance.USUAL
) -> Iterator[Features]:
    """Features of simulated faces at rest, at level "hard", of subjects as they are drawn."""
    _, loudness = simulator.level_constants("hard")
    for k in range(subjects):
        yield simulator.render(
            Timeline(60 * minutes, ()),
            simulator.Subject.draw(np.random.default_rng([seed, k])),
            nuisance.load(causes),
            seed=seed,
            name=f"n{k}",
            loudness=loudness,
        )
