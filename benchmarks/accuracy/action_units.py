"""Action units read off flow maps: CASME II and SAMM, simulated films, real videos; and emotions.

    python -m benchmarks.accuracy.action_units [PART ...] [--workers 2] [--keep FOLDER] [--save]
    python -m benchmarks.accuracy.action_units --default aumer/recognition/weights/aus

Parts, all by default:

coded    the 278 flow maps of CASME II and SAMM in MEGC 2019 whose AUs stand in the workbooks, one
         subject left out after the other: F1 and average precision (AP) of every AU, the prior on
         or off, and one logistic regression per AU on the cells of `svm-cells`.
sides    of those coded on one side: whether the side is told.
films    simulated films of faces that the reader has not seen, every AU known.
videos   the shared real videos, by their annotated column `au`.
emotion  the 442 maps of MEGC 2019: whether AUs and what they mean in 3,000 coded rows improve the
         recognizer `graph`; all chosen within the training subjects of each of the 68 folds.

Whatever is chosen in a fold (cost, weight of the simulated maps, strength of the prior, thresholds)
is chosen within its training subjects, and rows of the test subject are in no table. But the
*family* (linear head, 9 cells, maps of known AUs, classes weighing the same) was found by looking
at about 60 average precisions on these same folds; expect a little less on other people.
``--default`` fits what ships on all clips; its card has the figures of ``coded``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory, Parallel, delayed

import aumer
from aumer.config import load_settings
from aumer.flow import resolve as resolve_flow
from aumer.graph.au import parse
from aumer.motion import AlignedFace, align
from aumer.recognition.action_units import BOTH, AUReader, coded_units, load
from aumer.recognition.au_graph import GraphAUReader
from aumer.recognition.flow_map import flow_map
from aumer.simulate.neutral_motion import moved
from aumer.training.composite import composite
from aumer.types import SIDES, BoolArray
from benchmarks import motion_films
from benchmarks.au_folds import (
    AUS,
    METHODS,
    Floats,
    Read,
    coded_clips,
    coded_rows,
    f1,
    felt,
    left_out,
    uf1,
    with_prior,
)
from benchmarks.data import test_data
from benchmarks.report import Report, options
from benchmarks.truth import FOLDERS, SAME, annotated

SAMPLES = 2000


#: The reader that ships, and the same with the prior of the coded rows. How strong that is, is
#: chosen within each fold.
SHIPS, PRIOR = "reader", "reader, prior"
NAMES = {name: what for name, (what, _) in METHODS.items()} | {
    PRIOR: "the same with the prior of the 3,000 rows"
}


def read_all(workers: int, memory: Memory) -> dict[str, Read]:
    """Every clip by what never saw its subject, in the order of `coded_clips`, by method."""
    subjects = list(dict.fromkeys(coded_clips().subjects))
    work, coupled = memory.cache(left_out), memory.cache(with_prior)
    found = {
        name: Parallel(workers)(delayed(work)(name, subject) for subject in subjects)
        for name in METHODS
    }
    settings = [(fold.chosen["cost"], fold.chosen["simulated"]) for fold in found[SHIPS]]
    found[PRIOR] = Parallel(workers)(
        delayed(coupled)(subject, *own) for subject, own in zip(subjects, settings, strict=True)
    )
    return {name: _joined(subjects, folds) for name, folds in found.items()}


def _joined(subjects: Sequence[str], folds: Sequence[Read]) -> Read:
    clips = coded_clips()
    shares, acts = np.empty(clips.acted.shape), np.empty(clips.acted.shape, bool)
    sides: list[list[str | None]] = [[]] * len(clips)
    for subject, fold in zip(subjects, folds, strict=True):
        own = np.flatnonzero([s == subject for s in clips.subjects])
        shares[own], acts[own] = fold.shares, fold.acts
        for k, said in zip(own, fold.sides, strict=True):
            sides[k] = said
    return Read(shares, acts, sides, {s: f.chosen for s, f in zip(subjects, folds, strict=True)})


def precisions(shares: Floats, truth: BoolArray) -> Floats:
    """(K,): average precision; NaN of an AU that no clip holds."""
    order = np.argsort(-shares, axis=0, kind="stable")
    there = np.take_along_axis(truth, order, axis=0)
    hits = np.cumsum(there, axis=0)
    precision = hits / np.arange(1, len(truth) + 1)[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray((precision * there).sum(0) / hits[-1])


def resampled(subjects: Sequence[str], seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Rows of every sample of the subjects, drawn with replacement."""
    rng = np.random.default_rng(seed)
    names = np.unique(subjects)
    rows = {name: np.flatnonzero(np.asarray(subjects) == name) for name in names}
    return [
        np.concatenate([rows[n] for n in rng.choice(names, len(names))]) for _ in range(SAMPLES)
    ]


