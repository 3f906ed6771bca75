"""The shipped aggregates are what the tables hold, and a coder's string is read as it is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aumer._data import data_dir
from aumer.errors import UsageError
from aumer.simulate import statistics
from aumer.simulate.statistics import actions_of, load


def test_counting_again_gives_the_shipped_file(shared_data: Callable[[str], Path]) -> None:
    counted = statistics.text(statistics.compute(shared_data("annotations")))
    assert counted == (data_dir("configs") / statistics.FILE).read_text(encoding="utf-8")


def test_the_figures_of_the_literature() -> None:
    """Median duration, rise and fall of §1 of the field's notes, and the numbers of expressions."""
    middle = statistics.QUANTILES // 2
    for name, kind, rows, *medians in (
        ("casme_sq", "macro", 300, 1.17, 0.40, 0.67),
        ("casme_sq", "micro", 57, 0.47, 0.17, 0.23),
        ("samm_lv", "macro", 343, 1.16, 0.48, 0.60),
        ("samm_lv", "micro", 159, 0.44, 0.16, 0.20),
    ):
        k = load(name).kinds["micro" if kind == "micro" else "macro"]
        assert k.rows == rows
        found = [q[middle] for q in (k.duration_s, k.rise_s, k.fall_s)]
        # Rows with a missing offset are refused here, and the notes fill them.
        assert found == pytest.approx(medians, abs=0.07), (name, kind)


def test_micro_expressions_hide_in_macro_expressions_in_samm() -> None:
    assert load("samm_lv").nested > 0.2 > load("casme_sq").nested


@pytest.mark.parametrize(
    ("code", "actions"),
    [
        ("4+7", [(4, "both"), (7, "both")]),
        ("L12B+25", [(12, "left"), (25, "both")]),
        ("R14", [(14, "right")]),
        ("4(B/C)+7B", [(4, "both"), (7, "both")]),
        ("A12C", [(12, "both")]),  # asymmetric, but both sides
        ("T18+B17", [(17, "both"), (18, "both")]),
        ("7B+ref(10)+24B", [(7, "both"), (24, "both")]),
        ("12A or 14A", [(12, "both")]),
        ("(R6 or R12)+R15", [(6, "right"), (15, "right")]),
        ("12+6", [(6, "both"), (12, "both")]),
        ("54+62", []),
        ("(loses 1+2) or (4(B/C))", []),
        ("Chewing", []),
        ("", []),
    ],
)
def test_coders_strings(code: str, actions: list[tuple[int, str]]) -> None:
    assert actions_of(code) == tuple(actions)


def test_an_unknown_set_and_a_missing_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'samm_lv'"):
        load("sammlv")
    with pytest.raises(UsageError, match=r"casme_sq_auwgcn\.csv"):
        statistics.compute(tmp_path)
    with pytest.raises(UsageError, match="FOLDER"):
        statistics.main([])
