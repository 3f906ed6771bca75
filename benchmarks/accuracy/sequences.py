"""The recognizers of clips: what they cost, and what they learn of simulated clips.

    python -m benchmarks.accuracy.sequences               # networks cut down, minutes on two cores
    python -m benchmarks.accuracy.sequences --published   # as published: a GPU, or a day
    python -m benchmarks.accuracy.sequences --only cnn-lstm mfem-mffm
    python -m benchmarks.accuracy.sequences --kept        # from films to weights to names
    python -m benchmarks.accuracy.sequences --kept --films FOLDER   # goes on where it was stopped

The stored ``benchmarks/results/sequences.txt`` is of before ``cnn-lstm``, ``mfem-mffm`` and
``se-resnext50`` were brought in line with their publications, and has not been measured again.

No real sequence can be shipped. UF1 is of subjects that the network has not seen (folds of
subjects, confusions pooled). The clips are drawn faces (`aumer.recognition.sequences.simulated`):
it says that a system learns motion, and nothing of how good it is on real faces. Expressions come
in two strengths: traces, which only motion shows, and strong ones, which a picture shows as well.

``--kept`` goes the users' way: films of eight people's portraits with one known expression each
(`benchmarks.films.labeled_films`) and their table, `aumer.train` on six of the people, and what it
wrote through `aumer.classify`: on new films of these six, and on all films of the two others, whom
it has never seen; four pairs in turn, so that each film is judged once. Onset, apex and offset are
the table's, or none is given. Nothing was tuned on these figures: networks and epochs are `SMALL`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import aumer
from aumer import registry
from aumer.bench.recognizers import factory
from aumer.errors import NoFaceError
from aumer.evaluation.recognition import (
    Recognized,
    evaluate_recognition,
    uf1_of,
)
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.interface import Clips, read_weights
from aumer.recognition.learning import multiply_adds, parameter_count
from aumer.recognition.sequences.clips import ClipSequence, SequenceClips
from aumer.recognition.sequences.maps import flow_maps_of
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.sequences.splits import k_fold
from aumer.recognition.ststnet import StstNetRecognizer
from aumer.recognition.systems.cnn_lstm import CnnLstmRecognizer
from aumer.recognition.systems.mfem_mffm import MfemMffmRecognizer
from aumer.recognition.systems.mobilevit_v3 import MobileVitV3
from aumer.recognition.systems.se_resnext50 import SeResNext50
from aumer.recognition.systems.system import SequenceSystem
from benchmarks.films import labeled_films, write_rows
from benchmarks.report import Report, options

SYSTEMS: tuple[type[SequenceSystem[Any]], ...] = (
    CnnLstmRecognizer,
    MfemMffmRecognizer,
    MobileVitV3,
    SeResNext50,
)
#: Seconds, from any moment on.
Clock = Callable[[], float]
#: Recognizers of flow maps, with their options.
OF_MAPS: dict[str, dict[str, Any]] = {
    "graph": {"position": BY_LANDMARKS},
    "svm-cells": {},
    "ststnet": {},
}
#: Least and greatest intensity, of `aumer.simulate.anatomy`'s full amplitudes.
STRENGTHS = {"traces": (0.08, 0.3), "strong": (0.6, 1.0)}
#: Networks and trainings that two cores do in minutes; MobileViTv3's XXS is whole.
SMALL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cnn-lstm": (
        {"length": 16, "windows": 0, "channels": (8, 16)},
        {"lr": 2e-3, "epochs": 15, "inner_share": 0.0, "patience": 0},
    ),
    "mfem-mffm": (
        {"steps": 4, "width": 8, "blocks": (1, 1, 1, 1), "hidden": 32},
        {"lr": 3e-3, "epochs": 25, "optimizer": "adam", "batch": 8},
    ),
    "mobilevit-v3": ({}, {"lr": 2e-3, "epochs": 20, "batch": 8}),
    "se-resnext50": (
        {"layers": (1, 1, 1, 1), "groups": 4, "reduction": 4},
        {"lr": 2e-3, "epochs": 60, "batch": 8},
    ),
}


def cost(system: SequenceSystem[Any], clip: ClipSequence, classes: int) -> tuple[int, int, float]:
    """Parameters, multiply-adds, and ms of one clip's network on one thread of the CPU."""
    net = system.build(classes).eval()
    position = system.windows_of([clip])[0]
    arrays = system.arrays(system.window(clip, position.start))
    inputs = {name: torch.from_numpy(x)[None] for name, x in arrays.items()}
    seconds = []
    with torch.no_grad():
        for _ in range(4):
            begun = time.process_time()
            net(**inputs)
            seconds.append(time.process_time() - begun)
    return parameter_count(net), multiply_adds(net, inputs), 1e3 * min(seconds[1:])


