"""On what the preset's settings, and the layer of the weights that ship, were chosen.

    python -m benchmarks.studies.preset features [--jobs N] [--save]
    python -m benchmarks.studies.preset films [--jobs N] [--save]

"features": simulated subjects of no benchmark. Networks are trained on the first ones and judged on
the last, the same for all. "films": trained as the weights that ship, judged on films that nothing
else is judged on: which network sees best what has gone through a camera?

F1 at IoU .5, kind required, mean over seeds; a difference must exceed the seeds' spread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from aumer.graph import AUGraph
from aumer.spotting.network import NetSpotter
from aumer.training.loop import best_threshold, train
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo
from benchmarks.report import Report, options
from benchmarks.simulated import CHOSEN_ON, FILMS, WORLDS, chosen_on, films, judged, training_videos

SEEDS = (0, 1)


@dataclass(frozen=True)
class Variant:
    """Keys of the training preset, and whether the graph is counted on AUs or the identity."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    prior: bool = True


PRESET = Variant()
DENSE = Variant({"net_overrides": {"layer": "dense"}})
NO_GRAPH = Variant({"net_overrides": {"layer": "none", "residual_edges": False}})
#: How many train, and what is tried with as many.
ON_FEATURES: dict[int, dict[str, Variant]] = {
    17: {
        "the preset": PRESET,
        "layer dense": DENSE,
        "no graph": NO_GRAPH,
        "one time scale": Variant({"net_overrides": {"motion_scales_s": []}}),
        "no apex branch": Variant({"net_overrides": {"apex_branch": False}}),
    },
    3: {
        "the preset": PRESET,
        "layer dense": DENSE,
        "no graph": NO_GRAPH,
        "40 epochs": Variant({"epochs": 40}),
    },
}
ON_FILMS = {
    "the preset": PRESET,
    "layer dense": DENSE,
    "layer dense, identity graph": replace(DENSE, prior=False),
    "no graph": NO_GRAPH,
}


@cache
def training() -> tuple[LabeledVideo, ...]:
    """What the weights that ship are trained on."""
    return training_videos(WORLDS[0])


def made(some: Sequence[LabeledVideo], variant: Variant, seed: int) -> NetSpotter:
    torch.set_num_threads(1)
    counted = AUGraph.from_annotations([a for v in some for a in v.annotations], au_map="facs")
    graph = counted if variant.prior else AUGraph.identity()
    trained = train(some, TrainSettings.preset("aumer", variant.overrides), graph=graph, seed=seed)
    return NetSpotter(trained.net, trained.decoder)


def of_few(count: int, variant: Variant, seed: int) -> float:
    """Trained on `count` subjects: F1 on the tested ones."""
    some, tested = chosen_on(count)
    return judged(made(some, variant, seed), tested).f1


def on_films(filmed: Sequence[LabeledVideo], variant: Variant, seed: int) -> float:
    """Trained as the weights that ship: F1 on films at the threshold that suits them."""
    network = made(training(), variant, seed)
    threshold = best_threshold(network.net, network.decoder, filmed)
    decoder = replace(network.decoder, threshold=threshold)
    return judged(NetSpotter(network.net, decoder), filmed).f1


def table(
    report: Report,
    title: str,
    tried: Mapping[str, Variant],
    outcomes: Callable[[Variant], Iterable[float]],
) -> None:
    """A row a variant, the first being the preset."""
    report.line()
    report.line(f"{title:28}{'F1':>6}{'less the preset':>18}   seeds {SEEDS}")
    first: float | None = None
    for name, variant in tried.items():
        found = list(outcomes(variant))
        mean = float(np.mean(found))
        first = mean if first is None else first
        report.line(
            f"{name:28}{mean:6.3f}{mean - first:+18.3f}   " + ", ".join(f"{v:.3f}" for v in found)
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("table", choices=("features", "films"))
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time (default: 1)")
    asked = parser.parse_args()
    report = Report("What was tried for the preset aumer")
    with ProcessPoolExecutor(asked.jobs) as pool:
        if asked.table == "features":
            report.line(
                f"{CHOSEN_ON.subjects} subjects of level medium, {CHOSEN_ON.videos} videos of "
                f"{CHOSEN_ON.minutes:g} minutes each, seed {CHOSEN_ON.seed}; the last "
                f"{CHOSEN_ON.tested} are tested"
            )
            for count, tried in ON_FEATURES.items():
                few = partial(of_few, count)
                title = f"{count} training subjects"
                table(report, title, tried, lambda v, few=few: pool.map(partial(few, v), SEEDS))
        else:
            report.line(f"Trained as the first network that ships: {WORLDS[0].subjects}")
            report.line(
                f"Judged on {len(FILMS)} films of the demo, seeds {FILMS[0]} to {FILMS[-1]}, at "
                "the threshold that suits each network best there"
            )
            filmed = partial(on_films, films(FILMS))
            table(report, "films", ON_FILMS, lambda v: pool.map(partial(filmed, v), SEEDS))
    if asked.save:
        report.save(f"preset-{asked.table}.txt")


if __name__ == "__main__":
    main()
