"""Simulated faces that several scripts use, and how spotters are judged on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from aumer import demo
from aumer.config import Settings, load_settings
from aumer.evaluation.matching import count
from aumer.motion.analysis import analyse
from aumer.simulate import features as simulator
from aumer.simulate import nuisance
from aumer.simulate.population import Population
from aumer.simulate.timeline import Timeline
from aumer.simulate.video import truth as performed
from aumer.training.samples import truth_intervals
from aumer.training.videos import LabeledVideo
from aumer.types import KINDS, Annotation, Counts, Expression, Features, Scores

Spots = Callable[[Features], tuple[Scores, tuple[Expression, ...]]]

#: What the weights that ship are trained on.
#: Expressions from half of their usual size on, or small ones are not learned; and up to one every
#: second and a half, or the rest between two is taken for a third: of micro-expressions of .3 and
#: .5/64 in neutral films `combined` finds 12 and 21 of 21 so, with at most 15 a minute 8 and 17.
TRAINING = Population(160, 500_000, strength=(0.5, 6.0), rate_per_min=(3.0, 40.0))
#: Seeds of the films that the threshold is chosen on; `accuracy/demo.py` judges on others.
FILMS = range(100, 116)


def counts(spotted: Iterable[Expression], video: LabeledVideo) -> Counts:
    """Kinds must agree."""
    truth, spotted = truth_intervals(video), list(spotted)
    return Counts.total(
        count([e.interval for e in spotted if e.kind == kind], truth[kind]) for kind in KINDS
    )


def judged(spot: Spots, videos: Sequence[LabeledVideo]) -> Counts:
    return Counts.total(counts(spot(v.features)[1], v) for v in videos)


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
            features = analyse(path, settings).features
            made.append(LabeledVideo(path.stem, path.stem, features, annotations))
            print(f"{path.stem}: {len(annotations)} expressions", flush=True)
    return made


def alone(name: str, minute: int) -> Features:
    """A minute of one nuisance of the mean subject."""
    subject = simulator.Subject(dict.fromkeys(simulator.ACTION_UNITS, (1.0, 1.0)), 1.0)
    return simulator.render(
        Timeline(60.0, ()), subject, nuisance.load([name]), seed=minute, name=name
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
