from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import aumer
from aumer import registry
from aumer.data import read_table
from aumer.errors import EXIT_USAGE, UsageError
from aumer.graph import NORMALIZATIONS, SHIPPED, WEIGHTINGS, AUGraph, published_counts
from aumer.graph.au import PUBLISHED, AUMap
from aumer.graph.rois import DEFAULT_ROIS, RoiSet
from aumer.types import Annotation

NAMES = DEFAULT_ROIS.names
SMILE = {("mouth_r", "mouth_l"): 1.0, ("mouth_l", "lip_upper"): 0.5}

matrices = arrays(
    np.float64, (4, 4), elements=st.floats(0, 100, allow_subnormal=False) | st.just(0.0)
)
FOUR = ("mouth_r", "lip_upper", "mouth_l", "lip_lower")


def at(a: str, b: str) -> tuple[int, int]:
    return NAMES.index(a), NAMES.index(b)


# The value


def test_a_graph_is_a_value() -> None:
    weights = np.eye(4)
    graph = AUGraph(FOUR, weights, "mine", {"by": "hand"})
    weights[0, 1] = 5
    assert graph.weights[0, 1] == 0 and graph.weights.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        graph.weights[0, 1] = 1
    again = pickle.loads(pickle.dumps(graph))
    assert again.digest == graph.digest and again.rois == FOUR and len(again) == 4


def test_the_digest_is_of_rois_and_weights_alone() -> None:
    graph = AUGraph.from_edges(SMILE)
    same = AUGraph(NAMES, graph.weights, "another name", {"from": "elsewhere"})
    assert same.digest == graph.digest
    others = [
        AUGraph.from_edges({**SMILE, ("mouth_l", "lip_upper"): 0.5 + 1e-12}),
        AUGraph.from_edges(SMILE, directed=True),
        AUGraph(tuple(reversed(NAMES)), graph.weights),
        AUGraph.empty(),
        AUGraph.empty("18 19"),
    ]
    assert len({graph.digest, *(g.digest for g in others)}) == 6
    assert AUGraph(FOUR, -np.zeros((4, 4))).digest == AUGraph(FOUR, np.zeros((4, 4))).digest


def test_the_digest_stays_as_it_is() -> None:
    """Trained weights remember it."""
    expected = "8ae46a373dd6c7a2c3c68d4eed907028"
    assert AUGraph.from_matrix(np.eye(2), rois=["a", "b"]).digest.startswith(expected)


