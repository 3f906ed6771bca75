"""Predictions of many clips as one table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from aumer.results import Prediction, predictions_csv, predictions_dataframe
from aumer.tables import intervals
from aumer.types import ActingUnit


def one(clip: str, label: str | None, **probs: float) -> Prediction:
    frames = 1, 2, 3, 0.1, 0.2, 0.3
    if label:
        return Prediction(clip, label, probs, *frames, {}, "mine")
    why = {"outcome": "no expression", "doubt": "nothing moves"}
    return Prediction(clip, None, probs, *frames, {}, "mine", **why)


def test_a_row_for_each_clip_and_a_column_for_each_class() -> None:
    found = [one("a,b.mp4", "x", x=0.75, y=0.25), one("c.mp4", None, y=0.5, z=0.5)]
    text = predictions_csv(found, {"d.mp4": "no face"})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [r["clip"] for r in rows] == ["a,b.mp4", "c.mp4", "d.mp4"]
    assert [r["status"] for r in rows] == ["ok", "ok", "failed"]
    assert [(r["label"], r["probability"]) for r in rows] == [("x", "0.75"), ("", ""), ("", "")]
    assert [(r["p_x"], r["p_y"], r["p_z"]) for r in rows[:2]] == [
        ("0.75", "0.25", ""),
        ("", "0.5", "0.5"),
    ]
    assert [r["outcome"] for r in rows] == ["named", "no expression", ""]
    assert rows[1]["doubt"] == "nothing moves" and rows[2]["reason"] == "no face"
    table = predictions_dataframe(found, {"d.mp4": "no face"})
    assert list(table.columns) == list(rows[0]) and len(table) == 3
    assert table["onset"].tolist()[:2] == [1, 1] and table["p_x"].isna().tolist()[1:] == [True] * 2


def test_action_units_have_columns_and_the_table_is_one_of_labels(tmp_path: Path) -> None:
    """What `aumer classify -o` writes can be corrected, and then `aumer train` reads it."""
    units = ActingUnit(6, 0.75, True), ActingUnit(12, 0.9, True, "left"), ActingUnit(4, 0.1, False)
    found = [
        replace(one("a.mp4", "x", x=1.0), aus=units),
        replace(one("b.mp4", "x", x=1.0), aus=()),
    ]
    text = predictions_csv([*found, one("c.mp4", None, x=1.0)], {"d.mp4": "no face"})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["aus"] for row in rows] == ["6+L12", "", "", ""]
    assert json.loads(rows[0]["au_probs"]) == {"6": 0.75, "12": 0.9, "4": 0.1}
    assert [row["au_probs"] for row in rows[1:]] == ["{}", "", ""]
    assert rows[3]["reason"] == "no face"
    assert predictions_dataframe(found)["aus"].tolist() == ["6+L12", ""]
    path = tmp_path / "all.csv"
    path.write_text(text)
    table = intervals.read(path, optional=("onset", "offset"), unnamed_kind="micro")
    assert table.notes == ("no column kind: every row is taken as a micro-expression",)
    read = [(r.video, r.label, r.aus, r.onset, r.apex, r.offset) for r in table]
    assert read[0] == ("a.mp4", "x", "6+L12", 1, 2, 3)
    assert read[3] == ("d.mp4", "", "", None, None, None)
