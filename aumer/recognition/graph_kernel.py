"""``graph``: clips compared node by node over a graph of ROIs, and a closed-form head.

Every ROI has its part of the face. Of two clips, k_r says how alike they move in ROI r's part:

    k_r(a, b) = exp(-gamma d_r(a, b)),  d_r the mean absolute difference of the part's cells

and the clips are as alike as ROIs that move together are:

    K(a, b) = sum_rs A_rs k_r(a, b) k_s(a, b),

a walk of one step on the product of the two clips' graphs (Gärtner, Flach and Wrobel, COLT 2003,
with weights), A being the AU prior. A face and its mirror image are the same: K is averaged over
both. The head is ridge regression on the classes, weighted by class: a function of K alone, so that
leaving out each training subject in turn is exact and costs one inverse. By that, gamma, the ridge
and so on are chosen within the training clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from aumer import strict
from aumer.errors import UsageError, WeightsError, did_you_mean
from aumer.evaluation.recognition import uf1_of
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.recognition.features import PLACES, cell_means, centred, mirrored
from aumer.recognition.registration import MEAN, NONE, Affine, applied, register
from aumer.recognition.seam import (
    INPUT_SHAPE,
    Clips,
    Floats,
    as_inputs,
    column,
    fitted,
    read_weights,
    write_weights,
)
from aumer.types import FloatArray, IntArray

#: Cells along a side: 3.1 px, near the 12 ROIs' distance from one another.
CELLS = 9
_SIDE = INPUT_SHAPE[0]


@dataclass(frozen=True)
class Choice:
    """What is chosen within the training clips.

    Attributes:
        target: whose crops the other data sets' are put over; see `registration.register`.
        gamma: of the node kernels.
        ridge: of the head.
        balance: clips of class c weigh (n / (C n_c)) ** balance.
    """

    target: str
    gamma: float
    ridge: float
    balance: float


#: All that there is to choose from; targets are these and every source of the training clips.
TARGETS = (NONE, MEAN)
GAMMAS = (0.15, 0.3, 0.6)
RIDGES = (0.05, 0.1, 0.2, 0.4)
BALANCES = (0.5, 0.75, 1.0)
#: Factors of the head's scores before the soft-max: the one of least log loss is taken.
_SHARPNESSES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)


class GraphRecognizer:
    """A kernel over a graph of ROIs. Nothing is drawn at random.

    Args:
        graph: an `AUGraph`, or what `AUGraph.load` reads, over landmarks, or "identity". The
            default was counted on DFME: no subject of the MEGC 2019 composite is in it.
        registered: whether crops of several data sets may be put over one another.
        choice: fixes what is else chosen by leaving out each training subject in turn.

    Attributes:
        chosen: the choice of the last `fit`, and what it promised on subjects left out.

    Raises:
        UsageError: no such graph, or a ROI of it is no landmark.
        ConfigError: a key or a value of `choice` that is none.
    """

    name: ClassVar[str] = "graph"

    def __init__(
        self,
        graph: AUGraph | str = "dfme-facs-micro",
        choice: Choice | Mapping[str, Any] | None = None,
        *,
        registered: bool = True,
    ) -> None:
        self.graph = AUGraph.identity() if graph == "identity" else AUGraph.load(graph)
        self.registered = registered
        self.choice = (
            strict.build(Choice, choice, "choice") if isinstance(choice, Mapping) else choice
        )
        self.rois = self.graph.rois
        self.classes: tuple[str, ...] = ()
        self.card: dict[str, Any] = {}
        self.chosen: dict[str, Any] = {}
        self._kernel = NodeKernel(self.graph)
        self._affines: dict[str, Affine] = {}
        self._gamma = self._sharpness = 0.0
        self._arrays: dict[str, Floats] = {}

    def fit(self, clips: Clips) -> GraphRecognizer:
        """Choose within these clips, then learn from all of them.

        Raises:
            UsageError: a class without a clip; or fewer than two subjects and nothing chosen.
        """
        counts = np.bincount(clips.labels, minlength=len(clips.classes))
        if not counts.all():
            without = ", ".join(c for c, n in zip(clips.classes, counts, strict=True) if not n)
            raise UsageError(f"every class needs a clip to learn from; without one: {without}")
        if len(set(clips.subjects)) < 2:
            raise UsageError("to choose by leaving out a subject, clips of two or more are needed")
        maps = _scaled(clips.inputs)
        weights = len(clips) / (len(counts) * counts[clips.labels])
        goals = np.eye(len(counts))[clips.labels] - 1 / len(counts)
        best: tuple[float, Choice, Floats] | None = None
        for target, gammas, heads in self._grid(clips):
            rows, mirror, _ = self._features(
                applied(maps, clips.sources, register(maps, clips.sources, target))
            )
            distances = self._kernel.distances(rows, rows), self._kernel.distances(rows, mirror)
            for gamma in gammas:
                gram = self._kernel.of(distances, gamma)
                for ridge, balance in heads:
                    left_out = without_each(gram, goals, ridge / weights**balance, clips.subjects)
                    score = _uf1(left_out, clips.labels)
                    if best is None or score > best[0]:
                        best = score, Choice(target, gamma, ridge, balance), left_out
        assert best is not None
        score, choice, left_out = best
        self._sharpness = min(_SHARPNESSES, key=lambda k: _log_loss(k * left_out, clips.labels))
        self._learn(maps, goals, weights, clips, choice)
        self.chosen = {**asdict(choice), "uf1_left_out": round(score, 4)}
        self.classes = clips.classes
        return self

    def _grid(
        self, clips: Clips
    ) -> list[tuple[str, tuple[float, ...], tuple[tuple[float, float], ...]]]:
        """Of each target, the gammas and the heads (ridge, balance) to try."""
        if self.choice is not None:
            c = self.choice
            return [(c.target, (c.gamma,), ((c.ridge, c.balance),))]
        sources = tuple(sorted(set(clips.sources)))
        several = self.registered and len(sources) > 1
        targets = (*TARGETS, *sources) if several else (NONE,)
        return [(target, GAMMAS, tuple(product(RIDGES, BALANCES))) for target in targets]

    def _learn(
        self, maps: FloatArray, goals: Floats, weights: Floats, clips: Clips, choice: Choice
    ) -> None:
        self._affines = register(maps, clips.sources, choice.target)
        self._gamma = choice.gamma
        rows, mirror, moments = self._features(applied(maps, clips.sources, self._affines))
        distances = self._kernel.distances(rows, rows), self._kernel.distances(rows, mirror)
        gram = self._kernel.of(distances, choice.gamma)
        noise = np.diag(choice.ridge / weights**choice.balance)
        self._arrays = {
            "mean": moments[0],
            "deviation": moments[1],
            "rows": rows,
            # Rounded as the file holds them, so that a loaded recogniser is the same to the bit.
            "weights": np.linalg.solve(gram + 1 + noise, goals),
        }
        self._arrays = {k: v.astype(np.float32).astype(float) for k, v in self._arrays.items()}

    def _features(
        self, maps: FloatArray, moments: tuple[Floats, Floats] | None = None
    ) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
        """z-scored cells of maps and of their mirror images, (N, 81, 3), and mean and deviation."""
        rows, mirror = (cell_means(m, CELLS).reshape(len(m), -1, 3) for m in (maps, mirrored(maps)))
        if moments is None:
            both = np.concatenate([rows, mirror])
            moments = both.mean(0), both.std(0) + 1e-8
        mean, deviation = moments
        return (rows - mean) / deviation, (mirror - mean) / deviation, moments

    def _node_kernels(self, inputs: FloatArray, sources: Sequence[str]) -> list[Floats]:
        """(R, N, n) of the clips, and of their mirror images, with the clips learnt from."""
        fitted(self)
        maps = applied(_scaled(as_inputs(inputs)), sources, self._affines)
        a = self._arrays
        rows, mirror, _ = self._features(maps, (a["mean"], a["deviation"]))
        return [np.exp(-self._gamma * self._kernel.distances(x, a["rows"])) for x in (rows, mirror)]

    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """See `aumer.recognition.seam.Recognizer`.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        face, mirror = self._node_kernels(inputs, sources)
        gram = (self._kernel.shares(face).sum(0) + self._kernel.shares(mirror).sum(0)) / 2
        return _soft_max(self._sharpness * ((gram + 1) @ self._arrays["weights"]))

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(R,): what the motion of each ROI's part adds to the score of the class.

        Exact: K is a sum over ROIs r of k_r sum_s A_rs k_s, so the score less the classes' mean is
        one over ROIs too; of each share, that of a face at rest is taken off.
        """
        k = column(self, label, self.predict_proba(flow_map[None])[0])
        maps = np.stack([flow_map, np.zeros_like(flow_map)])
        face, mirror = (
            self._kernel.shares(kernel).transpose(1, 0, 2) @ self._arrays["weights"]
            for kernel in self._node_kernels(maps, ())
        )
        moving, still = (face + mirror[:, _twins(self.rois)]) / 2
        by_class: Floats = moving - still
        spoken: Floats = by_class[:, k] - by_class.mean(1)
        return spoken

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """See `aumer.recognition.seam.Recognizer`."""
        about = {
            "graph": self.graph.to_dict(),
            "graph_digest": self.graph.digest,
            "gamma": self._gamma,
            "sharpness": self._sharpness,
            "affines": {name: list(affine) for name, affine in self._affines.items()},
            "chosen": self.chosen,
        }
        arrays = {name: value.astype(np.float32) for name, value in self._arrays.items()}
        write_weights(path, self, arrays, about, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath) -> GraphRecognizer:
        """See `aumer.recognition.seam.Recognizer`."""
        found = read_weights(path, cls.name)
        about, arrays = found.about, found.arrays
        try:
            made = cls(AUGraph.from_dict(about["graph"]))
            made._gamma, made._sharpness = float(about["gamma"]), float(about["sharpness"])
            made._affines = {k: (v[0], v[1], v[2]) for k, v in about["affines"].items()}
            made.chosen = dict(about["chosen"])
            names = ("mean", "deviation", "rows", "weights")
            made._arrays = {name: arrays[name].astype(np.float64) for name in names}
            if len(made._arrays["rows"]) != len(made._arrays["weights"]):
                raise ValueError("rows and weights differ in length")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise WeightsError(f"{path} holds no whole graph recogniser: {error}") from error
        made.classes, made.card = found.classes, found.card
        return made


class NodeKernel:
    """The kernel of the module's head, over a graph.

    Attributes:
        parts: (R, cells) each cell's share in each ROI's part; see `parts`.
        edges: (R, R) symmetric, sum 1.
    """

    def __init__(self, graph: AUGraph) -> None:
        self.parts = parts(graph.rois)
        propagation = graph.normalised("symmetric")
        both = propagation + propagation.T  # a kernel is symmetric; so is an undirected graph
        self.edges: Floats = both / both.sum()

    def distances(self, a: Floats, b: Floats) -> Floats:
        """(N, cells, 3), (M, cells, 3) -> (R, N, M): mean absolute difference in every part."""
        found = np.empty((len(self.parts), len(a), len(b)))
        for r, shares in enumerate(self.parts):
            own = shares > 0
            scale = (shares[own] / (3 * shares.sum()))[:, None]
            x, y = ((z[:, own] * scale).reshape(len(z), -1) for z in (a, b))
            found[r] = cdist(x, y, "cityblock")
        return found

    def shares(self, kernels: Floats) -> Floats:
        """(R, N, M) node kernels -> (R, N, M): what each ROI gives to K, which is the sum."""
        shape = kernels.shape
        spread = (self.edges @ kernels.reshape(len(kernels), -1)).reshape(shape)
        given: Floats = kernels * spread
        return given

    def of(self, distances: Sequence[Floats], gamma: float) -> Floats:
        """(N, M): K, the mean over the given distances (of clips, of mirror images)."""
        total = sum(self.shares(np.exp(-gamma * d)).sum(0) for d in distances)
        mean: Floats = np.asarray(total) / len(distances)
        return mean


def parts(rois: Sequence[str]) -> Floats:
    """(R, 81): which of the 9 x 9 cells belong to which ROI: to the nearest, to equals in equal
    shares, so that a face's left and right are treated alike.

    Raises:
        UsageError: a ROI is no landmark.
    """
    for roi in rois:
        if roi not in PLACES:
            raise UsageError(
                f"the place of ROI {roi!r} in a flow map is not known; a graph for recognition is "
                f"over landmarks.{did_you_mean(roi, PLACES)}"
            )
    middle = (np.arange(CELLS) + 0.5) * _SIDE / CELLS - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(middle, middle))
    far = np.array([np.hypot(x - px, y - py) for px, py in (PLACES[roi] for roi in rois)])
    nearest = far < far.min(0) + 1e-6
    shares: Floats = nearest / nearest.sum(0)
    return shares


def _twins(rois: Sequence[str]) -> list[int]:
    """Of each ROI the one where its mirror image lies; itself where there is none."""
    at = np.array([PLACES[roi] for roi in rois])
    mirror = at * (-1, 1) + (_SIDE - 1, 0)
    far = np.hypot(*(mirror[:, None] - at).transpose(2, 0, 1))
    return [int(row.argmin()) if row.min() < 1 else k for k, row in enumerate(far)]


def without_each(gram: Floats, goals: Floats, noise: Floats, groups: Sequence[str]) -> Floats:
    """(n, C): ridge predictions of each group by the others, as if it had never been there.

    With G = (K + 1 + diag(noise))^-1 and a = G y, what y_g misses its prediction by is
    (G_gg)^-1 a_g: leaving out a block of rows and columns, by the inverse's Schur complement.

    Shapes:
        gram (n, n); goals (n, C); noise (n,) > 0; groups n names.
    """
    inverse = np.linalg.inv(gram + 1 + np.diag(noise))
    weights = inverse @ goals
    found = np.empty_like(goals)
    names = np.asarray(groups)
    for name in dict.fromkeys(groups):
        own = np.flatnonzero(names == name)
        found[own] = goals[own] - np.linalg.solve(inverse[np.ix_(own, own)], weights[own])
    return found


def _scaled(inputs: FloatArray) -> FloatArray:
    """Centred channels, each of root mean square 1 (0 where nothing moves)."""
    view = centred(inputs)
    size = np.sqrt((view.astype(np.float64) ** 2).mean((1, 2), keepdims=True))
    return np.asarray(view / (size + 1e-6), np.float32)


def _soft_max(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares


def _log_loss(scores: Floats, labels: IntArray) -> float:
    return float(-np.log(_soft_max(scores)[np.arange(len(labels)), labels]).mean())


def _uf1(scores: Floats, labels: IntArray) -> float:
    confusion = np.zeros((1, scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(confusion[0], (labels, scores.argmax(1)), 1)
    return float(uf1_of(confusion)[0])
