"""Whether the shipped recogniser names expressions that are known, and how long that takes.

    python benchmarks/classify.py [--seeds N] [--save]

(a) Simulated films of a smile (AU 6+12), raised brows (1+2+5) and lowered brows (4), of a head that
sways and turns, at three intensities; onset and apex given, and found (whole film).
(b) The smiles and raised brows of the shared real videos, at the annotated frames. The map's region
was set while (a) and (b) were looked at (benchmarks/map_region.py): neither is a held-out test; the
honest figure is the cross-validated one of ``aumer bench megc2019-recognition``.
(c) CPU time of a clip after features: flow map (TV-L1, one face between) and recogniser; on one
core, so that it does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict

import numpy as np
from common import Report, test_data

import aumer
from aumer.errors import NoFaceError
from aumer.motion import align
from aumer.pipeline import load_recognizer
from aumer.recognition.flow_map import flow_map
from aumer.recognition.labeller import Labeller
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance
from aumer.simulate.warp import Face
from aumer.tvl1 import tvl1

EXPRESSIONS = {"positive": (6, 12), "surprise": (1, 2, 5), "negative": (4,)}
INTENSITIES = (0.15, 0.4, 1.0)
FPS, LENGTH_S, ONSET_S, APEX_S, RELEASE_S, OFFSET_S = 30, 1.2, 0.2, 0.5, 0.7, 1.0


def film(label: str, intensity: float, seed: int, face: Face) -> Film:
    aus = tuple((au, "both") for au in EXPRESSIONS[label])
    event = Event("macro", aus, ONSET_S, APEX_S, RELEASE_S, OFFSET_S, intensity)
    nuisance = Nuisance.none(sway=1.0, turns=1.0, light=1.0, noise=1.0)
    return Film(Timeline(LENGTH_S, (event,)), nuisance=nuisance, seed=seed, face=face)


def simulated(report: Report, seeds: int) -> None:
    report.line(f"(a) simulated: right of {seeds} films (mean probability of the right class)")
    for size in ((640, 480), (320, 240)):
        face = Face(None, size)
        for label in EXPRESSIONS:
            cells = []
            for intensity in INTENSITIES:
                given, found = [], []
                for seed in range(seeds):
                    acted = film(label, intensity, seed, face)
                    frames = np.stack(
                        [acted.frame(k / FPS, k) for k in range(round(LENGTH_S * FPS))]
                    )
                    known = {"onset": round(ONSET_S * FPS), "apex": round(APEX_S * FPS)}
                    given.append(aumer.classify(frames, fps=FPS, **known))
                    found.append(aumer.classify(frames, fps=FPS))
                cells += [
                    f"{sum(p.label == label for p in some)} "
                    f"({np.mean([p.probs[label] for p in some]):.2f})"
                    for some in (given, found)
                ]
            report.line(f"{size[0]}x{size[1]}  {label:9}" + "".join(f"{c:>11}" for c in cells))
    report.line("columns: intensity .15, .4, 1, each with onset and apex given, then found")
    report.line()


def real(report: Report) -> None:
    report.line("(b) real videos: annotated AUs, label, probability of the right class")
    right: dict[str, list[bool]] = defaultdict(list)
    with (test_data() / "videos" / "annotations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in ("micro", "macro")]
    for row in rows:
        aus = row["au"].split("+")
        label = "positive" if "12" in aus else "surprise" if aus[:2] == ["1", "2"] else None
        if label is None:
            continue
        frames = {name: int(row[name]) for name in ("onset", "apex", "offset")}
        try:
            said = aumer.classify(test_data() / "videos" / row["file"], cache=True, **frames)
        except NoFaceError as error:
            report.line(f"{row['file']:26} {row['onset']:>4}  {row['au']:9} no map: {error}"[:110])
            right[label].append(False)
            continue
        right[label].append(said.label == label)
        report.line(
            f"{row['file']:26} {row['onset']:>4}  {row['au']:9} {row['confidence']:5} "
            f"{said.label:9} {said.probs[label]:.2f}"
        )
    for label, hits in right.items():
        report.line(f"{label}: {sum(hits)} of {len(hits)}")
    report.line()


def speed(report: Report, repeats: int = 40) -> None:
    acted = film("positive", 0.4, 0, Face(None, (640, 480)))
    faces = [
        align(acted.frame(t), acted.landmarks(t).astype(np.float32), 128)
        for t in (ONSET_S, (ONSET_S + APEX_S) / 2, APEX_S)
    ]
    labeller = Labeller(load_recognizer("default"), tvl1, aumer.load_settings().motion)
    seconds = []
    for _ in range(repeats):
        begun = time.process_time()
        found = flow_map(faces[0], faces[2], tvl1, via=faces[1:2])
        assert found is not None
        mapped = time.process_time()
        labeller.judge(found)
        seconds.append((mapped - begun, time.process_time() - mapped))
    first, last = np.median(np.array(seconds[3:]) * 1e3, axis=0)
    report.line(
        f"(c) CPU time after features, median of {repeats - 3}: flow map {first:.1f} ms, "
        f"probabilities and attribution {last:.1f} ms, together {first + last:.1f} ms a clip"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--save", action="store_true", help="keep under benchmarks/results/")
    arguments = parser.parse_args()
    report = Report("The shipped recogniser on known expressions")
    speed(report)
    report.line()
    real(report)
    simulated(report, arguments.seeds)
    if arguments.save:
        report.save("classify.txt")


if __name__ == "__main__":
    main()
