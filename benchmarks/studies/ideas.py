"""Ideas that the preset `aumer` does not use, each tried alone: what they cost or gain.

    python -m benchmarks.studies.ideas [--jobs N] [--only IDEA ...] [--save]

Simulated subjects of no benchmark, those of ``studies/preset.py features``: networks are trained on
the first 17 and judged on the last 27, three seeds each. F1 at IoU .5, kind required; the threshold
of each is chosen on inner training subjects. Then how far the scores of what ships are
probabilities, on the same 27.

Several references instead of sums, and no time scale but the row's, are in ``networks ablations``
("one-time-scale") and in `spotformer-like`. The confidence of each ROI is tried as a channel in
``studies/real_pixels.py``: in simulated features it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from aumer import registry
from aumer.config import load_settings
from aumer.evaluation.calibration import reliability
from aumer.graph import AUGraph
from aumer.graph.au import parse
from aumer.spotting.channels import CHANNELS
from aumer.spotting.losses import spot_loss
from aumer.spotting.net_config import NetConfig
from aumer.spotting.parts import Across, Objective, alone
from aumer.spotting.spotnet import SpotNet, TimeConv
from aumer.spotting.targets import TargetEvent, Targets, targets
from aumer.training.loop import train
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo
from aumer.types import Expression, Features
from benchmarks.report import Report, options
from benchmarks.simulated import CHOSEN_ON, chosen_on, judged, overlapping, spotters

TRAINED, SEEDS = 17, (0, 1, 2)

# -- action units as further targets ---------------------------------------------------------------

#: Those that move an ROI and are in the tables; whichever side acts.
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 23, 24, 25, 26)
#: Their weight beside the other terms, and most weight of a row in which one acts.
_WEIGHT, _BOOST = 0.5, 20.0


@registry.register("targets", "aumer-aus")
class WithAUs(Objective):
    """aumer's objective, and which action units act at each row."""

    def targets(self, found: Iterable[TargetEvent], length: int, rate: float) -> Targets:
        """(T, 10 + `AUS`)."""
        every = tuple(found)
        ours = targets(every, length, rate)
        acting = np.zeros((length, len(AUS)), np.float32)
        for event in every:
            for unit in parse(event.aus):
                if unit.number in AUS:
                    acting[event.onset : event.offset + 1, AUS.index(unit.number)] = 1
        return Targets(np.concatenate([ours.values, acting], axis=1), ours.weight)

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """As aumer's, and "aus": a cross-entropy in which each unit's rows have equal weight."""
        tracks = len(CHANNELS)
        terms = spot_loss(logits[..., :tracks], targets[..., :tracks], weight, across=across)
        used = weight > 0
        x, y, w = logits[used][:, tracks:], targets[used][:, tracks:], weight[used][:, None]
        acts, rests = across(torch.stack([(w * y).sum(0), (w * (1 - y)).sum(0)]))
        boost = (rests / acts.clamp(min=1.0)).clamp(1, _BOOST)
        each = (
            F.binary_cross_entropy_with_logits(x, y, reduction="none") * w * (1 + (boost - 1) * y)
        )
        terms["aus"] = each.sum() / (acts * boost + rests).sum().clamp(min=1.0)
        return {**terms, "total": terms["total"] + _WEIGHT * terms["aus"]}


@registry.register("network", "spotnet-aus")
@dataclass(frozen=True)
class NetConfigWithAUs(NetConfig):
    """A `SpotNetWithAUs`."""

    def network(self, graph: AUGraph | None = None) -> SpotNet:
        return SpotNetWithAUs(self, graph)


