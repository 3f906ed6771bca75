"""Predictions of many clips as one table."""

from __future__ import annotations

import csv
import io

from aumer.results import Prediction, predictions_csv, predictions_dataframe


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
