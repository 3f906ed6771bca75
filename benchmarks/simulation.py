"""The feature simulator beside real faces, and its levels of difficulty.

``python benchmarks/simulation.py`` measures the neutral stretches of the shared real videos with
aumer's own pipeline (the constants of configs/simulation.toml), simulates as many, prints both and
draws benchmarks/results/simulation.png. ``--levels`` scores the levels with the rule-based spotter
and finds, at each level's loudness, the strength that gives the F1 it should have. ``--nuisances``
counts what the spotter finds in 100 minutes of each nuisance alone.
"""

from __future__ import annotations

import argparse
from collections import Counter

import matplotlib
import numpy as np
import numpy.typing as npt
from common import RESULTS, Report, test_data

from aumer import mdmo
from aumer.analysis import Analysis, analyse
from aumer.config import load_settings
from aumer.evaluation.matching import count
from aumer.simulate import features, nuisance
from aumer.simulate.statistics import load as load_statistics
from aumer.simulate.timeline import Timeline
from aumer.spotting.rules import RuleSpotter
from aumer.types import KINDS, Counts, Features, by_kind

Rows = npt.NDArray[np.float64]

#: Neutral stretches, frames of the source: file, first, last.
STILL = (
    ("fex_smile_still.mov", 0, 59),
    ("webcam_mixed.mp4", 0, 59),
    ("fex_two_smiles.mov", 0, 32),
    ("fex_two_smiles.mov", 66, 94),
    ("smile_512.mp4", 0, 7),
)
#: At 30 frames a second or nearly: the others' rows are interpolated, hence smooth.
NATIVE = ("fex_smile_still.mov", "webcam_mixed.mp4")
TALKING = ("talking_neutral.mpg", 0, 74)
#: Annotated expressions that show an amplitude: file, first and last frame, ROI.
STRONG = (
    ("fex_smile_still.mov", 60, 90, "smile"),
    ("fex_two_smiles.mov", 32, 55, "smile"),
    ("fex_two_smiles.mov", 94, 120, "smile"),
    ("selfie_smile.mp4", 13, 35, "smile"),
    ("smile_512.mp4", 8, 35, "smile"),
    ("webcam_mixed.mp4", 288, 330, "smile"),
    ("webcam_mixed.mp4", 444, 475, "brows"),
    ("webcam_mixed.mp4", 496, 515, "brows"),
)
#: What the rule-based spotter's F1 should be, and on what: fixed for good.
TARGETS = {"easy": 0.8, "medium": 0.5, "hard": 0.3}
LEVEL_SET = {"subjects": 20, "minutes": 3.0, "seed": 2023}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", action="store_true", help="score and find the levels")
    parser.add_argument("--nuisances", action="store_true", help="100 minutes of each nuisance")
    options = parser.parse_args()
    if options.levels:
        levels()
    elif options.nuisances:
        nuisances()
    else:
        noise()


def noise() -> None:
    report = Report("The feature simulator beside real faces")
    settings = load_settings()
    videos = test_data() / "videos"
    names = sorted({name for name, *_ in (*STILL, TALKING, *STRONG)})
    analyses = {name: analyse(videos / name, settings) for name in names}

    report.line("Rows of neutral stretches: robust sd (px per row at 30 rows/s), x then y, by ROI")
    report.line("  " + " ".join(mdmo.ROIS))
    for name, first, last in (*STILL, TALKING):
        rows = stretch(analyses[name], first, last)
        sd = spread(rows)
        report.line(f"{name} {first}-{last}: {len(rows)} rows, median {np.median(sd):.3f}")
        for axis in (0, 1):
            report.line("  " + " ".join(f"{v:.3f}" for v in sd[:, axis]))
        report.line("  " + correlations(rows))
    native = [stretch(analyses[n], a, b) for n, a, b in STILL if n in NATIVE]
    report.line("Mean of the native clips (nuisance.flow_noise.x_px, y_px):")
    mean = np.mean([spread(rows) for rows in native], axis=0)
    for axis in (0, 1):
        report.line("  " + ", ".join(f"{v:.3f}" for v in mean[:, axis]))
    talking = stretch(analyses[TALKING[0]], *TALKING[1:])
    centred = (talking - talking.mean(axis=0)).reshape(len(talking), -1)
    _, size, modes = np.linalg.svd(centred, full_matrices=False)
    share = ", ".join(f"{s:.2f}" for s in size[:5] ** 2 / (size**2).sum())
    report.line(f"Principal components of talking, shares of the variance: {share}")
    for k in range(5):
        mode = (modes[k] * size[k] / np.sqrt(len(talking))).reshape(-1, 2)
        for axis in (0, 1):
            report.line(f"  {k} {'xy'[axis]}: " + ", ".join(f"{v:.3f}" for v in mode[:, axis]))
    report.line()
    report.line("Head (rad): nose against eye corners, sd of yaw and pitch, lag (s) to 1/e")
    for name in names:
        report.line(f"  {name}: {head(analyses[name])}")
    report.line()
    report.line("Strong expressions: largest excursion in outer-eye distances")
    for name, first, last, what in STRONG:
        path = np.cumsum(stretch(analyses[name], first, last), axis=0) / 64
        rois = ("mouth_r", "mouth_l") if what == "smile" else ("brow_r_mid", "brow_l_mid")
        parts = [path[:, list(mdmo.ROIS).index(roi)] for roi in rois]
        reach = [float(np.hypot(*(p - p[0]).T).max()) for p in parts]
        report.line(f"  {name} {first}-{last} {what}: right {reach[0]:.3f}, left {reach[1]:.3f}")
    report.line()

    still = [simulated(k, len(rows), False) for k, rows in enumerate(native * 10)]
    speech = [simulated(100 + k, len(talking), True) for k in range(10)]
    report.line("Simulated, 20 stretches each: ")
    report.line(f"  still: median sd {np.median([spread(r) for r in still]):.3f}")
    report.line("  " + correlations(*still))
    report.line(f"  talking: median sd {np.median([spread(r) for r in speech]):.3f}")
    report.line("  " + correlations(*speech))
    picture({"still": (native, still), "talking": ([talking], speech)})
    report.save("simulation.txt")


