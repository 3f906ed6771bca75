"""Where the face lies in MEGC 2019's images, by where known expressions move in them.

    python -m benchmarks.studies.map_region [--save]

(a) What `aumer.recognition.face_position.find` finds, by whose crops the others are put over: in
all clips, and the range over 68 sets of training clips, each without one subject.
(b) Against films, which `find` does not use: flow maps of simulated smiles, raised and lowered
brows (640 x 480, three intensities) and of the annotated smiles and raised brows of the shared real
videos, cut at many places. Of each place: the mean correlation (median-centered, min-max scaled; u,
v and strain alike) with the mean image of the clip's class over the 442, put over SMIC's crops.
The recognizer is not asked.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from aumer.config import load_settings
from aumer.flow.tvl1 import tvl1
from aumer.motion import AlignedFace, align, without_head
from aumer.motion.analysis import analyze
from aumer.recognition.face_position import BY_LANDMARKS, find
from aumer.recognition.features import centered
from aumer.recognition.flow_map import SIDE, motion, with_strain, without_residual_motion
from aumer.recognition.frames import aligned_faces
from aumer.recognition.interface import Clips, load
from aumer.recognition.registration import MEAN, NONE, applied, register
from aumer.simulate.warp import Face
from aumer.training.composite import composite
from aumer.types import FloatArray
from benchmarks.data import test_data
from benchmarks.films import APEX_S, EXPRESSIONS, INTENSITIES, ONSET_S, acted_film
from benchmarks.report import Report, options
from benchmarks.truth import SAME, named_expressions

#: Px of the map per outer-eye distance, across and down, and the row of the mean face's origin.
ACROSS, DOWN, ROW = (16, 18, 20, 22, 24, 26), (14, 15, 16, 17, 18), (9.0, 9.5, 10.0, 10.5, 11.0)
CROP = 128


def field(faces: list[AlignedFace]) -> FloatArray | None:
    still = without_head(motion(faces, tvl1), 1.0)
    if still is None:
        return None
    still = without_residual_motion(still)
    return with_strain(still)


def simulated() -> list[tuple[str, FloatArray]]:
    face, found = Face(None, (640, 480)), []
    for label, intensity, seed in product(EXPRESSIONS, INTENSITIES, range(2)):
        acted = acted_film(label, intensity, seed, face)
        faces = [
            align(acted.frame(t, k), acted.landmarks(t).astype(np.float32), CROP)
            for k, t in enumerate((ONSET_S, (ONSET_S + APEX_S) / 2, APEX_S))
        ]
        one = field(faces)
        if one is not None:
            found.append((label, one))
    return found


def real() -> list[tuple[str, FloatArray]]:
    settings, found = load_settings(), []
    for label, row in named_expressions():
        if row["file"] in SAME:
            continue
        path = test_data() / "videos" / row["file"]
        onset, apex = int(row["onset"]), int(row["apex"])
        end = (apex + 2) / float(row["fps"])
        track = analyze(path, settings, end=end).track
        wanted = (onset, (onset + apex) // 2, apex)
        faces = aligned_faces(path, wanted, track, settings.motion)
        one = field([faces[k] for k in wanted]) if len(faces) == 3 else None
        if one is not None:
            found.append((label, one))
    return found


def reading(low: float, high: float) -> npt.NDArray[np.float64]:
    """(28, CROP): means over cells of the crop."""
    edges, pixel = np.linspace(low, high, SIDE + 1), np.arange(CROP)
    inside = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    share = np.clip(inside, 0, 1)
    return np.asarray(share / share.sum(1, keepdims=True))


def agreement(
    clips: list[tuple[str, FloatArray]],
    means: dict[str, FloatArray],
    across: float,
    down: float,
    row: float,
) -> float | None:
    """Mean correlation; `None` where the region is not within the crop."""
    eye = CROP / 2
    left, right = CROP / 2 - SIDE / 2 / across * eye, CROP / 2 + SIDE / 2 / across * eye
    top = 0.36 * CROP - (row + 0.5) / down * eye
    bottom = top + SIDE / down * eye
    if min(left, top) < 0 or max(right, bottom) > CROP:
        return None
    rows, columns = reading(top, bottom), reading(left, right)
    scores = []
    for label, one in clips:
        small = np.einsum("yr,xc,rck->yxk", rows, columns, one, optimize=True)
        found = centered(small[None].astype(np.float32))[0]
        for channel in range(3):
            a, b = found[..., channel], means[label][..., channel]
            b = b - np.median(b)
            scores.append((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    return float(np.mean(scores))


def found_by_target(report: Report, clips: Clips) -> None:
    report.line("(a) place found, px: in all 442 clips [range over 68 sets of training clips]")
    everyone = tuple(dict.fromkeys(clips.subjects))
    for target in (NONE, MEAN, *sorted(set(clips.sources))):
        found = []
        for subject in (None, *everyone):
            known = clips if subject is None else clips.take(~clips.of_subject(subject))
            maps = centered(known.inputs)
            maps = applied(maps, known.sources, register(maps, known.sources, target))
            one = find(maps, known.labels, known.classes)
            assert one is not None
            found.append((one.across, one.down, one.row))
        report.line(
            f"{target:8}"
            + "   ".join(
                f"{what} {of_all:5.2f} [{min(others):.2f}, {max(others):.2f}]"
                for what, (of_all, *others) in zip(
                    ("across", "down", "row"), zip(*found, strict=True), strict=True
                )
            )
        )
    report.line()


def main() -> None:
    parser = options(__doc__)
    arguments = parser.parse_args()
    report = Report("Position of the face in the images of MEGC 2019")
    clips = composite(test_data() / "megc2019")
    found_by_target(report, clips)
    maps = centered(clips.inputs)
    maps = applied(maps, clips.sources, register(maps, clips.sources, "smic"))
    means = {c: maps[clips.labels == k].mean(axis=0) for k, c in enumerate(clips.classes)}
    groups = {"simulated": simulated(), "real": real()}
    shipped = load("graph").position  # type: ignore[attr-defined]
    named = {
        (BY_LANDMARKS.across, BY_LANDMARKS.down, BY_LANDMARKS.row): "by landmarks",
        (shipped.across, shipped.down, shipped.row): "of the shipped weights",
        (22, 17, 10.0): "of the weights that shipped before",
    }
    rows = []
    for region in dict.fromkeys((*product(ACROSS, DOWN, ROW), *named)):
        found = [agreement(acted, means, *region) for acted in groups.values()]
        if None not in found:
            rows.append((region, found))
    report.line("(b) agreement of films with the class means")
    report.line(f"{'across':>7}{'down':>7}{'row':>7}" + "".join(f"{g:>11}" for g in groups))
    rows.sort(key=lambda r: -sum(r[1]))
    for region, found in [*rows[:12], *(r for r in rows[12:] if r[0] in named)]:
        report.line(
            "".join(f"{x:7.2f}" for x in region)
            + "".join(f"{f:11.3f}" for f in found)
            + f"  {named.get(region, '')}".rstrip()
        )
    report.line(f"({len(rows)} places within the crop; the best dozen, and those with a name)")
    if arguments.save:
        report.save("map_region.txt")


if __name__ == "__main__":
    main()
