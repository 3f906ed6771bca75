"""``graph``: clips compared node by node over a graph of ROIs, and a closed-form head.

Every ROI has its part of the face. Of two clips, k_r says how alike they move in ROI r's part:

    k_r(a, b) = exp(-gamma d_r(a, b)),  d_r the mean absolute difference of the part's cells

and the clips are as alike as ROIs that move together are:

    K(a, b) = sum_rs A_rs k_r(a, b) k_s(a, b),

a walk of one step on the product of the two clips' graphs (Gärtner, Flach and Wrobel, COLT 2003,
with weights), A being the AU prior, or the identity. A face and its mirror image are the same: K is
averaged over both. The head is ridge regression on the classes; see `kernel_ridge`.

With `landmarks` no clip is kept: K(a, b) is replaced by what simulated flow maps L can tell of it,
K(a, L) (K(L, L) + eps)^-1 K(L, b) (Nyström's approximation; Williams and Seeger, NIPS 2000, whose
landmarks are samples), so that the fitted recognizer is a linear function of K(a, L): the maps are
of simulated faces (`simulated_maps`), and what the clips taught is one weight for each and class.

Everything is chosen within the training clips, by leaving out each of their subjects: over whose
crops the others' are put; for each structure (cells along a side, prior or identity) gamma, ridge
and balance; and over how many of the structures, the most promising first, scores are averaged.
Where the face lies in a map, by which cells are shared out among ROIs, is found in the training
clips as well; see `face_position.find`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.spatial.distance import cdist

from aumer import strict
from aumer.arguments import whole
from aumer.errors import UsageError, WeightsError, did_you_mean
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import AUGraph
from aumer.recognition import face_position
from aumer.recognition.acted_maps import simulated_maps
from aumer.recognition.calibration import sharpness, soft_max
from aumer.recognition.face_position import BY_LANDMARKS, FacePosition
from aumer.recognition.features import cell_means, mirrored, of_one_size
from aumer.recognition.interface import (
    INPUT_SHAPE,
    Callback,
    Clips,
    Floats,
    Recognizer,
    as_inputs,
    column,
    fitted,
    read_weights,
    write_weights,
)
from aumer.recognition.kernel_ridge import BALANCES, RIDGES, Factor, RidgeGoals
from aumer.recognition.registration import MEAN, NONE, Affine, applied, register
from aumer.types import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self

_SIDE = INPUT_SHAPE[0]
PRIOR, IDENTITY = "prior", "identity"
#: Targets of registration are these and every source of the training clips.
TARGETS = (NONE, MEAN)
GAMMAS = (0.15, 0.3, 0.6, 1.2)
#: What is added to the diagonal of K(L, L): maps that are all but the same give no large weights.
_JITTER = 1e-3
#: Quantiles of the likenesses of the clips that were learned from, which `familiarity` keeps.
_QUANTILES = 101
#: More would take the memory that clips do, and say no more of them.
_MOST_LANDMARKS = 10_000


@dataclass(frozen=True)
class Member:
    """One structure with its settings.

    Attributes:
        gamma: of the node kernels.
        ridge: of the head.
        balance: clips of class c weigh (n / (C n_c)) ** balance.
        scale: of a recognizer's `SCALES`.
        edges: "prior" or "identity".
    """

    gamma: float
    ridge: float
    balance: float
    scale: int
    edges: str = PRIOR


@dataclass(frozen=True)
class Choice:
    """Fixes what is else chosen within the training clips.

    Attributes:
        target: whose crops the other data sets' are put over; see `registration.register`.
        gamma, ridge, balance, scale, edges: see `Member`; no scale is the middle one.
    """

    target: str
    gamma: float
    ridge: float
    balance: float
    scale: int | None = None
    edges: str = PRIOR


#: By which targets are compared, each with every structure.
_USUAL = {"gamma": 0.3, "ridge": 0.2, "balance": 0.75}


class GraphRecognizer(Recognizer):
    """A kernel over a graph of ROIs. Nothing is drawn at random.

    Args:
        graph: an `AUGraph`, or what `AUGraph.load` reads, over landmarks, or "identity", which
            leaves nothing to choose about edges. The default was counted on DFME: no subject of
            the MEGC 2019 composite is in it.
        registered: whether crops of several data sets may be put over one another.
        choice: fixes what is else chosen.
        landmarks: so many simulated flow maps take the place of the clips, and the file that `save`
            writes then holds nothing of any clip; 0, the default, keeps what is read of each.
        position: where the face lies in the maps, if that is known; for maps of
            `aumer.recognition.clips.flow_maps` it is `face_position.BY_LANDMARKS`. By default it is
            found in the training clips where MEGC's classes are among theirs.

    Attributes:
        chosen: what the last `fit` chose, and what it promised on subjects left out.
        position: where maps must show the face to be judged.

    Raises:
        UsageError: no such graph, a ROI of it is no landmark, or a wrong number of landmarks.
        ConfigError: a key or a value of `choice` or `position` that is none.
    """

    name: ClassVar[str] = "graph"
    options = ("graph", "choice", "registered", "position", "landmarks")
    #: Cells along a side: 4, 3.1 and 2.8 px, about the 12 ROIs' distance from one another.
    SCALES: ClassVar[tuple[int, ...]] = (7, 9, 10)

    def __init__(
        self,
        graph: AUGraph | str = "dfme-facs-micro",
        choice: Choice | Mapping[str, Any] | None = None,
        *,
        registered: bool = True,
        position: FacePosition | Mapping[str, Any] | None = None,
        landmarks: int = 0,
    ) -> None:
        self.landmarks = whole("landmarks", landmarks, "a number of simulated flow maps, or 0")
        if not 0 <= self.landmarks <= _MOST_LANDMARKS:
            raise UsageError(f"landmarks must be 0 to {_MOST_LANDMARKS}; found {landmarks}")
        self.graph = AUGraph.identity() if graph == IDENTITY else AUGraph.load(graph)
        self.registered = registered
        self.choice = (
            strict.build(Choice, choice, "choice") if isinstance(choice, Mapping) else choice
        )
        self._position = (
            strict.build(FacePosition, position, "position")
            if isinstance(position, Mapping)
            else position
        )
        self.position = self._position or BY_LANDMARKS
        self.rois = self.graph.rois
        check_rois(self.rois)
        self._edges = {
            PRIOR: edge_weights(self.graph),
            IDENTITY: edge_weights(AUGraph.identity(self.rois)),
        }
        self._affines: dict[str, Affine] = {}
        self._members: tuple[Member, ...] = ()
        self._sharpness = 0.0
        self._arrays: dict[str, Floats] = {}

    # What a subclass reads otherwise

    def _read(self, maps: FloatArray, scale: int, position: FacePosition) -> Floats:
        """(N, 28, 28, 3) registered maps -> (N, cells, K)."""
        return cell_means(maps, scale).reshape(len(maps), -1, 3)

    def _parts(self, scale: int, position: FacePosition) -> Floats:
        """(R, cells): each cell's share in each ROI's part."""
        return parts(self.rois, scale, position)

    # Learning

    def fit(
        self,
        clips: Clips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Choose within these clips, then learn from all of them.

        Raises:
            UsageError: a class without a clip, or fewer than two subjects.
        """
        task = RidgeGoals.of(clips)
        maps = of_one_size(clips.inputs)
        structures = self._structures()
        views = (self._view(maps, clips, target) for target in self._targets(clips))
        view = max(views, key=lambda v: self._mean_uf1(v, structures, task))
        tried = [self._best_member(view, *structure, task) for structure in structures]
        tried.sort(key=lambda t: -t[0])  # a stable sort: equals stay in their order
        several = [np.mean([t[2] for t in tried[:k]], axis=0) for k in range(1, len(tried) + 1)]
        scores = [task.uf1(left_out) for left_out in several]
        # Of equals the longest: a mean of more is the steadier.
        count = max(range(1, len(tried) + 1), key=lambda k: (scores[k - 1], k))
        self._members = tuple(t[1] for t in tried[:count])
        self._sharpness = sharpness(several[count - 1], task.labels)
        self._affines, self.position = view.affines, view.position
        self._learn(view, task)
        if self.landmarks:
            self._arrays["likeness"] = view.likeness(self._members)
        self.chosen = {
            "target": view.target,
            "place": asdict(view.position),  # as files have it
            "members": [
                {**asdict(member), "uf1_left_out": round(score, 4)}
                for score, member, _ in tried[:count]
            ],
            "uf1_left_out": round(scores[count - 1], 4),
            "sharpness": round(self._sharpness, 4),
        }
        self.classes = clips.classes
        return self

    def _targets(self, clips: Clips) -> tuple[str, ...]:
        if self.choice is not None:
            return (self.choice.target,)
        sources = tuple(sorted(set(clips.sources)))
        several = self.registered and len(sources) > 1
        return (*TARGETS, *sources) if several else (NONE,)

    def _structures(self) -> list[tuple[int, str]]:
        """Scale and edges to try."""
        if self.choice is not None:
            middle = self.SCALES[len(self.SCALES) // 2]
            return [(self.choice.scale or middle, self.choice.edges)]
        alone = np.array_equal(self._edges[PRIOR], self._edges[IDENTITY])
        return list(product(self.SCALES, (IDENTITY,) if alone else (PRIOR, IDENTITY)))

    def _view(self, maps: FloatArray, clips: Clips, target: str) -> _View:
        affines = register(maps, clips.sources, target)
        read = applied(maps, clips.sources, affines)
        position = (
            self._position or face_position.find(read, clips.labels, clips.classes) or BY_LANDMARKS
        )
        return _View(self, target, affines, position, read)

    def _mean_uf1(
        self, view: _View, structures: Sequence[tuple[int, str]], task: RidgeGoals
    ) -> float:
        """Mean UF1 of the structures on subjects left out, with usual settings."""
        gamma, head = _USUAL["gamma"], (_USUAL["ridge"], _USUAL["balance"])
        return float(
            np.mean([task.uf1(task.left_out(view.gram(*s, gamma), *head)) for s in structures])
        )

    def _best_member(
        self, view: _View, scale: int, edges: str, task: RidgeGoals
    ) -> tuple[float, Member, Floats]:
        """A structure with the best of its settings, after its UF1 and its scores left out."""
        c = self.choice
        gammas, heads = (
            (GAMMAS, tuple(product(RIDGES, BALANCES)))
            if c is None
            else ((c.gamma,), ((c.ridge, c.balance),))
        )
        best: tuple[float, Member, Floats] | None = None
        for gamma in gammas:
            gram = view.gram(scale, edges, gamma)
            for ridge, balance in heads:
                left_out = task.left_out(gram, ridge, balance)
                score = task.uf1(left_out)
                if best is None or score > best[0]:
                    best = score, Member(gamma, ridge, balance, scale, edges), left_out
        assert best is not None
        return best

    def _learn(self, view: _View, task: RidgeGoals) -> None:
        self._arrays = {}
        self.__dict__.pop("_nearest", None)
        for scale in dict.fromkeys(m.scale for m in self._members):
            rows, _, (mean, deviation) = view.rows(scale)
            kept = view.landmarks(scale)[0] if self.landmarks else rows
            # Rounded as the file holds them, so that a loaded recognizer is the same to the bit.
            self._arrays[f"rows_{scale}"] = kept.astype(np.float16).astype(float)
            self._arrays[f"mean_{scale}"] = mean.astype(np.float32).astype(float)
            self._arrays[f"deviation_{scale}"] = deviation.astype(np.float32).astype(float)
        for k, m in enumerate(self._members):
            gram = view.gram(m.scale, m.edges, m.gamma)
            whole = gram.gram() if isinstance(gram, Factor) else gram
            weights = task.learned(whole, m.ridge, m.balance)
            bias = weights.sum(0)
            if self.landmarks:
                weights = view.spread(m.scale, m.edges, m.gamma) @ weights
            self._arrays[f"weights_{k}"] = weights.astype(np.float32).astype(float)
            self._arrays[f"bias_{k}"] = bias.astype(np.float32).astype(float)

    def subjects_needed(self) -> int:
        """See `aumer.recognition.trained.Trained`: settings are chosen on subjects left out."""
        return 2

    # Judging

    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """See `aumer.recognition.interface.Recognizer`.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        return self._judged(self._inputs(inputs, sources))

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(R,): what the motion of each ROI's part adds to the score of the class.

        Exact: K is a sum over ROIs r of k_r sum_s A_rs k_s, so the score less the classes' mean is
        one over ROIs too; of each share, that of a face at rest is taken off.
        """
        probabilities = self.predict_proba(flow_map[None])[0]
        maps = np.stack([flow_map, np.zeros_like(flow_map)])
        return self._labeled(self._inputs(maps, ()), column(self, label, probabilities))

    def familiarity(self, flow_map: FloatArray) -> float:
        """See `aumer.recognition.interface.Recognizer`: likeness is K, the mean over structures, of
        the face or of its mirror image, whichever is the more like. Without clips it is the
        likeness to the simulated map that is most like, and `fit` kept the quantiles of that.
        """
        return self._familiar(self._inputs(flow_map[None], ()))

    def _familiar(self, inputs: Mapping[int, _Rows]) -> float:
        alike = [np.maximum(*(x.sum(0) for x in both)) for both in self._kernels(inputs)]
        nearest = np.mean(alike, axis=0).max()
        if "likeness" in self._arrays:
            shares = np.linspace(0, 1, len(self._arrays["likeness"]))
            return float(np.interp(nearest, self._arrays["likeness"], shares))
        return float((self._nearest < nearest).mean())

    @cached_property
    def _nearest(self) -> Floats:
        """(n,): how like each clip learned from is to the one among the others most like it."""
        grams = []
        for m in self._members:
            rows, edges = self._arrays[f"rows_{m.scale}"], self._edges[m.edges]
            distances = node_distances(self._parts(m.scale, self.position), rows, rows)
            grams.append(shares_of(np.exp(-m.gamma * distances), edges).sum(0))
        gram = np.mean(grams, axis=0)
        np.fill_diagonal(gram, -np.inf)
        return np.asarray(gram.max(1))

    def _inputs(self, inputs: FloatArray, sources: Sequence[str]) -> dict[int, _Rows]:
        """What each scale reads of maps and of their mirror images."""
        fitted(self)
        maps = applied(of_one_size(as_inputs(inputs)), sources, self._affines)
        return {
            scale: (
                self._read(maps, scale, self.position),
                self._read(mirrored(maps), scale, self.position),
            )
            for scale in dict.fromkeys(m.scale for m in self._members)
        }

    def _kernels(self, inputs: Mapping[int, _Rows]) -> list[tuple[Floats, Floats]]:
        """Of each member (R, N, n) what each ROI gives to K, for maps and for mirror images."""
        distances = {}
        for scale, both in inputs.items():
            mean, deviation, rows = (
                self._arrays[f"{name}_{scale}"] for name in ("mean", "deviation", "rows")
            )
            shares = self._parts(scale, self.position)
            distances[scale] = [node_distances(shares, (x - mean) / deviation, rows) for x in both]
        return [
            (
                shares_of(np.exp(-m.gamma * distances[m.scale][0]), self._edges[m.edges]),
                shares_of(np.exp(-m.gamma * distances[m.scale][1]), self._edges[m.edges]),
            )
            for m in self._members
        ]

    def _judged(self, inputs: Mapping[int, _Rows]) -> Floats:
        """(N, C) probabilities."""
        scores = [
            (face.sum(0) + mirror.sum(0)) / 2 @ self._arrays[f"weights_{k}"]
            + self._arrays[f"bias_{k}"]
            for k, (face, mirror) in enumerate(self._kernels(inputs))
        ]
        return soft_max(self._sharpness * np.mean(scores, axis=0))

    def _labeled(self, inputs: Mapping[int, _Rows], k: int) -> Floats:
        """(R,) for class k, of the first of two inputs less the second."""
        twins, found = _twins(self.rois), []
        for number, shares in enumerate(self._kernels(inputs)):
            face, mirror = (
                x.transpose(1, 0, 2) @ self._arrays[f"weights_{number}"] for x in shares
            )
            moving, still = (face + mirror[:, twins]) / 2
            found.append(moving - still)
        by_class = np.mean(found, axis=0)
        spoken: Floats = by_class[:, k] - by_class.mean(1)
        return spoken

    # Files

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """See `aumer.recognition.interface.Recognizer`."""
        about = {
            "graph": self.graph.to_dict(),
            "graph_digest": self.graph.digest,
            "place": asdict(self.position),
            "members": [asdict(member) for member in self._members],
            "sharpness": self._sharpness,
            "landmarks": self.landmarks,
            "affines": {name: list(affine) for name, affine in self._affines.items()},
            "chosen": self.chosen,
        }
        arrays = {
            name: value.astype(np.float16 if name.startswith("rows") else np.float32)
            for name, value in self._arrays.items()
        }
        write_weights(path, self, arrays, about, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """See `aumer.recognition.interface.Recognizer`."""
        found = read_weights(path, cls.name)
        about, arrays = found.about, found.arrays
        with foreign(path, f"a whole {cls.name} recognizer", WeightsError):
            made = cls(AUGraph.from_dict(about["graph"]), position=FacePosition(**about["place"]))
            made._members = tuple(Member(**member) for member in about["members"])
            made._sharpness = float(about["sharpness"])
            made._affines = {k: (v[0], v[1], v[2]) for k, v in about["affines"].items()}
            made.chosen = dict(about["chosen"])
            made.landmarks = int(about.get("landmarks", 0))
            if made.landmarks:
                made._arrays["likeness"] = arrays["likeness"].astype(np.float64)
            for k, member in enumerate(made._members):
                names = [f"{name}_{member.scale}" for name in ("mean", "deviation", "rows")]
                for name in (*names, f"weights_{k}"):
                    made._arrays[name] = arrays[name].astype(np.float64)
                # Files of before there were landmarks: K + 1 of each clip has the clip's weight.
                bias = arrays.get(f"bias_{k}", made._arrays[f"weights_{k}"].sum(0))
                made._arrays[f"bias_{k}"] = bias.astype(np.float64)
                if len(made._arrays[names[2]]) != len(made._arrays[f"weights_{k}"]):
                    raise ValueError("rows and weights differ in length")
                if made._arrays[f"weights_{k}"].shape[1:] != (len(found.classes),):
                    raise ValueError(f"its weights are not of {len(found.classes)} classes")
                nothing = np.zeros((1, _SIDE, _SIDE, 3), np.float32)
                read = made._read(nothing, member.scale, made.position).shape[1:]
                mean, deviation, rows = (made._arrays[name] for name in names)
                if {mean.shape, deviation.shape, rows.shape[1:]} != {read}:
                    raise ValueError(f"its rows are of {mean.shape}, and maps are read as {read}")
                if not (deviation > 0).all():
                    raise ValueError("a deviation is not above 0")
                if member.edges not in made._edges:
                    raise ValueError(f"edges {member.edges!r} are none")
        made.classes, made.card = found.classes, found.card
        return made


#: What is read of maps, and of their mirror images: (N, cells, K) each.
_Rows = tuple[Floats, Floats]


@dataclass(eq=False)
class _View:
    """Training clips, registered to one target; what is made of them is made once."""

    of: GraphRecognizer
    target: str
    affines: dict[str, Affine]
    position: FacePosition
    maps: FloatArray
    _distances: dict[int, list[Floats]] = field(default_factory=dict)
    _own: dict[int, list[Floats]] = field(default_factory=dict)

    @cached_property
    def _mirrored(self) -> FloatArray:
        return mirrored(self.maps)

    def rows(self, scale: int) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
        """z-scored rows of the maps and of their mirror images; mean and deviation."""
        rows, mirror = (self.of._read(m, scale, self.position) for m in (self.maps, self._mirrored))
        both = np.concatenate([rows, mirror])
        mean, deviation = both.mean(0), both.std(0) + 1e-8
        return (rows - mean) / deviation, (mirror - mean) / deviation, (mean, deviation)

    @cached_property
    def _simulated(self) -> FloatArray:
        return of_one_size(simulated_maps(self.position, self.of.landmarks))

    def landmarks(self, scale: int) -> tuple[Floats, Floats]:
        """Rows of the simulated maps, as a file holds them, and of their mirror images."""
        _, _, (mean, deviation) = self.rows(scale)
        own, mirror = (
            (self.of._read(m, scale, self.position) - mean) / deviation
            for m in (self._simulated, mirrored(self._simulated))
        )
        return own.astype(np.float16).astype(float), mirror

    def _compared(self, scale: int) -> list[Floats]:
        """Node distances of clips and their mirror images: to the clips, or to the landmarks."""
        if scale not in self._distances:
            rows, mirror, _ = self.rows(scale)
            shares = self.of._parts(scale, self.position)
            if self.of.landmarks:
                own, own_mirror = self.landmarks(scale)
                found = [node_distances(shares, x, own) for x in (rows, mirror)]
                self._own[scale] = [node_distances(shares, x, own) for x in (own, own_mirror)]
            else:
                found = [node_distances(shares, rows, x) for x in (rows, mirror)]
            self._distances[scale] = found
        return self._distances[scale]

    def gram(self, scale: int, edges: str, gamma: float) -> Floats | Factor:
        """K of the clips: (n, n), or what the landmarks tell of it."""
        to = gram_of(self._compared(scale), self.of._edges[edges], gamma)
        if not self.of.landmarks:
            return to
        return Factor(solve_triangular(self._factor(scale, edges, gamma), to.T, lower=True).T)

    def _factor(self, scale: int, edges: str, gamma: float) -> Floats:
        """(M, M): the lower Cholesky factor of K(L, L) + eps."""
        self._compared(scale)
        own = gram_of(self._own[scale], self.of._edges[edges], gamma)
        factor: Floats = np.linalg.cholesky((own + own.T) / 2 + _JITTER * np.eye(len(own)))
        return factor

    def spread(self, scale: int, edges: str, gamma: float) -> Floats:
        """(M, n): what a weight on each clip is as weights on the landmarks."""
        to = gram_of(self._compared(scale), self.of._edges[edges], gamma)
        spread: Floats = cho_solve((self._factor(scale, edges, gamma), True), to.T)
        return spread

    def likeness(self, members: Sequence[Member]) -> Floats:
        """Quantiles over the clips, from 0 to 1: how like each is to the landmark most like it."""
        alike = []
        for m in members:
            edges = self.of._edges[m.edges]
            by = [shares_of(np.exp(-m.gamma * d), edges).sum(0) for d in self._compared(m.scale)]
            alike.append(np.maximum(*by))
        nearest = np.mean(alike, axis=0).max(1)
        quantiles = np.quantile(nearest, np.linspace(0, 1, _QUANTILES))
        return np.asarray(quantiles.astype(np.float32).astype(float))


# The kernel


def edge_weights(graph: AUGraph) -> Floats:
    """(R, R) symmetric, sum 1: how much two ROIs that move alike in two clips say together."""
    propagation = graph.normalized("symmetric")
    both = propagation + propagation.T  # a kernel is symmetric; so is an undirected graph
    weights: Floats = both / both.sum()
    return weights


def node_distances(shares: Floats, a: Floats, b: Floats) -> Floats:
    """(N, cells, K), (M, cells, K) -> (R, N, M): mean absolute difference in every part.

    Args:
        shares: (R, cells); see `parts`.
    """
    found = np.empty((len(shares), len(a), len(b)))
    for r, share in enumerate(shares):
        own = share > 0
        scale = (share[own] / (a.shape[-1] * share.sum()))[:, None]
        x, y = ((z[:, own] * scale).reshape(len(z), -1) for z in (a, b))
        found[r] = cdist(x, y, "cityblock")
    return found


def shares_of(kernels: Floats, edges: Floats) -> Floats:
    """(R, N, M) node kernels -> (R, N, M): what each ROI gives to K, which is the sum."""
    spread = (edges @ kernels.reshape(len(kernels), -1)).reshape(kernels.shape)
    given: Floats = kernels * spread
    return given


def gram_of(distances: Sequence[Floats], edges: Floats, gamma: float) -> Floats:
    """(N, M): K, the mean over the given distances (of clips, of mirror images)."""
    total = sum(shares_of(np.exp(-gamma * d), edges).sum(0) for d in distances)
    mean: Floats = np.asarray(total) / len(distances)
    return mean


def parts(rois: Sequence[str], cells: int, position: FacePosition = BY_LANDMARKS) -> Floats:
    """(R, cells ** 2): which cells of a map belong to which ROI: to the nearest, to equals in equal
    shares, so that a face's left and right are treated alike. A ROI far from all is left without.
    """
    landmarks = position.landmarks()
    middle = (np.arange(cells) + 0.5) * _SIDE / cells - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(middle, middle))
    far = np.array([np.hypot(x - px, y - py) for px, py in (landmarks[roi] for roi in rois)])
    nearest = far < far.min(0) + 1e-6
    shares: Floats = nearest / nearest.sum(0)
    return shares


def check_rois(rois: Sequence[str]) -> None:
    """Complain of ROIs of which nobody knows where a flow map shows them.

    Raises:
        UsageError: one is no landmark.
    """
    known = BY_LANDMARKS.landmarks()
    for roi in rois:
        if roi not in known:
            raise UsageError(
                f"the position of ROI {roi!r} in a flow map is not known; a graph for "
                f"recognition is over landmarks.{did_you_mean(roi, known)}"
            )


def _twins(rois: Sequence[str]) -> list[int]:
    """Of each ROI the one where its mirror image lies; itself where there is none."""
    landmarks = BY_LANDMARKS.landmarks()
    at = np.array([landmarks[roi] for roi in rois])
    mirror = at * (-1, 1) + (_SIDE - 1, 0)
    far = np.hypot(*(mirror[:, None] - at).transpose(2, 0, 1))
    return [int(row.argmin()) if row.min() < 1 else k for k, row in enumerate(far)]