def interval(values: Sequence[float]) -> str:
    low, high = np.nanquantile(values, (0.025, 0.975))
    return f"[{low:.3f}, {high:.3f}]"


def figures(read: Read, truth: BoolArray, samples: Sequence[Any]) -> dict[str, tuple[float, str]]:
    """Macro F1, micro F1 and mean AP, each with its interval over subjects."""

    def micro(a: BoolArray, t: BoolArray) -> float:
        return float(2 * (a & t).sum() / max(a.sum() + t.sum(), 1))

    ways: dict[str, Callable[[Any], float]] = {
        "macro F1": lambda r: float(f1(read.acts[r], truth[r])[truth[r].any(0)].mean()),
        "micro F1": lambda r: micro(read.acts[r], truth[r]),
        "mean AP": lambda r: float(np.nanmean(precisions(read.shares[r], truth[r]))),
    }
    every = np.arange(len(truth))
    return {name: (way(every), interval([way(r) for r in samples])) for name, way in ways.items()}


def coded(report: Report, workers: int, memory: Memory) -> dict[str, Any]:
    clips = coded_clips()
    samples = resampled(clips.subjects)
    reads = read_all(workers, memory)
    report.line(f"## 278 coded clips of {len(set(clips.subjects))} subjects, leave-one-subject-out")
    report.line()
    report.line("| method | macro F1 | micro F1 | mean AP |")
    report.line("|---|---|---|---|")
    found = {name: figures(read, clips.acted, samples) for name, read in reads.items()}
    for name, own in found.items():
        cells = " | ".join(f"{value:.3f} {within}" for value, within in own.values())
        report.line(f"| {name} ({NAMES[name]}) | {cells} |")
    report.line()
    for a, b in ((SHIPS, "logistic"), (PRIOR, SHIPS)):
        apart = {
            "macro F1": [
                f1(reads[a].acts[r], clips.acted[r])[clips.acted[r].any(0)].mean()
                - f1(reads[b].acts[r], clips.acted[r])[clips.acted[r].any(0)].mean()
                for r in samples
            ],
            "mean AP": [
                np.nanmean(precisions(reads[a].shares[r], clips.acted[r]))
                - np.nanmean(precisions(reads[b].shares[r], clips.acted[r]))
                for r in samples
            ],
        }
        told = ", ".join(
            f"{name} {found[a][name][0] - found[b][name][0]:+.3f} {interval(values)}"
            for name, values in apart.items()
        )
        report.line(f"{a} less {b}, paired over subjects: {told}")
    strengths = [c["strength"] for c in reads[PRIOR].chosen.values()]
    values, times = np.unique(strengths, return_counts=True)
    report.line(
        "strength of the prior, chosen in each fold: "
        + ", ".join(f"{v:g} {n} x" for v, n in zip(values, times, strict=True))
    )
    report.line()
    head = " | ".join(f"{name}: F1, AP" for name in reads)
    report.line(f"| AU | clips | subjects | {head} |")
    report.line("|---|---|---|" + "---|" * len(reads))
    for k, au in enumerate(AUS):
        own = clips.acted[:, k]
        who = {s for s, there in zip(clips.subjects, own, strict=True) if there}
        cells = []
        for read in reads.values():
            each = [f1(read.acts[r], clips.acted[r])[k] for r in samples]
            ap = precisions(read.shares[:, [k]], own[:, None])[0]
            cells.append(f"{f1(read.acts, clips.acted)[k]:.2f} {interval(each)}, {ap:.2f}")
        report.line(f"| {au} | {own.sum()} | {len(who)} | " + " | ".join(cells) + " |")
    report.line()
    report.line("95 % intervals over resampled subjects. AU23 (1 clip) and AU24 (2) are not read.")
    report.line()
    return {"read": reads[SHIPS], "figures": found[SHIPS]}