def cost_of_maps(recognizer: Any) -> tuple[int, int]:
    """Numbers kept, and multiply-adds of one map, of a fitted recognizer of flow maps.

    A kernel compares a map with each training clip that it keeps: with a support vector by its
    numbers; over a graph, for the map and its mirror image, by each cell's channels, each cell's
    share in each ROI, and ROI by ROI.
    """
    if isinstance(recognizer, StstNetRecognizer):
        net = recognizer.net
        return parameter_count(net), multiply_adds(net, {"x": torch.zeros(1, 3, 28, 28)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recognizer.safetensors"
        recognizer.save(path, {})
        kept = read_weights(path)
    numbers = sum(int(array.size) for array in kept.arrays.values())
    if recognizer.name != "graph":
        return numbers, numbers
    rois, adds = len(recognizer.rois), 0
    for name, array in kept.arrays.items():
        if name.startswith("rows"):
            clips, cells, channels = array.shape
            adds += 2 * clips * cells * (channels + rois)
        elif name.startswith("weights"):
            adds += 2 * array.shape[0] * rois * rois + array.size
    return numbers, adds


@dataclass(frozen=True)
class Measured:
    """Of one recognizer on clips of one strength.

    Attributes:
        training: s a fold.
        testing: ms a clip, from arrays to probabilities.
        attribution: s a fold, for every tested clip.
    """

    uf1: float
    training: float
    testing: float
    attribution: float
    last: Any


def learned(make: Any, clips: SequenceClips | Clips, folds: int, clock: Clock) -> Measured:
    """Train and test over folds of subjects."""
    count = len(clips.classes)
    confusion = np.zeros((count, count), np.int64)
    training = testing = attribution = 0.0
    for train, test in k_fold(clips.subjects, folds):
        begun = clock()
        model = make(0).fit(clips.take(train))
        trained = clock()
        unseen = clips.take(test)
        found = model.predict_proba(unseen.inputs).argmax(1)
        tested = clock()
        for one in unseen.inputs:
            model.attribution(one)
        attribution += clock() - tested
        training, testing = training + trained - begun, testing + tested - trained
        np.add.at(confusion, (unseen.labels, found), 1)
    score = float(uf1_of(confusion[None])[0])
    return Measured(score, training / folds, 1e3 * testing / len(clips), attribution / folds, model)


def as_published(report: Report) -> None:
    """What the networks cost."""
    report.line("As published, 5 classes, one clip of 128 px on one thread; multiply-adds without")
    report.line("those of recurrent layers; without the making of crops and flow:")
    one = simulated_clips(Simulation(subjects=1, per_class=1, size=128, fps=100.0)).inputs[0]
    report.line(f"{'':14}{'parameters':>12}{'multiply-adds':>16}{'ms a clip':>12}")
    for kind in SYSTEMS:
        parameters, adds, ms = cost(kind(), one, 5)
        report.line(f"{kind.name:14}{parameters:12,}{adds / 1e6:14,.0f} M{ms:12.1f}")


def row(name: str, found: Mapping[str, Measured], numbers: int, adds: int) -> str:
    strong = found["strong"]
    return (
        f"{name:14}"
        + "".join(f"{m.uf1:12.3f}" for m in found.values())
        + f"{numbers:12,}{adds / 1e6:14,.2f} M{strong.training:20.1f}{strong.testing:11.1f}"
        + f"{strong.attribution / max(strong.training, 1e-9):13.1%}"
    )


def wanted(name: str, asked: argparse.Namespace) -> bool:
    return not asked.only or name in asked.only


def on_simulated(report: Report, asked: argparse.Namespace) -> None:
    """What all recognizers learn."""
    # On one thread of a machine with other work, only CPU time says what a recognizer takes.
    clock = time.process_time if asked.device == "cpu" else time.perf_counter
    size = asked.size or (128 if asked.published else 48)
    sets = {
        name: simulated_clips(
            Simulation(
                asked.subjects,
                asked.per_class,
                size,
                fps=100.0 if asked.published else 60.0,
                intensity=intensity,
            ),
            seed=1,
        )
        for name, intensity in STRENGTHS.items()
    }
    any_set = next(iter(sets.values()))
    report.line(
        f"Simulated: {len(any_set)} clips of {size} px, {len(any_set.classes)} classes, "
        f"{asked.subjects} subjects in {asked.folds} folds; "
        + ("all as published;" if asked.published else "networks cut down (SMALL in this file);")
    )
    report.line("UF1 on unseen subjects, by chance .33, where expressions are")
    for name, (low, high) in STRENGTHS.items():
        report.line(f"  {name}: {low:g} to {high:g} of full intensity")
    report.line(
        f"{'':14}"
        + "".join(f"{'UF1 ' + name:>12}" for name in STRENGTHS)
        + f"{'parameters':>12}{'multiply-adds':>16}{'training, s a fold':>20}{'ms a clip':>11}"
        + f"{'attribution':>13}"
    )
    of_maps = {name: chosen for name, chosen in OF_MAPS.items() if wanted(name, asked)}
    maps = {name: flow_maps_of(clips, "tvl1") for name, clips in sets.items() if of_maps}
    for name, chosen in of_maps.items():
        found = {
            s: learned(factory(name, chosen), clips, asked.folds, clock)
            for s, clips in maps.items()
        }
        report.line(row(name, found, *cost_of_maps(found["strong"].last)))
    for kind in (kind for kind in SYSTEMS if wanted(kind.name, asked)):
        config, learning = ({}, {}) if asked.published else SMALL[kind.name]
        made = factory(kind.name, {"config": config, "learning": learning, "device": asked.device})
        found = {name: learned(made, clips, asked.folds, clock) for name, clips in sets.items()}
        numbers, adds, _ = cost(made(0), any_set.inputs[0], len(any_set.classes))
        report.line(row(kind.name, found, numbers, adds))
    report.line("Parameters of graph and svm-cells are what they keep of the training clips. ms a")
    report.line("clip: from arrays to probabilities. Attribution: of all tested clips, beside the")
    report.line("training of a fold. Times are of the CPU, where that is the device.")


# -- for keeps -------------------------------------------------------------------------------------

#: How strong the expressions of films are: traces, at which some miss, and plain ones.
KEPT = {"traces": STRENGTHS["traces"], "plain": (0.3, 0.8)}
#: Of people, of which one at a time is left out.
PAIRS = 4
#: Side of the crops that systems of sequences read, px.
SIDE = 48


def options_for(name: str) -> dict[str, Any]:
    """What a training file's ``[options]`` would say."""
    if name not in SMALL:
        return {}
    config, learning = SMALL[name]
    return {
        "config": config,
        "learning": learning,
        "inputs": {"size": SIDE},
    }


def for_keeps(report: Report, asked: argparse.Namespace, folder: Path, strength: str) -> None:
    """Train, keep, use: what each recognizer says of films through its file of weights."""
    low, high = KEPT[strength]
    rows = labeled_films(folder / "films", asked.takes, intensity=(low, high))
    whose = list(dict.fromkeys(row["subject"] for row in rows))
    classes = tuple(dict.fromkeys(row["label"] for row in rows))
    last = f"-{asked.takes - 1}.avi"
    learned = [row for row in rows if not row["file"].endswith(last)]
    write_rows(folder / "learned.csv", learned)
    report.line(
        f"{strength}, {low:g} to {high:g} of full intensity: {len(rows)} films of {len(whose)} "
        f"people, {len(classes)} classes; learned from {len(learned) * (PAIRS - 1) // PAIRS}"
    )
    cases = [(who, frames) for who in ("new films", "new people") for frames in ("frames", "none")]
    heads = "".join(f"{f'{who}, {frames}':>26}" for who, frames in cases)
    report.line(f"{'':14}{heads}{'least above chance':>20}")
    for name in registry.names("recognizer"):
        if not wanted(name, asked):
            continue
        found: dict[tuple[str, str], list[Recognized]] = {case: [] for case in cases}
        begun = time.perf_counter()
        for pair in range(PAIRS):
            out = [w for k, w in enumerate(whose) if k % PAIRS == pair]
            # New films of the people that the next pair's model would not know.
            seen = [w for k, w in enumerate(whose) if k % PAIRS == (pair + 1) % PAIRS]
            weights = folder / name / str(pair) / "model.safetensors"
            if not weights.exists():
                aumer.train(
                    folder / "films",
                    folder / "learned.csv",
                    out=weights.parent,
                    recognizer=name,
                    classes=classes,
                    exclude_subjects=out,
                    device=asked.device,
                    changes={"options": options_for(name)},
                    cache=folder / "cache",
                )
            kept = weights.with_name("said.json")
            if not kept.exists():
                mine = [
                    ("new people" if row["subject"] in out else "new films", row)
                    for row in rows
                    if row["subject"] in out
                    or (row["subject"] in seen and row["file"].endswith(last))
                ]
                said = [
                    (who, frames, row, named(folder, row, weights, frames == "frames"))
                    for who, row in mine
                    for frames in ("frames", "none")
                ]
                kept.write_text(json.dumps(said))
            for who, frames, row, label in json.loads(kept.read_text()):
                truth = Recognized(row["subject"], row["label"], label, row["file"])
                found[who, frames].append(truth)
        scores = [
            evaluate_recognition(found[case], classes=(*classes, NONE)).bootstrap("accuracy")
            for case in cases
        ]
        cells = "".join(f"{f'{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]':>26}" for s in scores)
        margin = min(s.low for s in scores) - 1 / len(classes)
        report.line(f"{name:14}{cells}{margin:+20.3f}")
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)


#: What is said of a film that gets no name.
NONE = "no name"


def named(folder: Path, row: Mapping[str, str], weights: Path, given: bool) -> str:
    """What the weights say of a film."""
    frames = {k: int(row[k]) for k in ("onset", "apex", "offset")} if given else {}
    film = folder / "films" / row["file"]
    try:
        said = aumer.classify(film, model=weights, cache=folder / "cache", **frames)
    except NoFaceError:
        return NONE
    return said.label or NONE


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--published", action="store_true", help="networks and trainings whole")
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--per-class", type=int, default=1)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--size", type=int, help="side of the crop, px: 48, or 128 if --published")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=registry.names("recognizer"))
    parser.add_argument("--kept", action="store_true", help="on films, through files of weights")
    parser.add_argument("--films", type=Path, metavar="FOLDER", help="keep films and weights there")
    parser.add_argument("--strength", nargs="+", choices=list(KEPT), default=list(KEPT))
    parser.add_argument("--takes", type=int, default=4, help="films of each person and class")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.kept:
        report = Report("Recognizers from films to weights to names")
        report.line(
            "Films of 60 frames/s, 400 x 300 px. Accuracy with its 95 % interval over people"
        )
        report.line(
            "resampled; by chance 0.333. frames: onset, apex and offset are given; none: the"
        )
        report.line(
            "whole film, its apex found. Least above chance: the lowest end of the four intervals"
        )
        report.line("less chance. Networks and epochs: SMALL in this file.")
        with tempfile.TemporaryDirectory() as temporary:
            for strength in asked.strength:
                report.line()
                where = (asked.films or Path(temporary)) / strength
                for_keeps(report, asked, where, strength)
        if asked.save:
            report.save("sequences-kept.txt")
        return
    report = Report("Recognizers of clips")
    as_published(report)
    report.line()
    on_simulated(report, asked)
    if asked.save:
        report.save("sequences-published.txt" if asked.published else "sequences.txt")


if __name__ == "__main__":
    main()
