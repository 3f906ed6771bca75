"""`aumer graph`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aumer._data import data_dir
from aumer.errors import EXIT_USAGE
from aumer.graph import SHIPPED, AUGraph

TABLE = """\
subject,video_name,start_frame,apex_frame,end_frame,type_idx,au
casme_015,casme_015_0101,10,20,30,1,4+7
casme_015,casme_015_0101,40,50,60,2,12
casme_016,casme_016_0101,10,20,30,1,L12+glare
casme_016,casme_016_0101,40,50,60,2,?
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def test_list_names_what_ships(run: Any) -> None:
    ran = run("graph list")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == sorted(SHIPPED)
    assert AUGraph.load("dfme-facs-micro").digest[:12] in ran.out


def test_build_counts_and_says_how(run: Any, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    ran = run(f"graph build --dataset auwgcn-csv --table {table} -o {out}")
    assert (ran.code, ran.out) == (0, f"{out}\n")
    assert "row 4 (casme_016/casme_016_0101): no code: 'glare' in 'L12+glare'" in ran.err
    assert "row 5 (casme_016/casme_016_0101): no code: '?' in '?'" in ran.err
    graph = AUGraph.load(out)
    assert graph.name == "mine"
    assert graph.source["rows"] == 4 and graph.source["rows_read"] == 3
    assert graph.source["tables"][0]["file"] == "table.csv"
    mouth = [graph.rois.index(roi) for roi in ("mouth_r", "mouth_l")]
    np.testing.assert_array_equal(graph.weights[np.ix_(mouth, mouth)], [[1, 1], [1, 2]])


def test_build_prints_where_there_is_no_file(run: Any, table: Path) -> None:
    options = "--kind macro --weighting binary --threshold 0.5 --exclude-subject casme_016"
    ran = run(f"graph build -q --dataset auwgcn-csv --table {table} {options}")
    assert ran.code == 0
    graph = AUGraph.from_dict(json.loads(ran.out))
    assert graph.source["rows"] == 1 and graph.source["excluded_subjects"] == ["casme_016"]
    assert set(np.unique(graph.weights)) == {0, 1}
    assert options in graph.source["command"].replace("--map facs ", "")


def test_the_earlier_name_of_dataset_is_taken_with_a_word(run: Any, table: Path) -> None:
    ran = run(f"graph build --set auwgcn-csv --table {table}")
    assert ran.code == 0 and "--set is called --dataset now" in ran.err
    now = run(f"graph build --dataset auwgcn-csv --table {table}")
    assert now.out == ran.out and "--set" not in now.err


def test_several_tables_are_counted_together(run: Any, table: Path, tmp_path: Path) -> None:
    once = f"--dataset auwgcn-csv --table {table}"
    sums = []
    for number, words in enumerate((once, f"{once} {once}")):
        out = tmp_path / f"{number}.json"
        assert run(f"graph build -q {words} -o {out}").code == 0
        sums.append(AUGraph.load(out).weights)
    np.testing.assert_array_equal(2 * sums[0], sums[1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "--table"),
        ("--dataset casme-sq", "--table"),
        ("--table {table}", "each --table needs a --dataset"),
        ("--dataset auwgcn-csv --dataset samm --table {table}", "found 1 tables and 2 data sets"),
        ("--dataset casme --table {table}", "casme"),
        ("--dataset auwgcn-csv --table none.csv", "none.csv"),
        (
            "--dataset auwgcn-csv --table {table} --exclude-subject casme_15",
            "Did you mean 'casme_015'",
        ),
        ("--dataset auwgcn-csv --table {table} --map fac", "Did you mean 'facs'"),
        ("--dataset auwgcn-csv --table {table} --weighting lifts", "Did you mean 'lift'"),
        ("--dataset auwgcn-csv --table {table} -o mine.txt", "saved as .json"),
        ("--dataset auwgcn-csv --table {table} -o no/such/mine.json", "does not exist"),
    ],
)
def test_build_says_what_is_wrong(run: Any, table: Path, words: str, says: str) -> None:
    ran = run("graph build " + words.format(table=table))
    assert (ran.code, ran.out) == (EXIT_USAGE, "")
    assert says in ran.err


def test_show_prints_origin_and_strongest_edges(run: Any) -> None:
    ran = run("graph show casme-sq-facs")
    assert (ran.code, ran.err) == (0, "")
    graph = AUGraph.load("casme-sq-facs")
    assert graph.digest in ran.out and graph.source["command"] in ran.out
    edges = [line for line in ran.out.splitlines() if " -- " in line]
    weights = [float(line.split()[-1]) for line in edges]
    assert weights == sorted(weights, reverse=True) and weights[0] == graph.weights.max()
    assert "weaker; --all prints them" in ran.out
    every = run("graph show casme-sq-facs --all").out
    shown = [line for line in every.splitlines() if " -- " in line]
    assert len(shown) == np.count_nonzero(np.triu(graph.weights))
    assert " -> " in run("graph show casme-sq-facs --normalization l1-rows").out


def test_show_draws(run: Any, tmp_path: Path) -> None:
    picture = tmp_path / "face.png"
    ran = run(f"graph show samm-lv-facs-micro -o {picture}")
    assert (ran.code, ran.out) == (0, f"{picture}\n")
    assert cv2.imread(str(picture)) is not None
    assert run(f"graph show samm-lv-facs-micro -o {picture}").code == EXIT_USAGE
    assert run(f"graph show samm-lv-facs-micro -o {picture} --overwrite").code == 0


def test_check_tells_what_is_odd(run: Any, tmp_path: Path) -> None:
    good = run("graph check casme-sq-facs")
    assert good.code == 0 and "66 undirected edges" in good.out and "note:" not in good.out
    published = run("graph check casme-sq-published")
    assert published.code == 0
    assert "no edge joins nose_bridge, nose_tip" in published.out
    assert "does not see their motion" in published.out
    path = tmp_path / "mine.json"
    AUGraph.from_edges({(36, 48): 1.0}, rois="36 48", directed=True).save(path)
    other = run(f"graph check {path}").out
    assert "1 directed edges" in other and 'motion.rois = "eye_r_outer mouth_r"' in other
    path.write_text('{"edges": [["a", "b", 1]], "rois": ["a", "b"]}')
    assert "a, b are no landmarks' names" in run(f"graph check {path}").out


def test_check_refuses_what_is_no_graph(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"edges": [["mouth_corner_l", "mouth_r", 1]]}')
    ran = run(f"graph check {path}")
    assert (ran.code, ran.out) == (EXIT_USAGE, "")
    assert "Did you mean 'mouth_l'?" in ran.err and str(path) in ran.err
    assert "Did you mean 'casme-sq-facs'" in run("graph check casme-sq-fac").err


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"samm-lv-auwgcn-shipped"}))
def test_a_shipped_file_is_what_its_command_makes(
    name: str, run: Any, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    words = shlex.split(AUGraph.load(name).source["command"])[1:]
    files = {t["file"] for t in AUGraph.load(name).source["tables"]}
    words = [str(shared_data(f"annotations/{w}")) if w in files else w for w in words]
    assert words[-2:] == ["-o", f"{name}.json"]
    out = tmp_path / f"{name}.json"
    assert run(shlex.join([*words[:-1], str(out), "-q"])).code == 0
    assert out.read_bytes() == (data_dir("au_priors") / f"{name}.json").read_bytes()