@pytest.mark.parametrize(
    ("rois", "weights", "says"),
    [
        (FOUR, np.eye(3), r"4 ROIs need weights of shape \(4, 4\); found \(3, 3\)"),
        (FOUR, np.ones((4, 5)), r"found \(4, 5\)"),
        (FOUR, np.ones(4), r"found \(4,\)"),
        (FOUR, -np.eye(4), "found -1.0 from mouth_r to mouth_r"),
        (FOUR, np.full((4, 4), math.nan), "found nan"),
        (FOUR, np.full((4, 4), math.inf), "found inf"),
        (FOUR, [["a"] * 4] * 4, "matrix of numbers"),
        (("a", "a"), np.eye(2), "'a' is given more often"),
        (("a", ""), np.eye(2), "not empty"),
        ((), np.zeros((0, 0)), "one ROI at least"),
    ],
)
def test_what_is_no_graph_is_named(rois: tuple[str, ...], weights: object, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        AUGraph(rois, weights)  # type: ignore[arg-type]
    assert caught.value.exit_code == EXIT_USAGE


# Normalizations


@given(matrices)
def test_l1_rows_is_the_published_formula(a: np.ndarray) -> None:
    found = AUGraph(FOUR, a).normalized("l1-rows")
    for i, j in product(range(4), repeat=2):
        assert found[i, j] == pytest.approx(a[i, j] / (abs(a[i]).sum() + 1e-6), abs=1e-15)


@given(matrices)
def test_symmetric_is_kipf_and_wellings(a: np.ndarray) -> None:
    a = a + a.T
    found = AUGraph(FOUR, a).normalized("symmetric")
    looped = a + np.eye(4)
    half = np.diag(looped.sum(axis=1) ** -0.5)
    np.testing.assert_allclose(found, half @ looped @ half, rtol=1e-12)
    assert np.abs(np.linalg.eigvalsh(found)).max() <= 1 + 1e-9  # repeated steps do not grow
    np.testing.assert_allclose(AUGraph(FOUR, 0 * a).normalized("symmetric"), np.eye(4))


def test_symmetric_equals_torch_geometrics_gcn_norm() -> None:
    torch = pytest.importorskip("torch")
    norm = pytest.importorskip("torch_geometric.nn.conv.gcn_conv").gcn_norm
    graph = AUGraph.from_edges({**SMILE, ("brow_r_mid", "brow_l_mid"): 3.0})
    data = graph.to_pyg()
    index, weight = norm(data.edge_index, data.edge_weight, num_nodes=12)
    found = torch.zeros(12, 12, dtype=torch.float64)
    found[index[1], index[0]] = weight.double()
    np.testing.assert_allclose(found.numpy(), graph.normalized("symmetric"), atol=1e-7)


def test_none_is_the_raw_weights_and_a_copy() -> None:
    graph = AUGraph.from_edges(SMILE)
    raw = graph.normalized("none")
    np.testing.assert_array_equal(raw, graph.weights)
    raw[0, 0] = 9
    assert graph.weights[0, 0] == 0


def test_an_unknown_normalization_is_named() -> None:
    with pytest.raises(UsageError, match="Did you mean 'l1-rows'"):
        AUGraph.empty().normalized("l1_rows")


@given(matrices, st.permutations(range(4)))
def test_permuting_rois_permutes_every_normalization(a: np.ndarray, order: list[int]) -> None:
    graph = AUGraph(FOUR, a)
    other = AUGraph(tuple(FOUR[k] for k in order), a[np.ix_(order, order)])
    for kind in NORMALIZATIONS:
        np.testing.assert_allclose(
            other.normalized(kind), graph.normalized(kind)[np.ix_(order, order)], rtol=1e-12
        )


# Edges, matrices, torch-geometric


def test_edges_by_name_or_landmark() -> None:
    graph = AUGraph.from_edges({("mouth_r", 54): 0.8, (18, 18): 2}, name="mine")
    assert graph.rois == NAMES and graph.name == "mine"
    expected = np.zeros((12, 12))
    expected[at("mouth_r", "mouth_l")] = expected[at("mouth_l", "mouth_r")] = 0.8
    expected[0, 0] = 2
    np.testing.assert_array_equal(graph.weights, expected)
    assert AUGraph.from_edges({(54, 48): 0.8, ("mouth_l", "mouth_r"): 0.8}).weights[8, 10] == 0.8
    assert graph.edges() == {
        ("mouth_r", "mouth_l"): 0.8,
        ("mouth_l", "mouth_r"): 0.8,
        ("brow_r_mid_outer", "brow_r_mid_outer"): 2.0,
    }


def test_a_directed_edge_feeds_its_end() -> None:
    graph = AUGraph.from_edges({("mouth_r", "lip_upper"): 1.0}, directed=True)
    motion = np.zeros(12)
    motion[NAMES.index("mouth_r")] = 7
    reached = dict(zip(NAMES, graph.weights @ motion, strict=True))
    assert reached["lip_upper"] == 7 and reached["mouth_r"] == 0 and graph.directed
    assert not AUGraph.from_edges(SMILE).directed


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        ({("mouth_corner_l", "mouth_r"): 1}, "Did you mean 'mouth_l'"),
        ({("brow_inner_l", "mouth_r"): 1}, "Did you mean 'brow_l_mid_inner'"),
        ({("chin", "mouth_r"): 1}, "Name the graph's ROIs with rois="),
        ({(8, "mouth_r"): 1}, "'chin'.*rois="),
        ({(99, "mouth_r"): 1}, "from 0 to 67"),
        ({("mouth_r",): 1}, "pair of ROIs"),
        ({"mouth_r": 1}, "pair of ROIs"),
        ({("mouth_r", "mouth_l"): "much"}, "is a number; found 'much'"),
        ({("mouth_r", "mouth_l"): True}, "is a number"),
        ({("mouth_r", "mouth_l"): -1}, "0 or more"),
        ({("mouth_r", "mouth_l"): math.nan}, "finite"),
        (
            {("mouth_r", "mouth_l"): 1, ("mouth_l", "mouth_r"): 2},
            "given twice, with weights 1.0 and 2.*directed=True",
        ),
        ({(48, 54): 1, ("mouth_r", "mouth_l"): 2}, "given twice"),
    ],
)
def test_wrong_edges_are_named_with_the_nearest_right_name(edges: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        AUGraph.from_edges(edges)


def test_other_rois_than_the_twelve() -> None:
    by_index = AUGraph.from_edges({(36, 48): 1.0, ("eye_r_outer", 8): 2.0}, rois="36 48 8")
    assert by_index.rois == ("eye_r_outer", "mouth_r", "chin")
    assert by_index.weights[0, 2] == by_index.weights[2, 0] == 2
    own = AUGraph.from_edges({("left", "right"): 1.0}, rois=("left", "right"))
    assert own.rois == ("left", "right")
    same = [
        AUGraph.identity(rois)
        for rois in ("8 48", [8, 48], ["chin", 48], RoiSet(("chin", "mouth_r"), (8, 48)))
    ]
    assert {g.digest for g in same} == {AUGraph.from_matrix(np.eye(2), rois="8 48").digest}


@given(matrices)
def test_through_torch_geometric_and_back(a: np.ndarray) -> None:
    pytest.importorskip("torch_geometric")
    a = a.astype(np.float32).astype(np.float64)  # torch-geometric's layers are in float32
    graph = AUGraph(FOUR, a)
    data = graph.to_pyg()
    assert data.num_nodes == 4 and list(data.rois) == list(FOUR)
    assert data.edge_index.shape == (2, (a != 0).sum())
    assert AUGraph.from_pyg(data, rois=FOUR).digest == graph.digest


def test_a_message_passing_layer_sends_along_our_edges() -> None:
    torch = pytest.importorskip("torch")
    conv = pytest.importorskip("torch_geometric.nn").SimpleConv(aggr="sum")
    graph = AUGraph.from_edges({**SMILE, (18, 19): 0.25, (57, 51): 4.0}, directed=True)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 3)))
    data = graph.to_pyg()
    found = conv(x, data.edge_index, data.edge_weight.double())
    np.testing.assert_allclose(found.numpy(), graph.weights @ x.numpy(), atol=1e-12)


