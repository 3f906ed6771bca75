"""The owners' tables: every row is read or refused by name, and broken ones say where."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from aumer.data import TABLES, read_table, read_table_report
from aumer.errors import UsageError
from aumer.types import Annotation

Find = Callable[[str], Path]

#: Table, file, lines, annotations, corrections, refusals.
WHOLE: list[tuple[str, str, int, int, dict[str, int], int]] = [
    ("casme-sq", "casme_sq_coding.xlsx", 357, 357, {"missing-offset": 44, "missing-apex": 1}, 0),
    ("casme-sq", "casme_sq_auwgcn.csv", 357, 357, {"missing-offset": 44, "missing-apex": 1}, 0),
    (
        *("samm-lv", "samm_lv_coding.xlsx", 502, 502),
        {
            "fractional-frame": 430,
            "onset-before-video": 10,
            "missing-apex": 6,
            "repeated-name": 1,
        },
        0,
    ),
    ("casme2", "casme2_coding.xlsx", 255, 255, {}, 0),
    ("casme2", "casme2_coding_2019.xlsx", 255, 255, {"missing-apex": 1}, 0),
    ("samm", "samm_micro_facs_codes.xlsx", 159, 159, {"wrong-apex": 1}, 0),
    # Eight rows with a second interval and one with a third; 6 third ones are none.
    ("smic-hs", "smic_hs_e_annotation.xlsx", 157, 157 + 8 + 1, {"emotion-of-name": 1}, 6),
    (
        *("casme3", "casme3_part_a.xlsx", 860, 860),
        {"missing-offset": 2, "video-name": 1, "onset-before-video": 1},
        0,
    ),
    ("casme3", "casme3_spotting.csv", 2348, 2348, {}, 0),
    ("dfme", "dfme_train.xlsx", 1856, 1856, {}, 0),
    ("auwgcn-csv", "casme_sq_auwgcn.csv", 357, 357, {"missing-offset": 44, "missing-apex": 1}, 0),
    ("auwgcn-csv", "samm_lv_25fps_auwgcn.csv", 502, 502, {"missing-apex": 6}, 0),
    ("auwgcn-csv", "cross_auwgcn.csv", 1026, 1026, {"missing-offset": 44, "missing-apex": 7}, 0),
    ("megc2019", "../megc2019/labels.csv", 442, 442, {}, 0),
]


@pytest.mark.parametrize(
    ("table", "file", "rows", "annotations", "corrections", "refusals"),
    WHOLE,
    ids=[f"{table}-{file}" for table, file, *_ in WHOLE],
)
def test_every_row_is_read_or_refused(
    shared_data: Find,
    table: str,
    file: str,
    rows: int,
    annotations: int,
    corrections: dict[str, int],
    refusals: int,
) -> None:
    report = read_table_report(table, shared_data(f"annotations/{file}"))
    assert (report.rows, len(report.annotations)) == (rows, annotations)
    assert Counter(c.rule.name for c in report.corrections) == corrections
    assert len(report.refusals) == refusals
    # A row may yield several annotations or none, but none disappears.
    spoken_for = {a.row for a in report.annotations} | {r.row for r in report.refusals}
    assert len(spoken_for) == rows


def only(annotations: tuple[Annotation, ...], subject: str, video: str, row: int) -> Annotation:
    (found,) = [a for a in annotations if (a.subject, a.video, a.row) == (subject, video, row)]
    return found


def test_frames_become_0_based(shared_data: Find) -> None:
    """The first rows, as the spreadsheet shows them: 557 572 608; 566.4 647.6 743.2; ..."""
    sq = read_table("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))[0]
    assert (sq.subject, sq.video, sq.kind) == ("s15", "15_0401", "macro")
    assert (sq.onset, sq.apex, sq.offset) == (556, 571, 607)
    assert (sq.aus, sq.emotion, sq.row) == ("4+10+14", "negative", 2)
    lv = read_table("samm-lv", shared_data("annotations/samm_lv_coding.xlsx"))[0]
    assert (lv.subject, lv.video, lv.onset, lv.apex, lv.offset) == ("006", "006_1", 565, 647, 742)
    dfme = read_table("dfme", shared_data("annotations/dfme_train.xlsx"))[0]
    assert (dfme.onset, dfme.apex, dfme.offset) == (109, 199, 228)
    smic = read_table("smic-hs", shared_data("annotations/smic_hs_e_annotation.xlsx"))[0]
    assert (smic.video, smic.onset, smic.apex, smic.offset) == ("s20_ne_01", 152, None, 168)


def test_both_tables_of_casme_sq_say_the_same(shared_data: Find) -> None:
    ours = read_table("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))
    theirs = read_table("casme-sq", shared_data("annotations/casme_sq_auwgcn.csv"))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.subject, a.video, a.kind) == (b.subject, b.video, b.kind)
        assert (a.onset, a.apex, a.offset, a.aus) == (b.onset, b.apex, b.offset, b.aus)


def test_the_published_samm_table_is_ours_at_25_fps(shared_data: Find) -> None:
    ours = read_table("samm-lv", shared_data("annotations/samm_lv_coding.xlsx"))
    theirs = read_table("auwgcn-csv", shared_data("annotations/samm_lv_25fps_auwgcn.csv"))
    same = [
        (a.onset // 8, a.offset // 8) == (b.onset, b.offset)
        for a, b in zip(ours, theirs, strict=True)
        if a.offset is not None
    ]
    assert len(same) == 502 and sum(same) >= 500


def test_named_corrections(shared_data: Find) -> None:
    samm = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    (correction,) = samm.corrections
    assert (correction.column, correction.found, correction.used) == ("Apex Frame", "1930", "4930")
    assert "SAMM-LV" in correction.rule.reason
    a = only(samm.annotations, "032", "032_3_1", correction.row)
    assert (a.onset, a.apex, a.offset) == (4895, 4929, 4969)


def test_smic_names_and_second_intervals(shared_data: Find) -> None:
    report = read_table_report("smic-hs", shared_data("annotations/smic_hs_e_annotation.xlsx"))
    four = [a for a in report.annotations if a.video == "s04_ne_04"]
    assert [(a.subject, a.onset, a.offset) for a in four] == [
        ("s04", 199, 230),
        ("s04", 343, 361),
        ("s04", 413, 435),
    ]
    assert {r.column for r in report.refusals} == {"Onset3F"}
    assert Counter("repeats" in r.reason for r in report.refusals) == {False: 5, True: 1}


# Broken tables


def edited(source: Path, target: Path, sheet: str, edit: Callable[[object], None]) -> Path:
    book = load_workbook(source)
    edit(book[sheet])
    book.save(target)
    return target


@pytest.fixture
def samm_like(tmp_path: Path) -> Path:
    """A small workbook in SAMM's layout: a block of text above the header."""
    book = Workbook()
    sheet = book.active
    sheet.title = "MICRO_ONLY"
    sheet.append(["Master codes"])
    sheet.append([])
    names = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame"]
    sheet.append([*names, "Action Units", "Estimated Emotion"])
    sheet.append(["006", "006_1_2", 11, 15, 21, "4+7", "Anger"])
    sheet.append(["006", "006_1_3", 31, 35, 41, 4, "Anger"])
    book.save(tmp_path / "samm.xlsx")
    return tmp_path / "samm.xlsx"