class SpotNetWithAUs(SpotNet):
    """In training it also says which of `AUS` act, from what the tracks are read from."""

    def __init__(self, config: NetConfig, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        self.au_head = TimeConv(config.widths[-1], len(AUS), config.head_kernel, 1)
        self.head.register_forward_pre_hook(self._seen)
        self._last = torch.empty(0)

    def _seen(self, _: object, inputs: tuple[Tensor, ...]) -> None:
        (self._last,) = inputs

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        tracks = super().forward(x, valid)
        return torch.cat([tracks, self.au_head(self._last)], -1) if self.training else tracks


# -- units -----------------------------------------------------------------------------------------

#: Outer-eye distances a row: a usual median, so that the scale stays about that of the preset.
_USUAL, _LEAST = 1e-3, 1e-4


def in_noise(features: Features) -> Features:
    """Motion in units of the face's noise: the median magnitude of each ROI and axis."""
    moved = np.abs(features.values[features.valid]) / features.eye_distance
    unit = np.maximum(np.median(moved, axis=0), _LEAST)
    return replace(features, values=(features.values / unit * _USUAL).astype(np.float32))


@dataclass(frozen=True)
class Idea:
    """Keys of the training preset, and how features are changed before they are read."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    look: Callable[[Features], Features] | None = None


def _wide(*dilations: int) -> Mapping[str, Any]:
    n = len(dilations)
    shape = {"widths": [64] + [48] * (n - 1), "kernels": [1] + [3] * (n - 1)}
    return {"net_overrides": {**shape, "dilations": list(dilations)}}


IDEAS = {
    "the preset": Idea(),
    "each ROI in units of noise": Idea(look=in_noise),
    "video in units of its median": Idea({"net_overrides": {"video_scaling": True}}),
    "eyelids and head as channels": Idea({"net_overrides": {"signs": True}}),
    "half the context, 2 s": Idea(_wide(1, 1, 1, 2, 4, 8, 16)),
    "twice the context, 6 s": Idea(_wide(1, 1, 1, 2, 4, 8, 16, 32, 64)),
    "AUs as targets": Idea({"targets": "aumer-aus", "net_overrides": {"network": "spotnet-aus"}}),
    "AUs as targets, no graph": Idea(
        {
            "targets": "aumer-aus",
            "net_overrides": {"network": "spotnet-aus", "layer": "none", "residual_edges": False},
        }
    ),
    "growing decoder": Idea({"decoder": "growing"}),
    "published decoder": Idea({"decoder": "casme-sq"}),
}


def shown(idea: Idea, videos: Iterable[LabeledVideo]) -> list[LabeledVideo]:
    if idea.look is None:
        return list(videos)
    return [replace(v, features=idea.look(v.features)) for v in videos]


def outcome(idea: Idea, seed: int) -> float:
    """F1 on the tested subjects."""
    torch.set_num_threads(1)
    some, tested = (shown(idea, videos) for videos in chosen_on(TRAINED))
    graph = AUGraph.from_annotations([a for v in some for a in v.annotations], au_map="facs")
    made = train(some, TrainSettings.preset("aumer", idea.overrides), graph=graph, seed=seed)
    return judged(lambda f: _spotted(made.net.scores(f), made.decoder), tested).f1


def _spotted(scores: Any, decoder: Any) -> tuple[Any, tuple[Expression, ...]]:
    return scores, decoder(scores)


def calibration(report: Report, videos: Sequence[LabeledVideo]) -> None:
    """How many of what ships spots at each score overlap an expression."""
    for name, spot in spotters(load_settings()).items():
        if name == "rules":  # whose scores are no probabilities
            continue
        scores: list[float] = []
        hits: list[bool] = []
        subjects: list[str] = []
        for video in videos:
            spotted = spot(video.features)[1]
            scores += [e.score for e in spotted]
            hits += overlapping(spotted, video).tolist()
            subjects += [video.subject] * len(spotted)
        found = reliability(scores, hits, subjects)
        report.line()
        report.line(f"{name}, as it ships: mean score, share that is right, of how many")
        for k in np.flatnonzero(found.counts):
            low, high = found.edges[k : k + 2]
            report.line(
                f"{low:.1f} to {high:.1f}   {found.confidence[k]:.2f}   {found.accuracy[k]:.2f}"
                f"   {found.counts[k]}"
            )
        report.line(f"expected calibration error {found}, 95 % interval over subjects")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time (default: 1)")
    parser.add_argument("--only", nargs="+", choices=IDEAS, help="these ideas alone")
    asked = parser.parse_args()
    report = Report("Ideas that the preset aumer does not use")
    report.line(
        f"{TRAINED} simulated subjects of level medium to learn from, {CHOSEN_ON.tested} others to "
        "judge on"
    )
    report.line()
    report.line(f"{'':30}{'F1':>6}{'less the preset':>18}   seeds {SEEDS}")
    first: float | None = None
    with ProcessPoolExecutor(asked.jobs) as pool:
        for name in asked.only or IDEAS:
            found = list(pool.map(partial(outcome, IDEAS[name]), SEEDS))
            mean = float(np.mean(found))
            first = mean if first is None else first
            report.line(
                f"{name:30}{mean:6.3f}{mean - first:+18.3f}   "
                + ", ".join(f"{v:.3f}" for v in found)
            )
    if not asked.only:
        calibration(report, chosen_on(TRAINED)[1])
    if asked.save:
        report.save("ideas.txt")


if __name__ == "__main__":
    main()