def test_torch_geometrics_data_of_other_people() -> None:
    torch = pytest.importorskip("torch")
    Data = pytest.importorskip("torch_geometric.data").Data
    index = torch.tensor([[0, 1, 1], [1, 0, 0]])
    bare = AUGraph.from_pyg(Data(edge_index=index), rois=FOUR)
    assert bare.weights[1, 0] == 1 and bare.weights[0, 1] == 2  # parallel edges add up
    weighed = Data(edge_index=index, edge_attr=torch.tensor([[1.0], [2.0], [3.0]]), num_nodes=4)
    assert AUGraph.from_pyg(weighed, rois=FOUR).weights[0, 1] == 5
    for data, says in (
        (Data(edge_index=index, num_nodes=4), "4 nodes and there are 12 ROIs"),
        (Data(edge_index=torch.tensor([[0], [12]])), "12"),
        (Data(edge_index=index, edge_attr=torch.ones(3, 2), num_nodes=12), "one number per edge"),
        (Data(edge_index=index, x=torch.ones(4, 2)), "4 nodes and there are 12 ROIs"),
        (Data(x=torch.ones(12, 2)), "edge_index"),
        (Data(edge_index=torch.tensor([0, 1]), num_nodes=12), r"of shape \(2, E\)"),
    ):
        with pytest.raises(UsageError, match=says):
            AUGraph.from_pyg(data)


