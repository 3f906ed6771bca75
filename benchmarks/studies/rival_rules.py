"""Constants of `zhao-2022-like`: an equilibrium of two players, on simulated subjects of no benchmark.

    python -m benchmarks.studies.rival_rules [--save]

As Zhao et al. (2022) have it, one player chooses how the field is read and the other how peaks are
told; both want the overall F1 (IoU .5, kind required). In turn each takes the best of a grid, the
other's choice being what it is, until neither changes. `he-2021-like` is beside it, whose constants
were not searched for.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product

from aumer.simulate.features import simulate_features
from aumer.spotting.rivals.rules import HeSpotter, WaveSettings, WaveSpotter, ZhaoSpotter
from aumer.training.videos import from_simulation
from benchmarks.report import Report, options
from benchmarks.simulated import judged

SUBJECTS, MINUTES, SEED = 12, 2.0, 910_000
FIELD: dict[str, tuple[float, ...]] = {
    "smooth_s": (0.05, 0.08, 0.12, 0.18),
    "window_s": (2.0, 3.0, 4.5),
}
PEAKS: dict[str, tuple[float, ...]] = {
    "height": (0.012, 0.018, 0.025, 0.035, 0.05),
    "foot": (0.02, 0.05, 0.1, 0.2),
}


def main() -> None:
    asked = options(__doc__).parse_args()
    report = Report("Constants of zhao-2022-like")
    report.line(f"{SUBJECTS} subjects of level medium, {MINUTES:g} minutes each, seed {SEED}")
    videos = from_simulation(
        simulate_features(SUBJECTS, minutes=MINUTES, seed=SEED, level="medium")
    )
    known: dict[WaveSettings, float] = {}

    def f1(settings: WaveSettings) -> float:
        if settings not in known:
            known[settings] = judged(WaveSpotter(settings), videos).f1
        return known[settings]

    chosen, before = WaveSettings(), None
    while chosen != before:
        before = chosen
        for player, grid in (("field", FIELD), ("peaks", PEAKS)):
            answers = [
                replace(chosen, **dict(zip(grid, values, strict=True)))
                for values in product(*grid.values())
            ]
            chosen = max((chosen, *answers), key=f1)  # of equals what was there
            told = ", ".join(f"{k} {getattr(chosen, k):g}" for k in grid)
            report.line(f"{player}: {told}: F1 {f1(chosen):.3f}")
    report.line(f"equilibrium: {asdict(chosen)}")
    report.line(f"as it ships: {chosen == ZhaoSpotter.usual}")
    report.line(f"he-2021-like: F1 {f1(HeSpotter.usual):.3f}")
    if asked.save:
        report.save("rival_rules.txt")


if __name__ == "__main__":
    main()
