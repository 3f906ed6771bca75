"""What is kept of the benchmarks' runs gives the figures that stand beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.bench.figure import Figure
from aumer.bench.run import stored
from aumer.bench.store import RESULT
from aumer.bench.tasks.spotting import predictions_of
from aumer.bench.tasks.spotting_result import SpottingResult, spotting_figure
from aumer.config import digest
from aumer.evaluation.tables import as_dicts

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
#: Two of the runs that the tables are of, whole: in folders TABLE-PROTOCOL/ROW.
RUNS = sorted(path.parent for path in (Path(__file__).parent / "runs").glob("*/*/" + RESULT))
#: What is kept of every run: by table, protocol and row.
ROWS: dict[tuple[str, str, str], dict[str, Any]] = {
    (path.stem.removeprefix("networks-"), *key.split("/")): row  # type: ignore[misc]
    for path in sorted(RESULTS.glob("networks-*.json"))
    for key, row in json.loads(path.read_text(encoding="utf-8")).items()
}


def opened(folder: Path) -> SpottingResult:
    found = stored(folder)
    assert isinstance(found, SpottingResult)
    return found


def test_there_are_runs() -> None:
    assert len(RUNS) == 2 and len(ROWS) >= 49  # rows of "rivals" that are not run yet come on top


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_scored_again_they_give_the_stored_figures(folder: Path) -> None:
    kept = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    again = opened(folder)
    assert again.to_dict()["scores"] == kept["scores"]
    assert again.to_dict()["summary"] == kept["summary"]
    scored = {s.seed for s in again.scored}
    assert scored == {int(p.name.removeprefix("seed-")) for p in folder.glob("seed-*")}


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_they_are_the_runs_of_the_tables(folder: Path) -> None:
    """By their settings, their predictions and every subject's counts."""
    table, _, protocol = folder.parent.name.partition("-")
    row, result = ROWS[table, protocol, folder.name], opened(folder)
    predictions = [[f["seed"], f["fold"], as_dicts(predictions_of(f))] for f in result.folds]
    assert row["settings_digest"] == digest(result.about)
    assert row["predictions_digest"] == digest(predictions)
    assert row["seeds"] == list(result.protocol.seeds)
    for tested, counts in row["counts"].items():
        assert counts["subjects"] == list(result.figure(None, tested).subjects)
        for kind in ("macro", "micro"):
            assert counts[kind] == result.figure(kind, tested).counts.tolist()
        assert (figure(row, tested).counts == result.figure(None, tested).counts).all()


def figure(row: dict[str, Any], tested: str) -> Figure:
    """Overall F1."""
    counts = row["counts"][tested]
    both = np.array(counts["macro"], np.int64) + np.array(counts["micro"], np.int64)
    return spotting_figure(counts["subjects"], both)


@pytest.mark.parametrize("key", ROWS, ids="-".join)
def test_the_table_is_of_these_counts(key: tuple[str, str, str]) -> None:
    """A row's overall F1, its interval and its number of seeds stand in its line of the table."""
    table, _, name = key
    text = (RESULTS / f"networks-{table}.txt").read_text(encoding="utf-8")
    for tested in ROWS[key]["counts"]:
        section = text.split(f"\n{tested}:")[1].split("\n\n")[0]
        (line,) = [row for row in section.splitlines() if row.split()[:1] == [name]]
        found = figure(ROWS[key], tested)
        assert line.split()[1] == str(found.seeds) == str(len(ROWS[key]["seeds"]))
        assert line.split()[4] == f"{found.value:.3f}"
        estimate = found.bootstrap()
        assert f"[{estimate.low:.3f}, {estimate.high:.3f}]" in line


def test_results_stay_small() -> None:
    """Below 1 MB in git: a table a study, its counts, its pictures; whole runs elsewhere."""
    assert sum(p.stat().st_size for p in RESULTS.iterdir() if p.is_file()) < 1_000_000