def levels() -> None:
    report = Report("Levels of difficulty: the rule-based spotter's F1")
    report.line(f"set: {LEVEL_SET}; IoU 0.5, one to one, kinds must agree, pooled")
    for level, target in TARGETS.items():
        strength, loudness = features.level_constants(level)
        by = score(strength, loudness)
        total = Counts.total(by.values())
        kinds = ", ".join(f"{k} {c.f1:.3f} ({c.tp}/{c.fp}/{c.fn})" for k, c in by.items())
        report.line(
            f"{level}: strength {strength}, loudness {loudness}: F1 {total.f1:.3f} "
            f"({total.tp}/{total.fp}/{total.fn}); {kinds}"
        )
        low, high = strength / 2, strength * 2
        for _ in range(5):
            middle = float(np.sqrt(low * high))
            above = Counts.total(score(middle, loudness).values()).f1 > target
            low, high = (low, middle) if above else (middle, high)
        report.line(f"  F1 {target} lies between strength {low:.2f} and {high:.2f}")
    report.save("simulation_levels.txt")


def score(strength: float, loudness: float) -> dict[str, Counts]:
    """Counts by kind on the fixed set, rendered with these factors."""
    spotter = RuleSpotter(load_settings().rules)
    statistics = load_statistics()
    causes = nuisance.load()
    counts = {kind: Counts() for kind in KINDS}
    for video in features.simulate_features(
        int(LEVEL_SET["subjects"]),
        minutes=LEVEL_SET["minutes"],
        seed=int(LEVEL_SET["seed"]),
        statistics=statistics,
        nuisances=causes,
        strength=strength,
        loudness=loudness,
    ):
        _, found = spotter(video.features)
        for kind in KINDS:
            counts[kind] += count(
                [e.interval for e in by_kind(found, kind)],
                [e.interval for e in by_kind(video.expressions, kind)],
            )
    return dict(counts)


def nuisances() -> None:
    report = Report("Each nuisance alone: minutes of 100 in which the rule-based spotter finds any")
    spotter = RuleSpotter(load_settings().rules)
    for name in nuisance.USUAL:
        found = [spotter(alone(name, minute))[1] for minute in range(100)]
        kinds = Counter(e.kind for minute in found for e in minute)
        report.line(f"{name}: {sum(map(bool, found))} {dict(kinds)}")
    report.save("simulation_nuisances.txt")


def alone(name: str, minute: int) -> Features:
    """A minute of one nuisance of the mean subject."""
    subject = features.Subject(dict.fromkeys(features.ACTION_UNITS, (1.0, 1.0)), 1.0)
    return features.render(
        Timeline(60.0, ()), subject, nuisance.load([name]), seed=minute, name=name
    )


def simulated(number: int, rows: int, talking: bool) -> Rows:
    """Rows of a neutral stretch of the mean subject; `talking`: in the midst of a bout."""
    names = [n for n in nuisance.USUAL if n not in ("talking", "lost_faces")]
    causes = nuisance.load(names)
    if talking:
        bout = nuisance.load(["talking"])["talking"]
        causes["talking"] = type(bout)(**{**vars(bout), "per_min": 600.0, "length_s": (30.0, 30.0)})
    subject = features.Subject(dict.fromkeys(features.ACTION_UNITS, (1.0, 1.0)), 1.0)
    made = features.render(
        Timeline(rows / 30 + 3, ()), subject, causes, seed=number, name="benchmark"
    )
    return made.values[60 : 60 + rows].astype(np.float64)


