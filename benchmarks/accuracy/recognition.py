"""Recognition on the MEGC 2019 composite, leave-one-subject-out; and the weights that ship.

    python -m benchmarks.accuracy.recognition [MODEL ...] [--folds FOLDER] [--workers 2] [--save]
    python -m benchmarks.accuracy.recognition --default aumer/recognition/weights --folds FOLDER

Models are the names in `MODELS`, by default those that draw nothing at random. Folds are kept in
FOLDER, so that a run that was stopped goes on. What a recognizer chooses it chooses within the
training subjects of each fold; what was tried out on the outer folds is in recognition_log.md.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aumer.bench.protocol import Protocol
from aumer.bench.run import run
from aumer.bench.tasks.recognition_result import RecognitionResult
from aumer.evaluation.calibration import Reliability, coverage, reliability
from aumer.recognition.graph_kernel import GraphRecognizer
from aumer.recognition.interface import resolve
from aumer.training.composite import composite
from aumer.workers import Workers
from benchmarks.data import test_data
from benchmarks.report import Report, options

#: Recognizer, options and what is measured by it.
MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "svm-cells": ("svm-cells", {}, "the reference"),
    "graph-shipped": ("graph", {"landmarks": 128}, "as it ships: no clip is kept"),
    "graph-motion-shipped": ("graph-motion", {"landmarks": 128}, "as it ships: no clip is kept"),
    "graph": ("graph", {}, "keeps every clip; all chosen within training subjects"),
    "graph-identity": ("graph", {"graph": "identity"}, "no edge between ROIs"),
    "graph-unregistered": ("graph", {"registered": False}, "crops as their owners made them"),
    "graph-motion": ("graph-motion", {}, "keeps every clip; u and v of 12 ROIs alone"),
    "ststnet": ("ststnet", {}, "fixed epochs"),
}
#: Of those that draw something at random.
SEEDS = {"ststnet": (0, 1, 2)}


def measured(name: str, root: Path, folds: Path, workers: int) -> RecognitionResult:
    kind, options, _ = MODELS[name]
    protocol = Protocol(
        name="megc2019-recognition",
        title="",
        kind="recognition",
        datasets=("megc2019",),
        split="loso",
        seeds=SEEDS.get(name, (0,)),
        recognition={kind: options},
    )
    found = run(
        protocol,
        root,
        kind,
        workers=Workers(workers),
        folder=folds / name,
        progress=lambda what, done, total: print(f"{name}: {done} of {total} {what}", end="\r"),
    )
    assert isinstance(found, RecognitionResult)
    return found


def compare(report: Report, results: dict[str, RecognitionResult]) -> None:
    report.line("| model | UF1 | UAR | SMIC | CASME II | SAMM | training, s |")
    report.line("|---|---|---|---|---|---|---|")
    for name, result in results.items():
        parts = " | ".join(f"{result.mean('uf1', p):.4f}" for p in ("smic", "casme2", "samm"))
        report.line(
            f"| {name} ({MODELS[name][2]}) | {result.bootstrap('uf1')} | "
            f"{result.bootstrap('uar')} | {parts} | {result.seconds:.0f} |"
        )
    report.line()
    report.line("UF1 and UAR with their 95 % interval over resampled subjects; UF1 by data set;")
    report.line("training summed over the 68 folds of a seed, each on one core.")
    for base in ("graph-shipped", "graph"):
        for name, result in results.items() if base in results else ():
            if name != base:
                found = results[base].compare(result)
                report.line(f"{base} less {name}, paired over subjects: {found}, p = {found.p:.3f}")
    calibrated(report, results)
    for name, result in results.items():
        chosen = [fold.chosen for fold in result.folds if fold.chosen]
        if chosen:
            report.line()
            report.line(f"{name}, chosen within the training subjects of each fold (of 68):")
            for key, values in chosen_values(chosen).items():
                times = Counter(values).most_common(8)
                report.line(f"  {key}: " + ", ".join(f"{value} {n} x" for value, n in times))
            for key in ("across", "down", "row"):
                found = [c["place"][key] for c in chosen]
                report.line(
                    f"  position, {key}: {min(found):g} to {max(found):g}, "
                    f"median {np.median(found):g} px"
                )
            inner = sum(c["uf1_left_out"] for c in chosen) / len(chosen)
            report.line(f"  UF1 on training subjects left out, at the choice: mean {inner:.4f}")
    for name, result in results.items():
        report.line()
        report.line(f"## {name}")
        report.line("\n".join(result.tables()).rstrip())


def answers(result: RecognitionResult) -> tuple[list[float], list[bool], list[str]]:
    """Of every clip and seed: how probable the answer was, whether it is right, whose it is."""
    rows = [
        (max(probabilities), truth == predicted, subject)
        for fold in result.folds
        for probabilities, truth, predicted, subject in zip(
            fold.probabilities, fold.truths, fold.predicted, fold.clip_subjects, strict=True
        )
    ]
    sure, right, subjects = (list(column) for column in zip(*rows, strict=True))
    return sure, right, subjects


def calibrated(report: Report, results: dict[str, RecognitionResult]) -> None:
    report.line()
    report.line("Expected calibration error (10 bins, with its 95 % interval over subjects), and")
    report.line("the share of clips that keep a label and the accuracy of these, by abstain_below:")
    thresholds = (0.5, 0.6, 0.7, 0.8, 0.9)
    report.line("| model | error | " + " | ".join(f"{t:g}" for t in thresholds) + " |")
    report.line("|" + "---|" * (len(thresholds) + 2))
    curves: dict[str, Reliability] = {}
    for name, result in results.items():
        sure, right, subjects = answers(result)
        curves[name] = reliability(sure, right, subjects)
        kept = coverage(sure, right, thresholds)
        cells = [f"{c:.0%}: {a:.3f}" for c, a in zip(kept.coverage, kept.accuracy, strict=True)]
        report.line(f"| {name} | {curves[name]} | " + " | ".join(cells) + " |")
    report.line()
    report.line("Reliability: share right (clips) of answers whose probability lies within")
    bins = [f"{k / 10:.1f}-{k / 10 + 0.1:.1f}" for k in range(3, 10)]
    report.line("| model | " + " | ".join(bins) + " |")
    report.line("|" + "---|" * (len(bins) + 1))
    for name, curve in curves.items():
        cells = [
            f"{share:.2f} ({n})" if n else "-"
            for share, n in zip(curve.accuracy[3:], curve.counts[3:], strict=True)
        ]
        report.line(f"| {name} | " + " | ".join(cells) + " |")


def chosen_values(chosen: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What was chosen, by what it says; of members, those of all folds together."""
    members = [m for c in chosen for m in c["members"]]
    return {
        "target": [c["target"] for c in chosen],
        "structures averaged": [str(len(c["members"])) for c in chosen],
        "structures (scale, edges)": [f"{m['scale']} {m['edges']}" for m in members],
        **{key: [str(m[key]) for m in members] for key in ("gamma", "ridge", "balance")},
    }


