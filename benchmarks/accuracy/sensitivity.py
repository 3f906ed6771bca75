"""What the rules' threshold costs and finds, how sure a duration is, and what a limit is worth.

    python -m benchmarks.accuracy.sensitivity [--save]

Thresholds of the rules are in units of each movement's noise (`aumer.spotting.noise`; 5 is
"normal"), those of `combined` are probabilities (`aumer.spotting.judge`). Lengths are in u, 1/64
outer-eye distance. Real seconds and simulated minutes are never in one figure.

1. False alarms: what is spotted in real stretches where nothing is an expression, in seconds, and
   in simulated faces at rest, in minutes, with exact Poisson intervals (95 %; subjects differ by
   more than chance, so the next hundred minutes of one face may lie outside). The rules' column of
   "all disturbances" is `aumer.spotting.noise.FALSE_ALARMS`.
2. Recall of micro-expressions played into neutral films of three people (`motion_films.films`), by
   their height; IoU .5, kind ignored. What else is spotted there has the same noise in every film
   of a clip, so that these false alarms are not independent.
3. The limit: of all movements played in, those found, by their true height in the movement that
   shows them best, over the limit of their film.
4. Durations: spotted less true, of micro-expressions of 2. and of movements of .2 to 1.2 s, found
   with an IoU of .3 or more; and what becomes of kinds near the boundary.

It takes about ten minutes on one core, of which most is making the films and measuring them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.stats import chi2

from aumer.config import RuleSettings, load_settings
from aumer.simulate import nuisance
from aumer.spotting import judge, noise
from aumer.spotting.combined import CombinedSpotter
from aumer.spotting.movements import columns
from aumer.spotting.network import NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.types import MICRO_MAX_S, Expression, Features
from benchmarks.chains import chain_of
from benchmarks.motion_films import (
    EXPRESSIONS,
    LONG,
    ROIS,
    Film,
    Moment,
    U,
    clip,
    expression,
    films,
)
from benchmarks.report import Report, options
from benchmarks.simulated import rest

#: Thresholds in units.
UNITS = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0)
#: Thresholds of `combined`.
ODDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
#: Real stretches without an expression: (kind, file, first frame, last frame, whom). webcam_mixed
#: has two blinks in it.
STRETCHES = (
    ("rest", "still_neutral.mp4", 0, 300, "red shirt"),
    ("rest", "fex_smile_still.mov", 0, 58, "fex"),
    ("rest", "fex_two_smiles.mov", 0, 30, "fex"),
    ("rest", "webcam_mixed.mp4", 0, 64, "round glasses"),
    ("rest", "webcam_posed.mp4", 10, 24, "posed"),
    ("rest", "selfie_smile.mp4", 0, 13, "selfie"),
    ("talking", "talking_neutral.mpg", 0, 74, "grid"),
    ("turning", "webcam_posed.mp4", 485, 640, "posed"),
    ("turning", "webcam_posed.mp4", 695, 764, "posed"),
    ("turning", "webcam_mixed.mp4", 386, 444, "round glasses"),
)
#: Simulated rest: (name, disturbances, subjects, minutes of each).
REST: tuple[tuple[str, Sequence[str], int, float], ...] = (
    ("all disturbances", nuisance.USUAL, 20, 12.0),
    ("a still face", nuisance.STILL, 20, 3.0),
)
SEED = 11
#: True durations (s) of the movements that are played in for 4., and their heights (u).
LENGTHS = (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.9, 1.2)
HEIGHTS = {"still_neutral.mp4": (0.7, 1.0, 1.4, 2.0) * 2}
OTHERS = (1.0, 1.4, 2.0)
#: Share of a movement's duration from onset to apex: CASME II's medians, .165 of .465 s.
RISE = 0.4
#: Fewer of a rule's expressions than that share with a movement are about something else.
SAME = 0.3

Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Played:
    """A neutral film with movements in it, and its features."""

    moments: tuple[Moment, ...]
    features: Features


def main() -> None:
    parser = options(__doc__)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    settings = load_settings()
    rules = settings.rules
    report = Report("Sensitivity: false alarms and recall by the rules' threshold; durations")
    report.line(
        f"motion.preset {settings.motion.preset}; rules.min_height {rules.min_height:g}, "
        f"noise_factor {rules.noise_factor:g}, drift_factor {rules.drift_factor:g}, noise_window_s "
        f"{rules.noise_window_s:g}, lookahead_s {rules.lookahead_s:g}"
    )
    report.line("named: " + ", ".join(f"{name} {units:g}" for name, units in noise.NAMED.items()))
    report.line()
    chain = chain_of(settings)
    seconds: dict[str, list[Features]] = defaultdict(list)
    for kind, name, first, last, person in STRETCHES:
        where = clip(name, first, last, person)
        seconds[kind].append(chain(where.frames, where.fps))
    known = [Played(f.moments, chain(f.moved(), f.fps)) for f in films()]
    lengths = [Played(f.moments, chain(f.moved(), f.fps)) for f in length_films()]
    minutes = {name: list(rest(n, each, SEED, causes)) for name, causes, n, each in REST}

    combined = CombinedSpotter.from_settings(settings)
    network = NetSpotter.from_settings(settings)
    named = judge.shipped().named
    report.line("of combined: " + ", ".join(f"{name} {p:g}" for name, p in named.items()))
    report.line()
    real_alarms(report, rules, seconds, combined)
    simulated_alarms(report, rules, minutes, combined, network)
    recall(report, rules, known, combined)
    limits(report, rules, [*known, *lengths], combined)
    durations(report, rules, [*known, *lengths])
    report.line(f"({time.perf_counter() - begin:.0f} s)")
    if arguments.save:
        report.save("sensitivity.txt")


def length_films() -> Iterator[Film]:
    """Neutral films with movements of `LENGTHS`: five of different lengths in the long clip."""
    names = list(EXPRESSIONS)
    for number, (name, first, last, person, _) in enumerate(LONG):
        where = clip(name, first, last, person)
        fields = {n: expression(where, EXPRESSIONS[n][0]) for n in names}
        together = 5 if name in HEIGHTS else 1
        for turn, height in enumerate(HEIGHTS.get(name, OTHERS)):
            for group in range(len(LENGTHS) // together):
                chosen = LENGTHS[group :: len(LENGTHS) // together]
                room = len(where.frames) / where.fps / len(chosen)
                moments = []
                for k, length in enumerate(chosen):
                    middle = (k + 0.5) * room - (0.5 - RISE) * length
                    apex = round(middle * where.fps) / where.fps
                    which = names[(3 * turn + together * group + k + number + turn // 4) % 7]
                    ends = apex - RISE * length, apex, apex + (1 - RISE) * length
                    moments.append(Moment(which, *ends, height, fields[which]))
                yield Film(where, 0, len(where.frames), tuple(moments), 3000 + 100 * turn + number)


def at(rules: RuleSettings, units: float) -> RuleSettings:
    """The constants with every threshold at so many units; peaks are then in other units."""
    share = units / noise.NORMAL
    scaled = {n: share * getattr(rules, n) for n in ("min_height", "noise_factor", "drift_factor")}
    return replace(rules, **scaled)


def interval(number: int) -> Span:
    """The 95 % interval of a Poisson variable's mean, exact (Garwood)."""
    low = chi2.ppf(0.025, 2 * number) / 2 if number else 0.0
    return float(low), float(chi2.ppf(0.975, 2 * number + 2) / 2)


