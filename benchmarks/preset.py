"""On what the preset's settings were chosen: simulated subjects of no benchmark.

    python benchmarks/preset.py [--jobs N] [--save]

Networks are trained on the first subjects, and judged on the last ones, which are the same for all:
F1 at IoU .5, kind required, mean over seeds. The seeds' spread is what a difference must exceed.
Neither the tables of `networks.py` nor the subjects that `spotters.py` trains or judges on are
drawn with this seed. The last table is of networks trained as those that ship, on films that
nothing else is judged on: which network sees best what has gone through a camera?
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from common import Report
from spotters import FILMS, TRAINING, films, judged

from aumer.graph import AUGraph
from aumer.simulate.features import simulate_features
from aumer.spotting.network import NetSpotter
from aumer.training.loop import best_threshold, train
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabelledVideo, from_simulation, subjects_of

SUBJECTS, TESTED, VIDEOS, MINUTES, SEED = 44, 27, 2, 3.0, 910_000
SEEDS = (0, 1)
NO_GRAPH = {"net_overrides": {"layer": "none", "residual_edges": False}}
DENSE = {"net_overrides": {"layer": "dense"}}
#: How many train, and what is tried with as many: keys of the training preset.
TRIED: dict[int, dict[str, Mapping[str, Any]]] = {
    17: {
        "the preset": {},
        "layer dense": DENSE,
        "no graph": NO_GRAPH,
        "one time scale": {"net_overrides": {"motion_scales_s": []}},
        "no apex branch": {"net_overrides": {"apex_branch": False}},
    },
    3: {
        "the preset": {},
        "layer dense": DENSE,
        "no graph": NO_GRAPH,
        "40 epochs": {"epochs": 40},
    },
}
ON_FILMS = {"the preset": {}, "layer dense": DENSE, "no graph": NO_GRAPH}


@cache
def population() -> tuple[LabelledVideo, ...]:
    drawn = simulate_features(SUBJECTS, videos=VIDEOS, minutes=MINUTES, seed=SEED, level="medium")
    return from_simulation(drawn)


@cache
def training() -> tuple[LabelledVideo, ...]:
    """What the weights that ship are trained on."""
    return from_simulation(TRAINING.draw())


def made(some: Sequence[LabelledVideo], overrides: Mapping[str, Any], seed: int) -> NetSpotter:
    torch.set_num_threads(1)
    graph = AUGraph.from_annotations([a for v in some for a in v.annotations], au_map="facs")
    trained = train(some, TrainSettings.preset("aumer", overrides), graph=graph, seed=seed)
    return NetSpotter(trained.net, trained.decoder)


def of_few(count: int, overrides: Mapping[str, Any], seed: int) -> float:
    """Trained on `count` subjects: F1 on the tested ones."""
    everyone = subjects_of(population())
    some, tested = (
        [v for v in population() if v.subject in subjects]
        for subjects in (everyone[:count], everyone[-TESTED:])
    )
    return judged(made(some, overrides, seed), tested).f1


def on_films(filmed: Sequence[LabelledVideo], overrides: Mapping[str, Any], seed: int) -> float:
    """Trained as the weights that ship: F1 on films at the threshold that suits them."""
    network = made(training(), overrides, seed)
    threshold = best_threshold(network.net, network.decoder, filmed)
    decoder = replace(network.decoder, threshold=threshold)
    return judged(NetSpotter(network.net, decoder), filmed).f1


def table(
    report: Report,
    title: str,
    tried: Mapping[str, Mapping[str, Any]],
    outcomes: Callable[[Mapping[str, Any]], Iterable[float]],
) -> None:
    """A row a variant, the first being the preset."""
    report.line()
    report.line(f"{title:28}{'F1':>6}{'less the preset':>18}   seeds {SEEDS}")
    first: float | None = None
    for name, overrides in tried.items():
        found = list(outcomes(overrides))
        mean = float(np.mean(found))
        first = mean if first is None else first
        report.line(
            f"{name:28}{mean:6.3f}{mean - first:+18.3f}   " + ", ".join(f"{v:.3f}" for v in found)
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time (default: 1)")
    parser.add_argument("--save", action="store_true", help="keep the report in results/")
    asked = parser.parse_args()
    report = Report("What was tried for the preset aumer")
    report.line(
        f"{SUBJECTS} subjects of level medium, {VIDEOS} videos of {MINUTES:g} minutes each, seed "
        f"{SEED}; the last {TESTED} are tested"
    )
    with ProcessPoolExecutor(asked.jobs) as pool:
        for count, tried in TRIED.items():
            table(
                report,
                f"{count} training subjects",
                tried,
                lambda overrides, count=count: pool.map(partial(of_few, count, overrides), SEEDS),
            )
        filmed = films(FILMS)
        table(
            report,
            "films",
            ON_FILMS,
            lambda overrides: pool.map(partial(on_films, filmed, overrides), SEEDS),
        )
    report.line(
        f"films: trained as the weights that ship ({TRAINING}), judged on the demo's films of "
        f"seeds {FILMS[0]} to {FILMS[-1]}, each at the threshold that suits it best there"
    )
    if asked.save:
        report.save("preset.txt")


if __name__ == "__main__":
    main()
