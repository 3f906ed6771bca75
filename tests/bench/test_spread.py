"""What stands beside a mean over seeds, and beside a difference, describes what was done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.conftest import recognize, small

from aumer.bench.code import machine
from aumer.bench.figure import Figure, Spread
from aumer.bench.result import comparison_notes, comparison_table
from aumer.bench.run import run, stored
from aumer.bench.tasks.spotting_result import SpottingResult, spotting_figure
from aumer.evaluation.interface import ROWS


def figure(*hits: int) -> Figure:
    """Of four subjects alike, with 10 truths and predictions each, and so many hits by seed."""
    counts = [[[h, 10 - h, 10 - h] for h in hits]] * 4
    return spotting_figure(("a", "b", "c", "d"), np.array(counts, np.int64))


def test_the_wider_of_subjects_and_seeds_is_given() -> None:
    alike = figure(5)
    assert alike.by_seed == (0.5,)
    assert alike.spread() == Spread(0.5, 0.5, "subjects")
    # Subjects are alike, and the interval over them has no width; seeds range over .4.
    varied = figure(3, 7)
    assert varied.by_seed == (0.3, 0.7) and varied.value == 0.5
    assert varied.spread() == Spread(0.3, 0.7, "seeds")
    assert str(varied.spread()) == "0.3000 to 0.7000 (seeds)"
    # Subjects that differ by more than seeds do.
    counts = np.array([[[1, 9, 9]] * 2, [[9, 1, 1]] * 2, [[5, 5, 5], [5, 5, 4]]], np.int64)
    found = spotting_figure(("a", "b", "c"), counts).spread()
    assert found is not None and found.over == "subjects" and found.high - found.low > 0.1
    assert replace(alike, subjects=("a",), counts=alike.counts[:1]).spread() is None


def of_seeds(result: SpottingResult, drop: int) -> SpottingResult:
    """The result with a second seed that lost the first predictions of the first."""
    (one,) = result.scored
    kept = one.predictions[drop:]
    report, *_ = _evaluated(result, kept)
    return replace(result, scored=(one, replace(one, seed=1, predictions=kept, report=report)))


def _evaluated(result: SpottingResult, predictions: object) -> tuple[object, ...]:
    from aumer.bench.store import Store
    from aumer.bench.tasks.spotting import Spotting

    truth = Store(result.folder).read_data(Spotting.read)
    (dataset,) = truth.videos
    return Spotting.evaluated(
        result.protocol,
        predictions,  # type: ignore[arg-type]
        truth.truths[dataset],
        truth.videos[dataset],
    )


def test_tables_say_what_lies_between(tmp_path: Path, tables: Path) -> None:
    one = run(small(), {"sim-casme-sq": tables}, "rules", folder=tmp_path / "run")
    assert isinstance(one, SpottingResult)
    assert "(subjects) |" in one.to_markdown() and "(seeds) |" not in one.to_markdown()
    assert "seeds_low" not in one.to_dict()["summary"][0]["overall"]
    two = of_seeds(one, len(one.scored[0].predictions))
    low, high = 0.0, one.f1()
    assert f"| {low:.4f} to {high:.4f} (seeds) |" in two.to_markdown()
    (summary,) = two.to_dict()["summary"]
    assert (summary["overall"]["seeds_low"], summary["overall"]["seeds_high"]) == (low, high)
    # And a difference of two such means is not given an interval that knows nothing of seeds.
    rows = two.compared(one)
    assert rows[-1].row == "overall" and rows[-1].of_seeds
    assert "| seeds vary more: by " in comparison_table(two, one, rows)
    assert not any(row.of_seeds for row in one.compared(one))
    assert rows[-1].to_dict()["range_of_seeds"] == high - low


def test_two_runs_of_one_model_are_told_apart(tmp_path: Path, tables: Path) -> None:
    roots = {"sim-casme-sq": tables}
    for name, changes in (("a", {}), ("b", {"split": "k-fold", "folds": 2})):
        run(small(**changes), roots, "rules", folder=tmp_path / name / "run")
    first, second = (stored(tmp_path / name / "run") for name in "ab")
    rows = first.compared(second)
    assert "| rules (a/run) | rules (b/run) |" in comparison_table(first, second, rows)
    one, other, differ = comparison_notes(first, second)
    assert one.startswith("rules (a/run): ") and "leave one subject out" in one
    assert "2 groups of subjects left out in turn, seeds 0" in other
    assert differ == "settings that differ: protocol.split, protocol.folds"
    same = comparison_notes(first, first)
    assert same[0].startswith("rules (first): ") and same[2] == "settings that differ: none"
    networks = replace(second, run=replace(second.run, model="net"))
    assert "| rules | net |" in comparison_table(first, networks, rows)


def test_a_table_says_where_it_was_made_and_which_rows_may_move(
    tmp_path: Path, tables: Path
) -> None:
    one = run(small(), {"sim-casme-sq": tables}, "rules", folder=tmp_path / "run")
    assert isinstance(one, SpottingResult)
    (report,) = one.reports()
    text = one.to_markdown()
    assert f"- made on {machine()}: the same bit for bit on one machine only" in text
    (told,) = one.may_move()
    assert told in text and one.to_dict()["may_move"] == [told]
    assert told.startswith("sim-casme-sq, seed 0, fixed: ")
    for name, kind in ROWS:
        fewest, most = report.one_frame_off(kind)
        said = f"{name} F1 {fewest.f1:.4f} to {most.f1:.4f}"
        assert (said in told) == (fewest != most)
    # Of a network that is trained everywhere anew no row is safe.
    about = {**one.about, "model": {**one.about["model"], "trained": "on every fold"}}
    trained = replace(one, run=replace(one.run, about=about))
    assert "all rows by more than that" in trained.may_move()[-1]
    # Nothing says where runs of before were made.
    assert "not recorded" in replace(one, run=replace(one.run, machine="")).to_markdown()


def test_clips_that_hang_on_little_are_counted(tmp_path: Path) -> None:
    made = recognize(tmp_path / "run")
    close = "seed 0: {} of 24 clips, whose two most probable classes lie within 0.01"
    assert made.may_move() == (close.format(0),)
    even = tuple(
        replace(f, probabilities=((0.4, 0.395, 0.205), *f.probabilities[1:])) for f in made.folds
    )
    assert replace(made, folds=even).may_move() == (close.format(4),)
