"""The one reader of interval tables: names, values, what is missing, and all faults at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook

from aumer.errors import UsageError
from aumer.tables import intervals, lines
from aumer.tables.cells import plain
from aumer.tables.intervals import COLUMNS, IntervalRow, named_like, read

HEADER = "video,kind,onset,apex,offset\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


def said(path: Path, **options: object) -> str:
    with pytest.raises(UsageError) as raised:
        read(path, **options)  # type: ignore[arg-type]
    return str(raised.value)


def test_no_name_means_two_things() -> None:
    names = [plain(name) for known in COLUMNS.values() for name in known]
    assert len(set(names)) == len(names)
    assert not set(names) & {plain(name) for name in lines.OURS}


@pytest.mark.parametrize(
    "header",
    [
        "video,kind,onset,apex,offset", "Vid,Type,START,Apex,End",
        "filename,expression_type,Onset Frame,ApexFrame,offset_frame",
        "clip,KIND,pred_onset,apex,pred_offset",
        "video_name,type_idx,start_frame,apex_frame,end_frame",
    ],
)  # fmt: skip
def test_columns_by_any_name(tmp_path: Path, header: str) -> None:
    kind = "2" if "type_idx" in header else "micro"
    (row,) = read(table(tmp_path, f"{header}\na.mp4,{kind},1,2,3\n"))
    assert row == IntervalRow(2, "a.mp4", "", "micro", 1, 2, 3)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("micro", "micro"), ("Micro-Expression", "micro"), ("micro_expression", "micro"),
        ("ME", "micro"), ("2", "micro"), ("2.0", "micro"), ("MaE", "macro"), ("macro", "macro"),
        ("Macro expression", "macro"), ("1", "macro"), ("none", "none"), ("ignore", "ignore"),
    ],
)  # fmt: skip
def test_kinds(tmp_path: Path, word: str, kind: str) -> None:
    (row,) = read(table(tmp_path, f"{HEADER}a,{word},1,2,3\n"))
    assert row.kind == kind
    assert row.expression == (kind if kind in ("micro", "macro") else None)


def test_numbers_as_pandas_writes_them(tmp_path: Path) -> None:
    text = ",video,kind,onset,apex,offset,score\n0,a,micro,10.0,nan,20.0,nan\n1,a,me,1e1,NA,12,.5\n"
    found = read(table(tmp_path, text))
    assert [(r.onset, r.apex, r.offset, r.score) for r in found] == [
        (10, None, 20, None),
        (10, None, 12, 0.5),
    ]
    assert found.notes == ("1 column is left aside: one without a name",)


def test_what_is_left_aside_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(tmp_path, "video,kind,onset,offset,rater,scores,peak\na,micro,1,2,x,y,z\n")
    found = read(path)
    assert found.notes == (
        "2 columns are left aside: 'rater', 'scores'. Is one of them meant as 'score'?",
    )
    with caplog.at_level(logging.WARNING, "aumer"):
        found.log_notes()
    assert [r.getMessage() for r in caplog.records] == [f"{path}: {found.notes[0]}"]
    assert read(table(tmp_path, HEADER + "a,ignore,,,\na,me,1,2,3\n")).notes == (
        "1 row of kind 'ignore' left aside",
    )


def test_seconds_are_no_frames(tmp_path: Path) -> None:
    path = table(tmp_path, "file;kind;onset_s;apex_s;offset_s;fps\na;macro;0,467;;2,333;30\n")
    (row,) = found = read(path)
    assert (row.onset, row.onset_s, row.apex_s, row.offset_s) == (None, 0.467, None, 2.333)
    assert row.in_seconds and found.in_frames(row) == (14, None, 70)
    path = table(tmp_path, "file,kind,onset_s,offset_s\na,macro,.5,1\n")
    (row,) = found = read(path)
    assert found.in_frames(row, fps=10, first=1) == (5, None, 10)
    with pytest.raises(UsageError, match=r"t\.csv, line 2, column onset_s: seconds need .* `fps`"):
        found.in_frames(row)
    # Frames are the better word where both are given; the first one's name is the table's.
    path = table(tmp_path, "file,kind,onset,offset,onset_s,offset_s\na,macro,1,9,.5,1\n")
    (row,) = found = read(path)
    assert found.in_frames(row, first=1) == (0, None, 8)
    assert "'start_time' does not say" in said(table(tmp_path, "file,kind,start_time,end_time\n"))


def test_a_zero_is_missing_in_one_layout_alone(tmp_path: Path) -> None:
    published = "video_name,start_frame,apex_frame,end_frame,type_idx\nv,5,7,0,1\n"
    (row,) = read(table(tmp_path, published), optional=("offset",))
    assert row.offset is None
    text = said(table(tmp_path, HEADER + "v,macro,5,7,0\n"), optional=("offset",))
    assert "column offset: offset 0 lies before onset 5" in text


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    rows = [
        "a,micro,69.5,,80",
        "a,mirco,1,,2",
        ",macro,1,,2",
        "a,macro,9,,2",
        "a,macro,,,2",
        "a,me",
    ]
    text = said(table(tmp_path, HEADER + "\n".join(rows) + "\n"))
    lines = text.split("\n")
    assert len(lines) == len(rows)
    for number, (line, part) in enumerate(
        zip(
            lines,
            [
                "column onset: a frame is a whole number; found '69.5'. Round it, or, if it is a "
                "time in seconds, call the column onset_s instead of onset",
                "column kind: must be micro (me, micro-expression), macro (mae, macro-expression), "
                "none or ignore; found 'mirco'. Did you mean 'micro'?",
                "column video: needs a name; the cell is empty",
                "column offset: offset 2 lies before onset 9",
                "column onset: the cell is empty; it must hold a number",
                "2 cells where the header has 5",
            ],
            strict=True,
        ),
        start=2,
    ):
        assert f"t.csv, line {number}" in line and part in line
    many = said(table(tmp_path, HEADER + "a,x,1,1,2\n" * 30))
    assert many.count("\n") == intervals._TOLD and many.endswith("... and 20 more")


def test_columns_are_the_table_s_own_in_messages(tmp_path: Path) -> None:
    assert "column Start: a frame is" in said(table(tmp_path, "Vid,Type,Start,End\na,me,1.5,2\n"))


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("video,file,kind,onset,offset", "columns 'video' and 'file' mean the same"),
        ("video,kind,onset,onset,offset", "column 'onset' is there twice"),
        ("kind,onset,offset", "no column 'video' (or vid, file,"),
        ("video,onset,offset", "no column 'kind' (or type,"),
        ("video,kind,onset,offset_s", "no column 'offset' (or end,"),
        ("1,2,3", "found 1, 2, 3"),
    ],
)
def test_headers_that_will_not_do(tmp_path: Path, header: str, part: str) -> None:
    text = said(table(tmp_path, f"{header}\n"))
    assert part in text and "t.csv, line 1: " in text
    with pytest.raises(UsageError):
        intervals.check_columns(table(tmp_path, f"{header}\n"))


def test_what_is_empty(tmp_path: Path) -> None:
    for text in ("", "\n \n"):
        assert "is empty; its first line must name the columns" in said(table(tmp_path, text))
    assert len(read(table(tmp_path, HEADER))) == 0
    assert "has no rows below its header" in said(table(tmp_path, HEADER), rows_needed=True)
    # A spreadsheet's empty lines and columns are none.
    (row,) = read(table(tmp_path, "video;kind;onset;offset;;\n;;;;;\nv;me;1;2;;\n"))
    assert (row.line, row.offset) == (3, 2)


def test_frames_below_zero(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "a,macro,-4,1,2\n")
    assert read(path, negative=True).rows[0].onset == -4
    assert "frames count from 0, found -4" in said(path)


def test_emotions_without_a_kind(tmp_path: Path) -> None:
    path = table(tmp_path, "subject,video,onset,offset,emotion\n1,v,4,8,happiness\n")
    found = read(path, unnamed_kind="micro")
    assert found.rows == (IntervalRow(2, "v", "1", "micro", 4, None, 8, label="happiness"),)
    assert found.notes == ("no column kind: every row is taken as a micro-expression",)
    assert "no column 'kind'" in said(path)
    bare = table(tmp_path, "subject,video,onset,offset\n1,v,4,8\n")
    assert "no column 'kind'" in said(bare, unnamed_kind="micro")


def test_workbooks(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    sheet.title = "notes"
    sheet.append(["This is a workbook of mine"])
    labels = book.create_sheet("labels")
    for line in (["my labels"], [], ["File", "Kind", "Onset", "Offset"], ["a", "micro", 1.0, 2]):
        labels.append(line)
    book.save(tmp_path / "one.xlsx")
    (row,) = found = read(tmp_path / "one.xlsx")
    assert (row.line, row.onset, row.offset, found.sheet) == (4, 1, 2, "labels")
    labels["C4"] = 1.5
    book.save(tmp_path / "bad.xlsx")
    assert "bad.xlsx, sheet 'labels', row 4, column Onset: a frame" in said(tmp_path / "bad.xlsx")
    other = book.create_sheet("more")
    other.append(["file", "kind", "onset", "offset"])
    book.save(tmp_path / "two.xlsx")
    assert "its sheets 'labels', 'more' all hold" in said(tmp_path / "two.xlsx")


def test_json_lines_of_results(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    one = '{"video": {"name": "%s"}, "expressions": [{"kind": "me", "onset": 1, "offset": 2.0}]}\n'
    path.write_text(one % "a" + one % "b")
    assert [(r.line, r.video, r.offset) for r in read(path)] == [(1, "a", 2), (2, "b", 2)]
    path.write_text('{"video": {"name": "a"}, "expressions": []}')
    assert len(read(path)) == 0


def test_a_video_is_known_by_the_end_of_its_path() -> None:
    names = ["anna/smile.mp4", "ben/smile.mp4", "ben/frown.mp4"]
    assert named_like("ben/smile.mp4", names) == "ben/smile.mp4"
    assert named_like("frown.mp4", names) == "ben/frown.mp4"
    assert named_like("C:\\videos\\ben\\frown.mp4", names) == "ben/frown.mp4"
    assert named_like("smile.mp4", names) is None
    assert named_like("own.mp4", names) is None
    assert named_like("frown", names) == "ben/frown.mp4"  # with or without what a file is called
    assert named_like("frown.avi", names) is None
    assert named_like("006_1.2", ["006_1"]) is None
    assert named_like("a", ["a.mp4", "a.avi"]) is None


def test_faults_of_use(shared_data: Callable[[str], Path]) -> None:
    """Tables from European Excel and of public submissions, as they are."""
    frames = shared_data("faults/own_semicolon.csv")
    for name in ("own_semicolon.csv", "own_excel_unicode_text.csv"):
        (row,) = read(frames.with_name(name))
        assert (row.video, row.subject, row.kind) == ("anna_1.mp4", "anna", "macro")
        assert (row.onset, row.apex, row.offset, row.aus) == (14, 39, 70, "6+12")
    (row,) = read(frames.with_name("own_semicolon_decimalcomma.csv"))
    assert (row.onset_s, row.apex_s, row.offset_s) == (0.467, 1.3, 2.333)
    megc = read(frames.with_name("megc2023_submission_head.csv"))
    assert [r.kind for r in megc] == ["micro", *["macro"] * 4]
    assert megc.rows[0] == IntervalRow(2, "004_3", "", "micro", 2086, None, 2163)
    strs = read(frames.with_name("strs_layout_head.csv"), unnamed_kind="micro")
    assert strs.rows[0] == IntervalRow(2, "EP02_01f", "1", "micro", 45, None, 85, label="happiness")
    assert len(strs) == 5