#: What ships, and what its card says of its input and of its limits.
SHIPPED = {
    "graph": (
        "graph recognizer of micro-expressions, three classes",
        "reads u, v and optical strain from onset to apex on a face crop",
    ),
    "graph-motion": (
        "graph recognizer of micro-expressions by the motion of 12 ROIs, three classes",
        "reads u and v of 12 ROIs from onset to apex, as aumer's features hold them, and nothing "
        "of the face between them",
    ),
}


def make_default(root: Path, folds: Path, workers: int, target: Path) -> None:
    """Train what ships on all clips, its honest figures on its card."""
    for name, (title, reads) in SHIPPED.items():
        measured_as = f"{name}-shipped"
        kind, options, _ = MODELS[measured_as]
        result = measured(measured_as, root, folds, workers)
        model = resolve(kind)(**options).fit(composite(root))
        assert isinstance(model, GraphRecognizer)
        sure, right, subjects = answers(result)
        error = reliability(sure, right, subjects)
        uf1, uar = result.bootstrap("uf1"), result.bootstrap("uar")
        card = {
            "name": title,
            "fitted_on": "MEGC 2019 composite: 442 optical-flow images (28 x 28, min-max scaled) "
            "of SMIC-HS (164), CASME II (145) and SAMM (133), 68 subjects, all of them in training",
            "holds": f"parameters alone: a weight for each of {model.landmarks} simulated flow "
            "maps and each class, those maps (`simulated_maps` of aumer.recognition.acted_maps: no "
            "clip of anybody is in them), a mean and a deviation for each cell, an affine for each "
            "data set, and 101 quantiles of how like the clips are to the maps. No clip, nothing "
            "computed from a single one",
            "reads": reads,
            "graph": f"{model.graph.name}, counted on DFME: no subject of the composite",
            "protocol": "leave-one-subject-out over 68 subjects, counts pooled; target crop, the "
            "face's place in the maps, structures (scale, edges), how many are averaged, gamma, "
            "ridge and balance chosen within the training subjects of each fold",
            "uf1": {k: round(v, 4) for k, v in uf1.to_dict().items()},
            "uar": {k: round(v, 4) for k, v in uar.to_dict().items()},
            "uf1_by_data_set": {p: round(result.mean("uf1", p), 4) for p in sorted(result.parts)},
            "calibration_error": {
                "value": round(error.error, 4),
                "low": round(error.low, 4),
                "high": round(error.high, 4),
            },
            "chosen_on_all": model.chosen,
            "limits": "Micro-expressions elicited in laboratories, mostly of young adults, faces "
            "to the camera. The images lack amplitude, so that a face at rest is classed as well "
            "as a moving one. The family that is chosen from (kernels on cells, registration, "
            "ridge) was thought of by people who had seen figures on these same clips (benchmarks/"
            "recognition_log.md): expect no more on other people. Not for decisions about persons.",
            "licence": "research use only: the data sets are given out for research",
            "made": "python -m benchmarks.accuracy.recognition --default aumer/recognition/weights",
        }
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"{name}.safetensors"
        model.save(path, card, overwrite=True)
        print(f"{path}: {model.chosen}; UF1 {uf1}, UAR {uar}")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--folds", type=Path, help="folder that keeps the folds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--default", type=Path, metavar="FOLDER", help="write the weights there")
    args = parser.parse_args()
    unknown = set(args.models) - set(MODELS)
    if unknown:
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    root = test_data() / "megc2019"
    with tempfile.TemporaryDirectory() as temporary:
        folds = args.folds or Path(temporary)
        if args.default:
            make_default(root, folds, args.workers, args.default)
            return
        report = Report("Recognition: MEGC 2019 composite, leave-one-subject-out")
        results = {
            name: measured(name, root, folds, args.workers)
            for name in args.models or [n for n in MODELS if n != "ststnet"]
        }
        compare(report, results)
        if args.save:
            report.save("recognition.txt")


if __name__ == "__main__":
    main()
