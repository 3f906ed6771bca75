"""Whether the shipped recognizer names expressions that are known, and how long that takes.

    python -m benchmarks.accuracy.classify [--seeds N] [--save]

(a) Simulated films of a smile (AU 6+12), raised brows (1+2+5) and lowered brows (4), of a head that
sways and turns, at three intensities; onset and apex given, and found (whole film).
(b) The smiles and raised brows of the shared real videos, at the annotated frames, by the video and
by its features alone (motion of the 12 ROIs).
(c) CPU time of a clip after features: flow map (TV-L1, one face between) and recognizer; on one
core, so that it does not depend on what else the machine does.
(d) Simulated features of the same AUs with all nuisances, 20 subjects: onset and apex given.

Recognizers are not chosen by these. But the place of the face in their maps is found with the same
table of AUs that (a) and (d) act by, and the noise floor of flow maps (`_REST`) was set while (a)
and (b) were looked at: none is a held-out test. The figure that counts is the cross-validated one
of ``aumer bench megc2019-recognition``.
"""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np

import aumer
from aumer.errors import NoFaceError
from aumer.flow.tvl1 import tvl1
from aumer.motion import align
from aumer.motion.analysis import analyze
from aumer.recognition.flow_map import flow_map
from aumer.recognition.labeler import Labeler
from aumer.session import load_recognizer
from aumer.simulate import nuisance
from aumer.simulate.features import Subject, render
from aumer.simulate.warp import Face
from benchmarks.data import test_data
from benchmarks.films import (
    APEX_S,
    EXPRESSIONS,
    FPS,
    INTENSITIES,
    LENGTH_S,
    ONSET_S,
    acted_film,
    acted_timeline,
)
from benchmarks.report import Report, options
from benchmarks.truth import named_expressions


def simulated(report: Report, seeds: int) -> None:
    report.line(f"(a) simulated: right of {seeds} films (mean probability of the right class)")
    for size in ((640, 480), (320, 240)):
        face = Face(None, size)
        for label in EXPRESSIONS:
            cells = []
            for intensity in INTENSITIES:
                given, found = [], []
                for seed in range(seeds):
                    acted = acted_film(label, intensity, seed, face)
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
    report.line("(b) real videos: annotated AUs; label and probability of the right class, by the")
    report.line("    video and by its features")
    right: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    settings = aumer.load_settings()
    for label, row in named_expressions():
        path = test_data() / "videos" / row["file"]
        frames = {name: int(row[name]) for name in ("onset", "apex", "offset")}
        about = f"{row['file']:22} {row['onset']:>4}  {row['au']:9} {row['confidence']:5}"
        try:
            said = aumer.classify(path, **frames)
            shown = f"{said.label:9} {said.probs[label]:.2f}"
            hit = said.label == label
        except NoFaceError as error:
            shown, hit = f"no map: {error}"[:60], False
        features = analyze(path, settings, end=(frames["offset"] + 2) / float(row["fps"])).features
        other = aumer.classify(features, **frames)
        right[label].append((hit, other.label == label))
        report.line(f"{about} {shown}   {other.label:9} {other.probs[label]:.2f}")
    for label, hits in right.items():
        by_video, by_features = (sum(h) for h in zip(*hits, strict=True))
        report.line(f"{label}: {by_video} and {by_features} of {len(hits)}")
    report.line()


def simulated_features(report: Report, subjects: int = 20) -> None:
    report.line(f"(d) simulated features: right of {subjects} (mean probability)")
    causes = nuisance.load(nuisance.USUAL)
    for label in EXPRESSIONS:
        cells = []
        for intensity in INTENSITIES:
            said = []
            for seed in range(subjects):
                subject = Subject.draw(np.random.default_rng(seed))
                acted = acted_timeline(label, intensity)
                features = render(acted, subject, causes, seed=seed, name=label)
                known = {"onset": round(ONSET_S * FPS), "apex": round(APEX_S * FPS)}
                said.append(aumer.classify(features, **known))
            hits = sum(p.label == label for p in said)
            cells.append(f"{hits} ({np.mean([p.probs[label] for p in said]):.2f})")
        report.line(f"{label:9}" + "".join(f"{c:>11}" for c in cells))
    report.line("columns: intensity .15, .4, 1")
    report.line()


def speed(report: Report, repeats: int = 40) -> None:
    acted = acted_film("positive", 0.4, 0, Face(None, (640, 480)))
    faces = [
        align(acted.frame(t), acted.landmarks(t).astype(np.float32), 128)
        for t in (ONSET_S, (ONSET_S + APEX_S) / 2, APEX_S)
    ]
    labeler = Labeler(load_recognizer("default"), aumer.load_settings().motion)
    position = labeler.recognizer.position
    seconds = []
    for _ in range(repeats):
        begun = time.process_time()
        found = flow_map(faces[0], faces[2], tvl1, via=faces[1:2], position=position)
        assert found is not None
        mapped = time.process_time()
        labeler.judge(found)
        seconds.append((mapped - begun, time.process_time() - mapped))
    first, last = np.median(np.array(seconds[3:]) * 1e3, axis=0)
    report.line(
        f"(c) CPU time after features, median of {repeats - 3}: flow map {first:.1f} ms, "
        f"probabilities and attribution {last:.1f} ms, together {first + last:.1f} ms a clip"
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    report = Report("The shipped recognizer on known expressions")
    speed(report)
    report.line()
    real(report)
    simulated_features(report)
    simulated(report, arguments.seeds)
    if arguments.save:
        report.save("classify.txt")


if __name__ == "__main__":
    main()
