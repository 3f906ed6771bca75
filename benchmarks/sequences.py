"""The published recognisers of clips: what they cost, and what they learn of simulated clips.

    python benchmarks/sequences.py                 # networks cut down, minutes on two cores
    python benchmarks/sequences.py --published     # as published: a GPU, or a day

No real sequence can be shipped. UF1 is of subjects that the network has not seen (folds of
subjects, confusions pooled). The clips are drawn faces (`aumer.recognition.sequences.simulated`):
it says that a system learns motion, and nothing of how good it is on real faces.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from common import Report

from aumer.evaluation.recognition import uf1_of
from aumer.recognition.learning import multiply_adds, parameter_count
from aumer.recognition.sequences.clips import ClipSequence, SequenceClips
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.sequences.splits import k_fold
from aumer.recognition.systems.cnn_lstm import CnnLstmRecognizer
from aumer.recognition.systems.mfem_mffm import MfemMffmRecognizer
from aumer.recognition.systems.mobilevit_v3 import MobileVitV3
from aumer.recognition.systems.se_resnext50 import SeResNext50
from aumer.recognition.systems.system import SequenceSystem

SYSTEMS: tuple[type[SequenceSystem[Any]], ...] = (
    CnnLstmRecognizer,
    MfemMffmRecognizer,
    MobileVitV3,
    SeResNext50,
)
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


def cost(system: SequenceSystem[Any], clip: ClipSequence) -> tuple[int, int, float]:
    """Parameters, multiply-adds, and ms of one clip on one thread of the CPU."""
    net = system.build(5).eval()
    place = system.places([clip])[0]
    arrays = system.arrays(system.window(clip, place.start))
    inputs = {name: torch.from_numpy(x)[None] for name, x in arrays.items()}
    seconds = []
    with torch.no_grad():
        for _ in range(4):
            begun = time.perf_counter()
            net(**inputs)
            seconds.append(time.perf_counter() - begun)
    return parameter_count(net), multiply_adds(net, inputs), 1e3 * min(seconds[1:])


def learned(
    kind: type[SequenceSystem[Any]],
    config: dict[str, Any],
    learning: dict[str, Any],
    clips: SequenceClips,
    folds: int,
    device: str,
) -> tuple[float, float, float]:
    """UF1 over all folds, training seconds a fold, ms a clip."""
    count = len(clips.classes)
    confusion = np.zeros((count, count), np.int64)
    training = testing = 0.0
    for train, test in k_fold(clips.subjects, folds):
        begun = time.perf_counter()
        system = kind(config, learning, device=device).fit(clips.take(train))
        training += time.perf_counter() - begun
        unseen = clips.take(test)
        begun = time.perf_counter()
        found = system.predict_proba(unseen.inputs).argmax(1)
        testing += time.perf_counter() - begun
        np.add.at(confusion, (unseen.labels, found), 1)
    return float(uf1_of(confusion[None])[0]), training / folds, 1e3 * testing / len(clips)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--published", action="store_true", help="networks and trainings whole")
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--per-class", type=int, default=2)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--size", type=int, help="side of the crop, px: 48, or 128 if --published")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", action="store_true", help="keep the report in results/")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("Recognisers of clips")

    report.line("As published, 5 classes, one clip of 128 px on one thread; multiply-adds without")
    report.line("those of recurrent layers:")
    one = simulated_clips(Simulation(subjects=1, per_class=1, size=128, fps=100.0)).inputs[0]
    report.line(f"{'':14}{'parameters':>12}{'multiply-adds':>16}{'ms a clip':>12}")
    for kind in SYSTEMS:
        parameters, adds, ms = cost(kind(), one)
        report.line(f"{kind.name:14}{parameters:12,}{adds / 1e6:14,.0f} M{ms:12.1f}")

    size = asked.size or (128 if asked.published else 48)
    plan = Simulation(
        asked.subjects,
        asked.per_class,
        size,
        fps=100.0 if asked.published else 60.0,
        intensity=(0.08, 0.3),  # traces: at twice these all but the apex frame's system know all
    )
    clips = simulated_clips(plan, seed=1)
    report.line()
    report.line(
        f"{len(clips)} simulated clips of {size} px, {len(clips.classes)} classes, "
        f"{asked.subjects} subjects in {asked.folds} folds, "
        + ("as published:" if asked.published else "networks cut down (SMALL in this file):")
    )
    report.line(f"{'':14}{'UF1':>8}{'training, s a fold':>22}{'ms a clip':>12}")
    for kind in SYSTEMS:
        config, learning = ({}, {}) if asked.published else SMALL[kind.name]
        score, seconds, ms = learned(kind, config, learning, clips, asked.folds, asked.device)
        report.line(f"{kind.name:14}{score:8.3f}{seconds:22.1f}{ms:12.1f}")
    if asked.save:
        report.save("sequences-published.txt" if asked.published else "sequences.txt")


if __name__ == "__main__":
    main()