def sides(report: Report, read: Read) -> None:
    clips = coded_clips()
    report.line("## The side, of AUs whose side the reader tells (folds that tell it)")
    for k, au in enumerate(AUS):
        own = clips.acted[:, k]
        said = [row[k] for row in read.sides]
        told = np.array([s is not None for s in said]) & own
        if not told.any():
            continue
        table = np.zeros((3, 3), int)
        for row in np.flatnonzero(told):
            table[clips.sides[row, k], SIDES.index(said[row])] += 1
        one = clips.sides[told, k] != BOTH
        right = np.diag(table).sum()
        rows = "; ".join(
            f"coded {SIDES[i]}: " + ", ".join(f"{SIDES[j]} {table[i, j]}" for j in range(3))
            for i in range(3)
        )
        report.line(f"AU{au}: {right} of {told.sum()} right ({one.sum()} one-sided); {rows}")
    report.line()


# -- simulated films ---------------------------------------------------------------------------

#: How far the ROI that moves furthest moves (u, about a micro-expression's median).
HEIGHTS = (0.5, 1.0, 2.0, 6.0)
SETS, APART = 30, 6


def films(report: Report, reader: AUReader) -> None:
    """Known AUs played into real recordings of neutral faces that the reader has not seen."""
    motion = load_settings().motion
    flow = resolve_flow(motion.flow)
    acted, _ = coded_units([row.text for row in coded_rows()], AUS)
    every, _ = coded_units([row.text for row in coded_rows()], tuple(range(1, 47)))
    whole = np.flatnonzero((acted.sum(1) == every.sum(1)) & acted.any(1))
    columns = [AUS.index(au) for au in reader.aus]
    report.line(
        f"## Simulated films: {SETS} coded sets of AUs played into each of "
        f"{len(motion_films.NEUTRAL)} recordings of neutral faces, {APART} frames apart"
    )
    report.line()
    report.line("| largest ROI, u | macro F1 | micro F1 | mean AP |")
    report.line("|---|---|---|---|")
    told: dict[float, tuple[list[Any], list[Any], list[str]]] = {h: ([], [], []) for h in HEIGHTS}
    rests: list[int] = []
    for number, stretch in enumerate(motion_films.NEUTRAL):
        where = motion_films.clip(*stretch[:4])
        rng = np.random.default_rng([22, number])
        last = len(where.frames) - 1

        def face(k: int, motions: Any, where: Any = where, number: int = number) -> AlignedFace:
            image = moved(where.frames[k], where.to_face[k], motions, (number, k))
            return align(image, where.landmarks[k].astype(np.float32), motion.crop)

        for row in rng.choice(whole, SETS):
            apart = min(APART, last)
            first = int(rng.integers(0, last - apart + 1))
            units = [(au, "both") for k, au in enumerate(AUS) if acted[row, k]]
            field = motion_films.expression(where, units)
            before = face(first, ())
            for height in (0.0, *HEIGHTS):
                made = flow_map(
                    before,
                    face(first + apart, ((field, height),)),
                    flow,
                    max_head_residual=motion.max_head_residual,
                    position=reader.position,
                )
                if made is None:
                    continue
                shares = reader.predict_proba(made[None])[0]
                if not height:
                    rests.append(int((shares >= reader.thresholds).sum()))
                    continue
                told[height][0].append(shares)
                told[height][1].append(acted[row, columns])
                told[height][2].append(where.person)
    by_au = {}
    for height, (shares, truth, who) in told.items():
        read = Read(np.array(shares), np.array(shares) >= reader.thresholds, [], {})
        by_au[height] = f1(read.acts, np.array(truth)), np.array(truth).sum(0)
        found = figures(read, np.array(truth), resampled(who))
        cells = " | ".join(f"{value:.3f} {within}" for value, within in found.values())
        report.line(f"| {height:g} ({len(truth)} films) | {cells} |")
    report.line()
    report.line("F1 of each AU by height (films that show it):")
    for k, au in enumerate(reader.aus):
        cells = ", ".join(f"{own[k]:.2f}" for own, _ in by_au.values())
        report.line(f"AU{au}: {cells} ({by_au[HEIGHTS[-1]][1][k]})")
    report.line(
        f"nothing played in: {np.mean(rests):.2f} AUs a film are said to act, by the map alone "
        "(`spot` and `classify` read none where too little moves)"
    )
    report.line()


