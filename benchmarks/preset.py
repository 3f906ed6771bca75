"""On what the preset's settings were chosen: simulated subjects of no benchmark.

    python benchmarks/preset.py [--jobs N] [--save]

Networks are trained on the first subjects, and judged on the last ones, which are the same for all:
F1 at IoU .5, kind required, mean over seeds. The seeds' spread is what a difference must exceed.
Neither the tables of `networks.py` nor the subjects that `spotters.py` trains or judges on are
drawn with this seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from common import Report
from spotters import judged

from aumer.graph import AUGraph
from aumer.simulate.features import simulate_features
from aumer.spotting.network import NetSpotter
from aumer.training.loop import train
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabelledVideo, from_simulation, subjects_of

SUBJECTS, TESTED, VIDEOS, MINUTES, SEED = 44, 27, 2, 3.0, 910_000
SEEDS = (0, 1, 2)
#: How many train, and what is tried with as many: keys of the training preset.
NO_GRAPH = {"net_overrides": {"layer": "none", "residual_edges": False}}
TRIED: dict[int, dict[str, Mapping[str, Any]]] = {
    17: {
        "the preset": {},
        "layer dense": {"net_overrides": {"layer": "dense"}},
        "no graph": NO_GRAPH,
        "one time scale": {"net_overrides": {"motion_scales_s": []}},
        "no apex branch": {"net_overrides": {"apex_branch": False}},
    },
    3: {
        "the preset": {},
        "layer dense": {"net_overrides": {"layer": "dense"}},
        "no graph": NO_GRAPH,
        "40 epochs": {"epochs": 40},
    },
}


@cache
def population() -> tuple[LabelledVideo, ...]:
    drawn = simulate_features(SUBJECTS, videos=VIDEOS, minutes=MINUTES, seed=SEED, level="medium")
    return from_simulation(drawn)


def of(subjects: Iterable[str]) -> list[LabelledVideo]:
    chosen = set(subjects)
    return [v for v in population() if v.subject in chosen]


def f1(count: int, overrides: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """Trained on `count` subjects: F1 on the tested ones, and CPU seconds."""
    torch.set_num_threads(1)
    everyone = subjects_of(population())
    some, begun = of(everyone[:count]), time.process_time()
    graph = AUGraph.from_annotations([a for v in some for a in v.annotations], au_map="facs")
    made = train(some, TrainSettings.preset("aumer", overrides), graph=graph, seed=seed)
    spent = time.process_time() - begun
    return judged(NetSpotter(made.net, made.decoder), of(everyone[-TESTED:])).f1, spent


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
            report.line()
            report.line(
                f"{f'{count} training subjects':24}{'F1':>6}{'less the preset':>18}   "
                f"{f'seeds {SEEDS}':24}{'CPU s':>6}"
            )
            first: float | None = None
            for name, overrides in tried.items():
                runs = list(pool.map(partial(f1, count, overrides), SEEDS))
                found = [score for score, _ in runs]
                mean = float(np.mean(found))
                first = mean if first is None else first
                seeds = ", ".join(f"{score:.3f}" for score in found)
                spent = np.mean([seconds for _, seconds in runs])
                report.line(f"{name:24}{mean:6.3f}{mean - first:+18.3f}   {seeds:24}{spent:6.0f}")
    if asked.save:
        report.save("preset.txt")


if __name__ == "__main__":
    main()
