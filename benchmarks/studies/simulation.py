"""The feature simulator beside real faces, and its levels of difficulty.

    python -m benchmarks.studies.simulation [--levels | --nuisances] [--save]
                                            [--set motion.preset=windows ...]

Without an option it measures neutral, talking and turning stretches of the shared real videos with
aumer's own pipeline (the constants of configs/simulation.toml), simulates as many, prints both side
by side, and with `--save` draws benchmarks/results/simulation.png. `--levels` scores the levels
with the rule-based spotter. `--nuisances` counts what the spotter finds in 100 minutes of each
nuisance alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from scipy.optimize import nnls

from aumer.cli.options import assignment
from aumer.config import Settings, load_settings
from aumer.evaluation.matching import count
from aumer.motion import mdmo
from aumer.motion.analysis import analyze
from aumer.motion.joined import Analysis
from aumer.simulate import amplitude, features, nuisance
from aumer.simulate.anatomy import Action
from aumer.simulate.statistics import load as load_statistics
from aumer.simulate.timeline import Event, Timeline, draw_event
from aumer.spotting.rules import RuleSpotter
from aumer.types import KINDS, Counts, by_kind
from benchmarks.data import clip_path
from benchmarks.report import Report, options, save_picture
from benchmarks.simulated import alone
from benchmarks.still_faces import STILL, Rows, stretch

#: Two seconds or more at 30 frames a second: the others' rows are interpolated, hence smooth.
NATIVE = ("still_neutral.mp4", "fex_smile_still.mov")
TALKING = ("talking_neutral.mpg", 0, 74)
#: Heads that turn, eyes that blink in stillness: file, first and last frame.
TURNING = (
    ("webcam_posed.mp4", 485, 640),
    ("webcam_posed.mp4", 695, 764),
    ("webcam_mixed.mp4", 386, 444),
)
BLINKS = (("webcam_mixed.mp4", 8, 22), ("webcam_mixed.mp4", 34, 48), ("selfie_smile.mp4", 23, 33))
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
    ("webcam_posed.mp4", 26, 53, "brows"),
    ("webcam_posed.mp4", 68, 95, "brows"),
    ("webcam_posed.mp4", 645, 690, "brows"),
)
#: Seconds over which displacements are compared, and rows between frames whose distance is fitted.
WINDOWS_S = (0.2, 0.5, 1.0, 4.0)
LAGS = (1, 2, 3, 6, 15, 30, 60)
#: Correlation times that are tried.
TIMES_S = (0.2, 0.3, 0.5, 0.8, 1.2, 2.0)
#: What the levels are scored on.
LEVEL_SET = {"subjects": 20, "minutes": 3.0, "seed": 2023}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--levels", action="store_true", help="score the levels")
    parser.add_argument("--nuisances", action="store_true", help="100 minutes of each nuisance")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], type=assignment, metavar="PATH=VALUE"
    )
    asked = parser.parse_args()
    settings = load_settings(overrides=dict(asked.set))
    todo = levels if asked.levels else nuisances if asked.nuisances else noise
    todo(settings, asked.save)


def noise(settings: Settings, save: bool) -> None:
    report = Report("The feature simulator beside real faces")
    report.line(f"motion.preset {settings.motion.preset}; lengths in 1/1000 outer-eye distance")
    report.line()
    clips = (*STILL, TALKING, *TURNING, *BLINKS, *STRONG)
    names = sorted({clip[0] for clip in clips})
    analyses = {name: analyze(clip_path(name), settings) for name in names}

    displacements(report, analyses)
    fitted(report, analyses)
    heads(report, analyses)
    speech = talking(report, analyses)
    strong(report, analyses)
    sizes(report)
    if not save:
        return
    native = [stretch(analyses[n], a, b) for n, a, b, _ in STILL if n in NATIVE]
    still = [simulated(k, len(rows), False) for k, rows in enumerate(native * 10)]
    made = [simulated(100 + k, len(speech), True) for k in range(10)]
    picture({"still": (native, still), "talking": ([speech], made)})
    report.save("simulation.txt")


def displacements(report: Report, analyses: Mapping[str, Analysis]) -> None:
    """The noise as a spotter meets it, measured and simulated."""
    report.line("Still faces: rms length of the displacement over a time, median ROI / worst ROI")
    report.line(f"{'':44}" + "".join(f"{w:>13g} s" for w in WINDOWS_S))
    people: dict[str, list[list[Rows | None]]] = {}
    for name, first, last, who in STILL:
        found = over_times(stretch(analyses[name], first, last))
        people.setdefault(who, []).append(found)
        report.line(f"{f'{name} {first}-{last} ({who})':44}" + cells(found))
    report.line()
    # A person's stretches as one: mean square; then the typical person: on a logarithmic scale.
    pooled = {
        who: [mean_square([found[k] for found in several]) for k in range(len(WINDOWS_S))]
        for who, several in people.items()
    }
    longest = [own for own in pooled.values() if own[2] is not None]
    for group in (list(pooled.values()), longest):
        label = f"measured, geometric mean of {len(group)} people"
        report.line(f"{label:44}" + cells([typical([own[k] for own in group]) for k in range(4)]))
    medians = [np.log(np.median(own[0])) for own in pooled.values() if own[0] is not None]
    report.line(f"  sd of the log of the median ROI over .2 s: {np.std(medians, ddof=1):.2f}")
    made = [over_times(simulated(k, 300, False)) for k in range(30)]
    mean = [mean_square([found[k] for found in made]) for k in range(len(WINDOWS_S))]
    report.line(f"{'simulated, mean subject, 30 times 10 s':44}" + cells(mean))
    claim = "".join(f"{1000 * v:9.2f}      " for v in nuisance.settings()["still"]["shown"])
    report.line(f"{'configs/simulation.toml, [still]':44}" + claim)
    report.line()


def mean_square(several: Sequence[Rows | None]) -> Rows | None:
    """By ROI, of the stretches that are long enough."""
    known = [np.square(v) for v in several if v is not None]
    return np.asarray(np.sqrt(np.mean(known, axis=0))) if known else None


def typical(several: Sequence[Rows | None]) -> Rows | None:
    """The geometric mean over people of their median ROI and of their worst, where known."""
    known = [np.log([np.median(v), v.max()]) for v in several if v is not None]
    if not known:
        return None
    median, worst = np.exp(np.mean(known, axis=0))
    return np.array([median, median, worst])


def over_times(rows: Rows) -> list[Rows | None]:
    """(12,) rms length of the displacement over each of `WINDOWS_S`; `None`: too short for it."""
    path = path_of(rows)
    found: list[Rows | None] = []
    for window in WINDOWS_S:
        lag = round(window * 30)
        if len(path) < 1.6 * lag:
            found.append(None)
            continue
        over = path[lag:] - path[:-lag]
        found.append(np.sqrt((over**2).sum(axis=2).mean(axis=0)))
    return found


def cells(found: Sequence[Rows | None]) -> str:
    return "".join(
        f"{'-':>15}" if v is None else f"{np.median(v):9.2f} /{v.max():4.1f}" for v in found
    )


def path_of(rows: Rows) -> Rows:
    """(N + 1, 12, 2) displacement in 1/1000 outer-eye distance of rows in px."""
    return np.concatenate([np.zeros((1, 12, 2)), np.cumsum(rows, axis=0)]) * (1000 / 64)


def fitted(report: Report, analyses: Mapping[str, Analysis]) -> None:
    """Constants of nuisance.motion_noise: a frame's own error and a slow one, by ROI and axis."""
    native = {n: path_of(stretch(analyses[n], a, b)) for n, a, b, _ in STILL if n in NATIVE}
    report.line("nuisance.motion_noise: squared displacements over 1 to 60 rows are those of")
    report.line("a white and a slow part. Relative misfit by correlation time:")
    fits = {t: [fit(path, t) for path in native.values()] for t in TIMES_S}
    misfits = {t: np.sqrt(np.mean([m**2 for _, m in found])) for t, found in fits.items()}
    report.line("  " + ", ".join(f"{t:g} s {m:.3f}" for t, m in misfits.items()))
    time_s = nuisance.load(["motion_noise"])["motion_noise"].correlation_s
    report.line(f"  at {time_s:g} s, sd by ROI, geometric mean of {' and '.join(native)}:")
    sd = np.exp(np.mean([np.log(np.maximum(s, 0.1)) for s, _ in fits[time_s]], axis=0))
    for part, what in enumerate(("white", "slow")):
        for axis in (0, 1):
            values = ", ".join(f"{v:.2f}" for v in sd[part, :, axis])
            report.line(f"  {what}_{'xy'[axis]}: {values}")
    for name, first, last, _ in STILL:
        rows = stretch(analyses[name], first, last)
        if len(rows) >= 30:
            report.line(f"  {name} {first}-{last}: " + correlations(rows))
    made = [simulated(k, 300, False) for k in range(10)]
    report.line("  simulated: " + correlations(*made))
    report.line()


