"""The table of inputs in Python: a row for each, whatever became of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from aumer.errors import NoFaceError, NoMotionError, VideoError
from aumer.results import InputRow, SpotResult, inputs_csv, inputs_dataframe
from aumer.results.inputs import COLUMNS


def test_a_row_for_every_outcome(result: SpotResult) -> None:
    empty = replace(result, expressions=())
    outcomes = [result, empty, NoFaceError("no\n face"), NoMotionError(), VideoError("x"), None]
    rows = [InputRow.of(f"in/{k}.mp4", outcome) for k, outcome in enumerate(outcomes)]
    table = inputs_dataframe(rows)
    assert dict(table.dtypes.astype(str)) == COLUMNS
    assert list(table["status"]) == ["ok", "ok", "no face", "no motion", "failed", "not analyzed"]
    assert list(table["reason"]) == ["", "", "no face", "NoMotionError", "x", ""]
    assert list(table["micro"][:2]) == [len(result.micro), 0]
    assert table["micro"][2:].isna().all() and table["coverage"][2:].isna().all()
    read = list(csv.DictReader(io.StringIO(inputs_csv(rows))))
    assert [row["input"] for row in read] == [f"in/{k}.mp4" for k in range(6)]
    assert [row["video"] for row in read[:1]] == [result.video.name]
    assert read[2]["coverage"] == "" and float(read[0]["coverage"]) == result.coverage


def test_frames_that_were_analyzed(result: SpotResult) -> None:
    """A result that was saved knows them, and one of an earlier aumer nearly."""
    counted = replace(result, frames=1234)
    for one in (counted, SpotResult.from_json(counted.to_json())):
        assert InputRow.of("x", one).frames == 1234
    old = json.loads(result.to_json())
    del old["frames"]
    frames = result.scores.frames
    expected = int(frames[-1] - frames[0]) + 1
    assert InputRow.of("x", SpotResult.from_dict(old)).frames == expected


def test_no_row_at_all() -> None:
    assert dict(inputs_dataframe([]).dtypes.astype(str)) == COLUMNS
    assert inputs_csv([]) == ",".join(COLUMNS) + "\n"
