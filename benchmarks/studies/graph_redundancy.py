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

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from aumer.bench.sources import open_source
from aumer.bench.workers import Workers
from aumer.config import load_settings
from aumer.graph import AUGraph
from aumer.motion.mdmo import ROIS
from aumer.training.samples import truth_intervals
from aumer.training.videos import LabelledVideo
from aumer.types import KINDS
from benchmarks.data import test_data
from benchmarks.report import Report, options

Rows = npt.NDArray[np.float64]

FOLDS, REACH, STEP = 5, 10, 3
#: Few and many training subjects.
SUBJECTS = (3, 17)


def motion(video: LabelledVideo) -> Rows:
    """Displacement over the last and over the next `REACH` rows: (T, R, 4) outer-eye distances."""
    values = np.nan_to_num(video.features.values.astype(np.float64)) / video.features.eye_distance
    path = np.concatenate([np.zeros((1, *values.shape[1:])), values.cumsum(axis=0)])
    at = np.arange(len(values))
    before = path[at] - path[np.maximum(at - REACH, 0)]
    after = path[np.minimum(at + REACH, len(values))] - path[at]
    return np.concatenate([before, after], axis=-1)


def inside(video: LabelledVideo) -> npt.NDArray[np.bool_]:
    shown = np.zeros(len(video.features), np.bool_)
    for intervals in (truth_intervals(video)[kind] for kind in KINDS):
        for interval in intervals:
            shown[interval.onset : interval.offset + 1] = True
    return shown


def through(graph: AUGraph, x: Rows, *, keep: bool) -> Rows:
    """Of every ROI the weighted mean of its neighbours; with `keep`, half of it is its own."""
    a = graph.normalised("l1-rows")
    if keep:
        a = (a + np.eye(len(a))) / 2
    return np.asarray(np.einsum("ij,tjc->tic", a, x))


def one_by_one(x: Rows, y: npt.NDArray[np.bool_]) -> Rows:
    size = np.linalg.norm(x[..., :2], axis=-1) + np.linalg.norm(x[..., 2:], axis=-1)
    return np.array([roc_auc_score(y, column) for column in size.T])


def main() -> None:
    parser = options(__doc__)
    asked = parser.parse_args()
    source = open_source("sim-casme-sq", test_data() / "annotations", level="medium", seed=0)
    videos = source.videos(load_settings(), Workers(1), None, None)
    subjects = np.array(sorted({v.subject for v in videos}))
    order = np.random.default_rng(0).permutation(subjects)

    single: dict[str, list[Rows]] = {"ROIs as they are": [], "through the graph, itself kept": []}
    single["through the graph alone"] = []
    every: dict[tuple[str, int], list[float]] = {}
    for fold in range(FOLDS):
        tested = set(order[fold::FOLDS])
        others = [s for s in order if s not in tested]
        test = [v for v in videos if v.subject in tested]
        graph = AUGraph.from_annotations(
            [a for v in videos if v.subject in others for a in v.annotations], au_map="facs"
        )

        def rows(some: list[LabelledVideo], graph: AUGraph = graph) -> dict[str, Rows]:
            x = np.concatenate([motion(v)[::STEP] for v in some])
            return {
                "ROIs as they are": x,
                "through the graph, itself kept": through(graph, x, keep=True),
                "through the graph alone": through(graph, x, keep=False),
            }

        def labels(some: list[LabelledVideo]) -> npt.NDArray[np.bool_]:
            return np.concatenate([inside(v)[::STEP] for v in some])

        unseen, y = rows(test), labels(test)
        for name, x in unseen.items():
            single[name].append(one_by_one(x, y))
        for count in SUBJECTS:
            some = [v for v in videos if v.subject in others[:count]]
            seen, known = rows(some), labels(some)
            both = "both side by side"
            seen[both], shown = (
                np.concatenate([r["ROIs as they are"], r["through the graph, itself kept"]], axis=1)
                for r in (seen, unseen)
            )
            for name, x in {**unseen, both: shown}.items():
                scale = StandardScaler().fit(seen[name].reshape(len(known), -1))
                reader = MLPClassifier(
                    (64,), early_stopping=True, random_state=0, max_iter=200, batch_size=512
                ).fit(scale.transform(seen[name].reshape(len(known), -1)), known)
                told = reader.predict_proba(scale.transform(x.reshape(len(y), -1)))[:, 1]
                every.setdefault((name, count), []).append(float(roc_auc_score(y, told)))

    report = Report("Reading ROIs through the graph, and all at once")
    report.line(f"Area under the ROC curve, mean (lowest to highest) of {FOLDS} folds of subjects")
    report.line()
    head = [f"all, {count} training subjects" for count in SUBJECTS]
    report.line(f"{'':32}{'one ROI, mean of 12':>22}" + "".join(f"{h:>30}" for h in head))
    for name in [*single, "both side by side"]:
        cells = [
            f"{np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})"
            for found in (every[name, count] for count in SUBJECTS)
        ]
        alone = f"{np.mean(single[name]):.3f}" if name in single else ""
        report.line(f"{name:32}{alone:>22}" + "".join(f"{c:>30}" for c in cells))
    report.line()
    report.line("One ROI, by ROI: as it is, through the graph with itself kept, and alone")
    for roi, *values in zip(ROIS, *(np.mean(single[n], axis=0) for n in single), strict=True):
        report.line(f"  {roi:18}" + "".join(f"{v:8.3f}" for v in values))
    if asked.save:
        report.save("graph_redundancy.txt")


if __name__ == "__main__":
    main()