def fit(path: Rows, time_s: float) -> tuple[Rows, float]:
    """(2, 12, 2) sd of the white and of the slow part, and the relative misfit (rms)."""
    lags = [lag for lag in LAGS if lag <= 0.55 * len(path)]
    square = np.stack([((path[k:] - path[:-k]) ** 2).mean(axis=0) for k in lags])
    parts = np.stack([np.full(len(lags), 2.0), 2 - 2 * np.exp(-np.array(lags) / 30 / time_s)], 1)
    sd, missed = np.zeros((2, 12, 2)), []
    for roi in range(12):
        for axis in (0, 1):
            weight = 1 / square[:, roi, axis]
            found, left = nnls(parts * weight[:, None], square[:, roi, axis] * weight)
            sd[:, roi, axis] = np.sqrt(found)
            missed.append(left / np.sqrt(len(lags)))
    return sd, float(np.sqrt(np.mean(np.square(missed))))


def heads(report: Report, analyses: Mapping[str, Analysis]) -> None:
    report.line("Heads held still (rad): nose against eye corners, sd of yaw and pitch")
    for name, first, last, _ in STILL:
        yaw, pitch = (a[first : last + 1] for a in angles(analyses[name]))
        report.line(f"  {name} {first}-{last}: {yaw.std():.4f}, {pitch.std():.4f}")
    report.line("Heads that turn: range of yaw and pitch (rad), displacement left in x per rad of")
    report.line("yaw and in y per rad of pitch: mean of brows, of nose, of mouth; rms over ROIs")
    for name, first, last in TURNING:
        yaw, pitch = angles(analyses[name])
        f = analyses[name].features
        chosen = f.valid & (f.frames >= first) & (f.frames <= last)
        frames = f.frames[chosen]
        turn = np.stack([yaw[frames], pitch[frames], np.ones(len(frames))], axis=1)
        path = path_of(stretch(analyses[name], first, last))[1:] / 1000
        left = np.linalg.lstsq(turn, path.reshape(len(path), -1), rcond=None)[0].reshape(3, 12, 2)
        parts = []
        for along in (left[0, :, 0], left[1, :, 1]):
            regions = [along[:6].mean(), along[6:8].mean(), along[8:].mean()]
            parts.append(
                " ".join(f"{v:+.2f}" for v in regions) + f", rms {np.sqrt((along**2).mean()):.2f}"
            )
        report.line(
            f"  {name} {first}-{last}: {np.ptp(yaw[frames]):.2f}, {np.ptp(pitch[frames]):.2f}; "
            + "; ".join(parts)
        )
    report.line("Blinks in stillness: largest displacement off the line between both ends")
    for name, first, last in BLINKS:
        path = path_of(stretch(analyses[name], first, last))
        share = np.linspace(0, 1, len(path))[:, None, None]
        off = np.hypot(*np.moveaxis(path - path[0] - share * (path[-1] - path[0]), 2, 0)).max(0)
        report.line(
            f"  {name} {first}-{last}: brows {off[:6].max():.1f}, nose {off[6:8].max():.1f}, "
            f"mouth {off[8:].max():.1f}"
        )
    misfit = nuisance.load(["head_misfit"])["head_misfit"]
    rng = np.random.default_rng(0)
    worst = [1000 * float(np.hypot(*misfit.once(rng).T).max()) for _ in range(500)]
    median, high = np.quantile(worst, (0.5, 0.9))
    report.line(f"  simulated: worst ROI {median:.1f}, 90 % {high:.1f}")
    report.line()


