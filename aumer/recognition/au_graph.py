"""The AU reader ``graph``: a linear head over a graph of ROIs in a flow map, and a prior on labels.

The head reads the cells of a grid, and the ROIs: each the mean of its part of the face, propagated
once along the edges of the AU graph. These features are shared; each AU has its own weights
(logistic regression with balanced classes), learned from coded clips, their mirror images, and maps
of known AUs (`acted_maps`). So a score is evidence, a log-likelihood ratio up to a scale that is
fitted on left-out subjects. `au_prior` then combines all evidence: an AU that rarely acts alone
becomes more probable by the AUs that it acts with.

Everything is chosen within the training clips, on left-out subjects: cost, weight of the simulated
maps, strength of the prior, scale of the evidence, and the threshold of each AU (half the best F1:
Lipton et al., ECML 2014). Only weights are stored, no clip and no part of one.

The side is determined from the two halves of the face: the motion is projected on the motion of the
AU in each half. It is reported only for AUs for which the coded clips confirm this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import product
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import logit

from aumer import strict
from aumer.arguments import number, whole
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import AUGraph
from aumer.recognition import face_position
from aumer.recognition.acted_maps import acted_map, acted_maps
from aumer.recognition.action_units import (
    BOTH,
    LEFT,
    RIGHT,
    AUClips,
    AUReader,
    fitted,
    read_weights,
    write_weights,
)
from aumer.recognition.au_prior import LabelPrior, PairCounts
from aumer.recognition.face_position import BY_LANDMARKS, FacePosition, Floats
from aumer.recognition.features import cell_means, mirrored, of_one_size
from aumer.recognition.graph_kernel import check_rois, edge_weights, parts
from aumer.recognition.interface import as_inputs
from aumer.recognition.registration import Affine, applied, register
from aumer.recognition.trained import Callback
from aumer.simulate.anatomy import ACTION_UNITS
from aumer.types import SIDES, BoolArray, FloatArray, IntArray, Side

if TYPE_CHECKING:
    from typing_extensions import Self

#: Cells along a side.
_CELLS = 9
#: Scale of ROI features relative to cells, in standard deviations: the larger, the more similar the
#: weights within an ROI.
_NODES = 2.0
#: The candidates for each choice.
COSTS = (0.001, 0.003, 0.01)
SIMULATED = (0.1, 0.3, 1.0)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Number of folds of the training subjects, each left out once.
_FOLDS = 5
#: Number of maps of known AUs, the share of these with few, uniformly drawn AUs, and the least rate
#: of an AU in the others, so that rare AUs are learned.
_MAPS, _EVENLY, _RATE = 1000, 0.4, 0.05
#: The side of an AU is reported if it has this many one-sided clips, and if these are separated
#: from the others by this AUC (the probability that the one-sided of two clips has the greater
#: difference). This share of the two-sided clips must stay two-sided, so that a reported side is
#: reliable.
_ONE_SIDED, _APART, _TRUE = 5, 0.8, 0.9


class GraphAUReader(AUReader):
    """An AU reader: a linear head over ROIs and a prior over sets of AUs. Deterministic.

    Args:
        counts: co-occurrence counts of coded AUs, for the prior; without them AUs are independent.
        graph: an `AUGraph`, or what `AUGraph.load` reads, over landmarks.
        position: position of the face in the maps (or a table of its fields), if known: for maps
            cut by landmarks (`aumer.recognition.clips`) it is `face_position.BY_LANDMARKS`. By
            default it is estimated from smiles, raised and lowered brows in the training clips.
        choice: fixes cost and weight of the simulated maps.
        least: an AU coded in fewer clips is not read; 0 also reads AUs without clips, from
            simulated maps alone.
        seed: of the simulated maps.

    Attributes:
        chosen: choices of the last `fit`.
        left_out: (N, K) the evidence of each training clip from heads that never saw its subject,
            for models that learn from evidence. It is not stored in files.

    Raises:
        UsageError: unknown graph, or a value that is not allowed.
        ConfigError: an invalid table for `position`.
    """

    name: ClassVar[str] = "graph"
    options: ClassVar[tuple[str, ...]] = ("graph", "position", "choice", "least", "seed")
    known: ClassVar[frozenset[int] | None] = frozenset(ACTION_UNITS)

    def __init__(
        self,
        counts: PairCounts | None = None,
        graph: AUGraph | str = "dfme-facs-micro",
        *,
        position: FacePosition | Mapping[str, Any] | None = None,
        choice: Sequence[float] | None = None,
        least: int = 5,
        seed: int = 0,
    ) -> None:
        self.graph = AUGraph.load(graph)
        check_rois(self.graph.rois)
        given = (
            strict.build(FacePosition, position, "position")
            if isinstance(position, Mapping)
            else position
        )
        if not isinstance(given, (FacePosition, NoneType)):
            raise UsageError(f"`position` is a table of across, down and row; found {position!r}")
        self._counts, self._given = counts, given
        self._choice = None if choice is None else _chosen(choice)
        self._least = whole("least", least, "a number of clips", least=0)
        self._seed = whole("seed", seed, least=0)
        self.position = given or BY_LANDMARKS
        self.chosen = {}
        self.left_out: Floats | None = None
        self._affines: dict[str, Affine] = {}
        self._side_limits: dict[int, float] = {}
        self._arrays: dict[str, Floats] = {}

    # Features of a map

    def _maps(self, inputs: FloatArray, sources: Sequence[str]) -> FloatArray:
        return applied(of_one_size(as_inputs(inputs)), sources, self._affines)

    def _features(self, maps: FloatArray) -> Floats:
        """(N, F): cells, and ROIs after one propagation along the graph."""
        cells = cell_means(maps, _CELLS).reshape(len(maps), -1, 3)
        nodes = np.einsum("rc,nck->nrk", self._pooling, cells)
        return np.concatenate([cells.reshape(len(maps), -1), nodes.reshape(len(maps), -1)], axis=1)

    @cached_property
    def _pooling(self) -> Floats:
        """(R, cells): the mean over each ROI's part, with half of it propagated along the edges."""
        shares = parts(self.graph.rois, _CELLS, self.position)
        means = shares / np.maximum(shares.sum(1, keepdims=True), 1e-12)
        edges = edge_weights(self.graph)
        passed = edges / np.maximum(edges.sum(1, keepdims=True), 1e-12)
        pooling: Floats = (means + passed @ means) / 2
        return pooling

    # Learning

    def fit(
        self,
        clips: AUClips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """See `Trained`: it takes seconds, so checkpoint and callbacks are ignored.

        Raises:
            UsageError: no AU is coded in `least` clips, an AU is coded in all clips, or fewer than
                two subjects.
        """
        self.check(clips.aus)
        counts = clips.acted.sum(0)
        listed = ", ".join(f"AU{au} {n}" for au, n in zip(clips.aus, counts, strict=True) if n)
        keep = counts >= self._least
        if not keep.any():
            raise UsageError(
                f"an AU is learned if {self._least} clips or more have it (`least`), and none "
                "is in so "
                f"many of the {len(clips)} clips; found {listed or 'none'}. Give more clips, or "
                "lower `least`"
            )
        if (keep & (counts == len(clips))).any():
            always = ", ".join(
                f"AU{au}" for au, n in zip(clips.aus, counts, strict=True) if n == len(clips)
            )
            raise UsageError(
                f"{always} acts in all of the {len(clips)} clips, so that nothing says how a face "
                "moves without it: give clips of other expressions, too, or leave it out of `aus`"
            )
        folds = parts_of(clips.subjects)
        self.aus = tuple(au for au, there in zip(clips.aus, keep, strict=True) if there)
        acted, sides = clips.acted[:, keep], clips.sides[:, keep]
        scaled = of_one_size(clips.inputs)
        self._affines = _registered(scaled, clips.sources)
        maps = applied(scaled, clips.sources, self._affines)
        self.position = self._given or _found(maps, acted, self.aus) or BY_LANDMARKS
        self.__dict__.pop("_pooling", None)

        rates = PairCounts.of(self.aus, acted).rates
        coupling = np.zeros((len(self.aus),) * 2)
        if self._counts is not None:
            coupling = self._counts.over(self.aus).couplings()
        known = _Known.drawn(self, rates)
        task = _Task(self._features(maps), self._features(mirrored(maps)), acted, known)
        tried = list(product(COSTS, SIMULATED)) if self._choice is None else [self._choice]
        left_out = {setting: task.left_out(folds, *setting) for setting in tried}
        setting = max(left_out, key=lambda s: mean_precision(left_out[s], acted))
        scores = left_out[setting]
        scale, offset = calibrated(scores, acted)
        self.left_out = evidence = scale * scores + offset - logit(rates)
        strength = min(
            STRENGTHS if coupling.any() else (0.0,),
            key=lambda s: _log_loss(LabelPrior(rates, s * coupling).posterior(evidence), acted),
        )
        posterior = LabelPrior(rates, strength * coupling).posterior(evidence)
        best = [best_f1(posterior[:, k], acted[:, k]) for k in range(len(self.aus))]
        weights, bias = task.learned(np.ones(len(acted), bool), *setting)
        # Rounded as in the file, so that a loaded reader is identical.
        self._arrays = {
            name: np.asarray(value, np.float32).astype(np.float64)
            for name, value in {
                "weights": scale * weights,
                "evidence": scale * bias + offset - logit(rates),
                "rates": rates,
                "coupling": strength * coupling,
                "thresholds": np.array([np.clip(f1 / 2, 0.05, 0.5) for f1 in best]),
            }.items()
        }
        self._ready()
        differences = self._differences(maps)
        self._side_limits = {
            au: limit
            for k, au in enumerate(self.aus)
            if (limit := _limit(differences[:, k], acted[:, k], sides[:, k])) is not None
        }
        self.chosen = {
            "cost": setting[0],
            "simulated": setting[1],
            "strength": strength,
            "scale": round(scale, 3),
            "place": asdict(self.position),  # as files have it
            "sides": self._side_limits,
            "f1_left_out": {str(a): round(f, 3) for a, f in zip(self.aus, best, strict=True)},
        }
        return self

    def _ready(self) -> None:
        self.thresholds = self._arrays["thresholds"]
        self._prior = LabelPrior(self._arrays["rates"], self._arrays["coupling"])

    def subjects_needed(self) -> int:
        """See `aumer.recognition.trained.Trained`: settings are chosen on left-out subjects."""
        return 2

    # Reading

    def evidence(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """(N, K) float64: log-likelihood ratio of each AU, from the map alone.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        fitted(self)
        maps = self._maps(inputs, sources)
        both = (self._features(maps) + self._features(mirrored(maps))) / 2
        found: Floats = both @ self._arrays["weights"].T + self._arrays["evidence"]
        return found

    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """See `AUReader`.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        return self._prior.posterior(self.evidence(inputs, sources))

    def sides(self, inputs: FloatArray, sources: Sequence[str] = ()) -> list[list[Side | None]]:
        """See `AUReader`."""
        fitted(self)
        differences = self._differences(self._maps(inputs, sources))
        return [
            [
                None if (limit := self._side_limits.get(au)) is None else SIDES[_side(d, limit)]
                for au, d in zip(self.aus, own, strict=True)
            ]
            for own in differences
        ]

    def _differences(self, maps: FloatArray) -> Floats:
        """(N, K) in [-1, 1]: left minus right share of each AU; 1 if it is only on the left."""
        sides = []
        for side in ("left", "right"):
            made = np.stack([acted_map({(au, side): 1.0}, self.position) for au in self.aus])
            unit = made / (made**2).sum((1, 2, 3), keepdims=True)
            sides.append(np.einsum("nyxc,kyxc->nk", maps[..., :2], unit, optimize=True))
        left, right = sides
        found: Floats = (left - right) / (abs(left) + abs(right) + 1e-9)
        return found

    # Files

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """See `AUReader`."""
        about = {
            "graph": self.graph.to_dict(),
            "place": asdict(self.position),
            "affines": {name: list(affine) for name, affine in self._affines.items()},
            "sides": {str(au): limit for au, limit in self._side_limits.items()},
            "chosen": dict(self.chosen),
        }
        arrays = {name: value.astype(np.float32) for name, value in self._arrays.items()}
        write_weights(path, self, arrays, about, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """See `AUReader`."""
        found = read_weights(path, cls.name)
        about = found.about
        with foreign(path, f"a whole AU reader {cls.name!r}", WeightsError):
            made = cls(
                graph=AUGraph.from_dict(about["graph"]), position=FacePosition(**about["place"])
            )
            made._affines = {k: (v[0], v[1], v[2]) for k, v in about["affines"].items()}
            made._side_limits = {int(au): float(limit) for au, limit in about["sides"].items()}
            made.chosen = dict(about["chosen"])
            made._arrays = {k: v.astype(np.float64) for k, v in found.arrays.items()}
            k, features = len(found.aus), 3 * (_CELLS**2 + len(made.graph.rois))
            shapes = {
                "weights": (k, features),
                "evidence": (k,),
                "rates": (k,),
                "coupling": (k, k),
                "thresholds": (k,),
            }
            if {name: a.shape for name, a in made._arrays.items()} != shapes:
                raise ValueError("the arrays are of other shapes")
            if strange := set(found.aus) - set(ACTION_UNITS):
                raise ValueError(f"the simulator knows no AU{min(strange)}")
            made._ready()
        made.aus, made.card = found.aus, found.card
        return made


def _chosen(choice: Sequence[float]) -> tuple[float, float]:
    if len(choice) != 2 or not all(number("choice", one) > 0 for one in choice):
        raise UsageError(
            f"choice is the cost and the weight of the simulated maps, above 0; found {choice}"
        )
    return float(choice[0]), float(choice[1])


class _Known:
    """Features of maps of known AUs.

    There AUs co-occur only by chance, so that a head learns the effect of each AU; co-occurrence is
    left to the prior.
    """

    def __init__(self, features: Floats, acted: BoolArray) -> None:
        self.features, self.acted = features, acted

    @classmethod
    def drawn(cls, reader: GraphAUReader, rates: Floats) -> _Known:
        rng = np.random.default_rng(reader._seed)
        evenly = round(_EVENLY * _MAPS)
        often = rng.random((_MAPS - evenly, len(rates))) < np.maximum(rates, _RATE)
        acted = np.concatenate([often, np.zeros((evenly, len(rates)), bool)])
        for row in acted[-evenly:]:
            few = min(int(rng.choice([1, 1, 2, 2, 3])), len(rates))
            row[rng.choice(len(rates), few, replace=False)] = True
        maps = of_one_size(acted_maps(rng, acted, reader.aus, reader.position))
        return cls(reader._features(maps), acted)


class _Task:
    """Training data: coded clips, their mirror images and maps of known AUs; all or some rows."""

    def __init__(self, face: Floats, mirror: Floats, acted: BoolArray, known: _Known) -> None:
        self._face, self._mirror, self._acted, self._known = face, mirror, acted, known

    def learned(self, rows: BoolArray, cost: float, simulated: float) -> tuple[Floats, Floats]:
        """Weights (K, F) and bias (K,) for unscaled features, learned from these rows."""
        from sklearn.linear_model import LogisticRegression

        clips = np.concatenate([self._face[rows], self._mirror[rows]])
        mean, deviation = clips.mean(0), clips.std(0) + 1e-8
        # Means of ROIs vary less than cells but are equally informative.
        size = np.ones(clips.shape[1])
        size[3 * _CELLS**2 :] = _NODES
        x = np.concatenate([clips, self._known.features])
        x = (x - mean) / deviation * size
        weight = np.concatenate(
            [
                np.ones(len(clips)),
                np.full(len(self._known.acted), simulated * len(clips) / len(self._known.acted)),
            ]
        )
        labels = np.concatenate([self._acted[rows], self._acted[rows], self._known.acted])
        weights, bias = np.zeros((labels.shape[1], x.shape[1])), np.zeros(labels.shape[1])
        for k in range(labels.shape[1]):
            act = labels[:, k]
            share = weight[act].sum() / weight.sum()
            even = weight * np.where(act, 0.5 / share, 0.5 / (1 - share))
            head = LogisticRegression(C=cost, max_iter=300).fit(x, act, even)
            weights[k] = head.coef_[0] * size / deviation
            bias[k] = head.intercept_[0] - weights[k] @ mean
        return weights, bias

    def left_out(self, folds: IntArray, cost: float, simulated: float) -> Floats:
        """(N, K): scores of each clip from heads that never saw its subject."""
        scores = np.empty(self._acted.shape)
        both = (self._face + self._mirror) / 2
        for fold in range(_FOLDS):
            own = folds == fold
            if own.any():
                weights, bias = self.learned(~own, cost, simulated)
                scores[own] = both[own] @ weights.T + bias
        return scores


def parts_of(subjects: Sequence[str]) -> IntArray:
    """(N,): the fold of each clip's subject; folds have similar sizes."""
    counts = Counter(subjects)
    if len(counts) < 2:
        raise UsageError("leaving a subject out needs clips of two subjects or more; found one")
    sizes = [0] * min(_FOLDS, len(counts))
    where = {}
    for name, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])):
        where[name] = sizes.index(min(sizes))
        sizes[where[name]] += count
    return np.array([where[name] for name in subjects], np.int64)


