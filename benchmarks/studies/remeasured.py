"""Why intervals change when nobody sees a change: simulated faces whose motion is measured again.

    python -m benchmarks.studies.remeasured [--quick] [--save]

`benchmarks.accuracy.stability` shows intervals of real videos that do not survive harmless changes,
and that the motion itself is then measured otherwise, by some percent of what moves. Here the
features of simulated subjects get an error of a known share of what moves, slow as the real one,
once for the film as it is and once more for the changed film; or, without one, are sampled as by a
slower camera and brought to rows as the motion stage does. F1 of both (kind required) and the share
of intervals that survive say what each costs. No real video is looked at, and nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from aumer.config import load_settings
from aumer.motion import resample
from aumer.simulate.features import simulate_features
from aumer.spotting.combined import CombinedSpotter
from aumer.training.videos import from_simulation
from aumer.types import Counts, Expression, Features
from benchmarks.report import Report, options
from benchmarks.simulated import counts
from benchmarks.survival import QUICK_S, SLOW_S, Film, Spotted, compared, differs

#: Subjects of each level, minutes of each, and the seed.
SUBJECTS, MINUTES, SEED = 6, 3.0, 912_000
LEVELS = ("easy", "medium", "hard")
SHARES, RATES = (0.02, 0.05, 0.1, 0.15), (15, 10)
#: Seconds: sigma of the error in time, and that over which it is seen what moves.
ERROR_S, AROUND_S = 0.1, 0.5
#: Made changes: from the features of a face to those of the film as it is and of the changed one.
Change = Callable[[Features, np.random.Generator], tuple[Features, Features]]


def measured(features: Features, share: float, rng: np.random.Generator) -> Features:
    """With an error of that share of what moves then, in all ROIs alike in size."""
    rate = features.rate
    steps = np.where(features.valid[:, None, None], features.values, 0)
    path = np.cumsum(steps, axis=0, dtype=np.float64)
    moving = gaussian_filter1d(path, QUICK_S * rate, axis=0)
    moving -= gaussian_filter1d(path, SLOW_S * rate, axis=0)
    size = np.sqrt(gaussian_filter1d((moving**2).mean(axis=(1, 2)), AROUND_S * rate))
    error = gaussian_filter1d(rng.standard_normal(path.shape), ERROR_S * rate, axis=0)
    error *= share * size[:, None, None] / error.std()
    wrong = features.values + np.diff(error, axis=0, prepend=0)
    return replace(features, values=wrong.astype(np.float32))


def slower(features: Features, every: int) -> Features:
    """As a camera sees it that takes one frame of `every`, in rows as the motion stage has them;
    eyelids and head as they were in the last frame."""
    steps = np.where(features.valid[:, None, None], features.values, 0)
    path = np.pad(np.cumsum(steps, axis=0, dtype=np.float64), ((1, 0), (0, 0), (0, 0)))[::every]
    times = np.arange(len(path)) * every / features.rate
    first = np.arange(len(path) - 1) * every
    joined = np.stack([features.valid[first + k] for k in range(every)]).all(axis=0)
    grid, values, valid = resample(times, np.diff(path, axis=0), joined, features.rate)
    seen = np.arange(len(grid)) // every * every
    return replace(
        features,
        values=values,
        times=grid,
        frames=np.arange(len(grid)),
        valid=valid,
        confidence=features.confidence[: len(grid)],
        eyelids=features.eyelids[seen],
        head=features.head[seen],
    )


def changes() -> dict[str, Change]:
    def again(share: float) -> Change:
        return lambda f, rng: (measured(f, share, rng), measured(f, share, rng))

    def at(every: int) -> Change:
        return lambda f, rng: (f, slower(f, every))

    errors = {f"error of {share:.0%}, twice": again(share) for share in SHARES}
    return {**errors, **{f"{rate} frames/s": at(30 // rate) for rate in RATES}}


def told(found: tuple[Expression, ...], rate: float) -> list[Spotted]:
    return [Spotted(e.kind, e.onset / rate, (e.offset + 1) / rate) for e in found]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="one subject of each level")
    asked = parser.parse_args()
    report = Report("Intervals of combined on simulated faces whose motion is measured again")
    spotter = CombinedSpotter.from_settings(load_settings())
    report.line(
        f"{'':22}  motion differs     survive     appear   F1 before  after (kind required)"
    )
    subjects = 1 if asked.quick else SUBJECTS
    for level in LEVELS:
        faces = from_simulation(
            simulate_features(subjects, minutes=MINUTES, seed=SEED, level=level)
        )
        report.line(level)
        for name, change in changes().items():
            total, shares = np.zeros(3, np.int64), []
            before, after = Counts(), Counts()
            for number, face in enumerate(faces):
                rng = np.random.default_rng([SEED, number])
                one, other = change(face.features, rng)
                shares.append(differs(one, other, 0.0))
                found, again = spotter(one)[1], spotter(other)[1]
                film = Film(np.zeros((len(one), 1, 1, 3), np.uint8), one.rate)
                spans, spans_again = told(found, one.rate), told(again, other.rate)
                total += compared(spans, spans_again, film).counts
                before += counts(found, face)
                after += counts(again, face)
            there, survive, new = total
            report.line(
                f"  {name:20}  {np.median(shares):14.0%}  {survive:3} of {there:3} "
                f"({survive / max(there, 1):.3f})  {new:3}  {before.f1:10.3f} {after.f1:6.3f}"
            )
    report.line(f"{subjects} subjects of each level, {MINUTES:g} minutes each, seed {SEED}")
    if asked.save:
        report.save("remeasured.txt")


if __name__ == "__main__":
    main()