# -- real videos -------------------------------------------------------------------------------


def videos(report: Report, reader: AUReader) -> None:
    """The annotated AUs of the shared real videos, at the annotated frames, by `aumer.classify`."""
    report.line("## Real videos, annotated by eye (AU18 and 27 are not read)")
    report.line()
    hits, false, missed = Counter[int](), Counter[int](), Counter[int]()
    for folder in FOLDERS:
        for row in annotated(folder):
            if row["kind"] not in ("micro", "macro") or row["file"] in SAME:
                continue
            frames = {name: int(row[name]) for name in ("onset", "apex", "offset")}
            truth = {u.number for u in parse(row["au"])} & set(reader.aus)
            about = f"{row['file']:20} {row['onset']:>4} {row['au']:10} {row['confidence']:6}"
            try:
                said = aumer.classify(test_data() / folder / row["file"], aus=reader, **frames)
            except aumer.NoFaceError as error:
                report.line(f"{about} no map: {error}"[:100])
                missed.update(truth)
                continue
            acts = {u.number for u in said.aus or () if u.acts}
            hits.update(acts & truth)
            false.update(acts - truth)
            missed.update(truth - acts)
            sure = " ".join(f"{u}:{u.probability:.2f}" for u in said.aus or () if u.acts)
            report.line(f"{about} said {sure or 'none'}")
    tp, fp, fn = (sum(c.values()) for c in (hits, false, missed))
    report.line(f"all AUs: TP {tp} FP {fp} FN {fn}, F1 {2 * tp / (2 * tp + fp + fn):.3f}")
    for au in sorted(hits | false | missed):
        report.line(f"AU{au}: TP {hits[au]} FP {false[au]} FN {missed[au]}")
    report.line("the same recording re-timed counts once")
    report.line()


# -- emotions ----------------------------------------------------------------------------------