def a_minute(number: int, minutes: float) -> str:
    low, high = interval(number)
    return f"{number / minutes:8.2f} [{low / minutes:5.2f}, {high / minutes:5.2f}]"


def head(report: Report, label: str, thresholds: Sequence[float] = UNITS) -> None:
    report.line(f"{label:28}" + "".join(f"{threshold:>9g}" for threshold in thresholds))


def by_threshold(spot: CombinedSpotter, features: Features) -> list[tuple[Expression, ...]]:
    """What `combined` spots at each of `ODDS`."""
    _, proposals, read = spot.proposals(features)
    p = judge.shipped().probabilities(read)
    return [judge.chosen(proposals, p, threshold) for threshold in ODDS]


# -- 1. false alarms -------------------------------------------------------------------------------


def real_alarms(
    report: Report,
    rules: RuleSettings,
    seconds: Mapping[str, Sequence[Features]],
    combined: CombinedSpotter,
) -> None:
    report.line("1. False alarms in real stretches without an expression: number")
    usual = judge.shipped().named["normal"]
    for who, thresholds in (("rules: threshold, units", UNITS), ("combined: threshold", ODDS)):
        head(report, f"   {who}", thresholds)
        for kind, stretches in seconds.items():
            total = sum(f.valid.sum() / f.rate for f in stretches)
            if thresholds is UNITS:
                normal = noise.NORMAL
                found = [
                    sum(len(RuleSpotter(at(rules, u))(f)[1]) for f in stretches) for u in UNITS
                ]
                number = found[UNITS.index(normal)]
            else:
                normal = usual
                by = [by_threshold(combined, f) for f in stretches]
                found = [sum(map(len, each)) for each in zip(*by, strict=True)]
                number = sum(len(combined(f)[1]) for f in stretches)
            report.line(f"   {f'{kind}, {total:.1f} s':25}" + "".join(f"{n:9}" for n in found))
            low, high = (60 * v / total for v in interval(number))
            report.line(f"     at {normal:g}: {number}; a minute, 95 %: [{low:.1f}, {high:.1f}]")
    report.line()