def angles(analysis: Analysis) -> tuple[Rows, Rows]:
    """Yaw and pitch of the head by frame, rad: the nose's tip against the outer eye corners."""
    points = analysis.track.landmarks.astype(np.float64)
    across = points[:, 45] - points[:, 36]
    length = np.hypot(*across.T)
    along = across / length[:, None]
    nose = points[:, 30] - (points[:, 36] + points[:, 45]) / 2
    depth = 0.45  # of the nose's tip before the eye corners, in outer-eye distances (MEAN_FACE)
    down = np.stack([-along[:, 1], along[:, 0]], axis=1)
    yaw, pitch = ((nose * axis).sum(axis=1) / length / depth for axis in (along, down))
    return np.asarray(yaw), np.asarray(pitch)


def talking(report: Report, analyses: Mapping[str, Analysis]) -> Rows:
    """The modes of speech; gives its rows."""
    rows = stretch(analyses[TALKING[0]], *TALKING[1:])
    centered = (rows - rows.mean(axis=0)).reshape(len(rows), -1)
    _, size, modes = np.linalg.svd(centered, full_matrices=False)
    share = ", ".join(f"{s:.2f}" for s in size[:5] ** 2 / (size**2).sum())
    report.line(f"Principal components of talking, shares of the variance: {share}")
    report.line("  (nuisance.talking.modes_x_px, modes_y_px; px per row at 30 rows/s)")
    for k in range(5):
        mode = (modes[k] * size[k] / np.sqrt(len(rows))).reshape(-1, 2)
        for axis in (0, 1):
            report.line(f"  {k} {'xy'[axis]}: " + ", ".join(f"{v:.3f}" for v in mode[:, axis]))
    made = [simulated(100 + k, len(rows), True) for k in range(10)]
    for what, several in (("measured", [rows]), ("simulated", made)):
        values = [over_times(s)[1] for s in several]
        half = np.sqrt(np.mean([np.square(v) for v in values if v is not None], axis=0))
        report.line(
            f"  {what}: displacement over .5 s {np.median(half):.1f} / {half.max():.1f}; "
            + correlations(*several)
        )
    report.line()
    return rows