def stretch(analysis: Analysis, first: int, last: int) -> Rows:
    """(N, 12, 2) valid rows whose frame lies in [first, last]."""
    f = analysis.features
    chosen = f.valid & (f.frames >= first) & (f.frames <= last)
    return f.values[chosen].astype(np.float64)


def spread(rows: Rows) -> Rows:
    """(12, 2) robust standard deviations."""
    return np.asarray(1.4826 * np.median(np.abs(rows - np.median(rows, axis=0)), axis=0))


def correlations(*stretches: Rows) -> str:
    """Autocorrelation of rows at 1 to 3 steps, and mean correlation between ROIs, as text."""
    lags, pairs = [], []
    right, left, mouth = [0, 1, 2], [3, 4, 5], [8, 9, 10, 11]
    for rows in stretches:
        z = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        lags.append([(z[k:] * z[:-k]).mean() for k in (1, 2, 3)])
        matrix = np.mean([np.corrcoef(z[:, :, axis].T) for axis in (0, 1)], axis=0)
        pairs.append(
            [
                (within(matrix, right) + within(matrix, left)) / 2,
                matrix[np.ix_(right, left)].mean(),
                within(matrix, mouth),
                matrix[np.ix_(right + left, mouth)].mean(),
            ]
        )
    lag, pair = np.mean(lags, axis=0), np.mean(pairs, axis=0)
    names = ("same brow", "brows", "mouth", "brow-mouth")
    return (
        "autocorrelation "
        + " ".join(f"{v:.2f}" for v in lag)
        + "; correlation "
        + ", ".join(f"{n} {v:.2f}" for n, v in zip(names, pair, strict=True))
    )


def within(matrix: Rows, group: list[int]) -> float:
    """Mean correlation between the members of a group."""
    return float(matrix[np.ix_(group, group)][np.triu_indices(len(group), 1)].mean())


def head(analysis: Analysis) -> str:
    points = analysis.track.landmarks[analysis.track.valid].astype(np.float64)
    across = points[:, 45] - points[:, 36]
    length = np.hypot(*across.T)
    along = across / length[:, None]
    nose = points[:, 30] - (points[:, 36] + points[:, 45]) / 2
    depth = 0.45  # of the nose's tip before the eye corners, in outer-eye distances (MEAN_FACE)
    out = []
    for axis in (along, np.stack([-along[:, 1], along[:, 0]], axis=1)):
        angle = (nose * axis).sum(axis=1) / length / depth
        angle = angle - angle.mean()
        c = [float((angle[k:] * angle[:-k]).mean() / angle.var()) for k in range(1, 60)]
        lag = next((k for k, v in enumerate(c, start=1) if v < 1 / np.e), 60)
        out.append(f"{angle.std():.3f} ({lag / (analysis.video.fps or 30):.2f} s)")
    return ", ".join(out)


def picture(groups: dict[str, tuple[list[Rows], list[Rows]]]) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(groups), 3, figsize=(13, 4 * len(groups)), squeeze=False)
    for row, (title, (real, made)) in zip(axes, groups.items(), strict=True):
        for stretches, colour, name in ((real, "C0", "real"), (made, "C1", "simulated")):
            for roi, style in ((1, "-"), (8, "--"), (11, ":")):
                spectra = []
                for s in stretches:
                    path = s[:, roi, 1] - s[:, roi, 1].mean()
                    window = np.hanning(len(path))
                    spectra.append(np.abs(np.fft.rfft(path * window)) ** 2 / (window**2).sum())
                n = min(map(len, spectra))
                hz = np.linspace(0, 15, n)
                mean = np.mean([s[:n] for s in spectra], axis=0)
                row[0].semilogy(
                    hz[1:], mean[1:], colour + style, label=f"{name} {list(mdmo.ROIS)[roi]}"
                )
            brows = np.concatenate([s[:, :6].ravel() for s in stretches])
            mouth = np.concatenate([s[:, 8:].ravel() for s in stretches])
            for axis, values in ((row[1], brows), (row[2], mouth)):
                edge = 0.3 if title == "still" else 1.5
                axis.hist(
                    values, np.linspace(-edge, edge, 61), density=True, histtype="step",
                    color=colour, label=name, log=True,
                )  # fmt: skip
        row[0].set(
            title=f"{title}: spectrum of vertical motion", xlabel="Hz", ylabel="px^2 per row"
        )
        row[1].set(title=f"{title}: brow ROIs", xlabel="px per row")
        row[2].set(title=f"{title}: mouth ROIs", xlabel="px per row")
        for axis in row:
            axis.legend(fontsize=7)
    figure.tight_layout()
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(RESULTS / "simulation.png", dpi=90)


if __name__ == "__main__":
    main()