def simulated_alarms(
    report: Report,
    rules: RuleSettings,
    minutes: Mapping[str, Sequence[Features]],
    combined: CombinedSpotter,
    network: NetSpotter,
) -> None:
    """By the rules, live and with the whole run's noise, and by `combined`."""
    for name, videos in minutes.items():
        total = sum(f.valid.sum() / f.rate / 60 for f in videos)
        report.line(f"   in simulated minutes of {name}, level hard: {total:.0f} min, a minute")
        report.line(f"   {'threshold, units':18}{'rules':>24}{'rules, whole run known':>24}")
        for units in UNITS:
            scaled = at(rules, units)
            whole = replace(scaled, noise_window_s=0.0)
            rows = ([RuleSpotter(how)(f)[1] for f in videos] for how in (scaled, whole))
            cells = "".join(f"{a_minute(sum(map(len, row)), total):>24}" for row in rows)
            report.line(f"   {units:<18g}{cells}")
        report.line(f"   {'threshold':18}{'combined':>24}")
        by = [by_threshold(combined, f) for f in videos]
        for threshold, found in zip(ODDS, zip(*by, strict=True), strict=True):
            report.line(f"   {threshold:<18g}{a_minute(sum(map(len, found)), total):>24}")
        normal = sum(len(combined(f)[1]) for f in videos)
        report.line(f"   {'normal':18}{a_minute(normal, total):>24}")
        alone = sum(len(network(f)[1]) for f in videos)
        report.line(f"   the network alone: {a_minute(alone, total).strip()}")
        report.line()


# -- 2. recall -------------------------------------------------------------------------------------


def overlap(a: Span, b: Span) -> float:
    """Intersection over union in seconds."""
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, shared / (max(a[1], b[1]) - min(a[0], b[0])))


def matched(moment: Moment, found: Sequence[Expression], least: float) -> Expression | None:
    """The expression that fits a movement best, if it does."""
    span = moment.onset, moment.offset
    best = max(found, key=lambda e: overlap((e.onset_s, e.offset_s), span), default=None)
    fits = best is not None and overlap((best.onset_s, best.offset_s), span) >= least
    return best if fits else None


def recall(
    report: Report, rules: RuleSettings, played: Sequence[Played], combined: CombinedSpotter
) -> None:
    total = sum(len(p.features) / p.features.rate for p in played)
    report.line(
        f"2. Micro-expressions in neutral films of {len({c[3] for c in LONG})} people, found; "
        f"films {total:.0f} s"
    )
    by_rules = [[RuleSpotter(at(rules, u))(p.features)[1] for u in UNITS] for p in played]
    by_both = [[*by_threshold(combined, p.features), combined(p.features)[1]] for p in played]
    usual = judge.shipped().named["normal"]
    for who, thresholds, found in (
        ("rules: threshold, units", UNITS, by_rules),
        ("combined: threshold", (*ODDS, usual), by_both),
    ):
        width = len(thresholds)
        hits = {m.height: [0] * width for p in played for m in p.moments}
        more = [0] * width
        for film, each in zip(played, found, strict=True):
            for k, expressions in enumerate(each):
                hit = [matched(m, expressions, 0.5) for m in film.moments]
                for moment, one in zip(film.moments, hit, strict=True):
                    hits[moment.height][k] += one is not None
                more[k] += sum(all(e is not one for one in hit) for e in expressions)
        head(report, f"   {who}", thresholds)
        for height, numbers in hits.items():
            of = sum(m.height == height for p in played for m in p.moments)
            cells = "".join(f"{f'{n}/{of}':>9}" for n in numbers)
            report.line(f"   {f'{height:g} u':25}{cells}")
        report.line(f"   {'not of these':25}" + "".join(f"{n:9}" for n in more))
    report.line("   (the last column of combined: its threshold at normal)")
    report.line()


# -- 3. limit --------------------------------------------------------------------------------------


