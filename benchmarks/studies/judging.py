"""Make the judge that ships: what the proposals of rules and network are worth (`judge.Judge`).

    python -m benchmarks.studies.judging PATH [--overwrite]

It is fitted with the network that ships, on simulated subjects that it was not trained on, whose
faces move unlike the simulator's table (`aumer.training.faces`): each ROI farther or less, mixed
with others of its region, at another pace, with more drift; a third of them by any AUs. On faces of
that table alone a network errs less than on real ones, and a judge fitted there would believe it
too much. What a video's end or a lost face cuts off is judged as the rest, but for one constant,
which is fitted on the same faces in short pieces.

Thresholds are then read off false alarms in simulated minutes of rest at level "hard". No real
video is looked at. It takes about five minutes on one core.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize

from aumer.config import load_settings
from aumer.files import atomic_write, check_target
from aumer.session import versions
from aumer.simulate import nuisance
from aumer.simulate.population import Population
from aumer.spotting import judge
from aumer.spotting.combined import CombinedSpotter
from aumer.spotting.network import SHIPPED, NetSpotter
from aumer.training.faces import another_face
from aumer.training.recordings import separated
from aumer.training.videos import LabeledVideo, from_simulation
from benchmarks.report import options
from benchmarks.simulated import CAMERAS, CUT, PIECES, SLOW, overlapping, recorded, rest

Array = npt.NDArray[np.float64]

#: Subjects of the fit: restless and acting ones, in whom a face is never lost.
SUBJECTS = Population(
    60,
    920_000,
    strength=(0.5, 6.0),
    rate_per_min=(4.0, 25.0),
    nuisances=tuple(name for name in nuisance.USUAL if name != "lost_faces"),
    any_aus=0.35,
)
#: Subjects and minutes of rest, and the seed, that false alarms are counted in.
REST, MINUTES, REST_SEED = 60, 4.0, 31
#: Thresholds at which they are counted, and the false alarms a minute of the named ones, at most.
#: On other simulated subjects F1 is the same, within .005, from .15 to .3 a minute; "normal" finds
#: what `tests/spotting/test_operating_point.py` promises of the smallest movements in real noise.
THRESHOLDS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
NAMED = {"low": 0.1, "normal": 0.25, "high": 0.5}
#: Penalty on the squared weights of standardized readings, per proposal.
RIDGE = 1e-3


def fitted(read: Array, correct: Array) -> tuple[Array, float]:
    """Weights and bias of the logistic model of (N, `judge.READS`), by penalized likelihood."""
    mean, sd = read.mean(axis=0), read.std(axis=0) + 1e-9
    x = (read - mean) / sd

    def loss(w: Array) -> tuple[float, Array]:
        odds = x @ w[:-1] + w[-1]
        p = 1 / (1 + np.exp(-odds))
        value = np.logaddexp(0, odds) - correct * odds
        slope = np.append(x.T @ (p - correct) / len(x) + 2 * RIDGE * w[:-1], (p - correct).mean())
        return float(value.mean() + RIDGE * (w[:-1] ** 2).sum()), slope

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weights = found[:-1] / sd
    return weights, float(found[-1] - weights @ mean)


def shifted(odds: Array, correct: Array) -> float:
    """What is added to log odds that are right but for one constant."""

    def excess(more: float) -> float:
        return float((1 / (1 + np.exp(-odds - more)) - correct).mean())

    return float(brentq(excess, -10.0, 10.0))


def proposed(spotter: CombinedSpotter, videos: Iterable[LabeledVideo]) -> tuple[Array, Array]:
    """What is read of all proposals, (N, `judge.READS`), and which of them are `right`, (N,)."""
    read, correct = [], []
    for video in videos:
        _, proposals, what = spotter.proposals(video.features)
        read.append(what)
        correct.append(overlapping(proposals, video).astype(np.float64))
    return np.concatenate(read), np.concatenate(correct)


def made(spotter: CombinedSpotter) -> judge.Judge:
    """Fitted on what is seen whole; then what is cut off is given a constant of its own.

    So that it is not seen to return is not held against it, and whole expressions are judged as if
    no video were ever cut.
    """
    rng = np.random.default_rng(SUBJECTS.seed)
    whole = [another_face(v, rng) for v in from_simulation(SUBJECTS.draw())]
    pieces = (p for v, kept in recorded(whole, SUBJECTS.seed) if kept for p in separated(v, kept))
    cut_at = judge.READS.index("cut")
    read, correct = proposed(spotter, whole)
    seen = read[:, cut_at] == 0
    weights, bias = fitted(read[seen], correct[seen])
    cut_read, cut_correct = proposed(spotter, pieces)
    cut = cut_read[:, cut_at] == 1  # at one end: none is spotted that is cut off at both
    weights[cut_at] = 0.0
    weights[cut_at] = shifted(cut_read[cut] @ weights + bias, cut_correct[cut])
    card: dict[str, Any] = {
        "made_by": "python -m benchmarks.studies.judging PATH",
        "licence": "Apache-2.0",
        "data": {
            "what": "simulated features made unlike the simulator's: no real face is in them",
            "population": dict(vars(SUBJECTS)),
            "proposals": int(seen.sum()),
            "right": int(correct[seen].sum()),
            "cut": {
                "slower_cameras": {"share": SLOW, "fps": list(CAMERAS)},
                "cut_into_pieces": {"share": CUT, **{k: list(v) for k, v in PIECES.items()}},
                "proposals": int(cut.sum()),
                "right": int(cut_correct[cut].sum()),
            },
        },
        "rest": f"{REST} simulated subjects, {MINUTES:g} minutes each, level hard",
        "versions": versions(),
    }
    network = spotter.digests["weights"]
    named_weights = {n: float(w) for n, w in zip(judge.READS, weights, strict=True)}
    judged = judge.Judge(named_weights, bias, network, {}, (), card)
    minutes, alarms = 0.0, np.zeros(len(THRESHOLDS), int)
    for features in rest(REST, MINUTES, REST_SEED):
        _, proposals, what = spotter.proposals(features)
        p = judged.probabilities(what)
        alarms += [len(judge.chosen(proposals, p, threshold)) for threshold in THRESHOLDS]
        minutes += features.valid.sum() / features.rate / 60
    rates = [round(float(n) / minutes, 3) for n in alarms]
    # Where two thresholds raise as many, what is asked for is the lower one; none has no logarithm.
    table = tuple(
        (t, rate)
        for t, rate, before in zip(THRESHOLDS, rates, [np.inf, *rates], strict=False)
        if 0 < rate < before
    )
    judged = replace(judged, false_alarms=table)
    named = {name: round(judged.threshold(f"{rate:g}"), 2) for name, rate in NAMED.items()}
    return replace(judged, named=named)


def main() -> None:
    parser = options(__doc__, save=False)
    parser.add_argument("path", type=Path)
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--network", type=Path, help="other weights than those that ship")
    asked = parser.parse_args()
    check_target(asked.path, overwrite=asked.overwrite)
    network = NetSpotter.load(asked.network or SHIPPED)
    nobody = judge.Judge(dict.fromkeys(judge.READS, 0.0), 0.0, "", {"normal": 0.5}, (), {})
    spotter = CombinedSpotter(load_settings().rules, network, nobody)
    text = json.dumps(made(spotter).to_dict(), indent=1)
    atomic_write(asked.path, text + "\n", overwrite=asked.overwrite)
    print(text)


if __name__ == "__main__":
    main()
