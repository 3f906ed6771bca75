"""Which part of the face MEGC 2019's images show, by where known expressions move in them.

    python benchmarks/map_region.py [--save]

Flow maps of simulated smiles, raised and lowered brows (640 x 480, three intensities) and of the
annotated smiles and raised brows of the shared real videos are cut with regions of many sizes. Of
each region: the mean correlation (median-centred, min-max scaled; u, v and strain alike) with the
mean image of the clip's class over the 442 images. The recogniser is not asked.
"""

from __future__ import annotations

import argparse
import csv
from itertools import product

import numpy as np
import numpy.typing as npt
from classify import APEX_S, EXPRESSIONS, INTENSITIES, ONSET_S, film
from common import Report, test_data

from aumer.analysis import analyse
from aumer.config import load_settings
from aumer.data.megc2019 import Megc2019
from aumer.motion import AlignedFace, align, without_head
from aumer.recognition.clips import aligned_faces
from aumer.recognition.features import centred
from aumer.recognition.flow_map import SIDE, motion, settled, strain
from aumer.simulate.warp import Face
from aumer.tvl1 import tvl1
from aumer.types import FloatArray

#: Px of the map per outer-eye distance, across and down, and the row of the mean face's origin.
ACROSS, DOWN, ROW = (16, 18, 20, 22, 24, 26), (14, 15, 16, 17, 18), (9.0, 9.5, 10.0, 10.5, 11.0)
CROP = 128


def field(faces: list[AlignedFace]) -> FloatArray | None:
    still = without_head(motion(faces, tvl1), 1.0)
    if still is None:
        return None
    still = settled(still)
    return np.concatenate([still, strain(still)[..., None]], axis=-1)


def simulated() -> list[tuple[str, FloatArray]]:
    face, found = Face(None, (640, 480)), []
    for label, intensity, seed in product(EXPRESSIONS, INTENSITIES, range(2)):
        acted = film(label, intensity, seed, face)
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
    with (test_data() / "videos" / "annotations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in ("micro", "macro")]
    for row in rows:
        aus = row["au"].split("+")
        label = "positive" if "12" in aus else "surprise" if aus[:2] == ["1", "2"] else None
        if label is None or "no_face" in row["file"]:  # the selfie, re-timed
            continue
        path = test_data() / "videos" / row["file"]
        onset, apex = int(row["onset"]), int(row["apex"])
        end = (apex + 2) / float(row["fps"])
        track = analyse(path, settings, end=end).track
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
        found = centred(small[None].astype(np.float32))[0]
        for channel in range(3):
            a, b = found[..., channel], means[label][..., channel]
            b = b - np.median(b)
            scores.append((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--save", action="store_true", help="keep under benchmarks/results/")
    arguments = parser.parse_args()
    report = Report("Region of the flow maps: agreement with the class means of MEGC 2019")
    data = Megc2019.from_root(test_data() / "megc2019")
    maps = centred(data.images().astype(np.float32))
    labels = np.array([v.annotations[0].emotion for v in data.videos])
    means = {label: maps[labels == label].mean(axis=0) for label in EXPRESSIONS}
    groups = {"simulated": simulated(), "real": real()}
    rows = []
    for region in product(ACROSS, DOWN, ROW):
        found = [agreement(clips, means, *region) for clips in groups.values()]
        if None not in found:
            rows.append((region, found))
    report.line(f"{'across':>7}{'down':>6}{'row':>6}" + "".join(f"{g:>11}" for g in groups))
    rows.sort(key=lambda r: -sum(r[1]))
    shown = [*rows[:12], *(r for r in rows[12:] if r[0] in ((22, 17, 10.0), (20, 15, 9.5)))]
    for region, found in shown:
        report.line(
            f"{region[0]:7}{region[1]:6}{region[2]:6}" + "".join(f"{f:11.3f}" for f in found)
        )
    report.line(f"({len(rows)} regions that lie within the crop; the best dozen, and two more)")
    if arguments.save:
        report.save("map_region.txt")


if __name__ == "__main__":
    main()