def limits(
    report: Report, rules: RuleSettings, played: Sequence[Played], combined: CombinedSpotter
) -> None:
    report.line("3. Movements played in by their true height over the limit of their film (normal)")
    weights = columns(ROIS.names)
    for who, spot, own in (
        ("rules", RuleSpotter(rules), rules),
        ("combined", combined, combined.rules),
    ):
        shares, hits, told = [], [], []
        for film in played:
            limit, _ = noise.limits(film.features, own)
            assert limit is not None
            told.append(limit)
            found = spot(film.features)[1]
            for moment in film.moments:
                # `truth` is in outer-eye distances at 1 u.
                flat = moment.height * moment.field.truth.ravel()
                shares.append(max(abs(float(flat @ c)) for c in weights.values()) / limit)
                hits.append(matched(moment, found, SAME) is not None)
        low, high = U * min(told), U * max(told)
        report.line(f"   {who}: limits {low:.2f} to {high:.2f} u; IoU {SAME:g}")
        edges = (0.0, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0, np.inf)
        for begin, end in pairwise(edges):
            inside = [h for h, s in zip(hits, shares, strict=True) if begin <= s < end]
            if inside:
                report.line(f"   {begin:4g} to {end:4g}: {sum(inside)} of {len(inside)} found")
    report.line()


# -- 4. durations ----------------------------------------------------------------------------------


def durations(report: Report, rules: RuleSettings, played: Sequence[Played]) -> None:
    report.line("4. Durations, spotted less true (s), by fifths of the spotted durations")
    spot = RuleSpotter(rules)
    pairs = []
    for film in played:
        found = spot(film.features)[1]
        for moment in film.moments:
            one = matched(moment, found, SAME)
            if one:
                pairs.append((one, moment.offset - moment.onset))
    pairs.sort(key=lambda pair: pair[0].duration_s)
    spotted = np.array([e.duration_s for e, _ in pairs])
    true = np.array([t for _, t in pairs])
    error = spotted - true
    report.line(
        f"   {'spotted':16}{'mean':>7}{'number':>8}{'bias':>8}{'sd':>8}{'rms':>8}{'sd in code':>12}"
    )

    def tell(label: str, chosen: Sequence[int]) -> None:
        e, mean = error[chosen], float(spotted[chosen].mean())
        report.line(
            f"   {label:16}{mean:7.2f}{len(e):8}{e.mean():8.3f}{e.std():8.3f}"
            f"{np.sqrt((e**2).mean()):8.3f}{noise.duration_sd(mean) or np.nan:12.3f}"
        )

    order = np.arange(len(pairs))
    for part in np.array_split(order, 5):
        tell(f"{spotted[part[0]]:.2f} to {spotted[part[-1]]:.2f}", list(part))
    tell("all", list(order))
    report.line("   by peak, units")
    peaks = np.array([e.peak for e, _ in pairs])
    for low, high in ((0, 7), (7, 10), (10, np.inf)):
        tell(f"{low:g} to {high:g}", list(order[(peaks >= low) & (peaks < high)]))
    boundary(report, pairs)


def boundary(report: Report, pairs: Sequence[tuple[Expression, float]]) -> None:
    """Kinds near the limit, and whether `micro_probability` is one."""
    report.line(
        f"   kinds (micro: true duration of at most {MICRO_MAX_S:g} s) told right, of those"
    )
    report.line("   found, by spotted durations of at most")
    at_most = (MICRO_MAX_S, MICRO_MAX_S + noise.DURATION_BIAS_S)
    report.line(f"   {'':36}" + "".join(f"{limit:>10g} s" for limit in at_most))
    for low, high in ((0.0, 0.4), (0.4, 0.5), (0.5, 0.6), (0.6, 9.0), (0.4, 0.6)):
        # What lasts .5 s belongs to the row that ends there.
        near = [(e, t) for e, t in pairs if low <= t <= high and not low == t == MICRO_MAX_S]
        label = f"true {low:g} to {high:g} s" if high < 9 else f"true above {low:g} s"
        cells = ""
        for limit in at_most:
            right = [(e.duration_s <= limit + 1e-6) == (t <= MICRO_MAX_S + 1e-9) for e, t in near]
            cells += f"{f'{sum(right)} of {len(near)}':>12}"
        case = ", boundary cases" if (low, high) == (0.4, 0.6) else ""
        report.line(f"   {label + case:36}{cells}")
    report.line("   micro_probability, and the share that was micro")
    known = [(e.micro_probability, t <= MICRO_MAX_S + 1e-9) for e, t in pairs]
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.01)):
        inside = [micro for p, micro in known if p is not None and low <= p < high]
        if inside:
            report.line(
                f"   {f'{low:g} to {min(high, 1):g}':36}{sum(inside):4} of {len(inside)} "
                f"({np.mean(inside):.2f})"
            )
    report.line()


if __name__ == "__main__":
    main()