def _registered(maps: FloatArray, sources: Sequence[str]) -> dict[str, Affine]:
    """Registers the crops of each data set to those of the data set with the most clips."""
    counts = Counter(sources)
    if len(counts) < 2:
        return {}
    target = max(sorted(counts), key=counts.__getitem__)
    return register(maps, sources, target)


def _found(maps: FloatArray, acted: BoolArray, aus: Sequence[int]) -> FacePosition | None:
    """`face_position.find` with AUs as classes: smiles, raised and lowered brows."""

    def acts(au: int) -> BoolArray:
        return acted[:, aus.index(au)] if au in aus else np.zeros(len(acted), bool)

    raised = acts(1) & acts(2)
    which = {
        "positive": acts(12) & ~acts(4) & ~raised,
        "surprise": raised & ~acts(4) & ~acts(12),
        "negative": acts(4) & ~acts(12) & ~raised,
    }
    labels = np.full(len(maps), len(which))
    for k, rows in enumerate(which.values()):
        labels[rows] = k
    known = labels < len(which)
    return face_position.find(maps[known], labels[known], tuple(which)) if known.any() else None


def mean_precision(scores: Floats, acted: BoolArray) -> float:
    """Mean average precision over the AUs."""
    from sklearn.metrics import average_precision_score

    there = np.flatnonzero(acted.any(0))
    return float(np.mean([average_precision_score(acted[:, k], scores[:, k]) for k in there]))