def test_controls() -> None:
    np.testing.assert_array_equal(AUGraph.identity().weights, np.eye(12))
    assert AUGraph.empty("1 2 3").edges() == {}
    assert AUGraph.empty("1 2 3").unconnected() == ("jaw_r_2", "jaw_r_3", "jaw_r_4")
    assert len(AUGraph.from_edges(SMILE).unconnected()) == 9


# Counting


def coded(*texts: str, kind: str = "micro", subject: str = "s1") -> list[Annotation]:
    return [
        Annotation(subject, "v", kind, 1, 2, 3, text, row=k)  # type: ignore[arg-type]
        for k, text in enumerate(texts, 2)
    ]


OWN = {1: ["a"], 2: ["b", "c"]}


def own(rows: list[Annotation], **options: object) -> AUGraph:
    return AUGraph.from_annotations(rows, au_map=OWN, rois=["a", "b", "c"], **options)  # type: ignore[arg-type]


def test_weightings_by_hand() -> None:
    """Four expressions: 1; 1 and 2; 2; none of them."""
    rows = coded("1", "1+2B", "2", "4")
    together = np.array([[2, 1, 1], [1, 2, 2], [1, 2, 2]])
    np.testing.assert_array_equal(own(rows).weights, together)
    np.testing.assert_allclose(own(rows, weighting="conditional").weights, together / 2)
    lift = np.array([[1, 4 * 1 / (2 * 2), 1], [1, 1, 4 * 2 / (2 * 2)], [1, 2, 1]])
    np.testing.assert_allclose(own(rows, weighting="lift").weights, lift)
    for threshold, cell in ((0.5, 1), (0.51, 0)):
        found = own(rows, weighting="binary", threshold=threshold).weights
        np.testing.assert_array_equal(found, np.where(together == 1, cell, 1))


def test_conditional_is_a_row_each_its_own_denominator() -> None:
    rows = coded("1", "1", "1", "1+2")
    found = own(rows, weighting="conditional")
    assert found.weights[0, 1] == 0.25 and found.weights[1, 0] == 1 and found.directed


def test_a_roi_never_moved_has_zeros_in_every_weighting() -> None:
    for weighting in WEIGHTINGS:
        found = own(coded("1"), weighting=weighting).weights
        assert found[0, 0] == 1 and found.sum() == 1, weighting


def test_sides_reflections_and_alternatives() -> None:
    def moved(text: str) -> set[str]:
        graph = AUGraph.from_annotations(coded(text))
        return {roi for roi, w in zip(NAMES, np.diag(graph.weights), strict=True) if w}

    assert moved("L12") == {"mouth_l"}
    assert moved("R12+ref(1)") == {"mouth_r"}
    assert moved("L1 or 12") == {"brow_l_mid_inner"}
    assert moved("12?+24C") == {"mouth_r", "mouth_l", "lip_upper", "lip_lower"}


def test_the_published_rule_by_hand() -> None:
    rows = coded("12", "12+14", "1+2+4", "L12+25", "25+26")
    graph = AUGraph.from_annotations(rows, au_map="published")
    expected = np.zeros((12, 12))
    corners, lips = [8, 10], [9, 11]
    for i in corners:
        expected[i, i] += 1  # 12 alone
        for j in corners:
            expected[i, j] += 2  # 12+14 share their ROIs
    for i, j in product([0, 1, 4, 5], [2, 3]):  # 1+2; 4 is not there
        expected[i, j] += 1
        expected[j, i] += 1
    for i in lips:
        expected[i, i] += 1  # L12 is no exact match: 25 alone
        for j in lips:
            expected[i, j] += 2
    np.testing.assert_array_equal(graph.weights, expected)
    assert graph.source["rows_misread"] == 1
    assert graph.source["rois_without_edge"] == ["nose_bridge", "nose_tip"]


