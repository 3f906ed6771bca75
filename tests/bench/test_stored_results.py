"""The predictions that are kept with the benchmarks give the figures that stand beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aumer.bench.run import stored
from aumer.bench.store import RESULT

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


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_the_table_is_of_these_runs(folder: Path) -> None:
    """A row's overall F1 and number of seeds stand in its line of the table."""
    table, _, data_set = folder.parent.name.partition("-")
    text = (NETWORKS.parent / f"networks-{table}.txt").read_text(encoding="utf-8")
    result = stored(folder)
    for tested in result.protocol.datasets:
        assert data_set in (tested, result.protocol.name)
        section = text.split(f"\n{tested}:")[1].split("\n\n")[0]
        (line,) = [row for row in section.splitlines() if row.split()[:1] == [folder.name]]
        assert line.split()[1] == str(len(result.reports(tested)))
        assert line.split()[4] == f"{result.f1(dataset=tested):.3f}"
