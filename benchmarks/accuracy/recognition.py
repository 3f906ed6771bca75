"""Recognition on the MEGC 2019 composite, leave-one-subject-out; and the weights that ship.

    python -m benchmarks.accuracy.recognition [MODEL ...] [--folds FOLDER] [--workers 2] [--save]
    python -m benchmarks.accuracy.recognition --default aumer/recognition/weights --folds FOLDER

Models are the names in `MODELS`, by default those that draw nothing at random. Folds are kept in
FOLDER, so that a run that was stopped goes on. What a recogniser chooses it chooses within the
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
from aumer.bench.recognizers import factory
from aumer.bench.run import run
from aumer.bench.tasks.recognition_result import RecognitionResult
from aumer.bench.workers import Workers
from aumer.training.composite import composite
from benchmarks.data import test_data
from benchmarks.report import Report, options

#: Recogniser, options and what is measured by it.
MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "svm-cells": ("svm-cells", {}, "the reference"),
    "graph": ("graph", {}, "as it ships: all chosen within training subjects"),
    "graph-identity": ("graph", {"graph": "identity"}, "no edge between ROIs"),
    "graph-unregistered": ("graph", {"registered": False}, "crops as their owners made them"),
    "graph-motion": ("graph-motion", {}, "as it ships: u and v of 12 ROIs alone"),
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
    if "graph" in results:
        for name, result in results.items():
            if name != "graph":
                found = results["graph"].compare(result)
                report.line(f"graph less {name}, paired over subjects: {found}, p = {found.p:.3f}")
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
                    f"  place, {key}: {min(found):g} to {max(found):g}, "
                    f"median {np.median(found):g} px"
                )
            inner = sum(c["uf1_left_out"] for c in chosen) / len(chosen)
            report.line(f"  UF1 on training subjects left out, at the choice: mean {inner:.4f}")
    for name, result in results.items():
        report.line()
        report.line(f"## {name}")
        report.line("\n".join(result.tables()).rstrip())


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
        "graph recogniser of micro-expressions, three classes",
        "reads u, v and optical strain from onset to apex on a face crop",
    ),
    "graph-motion": (
        "graph recogniser of micro-expressions by the motion of 12 ROIs, three classes",
        "reads u and v of 12 ROIs from onset to apex, as aumer's features hold them, and nothing "
        "of the face between them",
    ),
}


def make_default(root: Path, folds: Path, workers: int, target: Path) -> None:
    """Train what ships on all clips, its honest figures on its card."""
    for name, (title, reads) in SHIPPED.items():
        result = measured(name, root, folds, workers)
        model = factory(name)(0).fit(composite(root))
        uf1, uar = result.bootstrap("uf1"), result.bootstrap("uar")
        card = {
            "name": title,
            "data": "MEGC 2019 composite: 442 optical-flow images (28 x 28, min-max scaled) of "
            "SMIC-HS (164), CASME II (145) and SAMM (133), 68 subjects, all of them in training",
            "reads": reads,
            "graph": f"{model.graph.name}, counted on DFME: no subject of the composite",
            "protocol": "leave-one-subject-out over 68 subjects, counts pooled; target crop, the "
            "face's place in the maps, structures (scale, edges), how many are averaged, gamma, "
            "ridge and balance chosen within the training subjects of each fold",
            "uf1": {k: round(v, 4) for k, v in uf1.to_dict().items()},
            "uar": {k: round(v, 4) for k, v in uar.to_dict().items()},
            "uf1_by_data_set": {p: round(result.mean("uf1", p), 4) for p in sorted(result.parts)},
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
