"""Graphs over facial ROIs, weighted by co-occurrence of action units (AUs).

numpy only. `AUGraph` holds names of the nodes and raw weights. Networks choose a normalization by
name (`NORMALIZATIONS`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer._data import data_dir
from aumer.arguments import require_path, wrong
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write
from aumer.foreign import foreign, read_json
from aumer.graph import au
from aumer.graph.rois import (
    DEFAULT_ROIS,
    LANDMARK_NAMES,
    RoiSet,
    check_names,
    nearest_name,
    roi_set,
)
from aumer.names import expanded
from aumer.types import KINDS, Annotation, Kind

Matrix = npt.NDArray[np.float64]
#: ROIs of a graph: a `RoiSet`, or names in node order (any names; ints are landmark indices), or a
#: text for `aumer.graph.rois.roi_set`.
Nodes = RoiSet | str | Sequence[str | int]

FORMAT = "aumer-graph/1"

#: Weightings of `AUGraph.from_annotations`; n_ij is the number of expressions that move ROIs i and
#: j, n_i of those that move i, n of all.
WEIGHTINGS = {
    "counts": "n_ij; the published AU map counts as published, see `published_counts`",
    "conditional": "P(j moves | i moves) = n_ij / n_i",
    "lift": "n n_ij / (n_i n_j), 1 where i = j: how much likelier than by chance",
    "binary": "1 where P(j moves | i moves) reaches the threshold, else 0 (ML-GCN, CVPR 2019)",
}


def _l1_rows(a: Matrix) -> Matrix:
    normalized: Matrix = a / (a.sum(axis=1, keepdims=True) + 1e-6)
    return normalized


def _symmetric(a: Matrix) -> Matrix:
    looped = a + np.eye(len(a))
    rows, columns = looped.sum(axis=1), looped.sum(axis=0)
    normalized: Matrix = looped / np.sqrt(rows[:, None] * columns)
    return normalized


def _none(a: Matrix) -> Matrix:
    same: Matrix = a.copy()
    return same


#: By name, what makes a propagation matrix of raw weights A.
#:
#: - ``l1-rows``: A_ij / (sum_k A_ik + 1e-6). AUW-GCN's; a row of zeros stays zero.
#: - ``symmetric``: D^-1/2 (A + I) D^-1/2, D the sums of A + I (Kipf and Welling, ICLR 2017). Of a
#:   directed graph the left D is of the rows and the right one of the columns.
#: - ``none``: A.
NORMALIZATIONS: dict[str, Callable[[Matrix], Matrix]] = {
    "l1-rows": _l1_rows,
    "symmetric": _symmetric,
    "none": _none,
}


@dataclass(frozen=True, eq=False)
class AUGraph:
    """A weighted graph over ROIs.

    Shapes:
        weights (R, R) float64, finite, not negative, read-only: weights[i, j] is the contribution
        of node j to node i, so that one propagation step is weights @ x.

    Attributes:
        rois: names of the R nodes, in order.
        name: for people; not part of the digest.
        source: origin of the weights, as JSON values; not part of the digest.

    Raises:
        UsageError: names and weights do not match, or a weight is negative, NaN or infinite.

    Example:
        >>> edges = {("mouth_r", "mouth_l"): 1.0, ("brow_l_mid", "lip_upper"): 0.3}
        >>> mine = aumer.AUGraph.from_edges(edges)
        >>> mine.weights.shape, float(mine.weights.max())
        ((12, 12), 1.0)
        >>> mine.save("mine.json")
        >>> aumer.AUGraph.load("mine.json").digest == mine.digest
        True
    """

    rois: tuple[str, ...]
    weights: Matrix
    name: str = "mine"
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rois = tuple(self.rois)
        check_names(rois)
        weights = _as_matrix(self.weights)
        if weights.shape != (len(rois), len(rois)):
            raise UsageError(
                f"graph {self.name!r}: {len(rois)} ROIs need weights of shape "
                f"({len(rois)}, {len(rois)}); found {weights.shape}"
            )
        wrong = np.argwhere(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong):
            i, j = wrong[0]
            raise UsageError(
                f"graph {self.name!r}: weights are finite and 0 or more; found {weights[i, j]} "
                f"from {rois[j]} to {rois[i]} (row {i}, column {j})"
            )
        # + 0 copies, and turns -0 into 0, which would change the digest.
        weights = weights + 0.0
        weights.flags.writeable = False
        object.__setattr__(self, "rois", rois)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "source", dict(self.source))

    def __repr__(self) -> str:
        joined = int(np.count_nonzero(self.weights))
        return (
            f"AUGraph {self.name!r}: {len(self.rois)} ROIs, {joined} weights above 0, digest "
            f"{self.digest[:12]}"
        )

    def __len__(self) -> int:
        return len(self.rois)

    # -- use by networks ---------------------------------------------------------------------

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of ROI names and raw weights: stored with trained weights."""
        known = hashlib.sha256(json.dumps(self.rois).encode())
        known.update(self.weights.astype("<f8").tobytes())
        return known.hexdigest()

    def normalized(self, kind: str = "l1-rows") -> Matrix:
        """The (R, R) float64 propagation matrix, by a name of `NORMALIZATIONS`.

        Raises:
            UsageError: unknown normalization.
        """
        if kind not in NORMALIZATIONS:
            raise UsageError(
                f"no normalization is called {kind!r}; there are {', '.join(NORMALIZATIONS)}."
                + did_you_mean(kind, NORMALIZATIONS)
            )
        return NORMALIZATIONS[kind](self.weights)

    def edges(self) -> dict[tuple[str, str], float]:
        """All nonzero weights by (from, to), both directions, including self-loops."""
        to, come = np.nonzero(self.weights)
        return {
            (self.rois[j], self.rois[i]): float(self.weights[i, j])
            for i, j in zip(to, come, strict=True)
        }

    def unconnected(self) -> tuple[str, ...]:
        """ROIs without edges to others."""
        off = self.weights * (1 - np.eye(len(self)))
        degree = off.sum(axis=0) + off.sum(axis=1)
        return tuple(roi for roi, d in zip(self.rois, degree, strict=True) if d == 0)

    @property
    def directed(self) -> bool:
        """Whether the weights are asymmetric."""
        return not np.array_equal(self.weights, self.weights.T)

    # -- builders -----------------------------------------------------------------------------

    @classmethod
    def from_edges(
        cls,
        edges: Mapping[tuple[str | int, str | int], float],
        *,
        rois: Nodes = DEFAULT_ROIS,
        name: str = "mine",
        directed: bool = False,
    ) -> AUGraph:
        """A graph of weights by pair of ROIs: ``{("mouth_r", "mouth_l"): 0.8}``.

        Args:
            edges: weight by (from, to); ROIs are names or indices of landmarks. A pair of equal
                ROIs is a self-loop.
            directed: edges have one direction only.

        Raises:
            UsageError: an unknown ROI (the message names the nearest), an edge with two different
                weights, or a weight that is not a number.
        """
        if not isinstance(edges, Mapping):
            raise UsageError(
                "edges must be a dict of weights by pairs of ROIs, "
                "{('mouth_r', 'mouth_l'): 1.0}; found "
                f"{type(edges).__name__}"
            )
        names = _names(rois)
        weights = np.zeros((len(names), len(names)))
        given: dict[tuple[int, int], float] = {}
        untyped: Mapping[Any, Any] = edges  # users' data are unchecked
        for pair, weight in untyped.items():
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise UsageError(
                    f"an edge is a pair of ROIs, such as ('mouth_r', 'mouth_l'); found {pair!r}"
                )
            come, to = (_index(names, roi) for roi in pair)
            if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)):
                raise UsageError(f"the weight of an edge is a number; found {weight!r} for {pair}")
            edge = (come, to) if directed else (min(come, to), max(come, to))
            if edge in given and given[edge] != weight:
                raise UsageError(
                    f"the edge between {names[come]} and {names[to]} is given twice, with weights "
                    f"{given[edge]} and {weight}; give it once"
                    + ("" if directed else ", or say `directed=True`")
                )
            given[edge] = float(weight)
            weights[to, come] = weight
            if not directed:
                weights[come, to] = weight
        return cls(names, weights, name, {"made": "from_edges", "directed": directed})

    @classmethod
    def from_matrix(
        cls, weights: npt.ArrayLike, *, rois: Nodes = DEFAULT_ROIS, name: str = "mine"
    ) -> AUGraph:
        """A graph from an (R, R) matrix, in the order of `rois`; weights[i, j] goes from j to i.

        Raises:
            UsageError: it is not square, does not have R rows, or contains invalid weights.
        """
        return cls(_names(rois), _as_matrix(weights), name, {"made": "from_matrix"})

    @classmethod
    def from_annotations(
        cls,
        annotations: Iterable[Annotation],
        *,
        exclude_subjects: Iterable[str] = (),
        kind: Kind | None = None,
        au_map: str | au.AUMap | Mapping[int, Sequence[str]] = "facs",
        weighting: str = "counts",
        threshold: float = 0.2,
        rois: Nodes = DEFAULT_ROIS,
        name: str = "mine",
    ) -> AUGraph:
        """Count from coders' AUs how often ROIs move in the same expression.

        An expression moves the ROIs of its AUs in `au_map`, by side; reflected AUs ("ref(4)") do
        not count, of alternatives ("12 or 14") the first counts. `source` records the number of
        used rows, unreadable pieces, and ROIs without an edge.

        Args:
            annotations: from `aumer.data.read_table`.
            exclude_subjects: left out, so that a fold's prior does not depend on its test subjects.
            kind: only "micro" or "macro".
            au_map: "facs", "published", or your own mapping from AU to ROI names (both sides; ROIs
                with `_l` or `_r` in their names are excluded for an AU of the other side).
            weighting: one of `WEIGHTINGS`.
            threshold: threshold of "binary".

            Raises:
            UsageError: an unknown subject, kind, map, weighting or ROI, or no rows to count.
        """
        names = _names(rois)
        mapping = _au_map(au_map, names)
        if weighting not in WEIGHTINGS:
            raise UsageError(
                f"no weighting is called {weighting!r}; there are {', '.join(WEIGHTINGS)}."
                + did_you_mean(weighting, WEIGHTINGS)
            )
        if not 0 < threshold <= 1:
            raise UsageError(f"threshold is a share, above 0 and at most 1; found {threshold}")
        rows, excluded = _chosen(annotations, exclude_subjects, kind)
        coded, refused = au.read_annotations(rows)
        moved = _moved(coded, mapping, names)
        if not moved.any():
            raise UsageError(
                f"none of the {len(rows)} expressions has an AU that moves a ROI by the map "
                f"{mapping.name!r}; it knows AU {', '.join(map(str, sorted(mapping.moves)))}"
            )
        if mapping.exact and weighting == "counts":
            exact = (_exact_aus(c.annotation.aus, mapping) for c in coded)
            weights = published_counts(exact, mapping, names)
        else:
            weights = _weighted(moved, weighting, threshold)
        source = {
            "made": "from_annotations",
            "au_map": mapping.name,
            "weighting": weighting,
            **({"threshold": threshold} if weighting == "binary" else {}),
            "kind": kind or "both",
            "excluded_subjects": excluded,
            "rows": len(rows),
            "rows_read": len(coded),
            "rows_used": int(moved.any(axis=1).sum()),
            "rows_refused": len(rows) - len(coded),
            **({"rows_misread": _misread(coded, mapping)} if mapping.exact else {}),
            "unread": dict(sorted(Counter(r.piece or "(empty)" for r in refused).items())),
        }
        graph = cls(names, weights, name, source)
        if lonely := graph.unconnected():
            source["rois_without_edge"] = list(lonely)
        return cls(names, weights, name, source)

    @classmethod
    def from_pyg(cls, data: Any, *, rois: Nodes = DEFAULT_ROIS, name: str = "mine") -> AUGraph:
        """A graph from a ``torch_geometric.data.Data``.

        Its `edge_index` (2, E) goes from row 0 to row 1. `edge_weight`, or `edge_attr` with one
        number per edge, are the weights (default 1); parallel edges are summed.

        Raises:
            UsageError: an index outside the ROIs, another number of nodes, or weights that are not
                one number per edge.
        """
        names = _names(rois)
        index = getattr(data, "edge_index", None)
        if index is None:
            raise UsageError("the data must have an edge_index; found none")
        edges = _as_numpy(index)
        if edges.ndim != 2 or len(edges) != 2:
            raise UsageError(f"edge_index must be of shape (2, E); found {edges.shape}")
        # Not data.num_nodes, which may be guessed from the edges.
        features = getattr(data, "x", None)
        nodes = data["num_nodes"] if "num_nodes" in data else len(names)
        nodes = nodes if features is None else len(features)
        if nodes != len(names):
            raise UsageError(
                f"the data has {nodes} nodes and there are {len(names)} ROIs; say which ROIs they "
                "are with rois="
            )
        outside = edges[(edges < 0) | (edges >= len(names))]
        if outside.size:
            raise UsageError(
                f"edge_index names node {outside[0]}; {len(names)} ROIs are numbered 0 to "
                f"{len(names) - 1}"
            )
        given = getattr(data, "edge_weight", None)
        if given is None:
            given = getattr(data, "edge_attr", None)
        values = np.ones(edges.shape[1]) if given is None else _as_numpy(given).astype(np.float64)
        if values.size != edges.shape[1]:
            raise UsageError(
                f"weights are one number per edge, {edges.shape[1]}; found shape {values.shape}"
            )
        weights = np.zeros((len(names), len(names)))
        np.add.at(weights, (edges[1], edges[0]), values.ravel())
        return cls(names, weights, name, {"made": "from_pyg"})

    @classmethod
    def identity(cls, rois: Nodes = DEFAULT_ROIS) -> AUGraph:
        """Only self-loops: the control for whether a graph helps."""
        names = _names(rois)
        return cls(names, np.eye(len(names)), "identity", {"made": "identity"})

    @classmethod
    def empty(cls, rois: Nodes = DEFAULT_ROIS) -> AUGraph:
        """A graph without edges; ``symmetric`` turns it into the identity."""
        names = _names(rois)
        return cls(names, np.zeros((len(names), len(names))), "empty", {"made": "empty"})

    # -- torch-geometric ----------------------------------------------------------------------

    def to_pyg(self) -> Any:
        """``torch_geometric.data.Data`` with edge_index (2, E) int64, edge_weight (E,) float32.

        Raw weights; an edge goes from row 0 to row 1, as torch-geometric's layers send messages.
        `rois` and `num_nodes` are included.
        """
        import torch
        from torch_geometric.data import Data

        to, come = np.nonzero(self.weights)
        return Data(
            edge_index=torch.from_numpy(np.stack([come, to]).astype(np.int64)),
            edge_weight=torch.from_numpy(self.weights[to, come].astype(np.float32)),
            num_nodes=len(self),
            rois=list(self.rois),
        )

    # -- files --------------------------------------------------------------------------------

    @classmethod
    def load(cls, which: AUGraph | StrPath) -> AUGraph:
        """A graph by name (shipped, or registered as kind "graph"), or from a file.

        Args:
            which: a name that `aumer graph list` prints; the path of a ``.json`` from `save`, or of
                a ``.npy`` with weights of the 12 published ROIs. An `AUGraph` is returned
                unchanged.

        Raises:
            UsageError: unknown name, missing file, or a file without a graph.
        """
        if isinstance(which, AUGraph):
            return which
        require_path("which", which, "an AUGraph, a graph's name or the path of its file")
        path = expanded(which)
        if path.suffix in READERS:
            return READERS[path.suffix](path)
        if os.sep in os.fspath(which) or not isinstance(which, str):
            raise UsageError(f"a graph's file is {' or '.join(READERS)}; found {which}")
        found = registry.resolve("graph", which)
        graph = found() if callable(found) else found
        if not isinstance(graph, AUGraph):
            raise UsageError(f"the graph registered as {which!r} is not an AUGraph: {graph!r}")
        return graph

    def save(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write a ``.json`` file, which `load` reads with the same digest.

        Raises:
            UsageError: unknown suffix, or the file exists and `overwrite` is False.
        """
        if Path(path).suffix != ".json":
            raise UsageError(f"a graph is saved as .json; found {os.fspath(path)}")
        atomic_write(path, self.to_json(), overwrite=overwrite)

    def to_json(self) -> str:
        """The JSON text, with one row of weights per line."""
        content = self.to_dict()
        rows = ",\n  ".join(json.dumps(row) for row in content.pop("weights"))
        head = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        return f'{head[:-2]},\n "weights": [\n  {rows}\n ]\n}}\n'

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON, for a file or the card of trained weights; see `from_dict`."""
        return {
            "format": FORMAT,
            "name": self.name,
            "rois": list(self.rois),
            "source": dict(self.source),
            "weights": [[_plain(w) for w in row] for row in self.weights.tolist()],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> AUGraph:
        """The inverse of `to_dict`; files written by hand may have ``edges``, a list of [from, to,
        weight], with ``directed``, instead of ``weights``.

        Raises:
            UsageError: a key is missing or unknown, or a value is invalid.
        """
        known = {"format", "name", "rois", "source", "weights", "edges", "directed"}
        unknown = sorted(set(content) - known)
        if unknown:
            raise UsageError(
                f"unknown key {unknown[0]!r}; there are {', '.join(sorted(known))}."
                + did_you_mean(unknown[0], known)
            )
        if content.get("format", FORMAT) != FORMAT:
            raise UsageError(f"format must be {FORMAT!r}; found {content['format']!r}")
        rois, name, source = (
            content.get("rois", DEFAULT_ROIS),
            content.get("name", "mine"),
            content.get("source", {}),
        )
        if not isinstance(source, Mapping):
            raise UsageError(f"source must be a table; found {source!r}")
        if ("weights" in content) == ("edges" in content):
            raise UsageError("a graph has either weights (a matrix) or edges ([from, to, weight])")
        if "weights" in content:
            graph = cls.from_matrix(content["weights"], rois=rois, name=name)
            return cls(graph.rois, graph.weights, name, source or graph.source)
        edges: dict[tuple[str | int, str | int], float] = {}
        for edge in content["edges"]:
            if not (isinstance(edge, Sequence) and len(edge) == 3):
                raise UsageError(f"an edge is [from, to, weight]; found {edge!r}")
            come, to, weight = edge
            if (come, to) in edges:
                raise UsageError(f"the edge from {come} to {to} is given twice: give it once")
            edges[come, to] = weight
        graph = cls.from_edges(
            edges, rois=rois, name=name, directed=bool(content.get("directed", False))
        )
        return cls(graph.rois, graph.weights, name, source or graph.source)


def published_counts(
    rows: Iterable[Sequence[int]], au_map: au.AUMap, rois: Sequence[str]
) -> Matrix:
    """AUW-GCN's counting (Yin et al., ICME 2023), over the AUs of each row that are in the map.

    A row of one AU adds 1 to the diagonal at each of its ROIs. A row of more adds, for each pair of
    its AUs and each i of the first's ROIs and j of the second's, 1 to [i, j] and 1 to [j, i].
    """
    nodes = {n: [rois.index(roi) for roi in names] for n, names in au_map.moves.items()}
    counts = np.zeros((len(rois), len(rois)))
    for row in rows:
        if len(row) == 1:
            counts[nodes[row[0]], nodes[row[0]]] += 1
        for first, second in combinations(row, 2):
            for i, j in product(nodes[first], nodes[second]):
                counts[i, j] += 1
                counts[j, i] += 1
    return counts


def _moved(coded: Sequence[au.Coded], au_map: au.AUMap, rois: Sequence[str]) -> Matrix:
    """(N, R) of 0 and 1: the ROIs that each expression moves."""

    def of(c: au.Coded) -> set[str]:
        if au_map.exact:
            return {r for n in _exact_aus(c.annotation.aus, au_map) for r in au_map.moves[n]}
        return {r for unit in c.units if unit.made for r in au_map.moved(unit)}

    sets = [of(c) for c in coded]
    table = np.array([[roi in s for roi in rois] for s in sets], np.float64)
    return table.reshape(len(sets), len(rois))


def _weighted(moved: Matrix, weighting: str, threshold: float) -> Matrix:
    """Weights from `_moved`. An ROI that never moves has zeros."""
    together: Matrix = moved.T @ moved
    alone = np.maximum(np.diag(together), 1)
    if weighting == "counts":
        return together
    conditional: Matrix = together / alone[:, None]
    if weighting == "conditional":
        return conditional
    if weighting == "binary":
        return np.asarray(conditional >= threshold, np.float64)
    lift: Matrix = together * len(moved) / (alone[:, None] * alone)
    np.fill_diagonal(lift, np.diag(together) > 0)
    return lift


def _exact_aus(text: str, au_map: au.AUMap) -> tuple[int, ...]:
    known = {str(n): n for n in au_map.moves}
    return tuple(known[piece] for piece in text.split("+") if piece in known)


def _misread(coded: Iterable[au.Coded], au_map: au.AUMap) -> int:
    """Rows with an AU of the map that exact matching misses because of a side or level."""
    return sum(
        bool(
            {u.number for u in c.units if u.made and u.number in au_map.moves}.difference(
                _exact_aus(c.annotation.aus, au_map)
            )
        )
        for c in coded
    )


def _au_map(given: str | au.AUMap | Mapping[int, Sequence[str]], names: Sequence[str]) -> au.AUMap:
    if isinstance(given, str):
        au.require_map(given)
        found = au.MAPS[given]
    elif isinstance(given, au.AUMap):
        found = given
    else:
        wrong = [n for n in given if isinstance(n, bool) or not isinstance(n, int)]
        if wrong:
            raise UsageError(
                f"the keys of an AU map must be AUs, whole numbers; found {wrong[0]!r}"
            )
        found = au.AUMap("own", {n: tuple(rois) for n, rois in given.items()})
    for number, rois in found.moves.items():
        for roi in rois:
            if roi not in names:
                raise UsageError(
                    f"the AU map {found.name!r} has AU{number} move {roi!r}, which is none of the "
                    f"graph's ROIs: {', '.join(names)}.{nearest_name(roi, names)}"
                )
    return found


def _chosen(
    annotations: Iterable[Annotation], exclude_subjects: Iterable[str], kind: Kind | None
) -> tuple[list[Annotation], list[str]]:
    """The annotations to count and the subjects left out, sorted."""
    given: Any = annotations  # callers may pass anything
    rows = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(a, Annotation) for a in rows):
        raise wrong("annotations", annotations, "a sequence of Annotation")
    excluded = sorted(
        {exclude_subjects} if isinstance(exclude_subjects, str) else set(exclude_subjects)
    )
    subjects = {a.subject for a in rows}
    for subject in excluded:
        if subject not in subjects:
            # A misspelled test subject would otherwise be counted in its own fold's prior.
            raise UsageError(
                f"there is no subject {subject!r} to exclude; there are "
                f"{', '.join(sorted(subjects))}.{did_you_mean(subject, subjects)}"
            )
    if kind is not None and kind not in KINDS:
        raise UsageError(
            f"kind must be one of {', '.join(KINDS)}, or None for both; found {kind!r}"
        )
    kept = [a for a in rows if a.subject not in excluded and kind in (None, a.kind)]
    return kept, excluded


class _Shipped(Mapping[str, AUGraph]):
    """The graphs in ``au_priors/``, by file name."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(p.stem for p in data_dir("au_priors").glob("*.json")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> AUGraph:
        if name not in set(self):
            raise KeyError(name)
        return _shipped(name)


@cache
def _shipped(name: str) -> AUGraph:
    return _read_json(data_dir("au_priors") / f"{name}.json")


#: Read on first use; kind "graph" in `aumer.registry`.
SHIPPED: Mapping[str, AUGraph] = _Shipped()


def _read_json(path: Path) -> AUGraph:
    content = read_json(path, "a graph")
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a graph: its JSON must be a table with rois and weights")
    with foreign(path, "a graph that fits"):
        return AUGraph.from_dict(content)


def _read_npy(path: Path) -> AUGraph:
    with foreign(path, "a graph"), path.open("rb") as file:
        weights = np.load(file, allow_pickle=False)
    with foreign(path, "a graph"):
        graph = AUGraph.from_matrix(weights, name=path.stem)
    return AUGraph(graph.rois, graph.weights, graph.name, {"made": "file", "file": path.name})


READERS: dict[str, Callable[[Path], AUGraph]] = {".json": _read_json, ".npy": _read_npy}


def _names(rois: Nodes) -> tuple[str, ...]:
    """Node names; a string names a set or lists landmarks, an int is a landmark."""
    if isinstance(rois, (RoiSet, str)):
        return roi_set(rois).names
    return tuple(roi_set([r]).names[0] if isinstance(r, int) else r for r in rois)


def _index(names: tuple[str, ...], roi: str | int) -> int:
    if isinstance(roi, int) and not isinstance(roi, bool):
        (roi,) = roi_set([roi]).names
    if roi in names:
        return names.index(roi)
    hint = nearest_name(str(roi), names)
    if roi in LANDMARK_NAMES:
        hint = f" Name the graph's ROIs with rois= to have {roi!r} among them."
    raise UsageError(f"no ROI of this graph is called {roi!r}; there are {', '.join(names)}.{hint}")


def _as_matrix(weights: npt.ArrayLike) -> Matrix:
    try:
        return np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"weights must be a matrix of numbers: {error}") from error


def _as_numpy(array: Any) -> npt.NDArray[Any]:
    return np.asarray(array.detach().cpu().numpy() if hasattr(array, "detach") else array)


def _plain(weight: float) -> float | int:
    """Integers for counts, for readability."""
    return int(weight) if weight.is_integer() and abs(weight) < 2**53 else weight
