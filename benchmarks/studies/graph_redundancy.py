"""Why a graph over ROIs adds nothing to our preset: what reading ROIs through it is worth.

    python -m benchmarks.studies.graph_redundancy [--save]

Rows of sim-casme-sq, level medium, inside expressions against outside, told by the displacement of
the ROIs over the last and the next third of a second. As the networks have them, graphs are counted
on the training subjects' AUs (facs) and normed by rows; the figure is the area under the ROC curve
on subjects that are not trained on (five folds), .5 being chance.

"one ROI": the size of one ROI's displacement, for each ROI by itself. "all ROIs": a small network
(64 units, one hidden layer) that reads all of them at once, as the first layer after the graph does
in our preset. If the graph helps the first and not the second, then what it passes on is what the
second finds in the other ROIs itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from aumer.bench.sources import open_source
from aumer.config import load_settings
from aumer.graph import AUGraph
from aumer.motion.mdmo import ROIS
from aumer.training.samples import truth_intervals
from aumer.training.videos import LabeledVideo
from aumer.types import KINDS
from aumer.workers import Workers
from benchmarks.data import test_data
from benchmarks.report import Report, options

Rows = npt.NDArray[np.float64]
#: By way, of every fold: the area under the curve of each ROI by itself (R,).
Single = dict[str, list[Rows]]
#: By way and number of training subjects, of every fold: that of all ROIs at once.
Every = dict[tuple[str, int], list[float]]

FOLDS, REACH, STEP = 5, 10, 3
#: Few and many training subjects.
SUBJECTS = (3, 17)
#: Ways to read ROIs, and the first two together.
WAYS = ("ROIs as they are", "through the graph, itself kept", "through the graph alone")
BOTH = "both side by side"


def motion(video: LabeledVideo) -> Rows:
    """Displacement over the last and over the next `REACH` rows: (T, R, 4) outer-eye distances."""
    values = np.nan_to_num(video.features.values.astype(np.float64)) / video.features.eye_distance
    path = np.concatenate([np.zeros((1, *values.shape[1:])), values.cumsum(axis=0)])
    at = np.arange(len(values))
    before = path[at] - path[np.maximum(at - REACH, 0)]
    after = path[np.minimum(at + REACH, len(values))] - path[at]
    return np.concatenate([before, after], axis=-1)


def inside(video: LabeledVideo) -> npt.NDArray[np.bool_]:
    shown = np.zeros(len(video.features), np.bool_)
    for intervals in (truth_intervals(video)[kind] for kind in KINDS):
        for interval in intervals:
            shown[interval.onset : interval.offset + 1] = True
    return shown


def through(graph: AUGraph, x: Rows, *, keep: bool) -> Rows:
    """Of every ROI the weighted mean of its neighbors; with `keep`, half of it is its own."""
    a = graph.normalized("l1-rows")
    if keep:
        a = (a + np.eye(len(a))) / 2
    return np.asarray(np.einsum("ij,tjc->tic", a, x))


def one_by_one(x: Rows, y: npt.NDArray[np.bool_]) -> Rows:
    size = np.linalg.norm(x[..., :2], axis=-1) + np.linalg.norm(x[..., 2:], axis=-1)
    return np.array([roc_auc_score(y, column) for column in size.T])


def rows(some: Sequence[LabeledVideo], graph: AUGraph) -> dict[str, Rows]:
    """Of every `STEP`-th row the motion (T, R, 4), by each of `WAYS`."""
    x = np.concatenate([motion(v)[::STEP] for v in some])
    kept, alone = (through(graph, x, keep=keep) for keep in (True, False))
    return dict(zip(WAYS, (x, kept, alone), strict=True))


def labels(some: Sequence[LabeledVideo]) -> npt.NDArray[np.bool_]:
    return np.concatenate([inside(v)[::STEP] for v in some])


def all_at_once(
    seen: Rows, known: npt.NDArray[np.bool_], unseen: Rows, true: npt.NDArray[np.bool_]
) -> float:
    """Area under the curve on rows that are not trained on, of a network that reads all ROIs."""
    x = seen.reshape(len(known), -1)
    scale = StandardScaler().fit(x)
    reader = MLPClassifier(
        (64,), early_stopping=True, random_state=0, max_iter=200, batch_size=512
    ).fit(scale.transform(x), known)
    told = reader.predict_proba(scale.transform(unseen.reshape(len(true), -1)))[:, 1]
    return float(roc_auc_score(true, told))


def measured(videos: Sequence[LabeledVideo]) -> tuple[Single, Every]:
    """What each ROI tells by itself, and all at once, in every fold."""
    order = np.random.default_rng(0).permutation(sorted({v.subject for v in videos}))
    single: Single = {name: [] for name in WAYS}
    every: Every = {}
    for fold in range(FOLDS):
        tested = set(order[fold::FOLDS])
        others = [s for s in order if s not in tested]
        graph = AUGraph.from_annotations(
            [a for v in videos if v.subject in others for a in v.annotations], au_map="facs"
        )
        test = [v for v in videos if v.subject in tested]
        unseen, y = rows(test, graph), labels(test)
        for name, x in unseen.items():
            single[name].append(one_by_one(x, y))
        for count in SUBJECTS:
            some = [v for v in videos if v.subject in others[:count]]
            seen, known = rows(some, graph), labels(some)
            both = [np.concatenate([r[w] for w in WAYS[:2]], axis=1) for r in (seen, unseen)]
            pairs = {name: [seen[name], unseen[name]] for name in WAYS} | {BOTH: both}
            for name, (x, shown) in pairs.items():
                every.setdefault((name, count), []).append(all_at_once(x, known, shown, y))
    return single, every


def tell(report: Report, single: Single, every: Every) -> None:
    report.line(f"Area under the ROC curve, mean (lowest to highest) of {FOLDS} folds of subjects")
    report.line()
    head = [f"all, {count} training subjects" for count in SUBJECTS]
    report.line(f"{'':32}{'one ROI, mean of 12':>22}" + "".join(f"{h:>30}" for h in head))
    for name in (*WAYS, BOTH):
        cells = [
            f"{np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})"
            for found in (every[name, count] for count in SUBJECTS)
        ]
        alone = f"{np.mean(single[name]):.3f}" if name in single else ""
        report.line(f"{name:32}{alone:>22}" + "".join(f"{c:>30}" for c in cells))
    report.line()
    report.line("One ROI, by ROI: as it is, through the graph with itself kept, and alone")
    for roi, *values in zip(ROIS, *(np.mean(single[n], axis=0) for n in WAYS), strict=True):
        report.line(f"  {roi:18}" + "".join(f"{v:8.3f}" for v in values))


def main() -> None:
    asked = options(__doc__).parse_args()
    source = open_source("sim-casme-sq", test_data() / "annotations", level="medium", seed=0)
    report = Report("Reading ROIs through the graph, and all at once")
    tell(report, *measured(source.videos(load_settings(), Workers(1), None, None)))
    if asked.save:
        report.save("graph_redundancy.txt")


if __name__ == "__main__":
    main()