def test_the_small_workbook_is_whole(samm_like: Path) -> None:
    assert [(a.onset, a.apex, a.offset) for a in read_table("samm", samm_like)] == [
        (10, 14, 20),
        (30, 34, 40),
    ]


def broken(path: Path, edit: Callable[[object], None]) -> str:
    with pytest.raises(UsageError) as raised:
        read_table("samm", edited(path, path.with_name("broken.xlsx"), "MICRO_ONLY", edit))
    assert "broken.xlsx" in str(raised.value)
    return str(raised.value)


def test_a_missing_column(samm_like: Path) -> None:
    said = broken(samm_like, lambda sheet: sheet.delete_cols(4))  # type: ignore[attr-defined]
    assert "row 3: no column 'Apex Frame'; found 'Subject', 'Filename'" in said
    assert "sheet 'MICRO_ONLY'" in said


def test_text_in_a_number(samm_like: Path) -> None:
    said = broken(samm_like, lambda sheet: sheet.__setitem__("C5", "thirty"))  # type: ignore[attr-defined]
    assert "row 5, column Onset Frame: needs a number, found 'thirty'" in said


def test_an_empty_cell(samm_like: Path) -> None:
    said = broken(samm_like, lambda sheet: sheet.__setitem__("E4", None))  # type: ignore[attr-defined]
    assert "row 4, column Offset Frame: the cell is empty" in said


