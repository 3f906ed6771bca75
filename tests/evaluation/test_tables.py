"""Files of rows: what is read, and what is refused, with file, line and column."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aumer.errors import UsageError
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video
from aumer.evaluation.spotting import evaluate
from aumer.evaluation.tables import (
    as_dicts,
    read_predictions,
    read_truths,
    read_videos,
    write_csv,
)
from aumer.results.writers import COLUMNS
from aumer.types import Counts, Expression

HEADER = "subject,video,kind,onset,offset,apex,score,label\n"


def file(folder: Path, text: str, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_our_layout(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "s1,v1,micro,3,9,5,.75,positive\n\ns1,v1,MaE,-4,9,,,\n")
    assert read_predictions(path) == [
        PredictedInterval("s1", "v1", "micro", 3, 9, 5, 0.75, "positive", 2),
        PredictedInterval("s1", "v1", "macro", -4, 9, None, 1.0, "", 4),
    ]
    truth = file(tmp_path, "kind,offset,onset,video,subject\nmacro,,7,v,s\n", "truth.csv")
    assert read_truths(truth) == [Truth("s", "v", "macro", 7, None, row=2)]


def test_what_the_spot_command_writes(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "video,kind,onset,apex,offset,onset_s,apex_s,offset_s,duration_s,score,label\n"
        "a.mp4,macro,10,20,30,0.3,0.6,1.0,0.7,0.9,\n",
    )
    now = file(
        tmp_path,
        ",".join(COLUMNS) + "\na.mp4,macro,10,20,30" + "," * (len(COLUMNS) - 5) + "\n",
        "now.csv",
    )
    assert len(read_predictions(now)) == 1
    assert read_predictions(path) == [
        PredictedInterval("a.mp4", "a.mp4", "macro", 10, 30, 20, 0.9, "", 2)
    ]
    e = Expression("macro", 10, 20, 30, 0.3, 0.6, 1.0, 0.9, "happy", {"happy": 0.7})
    for expression in (e, dataclasses.replace(e, probs=None)):
        document = {"video": {"name": "a.mp4"}, "expressions": [vars(expression)]}
        path = file(tmp_path, json.dumps(document), "a.json")
        assert read_predictions(path) == [
            PredictedInterval("a.mp4", "a.mp4", "macro", 10, 30, 20, 0.9, "happy", 1)
        ]
        # One run may be held against another.
        assert read_truths(path) == [Truth("a.mp4", "a.mp4", "macro", 10, 30, 20, "happy", 1)]


def test_megc_submissions(tmp_path: Path) -> None:
    path = file(tmp_path, "vid,pred_onset,pred_offset,type\nsamm_1,10,20,me\nb,1,5,mae\n")
    assert read_predictions(path) == [
        PredictedInterval("samm", "samm_1", "micro", 10, 20, row=2),
        PredictedInterval("b", "b", "macro", 1, 5, row=3),
    ]
    assert read_predictions(path, first_frame=1)[1] == PredictedInterval(
        "b", "b", "macro", 0, 4, row=3
    )


def test_the_first_frame_may_be_called_one(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "s,v,macro,1,10,5,,\n")
    assert read_truths(path, first_frame=1) == [Truth("s", "v", "macro", 0, 9, 4, row=2)]
    # Off by one on one side alone, 1 of 2 frames is no hit at a stricter IoU.
    predictions = read_predictions(path)
    strict = SpottingSettings(iou=0.9)
    assert evaluate(predictions, read_truths(path), None, strict).counts() == Counts(tp=1)
    shifted = read_truths(path, first_frame=1)
    assert evaluate(predictions, shifted, None, strict).counts() == Counts(fp=1, fn=1)
    with pytest.raises(UsageError, match="from 0 or from 1"):
        read_truths(path, first_frame=2)


def test_tables_of_intervals(shared_data: Callable[[str], Path]) -> None:
    truths = read_truths(shared_data("annotations/casme_sq_auwgcn.csv"))
    assert len(truths) == 357
    assert sum(t.offset is None for t in truths) == 44
    assert {t.kind for t in truths if t.offset is None} == {"macro"}
    assert sum(t.kind == "micro" for t in truths) == 57
    assert truths[0] == Truth("casme_015", "casme_015_0401", "macro", 557, 608, 572, row=2)
    assert len(read_truths(shared_data("annotations/samm_lv_25fps_auwgcn.csv"))) == 502


def test_a_table_with_a_broken_line_is_refused(shared_data: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match=r"cross_auwgcn.csv, line 861: 6 cells .* 7"):
        read_truths(shared_data("annotations/cross_auwgcn.csv"))


def test_whose_a_video_is(tmp_path: Path) -> None:
    path = file(tmp_path, "video,kind,onset,offset\ns15/15_0401,macro,1,9\n006_1,macro,1,9\n")
    assert [t.subject for t in read_truths(path)] == ["s15", "006"]
    videos = [Video("ann", "006_1"), Video("bob", "s15/15_0401")]
    assert [p.subject for p in read_predictions(path, videos=videos)] == ["bob", "ann"]
    with pytest.raises(UsageError, match=r"line 3: subjects ann, eve each have a video '006_1'"):
        read_predictions(path, videos=[*videos, Video("eve", "006_1")])


def test_lists_of_videos(tmp_path: Path) -> None:
    path = file(tmp_path, "video,fps\ns1_a,30\nx,200\n")
    truths = [Truth("eve", "x", "macro", 0, 9)]
    assert read_videos(path, subjects=truths) == [
        Video("s1", "s1_a", 30.0),
        Video("eve", "x", 200.0),
    ]
    assert read_videos(file(tmp_path, "video,subject\nx,s\n")) == [Video("s", "x")]
    with pytest.raises(UsageError, match=r"line 3: video 'x' is listed twice"):
        read_videos(file(tmp_path, "video\nx\nx\n"))
    with pytest.raises(UsageError, match=r"line 2, column fps: must be a number above 0"):
        read_videos(file(tmp_path, "video,fps\nx,0\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rows.csv is empty"),
        ("video,kind,onset\nv,macro,1\n", r"line 1: no column 'offset' \(or end, .*video, kind"),
        ("vid,pred_onset,pred_offset\nv,1,2\n", r"no column 'kind' \(or type"),
        ("video,kind,start_time,end_time\n", "'start_time' does not say whether it counts frames"),
        ("video,file,kind,onset,offset\n", "columns 'video' and 'file' mean the same"),
        ("video,kind,onset,offset,video\n", "column 'video' is there twice"),
        ("video,kind,onset,offset\nv,macro,1\n", "line 2: 3 cells where the header has 4"),
        (
            "video,kind,onset,offset\nv,macro,1.5,9\n",
            "line 2, column onset: .*whole.*'1.5'.*onset_s",
        ),
        ("video,kind,onset,offset\nv,macro,1,\n", "line 2, column offset: the cell is empty"),
        (
            "video,kind,onset,offset\nv,macro,9,1\n",
            "line 2, column offset: offset 1 lies before onset 9",
        ),
        ("video,kind,onset,offset\nv,3,1,9\n", r"line 2, column kind: .*micro \(me, .*'3'"),
        ("video,kind,onset,offset\nv,mirco,1,9\n", "found 'mirco'. Did you mean 'micro'"),
        ("video,type,type_idx,onset,offset\nv,me,1,1,9\n", "says '1', macro, where .* is 'me'"),
        ("video,kind,onset,offset\n,macro,1,9\n", "line 2, column video: needs a name"),
        ("video,kind,onset,offset,score\nv,macro,1,9,inf\n", "column score: .*finite.*'inf'"),
        ('video,kind,onset_s,offset_s\nv,macro,"0,5",1\n', "Write a decimal point, or separate"),
        ("video,kind,onset_s,offset_s\nv,macro,0.5,1\n", "onset_s: seconds need .*frame rate"),
        ("video,kind,onset,offset,score\nv,macro,1,9,high\n", "column score: .*'high'"),
        ('video,kind,onset,offset\n"v"x,macro,1,9\n', "line 2: not CSV"),
    ],
)
def test_what_is_no_table_of_predictions(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_predictions(file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"rows.json, line 1, column 2: not JSON"),
        ("[3]", "a list 'rows' of objects"),
        ('{"rows": [1]}', "a list 'rows' of objects"),
        ('{"rows": [{"video": "v", "kind": "macro", "onset": 1}]}', "no column 'offset'"),
        ('{"rows": [{"video":"v","kind":"macro","onset":1.5,"offset":2}]}', "row 1, column onset"),
    ],
)
def test_what_is_no_json_of_predictions(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_predictions(file(tmp_path, text, "rows.json"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.csv"):
        read_truths(tmp_path / "nowhere.csv")
    (tmp_path / "binary.csv").write_bytes(b"video\xff\xfe")
    with pytest.raises(UsageError, match="is not a CSV file in UTF-8"):
        read_truths(tmp_path / "binary.csv")


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@given(
    st.lists(
        st.builds(
            lambda s, v, k, on, n, a, q, w: PredictedInterval(s, v, k, on, on + n, a, q, w),
            names, names, st.sampled_from(["micro", "macro"]), st.integers(-50, 999),
            st.integers(0, 99), st.none() | st.integers(0, 99), st.floats(0, 1),
            names.filter(lambda label: label.casefold() != "nan") | st.just(""),  # it means none
        )
    )
)  # fmt: skip
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_read_back_as_they_were_written(tmp_path: Path, rows: list[PredictedInterval]) -> None:
    path = tmp_path / "written.csv"
    write_csv(path, rows, overwrite=True)
    assert [dataclasses.replace(r, row=0) for r in read_predictions(path)] == rows
    text = json.dumps({"settings": {"seed": 1}, "rows": as_dicts(rows)})
    again = read_predictions(file(tmp_path, text, "written.json"))
    assert [dataclasses.replace(r, row=0) for r in again] == rows


def test_truths_read_back_and_files_are_not_replaced(tmp_path: Path) -> None:
    rows = [Truth("s", "v", "micro", 1, None, 4, "fear", 2), Truth("s", "v", "macro", 1, 9, row=3)]
    write_csv(tmp_path / "t.csv", rows)
    text = (tmp_path / "t.csv").read_text()
    assert text == HEADER + "s,v,micro,1,,4,,fear\ns,v,macro,1,9,,,\n"
    assert read_truths(tmp_path / "t.csv") == rows
    text = json.dumps({"rows": as_dicts(rows)})
    again = read_truths(file(tmp_path, text, "t.json"))
    assert [(t.onset, t.offset, t.label) for t in again] == [(1, None, "fear"), (1, 9, "")]
    with pytest.raises(UsageError, match="exists already"):
        write_csv(tmp_path / "t.csv", [])
