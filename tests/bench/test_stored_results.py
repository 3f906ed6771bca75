"""The predictions that are kept with the benchmarks give the figures that stand beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aumer.bench.result import RESULT
from aumer.bench.runner import stored

NETWORKS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "networks"
RUNS = sorted(path.parent for path in NETWORKS.glob("*/*/" + RESULT))


def test_there_are_runs() -> None:
    assert len(RUNS) >= 2


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_scored_again_they_give_the_stored_figures(folder: Path) -> None:
    kept = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    again = stored(folder)
    assert again.to_dict()["scores"] == kept["scores"]
    assert again.to_dict()["summary"] == kept["summary"]
    scored = {s.seed for s in again.scored}
    assert scored == {int(p.name.removeprefix("seed-")) for p in folder.glob("seed-*")}


@pytest.mark.parametrize("folder", RUNS[:1], ids=lambda p: p.name)
def test_the_table_is_of_these_runs(folder: Path) -> None:
    """The overall F1 of the first row stands in the table."""
    table = (NETWORKS.parent / f"networks-{folder.parent.name.partition('-')[0]}.txt").read_text(
        encoding="utf-8"
    )
    assert f"{stored(folder).f1():.3f}" in table