def test_chance_is_over_all_rows_whatever_the_map() -> None:
    """12 and 25 each in half of four rows, together in one: what chance gives."""
    rows = coded("12", "25", "12+25", "5")
    for au_map in ("published", "facs"):
        graph = AUGraph.from_annotations(rows, au_map=au_map, weighting="lift")
        assert graph.weights[at("mouth_r", "lip_lower")] == 1
        assert graph.weights[at("mouth_r", "mouth_l")] == 2


def test_kind_and_subjects() -> None:
    rows = [
        *coded("1", subject="s1"),
        *coded("2", subject="s2"),
        *coded("1+2", kind="macro", subject="s2"),
    ]
    assert own(rows, kind="macro").digest == own(coded("1+2")).digest
    without = own(rows, exclude_subjects=["s2"])
    assert without.digest == own(coded("1")).digest
    assert without.source["excluded_subjects"] == ["s2"] and without.source["rows"] == 1
    assert own(rows, exclude_subjects="s2").digest == without.digest  # a name is not its letters


def test_what_a_left_out_subject_did_changes_nothing() -> None:
    rows = coded("1", "1+2") + coded("2", "2", "glare", subject="s9")
    altered = coded("1", "1+2") + coded("1+2", "", "1", subject="s9")
    graphs = [own(r, exclude_subjects=["s9"]) for r in (rows, altered)]
    assert graphs[0].to_dict() == graphs[1].to_dict()


def test_the_source_says_what_was_read() -> None:
    source = own(coded("1", "2+glare", "?", "", "4")).source
    assert {k: source[k] for k in ("rows", "rows_read", "rows_used", "rows_refused", "unread")} == {
        "rows": 5,
        "rows_read": 3,
        "rows_used": 2,
        "rows_refused": 2,
        "unread": {"(empty)": 1, "?": 1, "glare": 1},
    }
    assert source["au_map"] == "own" and source["weighting"] == "counts"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"exclude_subjects": ["s_1"]}, "no subject 's_1' to exclude; .*Did you mean 's1'"),
        ({"kind": "mikro"}, "micro, macro"),
        ({"kind": "macro"}, "none of the 0 expressions"),
        ({"weighting": "count"}, "Did you mean 'counts'"),
        ({"weighting": "binary", "threshold": 0.0}, "threshold"),
        ({"au_map": "fac"}, "Did you mean 'facs'"),
        (
            {"au_map": {12: ["mouth_corner_l"]}},
            "AU12 move 'mouth_corner_l'.* Did you mean 'mouth_l'",
        ),
        ({"au_map": {5: ["mouth_l"]}}, "none of the 1 expressions .* knows AU 5"),
        ({"rois": "36 48"}, "none of the graph's ROIs"),
        ({"au_map": {"12": ["mouth_l"]}}, "whole numbers; found '12'"),
    ],
)
def test_wrong_wishes_are_named(options: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        AUGraph.from_annotations(coded("12"), **options)


def test_a_map_of_ones_own_as_a_value() -> None:
    corners = AUMap("corners", {12: ("mouth_r", "mouth_l")})
    graph = AUGraph.from_annotations(coded("12", "L12"), au_map=corners)
    assert graph.source["au_map"] == "corners"
    assert graph.weights[at("mouth_l", "mouth_l")] == 2
    assert graph.weights[at("mouth_l", "mouth_r")] == 1


# Files


def test_a_saved_graph_is_the_same_when_loaded(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).random((12, 12))
    weights[3] = 0
    weights[0, 0] = 5
    graph = AUGraph(NAMES, weights, "mine", {"made": "here", "rows": 3})
    path = tmp_path / "mine.json"
    graph.save(path)
    again = AUGraph.load(path)
    assert again.digest == graph.digest and again.name == "mine"
    assert again.source == graph.source
    assert AUGraph.load(str(path)).digest == AUGraph.from_dict(graph.to_dict()).digest
    with pytest.raises(UsageError, match="overwrite"):
        graph.save(path)
    graph.save(path, overwrite=True)
    rows = [line for line in path.read_text().splitlines() if line.startswith("  [")]
    assert len(rows) == 12  # people read it: a row a line


def test_a_file_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps({"edges": [["mouth_r", "mouth_l", 0.8], [51, 57, 1]], "rois": "48 54 51 57"})
    )
    graph = AUGraph.load(path)
    expected = AUGraph.from_edges(
        {("mouth_r", "mouth_l"): 0.8, ("lip_upper", "lip_lower"): 1.0}, rois="48 54 51 57"
    )
    assert graph.digest == expected.digest