def strong(report: Report, analyses: Mapping[str, Analysis]) -> None:
    report.line("Posed expressions: largest excursion, right and left, beside the simulator's E")
    found: dict[str, list[float]] = {}
    for name, first, last, what in STRONG:
        path = path_of(stretch(analyses[name], first, last))
        rois = ("mouth_r", "mouth_l") if what == "smile" else ("brow_r_mid_inner", "brow_l_mid")
        parts = [path[:, list(mdmo.ROIS).index(roi)] for roi in rois]
        reach = [float(np.hypot(*(p - p[0]).T).max()) for p in parts]
        found.setdefault(what, []).append(float(np.mean(reach)))
        report.line(f"  {name} {first}-{last} {what}: {reach[0]:.0f}, {reach[1]:.0f}")
    for what, aus in (("smile", (6, 12)), ("brows", (1, 2))):
        most = 1000 * amplitude.reach([(au, "both") for au in aus])
        report.line(f"  {what}: median {np.median(found[what]):.0f}, simulated at E {most:.0f}")
    report.line()


def sizes(report: Report) -> None:
    """How large drawn expressions are, people's gains included."""
    report.line("Largest displacement of any ROI of expressions as they are drawn, strength 1")
    statistics = load_statistics()
    rng = np.random.default_rng(0)
    quantiles = (0.1, 0.25, 0.5, 0.75, 0.9)
    report.line(f"{'':32}" + "".join(f"{100 * q:8.0f} %" for q in quantiles))
    report.line(f"{'CASME II (true, see the file)':32}" + "".join(
        f"{v:10.1f}" for v in (3.8, 7.8, 13.6, 22.5, 31.2)
    ))  # fmt: skip
    for kind in KINDS:
        events = [draw_event(rng, kind, statistics) for _ in range(3000)]
        seen = [e for e in events if amplitude.reach(e.aus) > 0.01]
        shown = [shown_by(features.Subject.draw(rng), e) for e in seen]
        row = "".join(f"{1000 * v:10.1f}" for v in np.quantile(shown, quantiles))
        report.line(f"{kind + ', of AUs that move an ROI':32}" + row)
        share = 1 - len(seen) / len(events)
        report.line(f"  ({share:.0%} move lids or the jaw's angle alone, which no ROI shows)")
        for name, values in (
            ("rise, s", [e.apex_s for e in events]),
            ("intensity", [e.intensity for e in events]),
        ):
            row = "".join(f"{v:10.3f}" for v in np.quantile(values, quantiles))
            report.line(f"{f'  {name}':32}{row}")
    report.line("Micro-expressions of the AUs measured, median (and what CASME II shows)")
    for code, true in nuisance.settings()["micro"]["shown"].items():
        aus = tuple((int(unit), "both") for unit in code.split("+"))
        shown = [
            amplitude.micro(rng, aus) * largest(features.Subject.draw(rng), aus)
            for _ in range(1000)
        ]
        report.line(f"  {code:6}{1000 * np.median(shown):6.1f} ({1000 * true:.1f})")
    report.line("  rise of CASME II's: 0.090 (10 %), 0.165 (50 %), 0.275 (90 %)")
    report.line()