def emotion(report: Report, workers: int, memory: Memory) -> None:
    clips = composite(test_data() / "megc2019")
    subjects = list(dict.fromkeys(clips.subjects))
    coded_of = set(coded_clips().subjects)
    first = memory.cache(left_out)
    chosen_in = {s: first(SHIPS, s).chosen for s in subjects if s in coded_of}
    choices = [
        (c["cost"], c["simulated"]) if (c := chosen_in.get(s)) is not None else None
        for s in subjects
    ]
    folds = Parallel(workers)(
        delayed(memory.cache(felt))(s, c) for s, c in zip(subjects, choices, strict=True)
    )
    names = {
        "svm-cells": "svm",
        "graph": "graph",
        "AUs and what they mean": "alone",
        "graph and AUs": "both",
    }
    said = {name: np.empty(len(clips), int) for name in names}
    for subject, fold in zip(subjects, folds, strict=True):
        for name, what in names.items():
            said[name][clips.of_subject(subject)] = getattr(fold, what).argmax(1)
    samples = resampled(clips.subjects)
    report.line(
        f"## Emotions: {len(clips)} maps of {len(subjects)} subjects, nested leave-one-subject-out"
    )
    report.line()
    report.line("| by | UF1 | SMIC | CASME II | SAMM |")
    report.line("|---|---|---|---|---|")
    sources = np.array(clips.sources)
    for name, own in said.items():
        each = interval([uf1(clips.labels[r], own[r]) for r in samples])
        parts = " | ".join(
            f"{uf1(clips.labels[sources == s], own[sources == s]):.3f}"
            for s in ("smic", "casme2", "samm")
        )
        report.line(f"| {name} | {uf1(clips.labels, own):.4f} {each} | {parts} |")
    report.line()
    both = said["graph and AUs"]
    for name in ("svm-cells", "graph"):
        other = said[name]
        apart = [uf1(clips.labels[r], both[r]) - uf1(clips.labels[r], other[r]) for r in samples]
        less = uf1(clips.labels, both) - uf1(clips.labels, other)
        report.line(
            f"graph and AUs less {name}, paired over subjects: {less:+.4f} {interval(apart)}"
        )
    chosen = Counter(fold.chosen for fold in folds).most_common(6)
    report.line(
        "chosen (trust, slip, weight of graph): " + ", ".join(f"{c} {n} x" for c, n in chosen)
    )
    rows = [r for r in coded_rows() if r.label]
    report.line(
        f"what AUs mean was counted in {len(rows)} rows with one of MEGC's classes, those of the "
        "test subject left out"
    )
    report.line()


# -- what ships --------------------------------------------------------------------------------


def make_default(target: Path, found: Mapping[str, tuple[float, str]], read: Read) -> None:
    clips = coded_clips()
    reader = GraphAUReader().fit(clips)
    people = len(set(clips.subjects))
    own = f1(read.acts, clips.acted)
    card = {
        "name": "AU reader of micro-expressions",
        "data": "MEGC 2019 composite: 278 optical-flow images (28 x 28, min-max scaled) of CASME "
        f"II (145) and SAMM (133), {people} subjects, all of them in training, with their owners' "
        "AUs; and 1000 simulated maps",
        "holds": "weights of a linear head, rates and thresholds of AUs; no clip and no row",
        "reads": "u, v and optical strain from onset to apex on a face crop",
        "protocol": "leave-one-subject-out over these subjects, counts pooled; all settings and "
        "thresholds chosen within the training subjects",
        "figures": {name: f"{value:.3f} {within}" for name, (value, within) in found.items()},
        "f1": {str(au): round(float(f), 3) for au, f in zip(AUS, own, strict=True)},
        "clips": {str(au): int(n) for au, n in zip(AUS, clips.acted.sum(0), strict=True)},
        "limits": "Micro-expressions elicited in laboratories, faces to the camera. Of AUs that "
        "few clips hold (5, 20, 25, 26) the figures are rough; AU6, 9, 10 and 14 are read poorly. "
        "Probabilities hold for clips in which AUs are as frequent as in these. Not for decisions "
        "about persons.",
        "licence": "research use only: the data sets are given out for research",
        "made": "python -m benchmarks.accuracy.action_units --default "
        "aumer/recognition/weights/aus",
    }
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{reader.name}.safetensors"
    reader.save(path, card, overwrite=True)
    print(f"{path}: {json.dumps(reader.chosen)}")


def main() -> None:
    parser = options(__doc__)
    parts = ("coded", "sides", "films", "videos", "emotion")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder that keeps folds between runs")
    parser.add_argument("--default", type=Path, metavar="FOLDER", help="write the weights there")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    wanted = args.parts or parts
    memory = Memory(args.keep, verbose=0)
    report = Report("Action units read off flow maps")
    if args.default or {"coded", "sides"} & set(wanted):
        found = coded(report, args.workers, memory)
        if args.default:
            make_default(args.default, found["figures"], found["read"])
            return
        if "sides" in wanted:
            sides(report, found["read"])
    if "films" in wanted:
        films(report, load())
    if "videos" in wanted:
        videos(report, load())
    if "emotion" in wanted:
        emotion(report, args.workers, memory)
    if args.save:
        report.save("action_units.txt")


if __name__ == "__main__":
    main()