def calibrated(scores: Floats, acted: BoolArray) -> tuple[float, Floats]:
    """A common scale of scores and an offset for each AU: expit(scale * score + offset) is the
    probability.

    The scale is common because a rare AU has too few clips for its own.
    """
    from sklearn.linear_model import LogisticRegression

    n, k = acted.shape
    spread = float(scores.std()) or 1.0
    x = np.concatenate([(scores / spread).reshape(-1, 1), np.tile(np.eye(k), (n, 1))], axis=1)
    head = LogisticRegression(C=10.0, max_iter=1000).fit(x, acted.ravel())
    scale = max(float(head.coef_[0, 0]) / spread, 0.0)
    return scale, np.asarray(head.coef_[0, 1:] + head.intercept_[0], np.float64)


def _log_loss(shares: Floats, acted: BoolArray) -> float:
    right = np.where(acted, shares, 1 - shares)
    return float(-np.log(np.clip(right, 1e-12, None)).mean())


def best_f1(shares: Floats, acted: BoolArray) -> float:
    """The best F1 over all thresholds."""
    order = np.argsort(-shares, kind="stable")
    hits, taken = np.cumsum(acted[order]), np.arange(1, len(acted) + 1)
    return float((2 * hits / (taken + acted.sum())).max()) if acted.any() else 0.0


def _side(difference: float, limit: float) -> int:
    return BOTH if abs(difference) < limit else LEFT if difference > 0 else RIGHT


def _limit(differences: Floats, acted: BoolArray, sides: IntArray) -> float | None:
    """The least difference of a one-sided AU; `None` if the clips do not confirm sides."""
    one = acted & (sides != BOTH)
    both = acted & (sides == BOTH)
    if one.sum() < _ONE_SIDED or not both.any():
        return None
    signed = np.where(sides == RIGHT, -differences, differences)
    there, others = signed[one], abs(differences[both])
    if (there[:, None] > others).mean() < _APART:
        return None
    return round(float(np.quantile(others, _TRUE)), 4)