def test_a_matrix_of_other_people(tmp_path: Path) -> None:
    np.save(tmp_path / "theirs.npy", np.eye(12, dtype=np.float32))
    graph = AUGraph.load(tmp_path / "theirs.npy")
    assert graph.digest == AUGraph.identity().digest and graph.name == "theirs"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "{", "cannot read a graph from .*a.json"),
        ("a.json", "[1]", "must be a table"),
        ("a.json", '{"wieghts": []}', "unknown key 'wieghts'.* Did you mean 'weights'"),
        ("a.json", '{"name": "x"}', "either weights .* or edges"),
        ("a.json", '{"format": "aumer-graph/9", "weights": []}', "aumer-graph/1"),
        ("a.json", '{"weights": [[1, 2]], "rois": ["a", "b"]}', "shape"),
        ("a.json", '{"weights": [[1, 2], [3]], "rois": ["a", "b"]}', "matrix of numbers"),
        ("a.json", '{"edges": [["mouth_r", 1]]}', r"\[from, to, weight\]"),
        ("a.json", '{"edges": [["mouth", "mouth_l", 1]]}', "no ROI of this graph"),
        ("a.json", '{"edges": 3}', "a graph that fits"),
        ("a.json", '{"edges": [], "rois": 7}', "a graph that fits"),
        ("a.json", '{"edges": [], "source": 7}', "source must be a table"),
        ("a.npy", "nothing", "cannot read a graph"),
        ("a.toml", "", "a graph's file is .json or .npy"),
    ],
)
def test_files_that_hold_no_graph_are_told_why(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=says):
        AUGraph.load(tmp_path / name)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'casme-sq-facs'"):
        AUGraph.load("casme-sq-fac")
    with pytest.raises(UsageError, match="cannot read a graph"):
        AUGraph.load(tmp_path / "none.json")
    with pytest.raises(UsageError, match=r"saved as \.json"):
        AUGraph.empty().save(tmp_path / "a.txt")


def test_a_registered_graph_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {k: dict(v) for k, v in registry._parts.items()}
    monkeypatch.setattr(registry, "_parts", parts)
    graph = AUGraph.empty()
    parts["graph"] = {"a": graph, "b": AUGraph.identity, "c": 3}
    assert AUGraph.load("a") is graph and AUGraph.load(graph) is graph
    assert AUGraph.load("b").digest == AUGraph.identity().digest
    with pytest.raises(UsageError, match="not an AUGraph"):
        AUGraph.load("c")


# What ships


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_graphs_load_and_say_where_they_come_from(name: str) -> None:
    graph = AUGraph.load(name)
    assert graph.name == name and graph.rois == NAMES
    np.testing.assert_array_equal(graph.weights, graph.weights.T)
    if "facs" in name:
        assert graph.unconnected() == ()
    else:
        assert {"nose_bridge", "nose_tip"} <= set(graph.unconnected())
    if name != "samm-lv-auwgcn-shipped":
        source = graph.source
        assert source["rows"] >= source["rows_read"] >= source["rows_used"] > 0
        assert source["tables"] and source["command"].startswith("aumer graph build ")