def test_no_rows(samm_like: Path) -> None:
    said = broken(samm_like, lambda sheet: sheet.delete_rows(4, 2))  # type: ignore[attr-defined]
    assert "has no rows below its header" in said


def test_an_empty_sheet(samm_like: Path) -> None:
    said = broken(samm_like, lambda sheet: sheet.delete_rows(1, 9))  # type: ignore[attr-defined]
    assert "needs columns Subject" in said or "no column 'Subject'" in said


def test_a_wrong_sheet(samm_like: Path, shared_data: Find) -> None:
    with pytest.raises(UsageError, match="no sheet 'naming rule1'; its sheets are 'MICRO_ONLY'"):
        read_table("casme-sq", samm_like)
    with pytest.raises(UsageError, match="no column 'Subject'"):
        read_table("samm", shared_data("annotations/casme_sq_coding.xlsx"))


def test_the_table_of_another_data_set(shared_data: Find) -> None:
    with pytest.raises(
        UsageError, match=r"'samm_006_1' is not a video of casme-sq; read .* auwgcn-csv"
    ):
        read_table("casme-sq", shared_data("annotations/samm_lv_25fps_auwgcn.csv"))


def test_no_workbook(tmp_path: Path) -> None:
    for name, content in (("text.xlsx", b"no zip"), ("empty.xlsx", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"cannot read an \.xlsx workbook from .*{name}"):
            read_table("samm", tmp_path / name)
    (tmp_path / "latin.csv").write_bytes(b"subject,video\nM\xfcller,1\n")
    with pytest.raises(UsageError, match=r"latin\.csv is not a CSV file in UTF-8"):
        read_table("casme3", tmp_path / "latin.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(UsageError, match=r"empty\.csv: is empty; needs columns subject, video"):
        read_table("casme3", tmp_path / "empty.csv")
    with pytest.raises(UsageError, match=r"cannot read .*none\.xlsx: No such file"):
        read_table("samm", tmp_path / "none.xlsx")


def test_a_damaged_workbook(samm_like: Path, tmp_path: Path) -> None:
    """However it is damaged, the error names the file."""
    whole = samm_like.read_bytes()
    damaged = {"half.xlsx": whole[: len(whole) // 2], "flipped.xlsx": bytearray(whole)}
    for k in range(200, len(whole) - 400, 97):
        damaged["flipped.xlsx"][k] ^= 0xFF  # type: ignore[index]
    with zipfile.ZipFile(samm_like) as source, zipfile.ZipFile(tmp_path / "xml.xlsx", "w") as to:
        for name in source.namelist():
            content = source.read(name)
            to.writestr(name, content[:-40] if "sheet1" in name else content)
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    for name in (*damaged, "xml.xlsx"):
        with pytest.raises(UsageError, match=name.replace(".", r"\.")):
            read_table("samm", tmp_path / name)


def test_an_unknown_clip_of_casme_sq(shared_data: Find, tmp_path: Path) -> None:
    path = edited(
        shared_data("annotations/casme_sq_coding.xlsx"),
        tmp_path / "broken.xlsx",
        "CASFEcode_final",
        lambda sheet: sheet.__setitem__("B7", "boredom1_1"),  # type: ignore[attr-defined]
    )
    with pytest.raises(UsageError, match="row 7, column clip: 'boredom1' is not in sheet 'naming"):
        read_table("casme-sq", path)


def test_an_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("subject,video,type,startFrame,endFrame\n1,1/a,Miro,3,4\n")
    with pytest.raises(UsageError, match="line 2, column type: needs one of macro, micro, found"):
        read_table("casme3", path)


def test_reading_a_table_loads_neither_torch_nor_cv2(shared_data: Find) -> None:
    path = shared_data("annotations/casme_sq_coding.xlsx")
    code = (
        "import sys; from aumer.data import read_table\n"
        f"assert len(read_table('casme-sq', {str(path)!r})) == 357\n"
        "assert not {'torch', 'cv2', 'pandas'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_data_set() -> None:
    with pytest.raises(UsageError, match="Did you mean 'casme2'"):
        read_table("casme22", "x.xlsx")
    assert "casme2" in TABLES