def shown_by(subject: features.Subject, event: Event) -> float:
    return event.intensity * largest(subject, event.aus)


def largest(subject: features.Subject, aus: Sequence[Action]) -> float:
    """Displacement at intensity 1 of the ROI that moves furthest."""
    return float(np.hypot(*np.sum([subject.shown(a) for a in aus], axis=0).T).max())


def levels(settings: Settings, save: bool) -> None:
    report = Report("Levels of difficulty: the rule-based spotter's F1")
    report.line(f"set: {LEVEL_SET}; IoU 0.5, one to one, kinds must agree, pooled")
    report.line(f"rules.min_height {settings.rules.min_height:g}")
    for level in features.LEVELS:
        strength, loudness = features.level_constants(level)
        by = score(settings, strength, loudness)
        total = Counts.total(by.values())
        kinds = ", ".join(f"{k} {c.f1:.3f} ({c.tp}/{c.fp}/{c.fn})" for k, c in by.items())
        report.line(
            f"{level}: strength {strength}, loudness {loudness}: F1 {total.f1:.3f} "
            f"({total.tp}/{total.fp}/{total.fn}); {kinds}"
        )
    if save:
        report.save("simulation_levels.txt")


def score(settings: Settings, strength: float, loudness: float) -> dict[str, Counts]:
    """Counts by kind on the fixed set, rendered with these factors."""
    spotter = RuleSpotter(settings.rules)
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


def nuisances(settings: Settings, save: bool) -> None:
    report = Report("Each nuisance alone: minutes of 100 in which the rule-based spotter finds any")
    report.line(f"rules.min_height {settings.rules.min_height:g}")
    spotter = RuleSpotter(settings.rules)
    for name in nuisance.USUAL:
        found = [spotter(alone(name, minute))[1] for minute in range(100)]
        kinds = Counter(e.kind for minute in found for e in minute)
        report.line(f"{name}: {sum(map(bool, found))} {dict(kinds)}")
    if save:
        report.save("simulation_nuisances.txt")


def simulated(number: int, rows: int, talking: bool) -> Rows:
    """Rows of a still face of the mean subject; `talking`: in the midst of a bout."""
    causes = nuisance.load(nuisance.STILL)
    if talking:
        bout = nuisance.load(["talking"])["talking"]
        causes["talking"] = type(bout)(**{**vars(bout), "per_min": 600.0, "length_s": (30.0, 30.0)})
    subject = features.Subject(dict.fromkeys(features.ACTION_UNITS, (1.0, 1.0)), 1.0)
    made = features.render(
        Timeline(rows / 30 + 3, ()), subject, causes, seed=number, name="benchmark"
    )
    return made.values[60 : 60 + rows].astype(np.float64)


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


def picture(groups: dict[str, tuple[list[Rows], list[Rows]]]) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(groups), 3, figsize=(13, 4 * len(groups)), squeeze=False)
    for row, (title, (real, made)) in zip(axes, groups.items(), strict=True):
        for stretches, color, name in ((real, "C0", "real"), (made, "C1", "simulated")):
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
                    hz[1:], mean[1:], color + style, label=f"{name} {list(mdmo.ROIS)[roi]}"
                )
            brows = np.concatenate([s[:, :6].ravel() for s in stretches])
            mouth = np.concatenate([s[:, 8:].ravel() for s in stretches])
            for axis, values in ((row[1], brows), (row[2], mouth)):
                edge = 0.3 if title == "still" else 1.5
                axis.hist(
                    values, np.linspace(-edge, edge, 61), density=True, histtype="step",
                    color=color, label=name, log=True,
                )  # fmt: skip
        row[0].set(
            title=f"{title}: spectrum of vertical motion", xlabel="Hz", ylabel="px^2 per row"
        )
        row[1].set(title=f"{title}: brow ROIs", xlabel="px per row")
        row[2].set(title=f"{title}: mouth ROIs", xlabel="px per row")
        for axis in row:
            axis.legend(fontsize=7)
    figure.tight_layout()
    save_picture(figure, "simulation.png", 90)


if __name__ == "__main__":
    main()