def test_all_data_sets_ship_in_both_maps() -> None:
    expected = {
        f"{s}-{m}-micro" for s in ("casme3", "dfme", "casme2-samm") for m in ("facs", "published")
    }
    expected |= {
        f"{s}-{m}{k}"
        for s in ("casme-sq", "samm-lv")
        for m in ("facs", "published")
        for k in ("", "-micro", "-macro")
    }
    assert set(SHIPPED) == expected | {"samm-lv-auwgcn-shipped"}


def test_micro_and_macro_add_up_to_both() -> None:
    for name in ("casme-sq-facs", "casme-sq-published", "samm-lv-facs", "samm-lv-published"):
        micro, macro = (AUGraph.load(f"{name}-{kind}") for kind in ("micro", "macro"))
        np.testing.assert_array_equal(micro.weights + macro.weights, AUGraph.load(name).weights)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("casme-sq-published", "adjacency_casme_sq_auwgcn.npy"),
        ("samm-lv-auwgcn-shipped", "adjacency_samm_lv_auwgcn.npy"),
    ],
)
def test_the_published_matrices(name: str, file: str, shared_data: Callable[[str], Path]) -> None:
    shipped = np.load(shared_data(f"annotations/{file}"))
    found = AUGraph.load(name).normalized("l1-rows")
    np.testing.assert_allclose(found, shipped, atol=1e-6, rtol=0)


def test_the_published_rule_on_the_published_table(shared_data: Callable[[str], Path]) -> None:
    for table, matrix, off in (
        ("casme_sq_auwgcn.csv", "adjacency_casme_sq_auwgcn.npy", 0.0),
        ("samm_lv_25fps_auwgcn.csv", "adjacency_samm_lv_auwgcn.npy", 0.2546),
    ):
        rows = read_table("auwgcn-csv", shared_data(f"annotations/{table}"))
        graph = AUGraph.from_annotations(rows, au_map="published")
        shipped = np.load(shared_data(f"annotations/{matrix}"))
        assert np.abs(graph.normalized() - shipped).max() == pytest.approx(off, abs=1e-4)


def test_the_shipped_samm_matrix_is_counted_from_its_rows() -> None:
    graph = AUGraph.load("samm-lv-auwgcn-shipped")
    rows = graph.source["rows_by_aus"]
    assert rows == {
        "1": 4, "2": 2, "12": 89, "25": 18, "1+2": 22, "1+12": 4, "2+12": 5,
        "1+25": 7, "2+25": 7, "12+14": 19, "25+26": 24, "12+25": 22,
    }  # fmt: skip
    each = [tuple(map(int, text.split("+"))) for text, count in rows.items() for _ in range(count)]
    np.testing.assert_array_equal(published_counts(each, PUBLISHED, NAMES), graph.weights)


def test_your_own_graph_in_five_lines(tmp_path: Path) -> None:
    """As the README has it."""
    mine = aumer.AUGraph.from_edges(
        {("mouth_r", "mouth_l"): 1.0, ("brow_l_mid", "lip_upper"): 0.3}, name="mine"
    )
    eyes = aumer.AUGraph.from_edges({(36, 45): 1.0, (48, 54): 0.5}, rois="36 45 48 54")
    mine.save(tmp_path / "mine.json")
    assert aumer.AUGraph.load(tmp_path / "mine.json").digest == mine.digest
    assert mine.normalized("symmetric").shape == (12, 12) and eyes.normalized().shape == (4, 4)
    assert mine.to_pyg().num_nodes == 12 and eyes.to_pyg().num_nodes == 4
    assert eyes.rois == ("eye_r_outer", "eye_l_outer", "mouth_r", "mouth_l")
