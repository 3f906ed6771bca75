"""The recognizer ``graph``: a kernel that compares clips over a graph of ROIs, with a closed-form
head.

Every ROI has its part of the face. For two clips, k_r is the similarity of their motion in ROI r's
part:

    k_r(a, b) = exp(-gamma d_r(a, b)),  d_r the mean absolute difference of the part's cells

and the similarity of the clips combines ROIs along the edges:

    K(a, b) = sum_rs A_rs k_r(a, b) k_s(a, b),

a walk of one step on the product of the two clips' graphs (Gärtner, Flach and Wrobel, COLT 2003,
with weights), A being the AU prior, or the identity. A face and its mirror image are equivalent: K
is averaged over both. The head is ridge regression on the classes; see `kernel_ridge`.

With `landmarks` no clip is stored: K(a, b) is approximated by simulated flow maps L as K(a, L)
(K(L, L) + eps)^-1 K(L, b) (Nyström's approximation; Williams and Seeger, NIPS 2000, whose landmarks
are samples), so that the fitted recognizer is a linear function of K(a, L): the landmarks are maps
of simulated faces (`simulated_maps`), and training gives one weight for each landmark and class.

Everything is chosen within the training clips, by leaving out each subject: the data set to whose
crops the others are registered; for each structure (cells along a side, prior or identity) gamma,
ridge and balance; and the number of structures, best first, over which scores are averaged. The
position of the face in a map, which assigns cells to ROIs, is estimated from the training clips as
well; see `face_position.find`.
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
    from torch import Tensor
    from typing_extensions import Self

    from aumer.learning.portable import Portable

_SIDE = INPUT_SHAPE[0]
PRIOR, IDENTITY = "prior", "identity"
#: Targets of registration besides every source of the training clips.
TARGETS = (NONE, MEAN)
GAMMAS = (0.15, 0.3, 0.6, 1.2)
#: Added to the diagonal of K(L, L), so that almost equal maps do not get large weights.
_JITTER = 1e-3
#: Number of quantiles of the training clips' similarities that are stored for `familiarity`.
_QUANTILES = 101
#: Most landmarks: more would need as much memory as clips without adding information.
_MOST_LANDMARKS = 10_000


@dataclass(frozen=True)
class Member:
    """One structure with its settings.

    Attributes:
        gamma: parameter of the node kernels.
        ridge: regularization of the head.
        balance: clips of class c have weight (n / (C n_c)) ** balance.
        scale: index into a recognizer's `SCALES`.
        edges: "prior" or "identity".
    """

    gamma: float
    ridge: float
    balance: float
    scale: int
    edges: str = PRIOR


@dataclass(frozen=True)
class Choice:
    """Fixes values that are otherwise chosen within the training clips.

    Attributes:
        target: the data set to whose crops the others are registered; see `registration.register`.
        gamma, ridge, balance, scale, edges: see `Member`; without a scale the middle one is used.
    """

    target: str
    gamma: float
    ridge: float
    balance: float
    scale: int | None = None
    edges: str = PRIOR


#: Settings with which targets are compared, each with every structure.
_USUAL = {"gamma": 0.3, "ridge": 0.2, "balance": 0.75}


class GraphRecognizer(Recognizer):
    """A recognizer with a kernel over a graph of ROIs. Deterministic.

    Args:
        graph: an `AUGraph`, or what `AUGraph.load` reads, over landmarks, or "identity" for no
            edges. The default was counted on DFME, which contains no subject of the MEGC 2019
            composite.
        registered: whether crops of several data sets may be registered to one another.
        choice: fixes values that are otherwise chosen.
        landmarks: number of simulated flow maps that replace the clips, so that the file of `save`
            contains nothing of any clip; 0, the default, stores the features of each clip.
        position: position of the face in the maps, if known; for maps of
            `aumer.recognition.clips.flow_maps` it is `face_position.BY_LANDMARKS`. By default it is
            estimated from the training clips if they have MEGC's classes.

    Attributes:
        chosen: choices of the last `fit`, and their scores on left-out subjects.
        position: position of the face that input maps must have.

    Raises:
        UsageError: unknown graph, an ROI of it is not a landmark, or an invalid number of
            landmarks.
        ConfigError: an invalid key or value in `choice` or `position`.
    """

    name: ClassVar[str] = "graph"
    options = ("graph", "choice", "registered", "position", "landmarks")
    #: Cells along a side: 4, 3.1 and 2.8 px, about the distance between the 12 ROIs.
    SCALES: ClassVar[tuple[int, ...]] = (7, 9, 10)
    #: Whether `_read` scales each channel of what it reads.
    _levels: ClassVar[bool] = False

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

    # Overridden by subclasses with other inputs

    def _read(self, maps: FloatArray, scale: int, position: FacePosition) -> Floats:
        """(N, 28, 28, 3) registered maps -> (N, cells, K)."""
        return cell_means(maps, scale).reshape(len(maps), -1, 3)

    def _parts(self, scale: int, position: FacePosition) -> Floats:
        """(R, cells): share of each cell in each ROI's part."""
        return parts(self.rois, scale, position)

    def _pixels(self, scale: int, position: FacePosition) -> Floats:
        """(784, cells): weight of each pixel of a map in what is read of it, before any scaling."""
        from aumer.recognition.kernel_networks import dots

        return cell_means(dots(), scale).reshape(_SIDE**2, -1, 3)[..., 0]

    # Learning

    def fit(
        self,
        clips: Clips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Choose settings within these clips, then train on all of them.

        Raises:
            UsageError: a class without a clip, or fewer than two subjects.
        """
        task = RidgeGoals.of(clips)
        maps = of_one_size(clips.inputs)
        structures = self._structures()
        views = (self._view(maps, clips, target) for target in self._targets(clips))
        view = max(views, key=lambda v: self._mean_uf1(v, structures, task))
        tried = [self._best_member(view, *structure, task) for structure in structures]
        tried.sort(key=lambda t: -t[0])  # a stable sort keeps the order of equals
        several = [np.mean([t[2] for t in tried[:k]], axis=0) for k in range(1, len(tried) + 1)]
        scores = [task.uf1(left_out) for left_out in several]
        # Of equals the longest, since a mean of more is more stable.
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
        """Combinations of scale and edges to try."""
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
        """Mean UF1 of the structures on left-out subjects, with usual settings."""
        gamma, head = _USUAL["gamma"], (_USUAL["ridge"], _USUAL["balance"])
        return float(
            np.mean([task.uf1(task.left_out(view.gram(*s, gamma), *head)) for s in structures])
        )

    def _best_member(
        self, view: _View, scale: int, edges: str, task: RidgeGoals
    ) -> tuple[float, Member, Floats]:
        """UF1, left-out scores and member of a structure with its best settings."""
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
            # Rounded as in the file, so that a loaded recognizer is identical.
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
        """See `aumer.recognition.trained.Trained`: settings are chosen on left-out subjects."""
        return 2

    # Prediction

    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """See `aumer.recognition.interface.Recognizer`.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        return self._judged(self._inputs(inputs, sources))

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(R,): contribution of each ROI's part to the score of the class.

        Exact: K is a sum over ROIs r of k_r sum_s A_rs k_s, so the score minus the mean over
        classes is a sum over ROIs, too; from each contribution that of a face at rest is
        subtracted.
        """
        probabilities = self.predict_proba(flow_map[None])[0]
        maps = np.stack([flow_map, np.zeros_like(flow_map)])
        return self._labeled(self._inputs(maps, ()), column(self, label, probabilities))

    def familiarity(self, flow_map: FloatArray) -> float:
        """See `aumer.recognition.interface.Recognizer`: similarity is K, averaged over structures,
        for the face or its mirror image, whichever is more similar. With landmarks it is the
        similarity to the nearest simulated map, whose quantiles `fit` stores.
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
        """(n,): similarity of each training clip to its nearest other clip."""
        grams = []
        for m in self._members:
            rows, edges = self._arrays[f"rows_{m.scale}"], self._edges[m.edges]
            distances = node_distances(self._parts(m.scale, self.position), rows, rows)
            grams.append(shares_of(np.exp(-m.gamma * distances), edges).sum(0))
        gram = np.mean(grams, axis=0)
        np.fill_diagonal(gram, -np.inf)
        return np.asarray(gram.max(1))

    def _inputs(self, inputs: FloatArray, sources: Sequence[str]) -> dict[int, _Rows]:
        """Inputs of each scale from maps and their mirror images."""
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
        """For each member (R, N, n) the contribution of each ROI to K, for maps and mirror
        images.
        """
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
        """(N, C) probabilities from inputs."""
        scores = [
            (face.sum(0) + mirror.sum(0)) / 2 @ self._arrays[f"weights_{k}"]
            + self._arrays[f"bias_{k}"]
            for k, (face, mirror) in enumerate(self._kernels(inputs))
        ]
        return soft_max(self._sharpness * np.mean(scores, axis=0))

    def _labeled(self, inputs: Mapping[int, _Rows], k: int) -> Floats:
        """(R,) contributions to class k of the first of two inputs minus those of the second."""
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

    # Export

    def portable(self) -> Portable:
        """See `aumer.recognition.interface.Recognizer`."""
        from aumer.recognition import kernel_networks as networks

        fitted(self)
        scales = {}
        for scale in dict.fromkeys(m.scale for m in self._members):
            shares = self._parts(scale, self.position)
            whole = shares.sum(1, keepdims=True)
            scales[scale] = networks.Scale(
                self._pixels(scale, self.position),
                np.divide(shares, whole, out=np.zeros_like(shares), where=whole > 0),
                *(self._arrays[f"{name}_{scale}"] for name in ("mean", "deviation", "rows")),
            )
        heads = [
            networks.Head(
                m.scale,
                m.gamma,
                self._edges[m.edges],
                *(self._arrays[f"{name}_{k}"] for name in ("weights", "bias")),
            )
            for k, m in enumerate(self._members)
        ]
        net = networks.GraphNet(scales, heads, self._sharpness, self._levels)
        return networks.portable(self, net, position=asdict(self.position))

    def examples(self, subjects: int) -> list[dict[str, Tensor]]:
        """See `aumer.recognition.interface.Recognizer`."""
        from aumer.recognition.kernel_networks import examples

        return examples(subjects)

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
                # Files from before landmarks existed: K + 1 of each clip has the clip's weight.
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


#: Features of maps, and of their mirror images: (N, cells, K) each.
_Rows = tuple[Floats, Floats]


@dataclass(eq=False)
class _View:
    """Training clips, registered to one target; derived data are cached."""

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
        """z-scored rows of the maps and of their mirror images; mean and standard deviation."""
        rows, mirror = (self.of._read(m, scale, self.position) for m in (self.maps, self._mirrored))
        both = np.concatenate([rows, mirror])
        mean, deviation = both.mean(0), both.std(0) + 1e-8
        return (rows - mean) / deviation, (mirror - mean) / deviation, (mean, deviation)

    @cached_property
    def _simulated(self) -> FloatArray:
        return of_one_size(simulated_maps(self.position, self.of.landmarks))

    def landmarks(self, scale: int) -> tuple[Floats, Floats]:
        """Rows of the simulated maps, rounded as in a file, and of their mirror images."""
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
        """K of the clips: (n, n), or its approximation by landmarks."""
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
        """(M, n): converts weights of clips to weights of landmarks."""
        to = gram_of(self._compared(scale), self.of._edges[edges], gamma)
        spread: Floats = cho_solve((self._factor(scale, edges, gamma), True), to.T)
        return spread

    def likeness(self, members: Sequence[Member]) -> Floats:
        """Quantiles over the clips, from 0 to 1, of the similarity to the nearest landmark."""
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
    """(R, R) symmetric, sum 1: weights of pairs of ROIs in the kernel."""
    propagation = graph.normalized("symmetric")
    both = propagation + propagation.T  # symmetric, as a kernel must be
    weights: Floats = both / both.sum()
    return weights


def node_distances(shares: Floats, a: Floats, b: Floats) -> Floats:
    """(N, cells, K), (M, cells, K) -> (R, N, M): mean absolute difference in each ROI's part.

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
    """(R, N, M) node kernels -> (R, N, M): contribution of each ROI to K, which is their sum."""
    spread = (edges @ kernels.reshape(len(kernels), -1)).reshape(kernels.shape)
    given: Floats = kernels * spread
    return given


def gram_of(distances: Sequence[Floats], edges: Floats, gamma: float) -> Floats:
    """(N, M): K, averaged over the given distances (of clips, of mirror images)."""
    total = sum(shares_of(np.exp(-gamma * d), edges).sum(0) for d in distances)
    mean: Floats = np.asarray(total) / len(distances)
    return mean


def parts(rois: Sequence[str], cells: int, position: FacePosition = BY_LANDMARKS) -> Floats:
    """(R, cells ** 2): share of each cell of a map in each ROI: it belongs to the nearest one, or
    in equal shares to equally near ones, so that left and right are treated alike. An ROI far from
    all cells gets none.
    """
    landmarks = position.landmarks()
    middle = (np.arange(cells) + 0.5) * _SIDE / cells - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(middle, middle))
    far = np.array([np.hypot(x - px, y - py) for px, py in (landmarks[roi] for roi in rois)])
    nearest = far < far.min(0) + 1e-6
    shares: Floats = nearest / nearest.sum(0)
    return shares


def check_rois(rois: Sequence[str]) -> None:
    """Raise an error for ROIs whose position in a flow map is unknown.

    Raises:
        UsageError: an ROI is not a landmark.
    """
    known = BY_LANDMARKS.landmarks()
    for roi in rois:
        if roi not in known:
            raise UsageError(
                f"the position of ROI {roi!r} in a flow map is not known; a graph for "
                f"recognition is over landmarks.{did_you_mean(roi, known)}"
            )


def _twins(rois: Sequence[str]) -> list[int]:
    """For each ROI its mirror image; itself if there is none."""
    landmarks = BY_LANDMARKS.landmarks()
    at = np.array([landmarks[roi] for roi in rois])
    mirror = at * (-1, 1) + (_SIDE - 1, 0)
    far = np.hypot(*(mirror[:, None] - at).transpose(2, 0, 1))
    return [int(row.argmin()) if row.min() < 1 else k for k, row in enumerate(far)]
