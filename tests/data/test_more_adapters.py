"""Data sets whose tables are not at hand: few rows, in the owners' columns and layouts."""

from __future__ import annotations

import datetime
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from data import trees
from data.test_adapters import annotations, codes, load

from aumer.cli import main
from aumer.data import read_table_report
from aumer.data.check import check
from aumer.data.coding import Coding, Fix
from aumer.data.dataset import (
    by_number,
    by_number_or_count,
    by_table_names,
    spelled_as_in_table,
)
from aumer.data.folders import Media
from aumer.data.mismatch import Mismatch, matched
from aumer.data.report import Rule
from aumer.errors import UsageError
from aumer.registry import resolve
from aumer.types import Annotation

Find = Callable[[str], Path]
Tree = Callable[..., Path]

#: By name: what makes a tree; subjects and videos of `trees.CLIPS`; frames of the first row's
#: onset, apex and offset in its video; frames per second of the first video.
SETS: dict[str, tuple[Tree, list[tuple[str, str]], tuple[int, int | None, int], float]] = {
    "casme": (
        trees.casme,
        [("sub01", "EP01_1"), ("sub01", "EP02_1"), ("sub02", "EP03_1")],
        (0, 3, 9),
        60.0,
    ),
    "mmew": (
        trees.mmew,
        [("S01", "S01-07-001"), ("S01", "S01-07-002"), ("S02", "S02-07-003")],
        (10, 13, 19),
        90.0,
    ),
    "4dme": (
        trees.fourdme,
        [("S01", "001_01"), ("S01", "002_01"), ("S02", "003_01")],
        (0, 3, 9),
        60.0,
    ),
    "casme3-c": (trees.casme3_c, [("01", "a"), ("02", "a")], (10, None, 19), 30.0),
    "dfme-test": (
        trees.dfme_test,
        [("sub0001", "sub0001_01"), ("sub0001", "sub0001_02"), ("sub0002", "sub0002_03")],
        (11, 14, 20),
        200.0,
    ),
    "meview": (
        trees.meview,
        [("sub01", "sub01-1"), ("sub01", "sub01-2"), ("sub02", "sub02-3")],
        (10, None, 19),
        25.0,
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_rows_join_with_their_folders(tmp_path: Path, name: str) -> None:
    make, keys, frames, fps = SETS[name]
    data = load(name, make(tmp_path))
    assert [(r.subject, r.name) for r in data.records()] == keys
    found = annotations(data)
    assert [a.aus for a in found][-2:] == ["12", "1+2"]
    assert [a.emotion for a in found][-2:] == ["happiness", "surprise"]
    assert {a.kind for a in found} == {"micro"}
    first = found[0]
    assert (first.onset, first.apex, first.offset) == frames
    assert data.records()[0].fps == fps
    path = data.records()[0].path
    assert path is not None and "RGB" not in str(path) and "depth" not in str(path)
    known = set(codes(check(data).faults)) - {"count", "missing-apex", "unknown-video"}
    assert known == set()


@pytest.mark.parametrize("name", SETS)
def test_rows_without_media(tmp_path: Path, name: str) -> None:
    more = trees.Clip(7, 9, 11, 14, 20)
    found = check(load(name, SETS[name][0](tmp_path, (*trees.CLIPS, more))))
    (missing,) = [f for f in found.faults if f.code == "missing-video"]
    assert "7" in missing.subject and "1 expressions" in missing.message


@pytest.mark.parametrize("name", SETS)
def test_media_without_rows(tmp_path: Path, name: str) -> None:
    """A clip that no row is of is a fault; where the table's names alone tell a clip from another
    folder, it is advice; a long video without a row has no expression."""
    more = trees.Clip(7, 9, 11, 14, 20)
    found = check(load(name, SETS[name][0](tmp_path, media=(*trees.CLIPS, more))))
    expected = {"4dme": ["unknown-video"] * 2, "meview": ["unknown-video"], "casme3-c": []}
    codes_of_new = ("unknown-video", "unannotated-clip")
    new = [f.code for f in found.faults if f.code in codes_of_new and "Macro" not in f.message]
    assert new == expected.get(name, ["unannotated-clip"])


@pytest.mark.parametrize("name", SETS)
def test_frames_that_cannot_be_right(tmp_path: Path, name: str) -> None:
    make, _, _, _ = SETS[name]
    first, second, third = trees.CLIPS
    # Offset before onset; beyond the last image; the same row twice.
    rows = (replace(first, offset=3), replace(second, offset=99), third, third)
    found = codes(check(load(name, make(tmp_path, rows))).faults)
    assert (found["impossible-offset"], found["duplicate"]) == (1, 1)
    assert found["outside-video"] + found["unjoinable-row"] == 1
    has_apex = name not in ("casme3-c", "meview")
    late = check(load(name, make(tmp_path / "late", (first, second, replace(third, apex=61)))))
    assert codes(late.faults)["apex-outside"] == has_apex


@pytest.mark.parametrize("name", ["4dme", "casme3-c", "dfme-test", "meview"])
def test_rows_that_say_nothing_are_refused_where_the_layout_is_not_public(
    tmp_path: Path, name: str
) -> None:
    rows = (
        *trees.CLIPS,
        replace(trees.CLIPS[2], clip=4, onset=None),
    )  # type: ignore[arg-type]
    found = check(load(name, SETS[name][0](tmp_path, rows)))
    (refused,) = [f for f in found.faults if f.code == "refused-row"]
    assert "no onset: nothing is annotated" in refused.message


@pytest.mark.parametrize("name", [*SETS, "casme3-b", "casme2", "samm", "samm-lv", "samm-lv-30"])
def test_another_layout_is_told_what_it_should_be(
    tmp_path: Path, shared_data: Find, name: str
) -> None:
    if name in SETS:
        (tmp_path / "right").mkdir()
        SETS[name][0](tmp_path / "right", media=())
        for table in (tmp_path / "right").glob("*.xlsx"):
            table.rename(tmp_path / table.name)
        shutil.rmtree(tmp_path / "right")
    elif name != "casme3-b":
        file = {"casme2": "casme2_coding", "samm": "samm_micro_facs_codes"}
        book = file.get(name, "samm_lv_coding")
        shutil.copy(shared_data(f"annotations/{book}.xlsx"), tmp_path)
    trees.images(tmp_path / "images" / "one", "{}.jpg", range(3))
    trees.images(tmp_path / "images" / "two", "{}.jpg", range(3))
    with pytest.raises(UsageError) as error:
        load(name, tmp_path)
    said = str(error.value)
    assert "none of its 2 folders of images and video files is called as" in said
    assert "the first is images/one" in said and resolve("dataset", name).layout in said


def test_a_table_that_lacks_columns_says_what_they_may_be_called(tmp_path: Path) -> None:
    trees.book(tmp_path / "t.xlsx", "Subject,Filename,Begin,Offset", [(1, "x", 2, 3)])
    with pytest.raises(UsageError, match=r"no column 'OnsetFrame'.*; found 'Subject'"):
        load("mmew", tmp_path)
    trees.book(tmp_path / "t.xlsx", "Whose,What,Begin,Stop", [(1, "x", 2, 3)])
    with pytest.raises(
        UsageError, match=r"no column 'sub_ID' \(or 'subject', 'sub', .*'fold_name'"
    ):
        load("4dme", tmp_path)


def test_a_workbook_of_the_old_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "CASME-coded-20190721.xls").touch()
    with pytest.raises(
        UsageError, match=r"CASME-coded-20190721\.xls is a workbook of the old kind"
    ):
        load("casme", tmp_path)


# What is particular to one


def test_a_cropped_clip_may_be_numbered_anew(tmp_path: Path) -> None:
    root = trees.casme(tmp_path)
    clip = root / "Cropped" / "sub02" / "EP03_1"
    shutil.rmtree(clip)
    trees.images(clip, "img{}.jpg", range(1, 11))  # as many as 51 to 60 are
    (a,) = load("casme", root).records()[2].annotations
    assert (a.onset, a.apex, a.offset) == (0, 4, 9)
    shutil.rmtree(clip)
    trees.images(clip, "img{}.jpg", range(1, 10))
    assert codes(check(load("casme", root)).faults)["outside-video"] == 1


def test_static_action_units_are_no_part_of_an_expression(tmp_path: Path) -> None:
    rows = [replace(trees.CLIPS[0], aus="AU4(k)+L7"), replace(trees.CLIPS[1], aus="AUR2+12(k)+45")]
    data = load("4dme", trees.fourdme(tmp_path, rows))
    assert [a.aus for a in annotations(data)] == ["L7", "AUR2+45"]
    told = Counter(c.rule.name for c in data.report.tables[0].corrections)
    assert told == {"static-action-unit": 2}


def test_both_kinds_in_one_table_of_4dme(tmp_path: Path) -> None:
    trees.fourdme(tmp_path)
    (tmp_path / "4DME_Labelling_Micro_release v1.xlsx").unlink()
    rows = [("S01", "001_01", "ME", 11, 14, 20), ("S01", "002_01", "MaE", 31, None, 41)]
    columns = "Subject,Video,Type,Onset frame,Apex frame,Offset frame"
    trees.book(tmp_path / "Micro and Macro-expression labels.xlsx", columns, rows)
    found = annotations(load("4dme", tmp_path))
    assert [(a.kind, a.onset, a.apex, a.offset) for a in found] == [
        ("micro", 0, 3, 9),
        ("macro", 0, None, 10),
    ]


def test_part_c_joins_its_tables(tmp_path: Path) -> None:
    """A Chinese comma and an ordinary one; macro-expressions by the file's name."""
    rows = [replace(trees.CLIPS[0], aus="4\uff0c7"), *trees.CLIPS[1:]]
    trees.casme3_c(tmp_path, rows)
    columns = "sub,count,onset,offset,au,emotion"
    trees.book(tmp_path / "CAS(ME)3_part_C_MaE.xlsx", columns, [(2, 1, 5, 45, "12", "happy")])
    data = load("casme3-c", tmp_path)
    assert Counter(a.kind for a in annotations(data)) == {"micro": 3, "macro": 1}
    assert next(a.aus for a in annotations(data)) == "4+7"
    assert check(data).counts == {"subjects": 2, "videos": 2, "micro": 3, "macro": 1}


def test_part_c_by_clips(tmp_path: Path) -> None:
    trees.casme3_c(tmp_path)
    shutil.rmtree(tmp_path / "part_C")
    for c in trees.CLIPS:
        folder = tmp_path / "ME_C" / f"{c.subject:02d}" / str(c.clip) / "color"
        trees.images(folder, "{}.jpg", (c.onset, c.end), whole=True)
    data = load("casme3-c", tmp_path)
    found = [(r.subject, r.name, a.onset, a.offset) for r in data.records() for a in r.annotations]
    assert found == [("01", "1", 0, 9), ("01", "2", 0, 10), ("02", "3", 0, 9)]


def test_part_b_has_no_labels(tmp_path: Path) -> None:
    data = load("casme3-b", trees.casme3_b(tmp_path))
    assert [(r.subject, r.name, r.annotations) for r in data.records()] == [
        ("spNO.101", "a", ()),
        ("spNO.101", "b", ()),
        ("spNO.102", "a", ()),
        ("spNO.102", "b", ()),
    ]
    assert "no labels" in data.report.notes[0]
    faults = check(data).faults
    assert set(codes(faults)) == {"count", "unknown-video"}  # part A lies beside it


def test_part_a_leaves_the_others_aside(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("casme3", shared_data("annotations/casme3_part_a.xlsx"))
    root = trees.casme3(tmp_path, trees.some(table, "spNO.1"))
    trees.images(root / "part_B" / "spNO.101" / "a" / "color", "{}.jpg", range(1, 9))
    assert "spNO.101" not in {r.subject for r in load("casme3", root).records()}


def test_samm_lv_at_30_fps(tmp_path: Path, shared_data: Find) -> None:
    """Frame x of 200 a second is frame x * .15, to the nearest; the other adapter is named where
    the images are at the other rate."""
    table = read_table_report("samm-lv", shared_data("annotations/samm_lv_coding.xlsx"))
    some = trees.some(table, "006", "007")
    root = trees.samm_lv_30(tmp_path / "slow", some)
    data = load("samm-lv-30", root)
    assert {r.fps for r in data.records() if r.path} == {30.0}
    rows = {a.row: a for a in some.annotations}
    for record in data.records():
        if record.path is None:
            continue
        numbers = sorted(int(p.stem[-4:]) for p in record.path.iterdir())
        for a in record.annotations:
            assert abs((numbers[a.onset] - 1) / 30 - rows[a.row].onset / 200) <= 1 / 60 + 1e-9
    assert "frame-rate" not in codes(data.report.faults)


def test_the_rate_of_samm_lv_is_told_by_its_images(tmp_path: Path) -> None:
    columns = "Subject,Filename,Onset,Apex,Offset,Type,Action Units"
    rows = [
        ("006", "006_1_1", 11, 40, 80, "Macro", ""),
        ("006", "006_2_1", 100, 130, 190, "Macro", ""),
    ]
    trees.book(tmp_path / "t.xlsx", columns, rows, "FACS_Movement_Only")
    for video in ("006_1", "006_2"):
        trees.images(tmp_path / video, video + "_{:04d}.jpg", (1, 260), whole=True)
    assert "frame-rate" not in codes(load("samm-lv", tmp_path).report.faults)
    (fault,) = [f for f in load("samm-lv-30", tmp_path).report.faults if f.code == "frame-rate"]
    assert "load them as samm-lv" in fault.message
    for video in ("006_1", "006_2"):
        shutil.rmtree(tmp_path / video)
        trees.images(tmp_path / video, video + "_{:04d}.jpg", (1, 39), whole=True)
    (fault,) = [f for f in load("samm-lv", tmp_path).report.faults if f.code == "frame-rate"]
    assert "load them as samm-lv-30" in fault.message
    assert "frame-rate" not in codes(load("samm-lv-30", tmp_path).report.faults)


def test_a_row_of_another_subject_than_its_clip_is_said(tmp_path: Path) -> None:
    root = trees.mmew(tmp_path)
    columns = "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion"
    rows = [
        ("S03", "S01-07-001", 11, 14, 20, "4", "fear"),
        (1, "S01-07-002", 31, 35, 41, "", "fear"),
    ]
    trees.book(root / "MMEW_Micro_Exp.xlsx", columns, rows)
    found = check(load("mmew", root))
    (fault,) = [f for f in found.faults if f.code == "subject-name"]
    assert fault.row == 2 and "S01-07-001" in fault.message


def test_a_fix_is_for_the_cell_that_it_names(tmp_path: Path) -> None:
    """Another edition, which says something else there, is left as it is."""
    rule = Rule("wrong", "for the test")
    coding = Coding(
        "x",
        lambda row: (row.text("Subject"), row.text("Filename")),
        onset="Onset",
        offset="Offset",
        fixes=(Fix("v", "Offset", "7", "17", rule),),
    )
    rows = [("s", "v", 3, 7), ("s", "v", 3, 8), ("s", "w", 3, 7)]
    report = coding.read(trees.book(tmp_path / "t.xlsx", "Subject,Filename,Onset,Offset", rows))
    assert [a.offset for a in report.annotations] == [16, 7, 6]
    (told,) = report.corrections
    assert (told.row, told.column, told.found, told.used) == (2, "Offset", "7", "17")


# Places


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (("gray", "S1", "01"), ("S1", "01")),
        (("gray", "s2", "x", "01", "images"), ("S2", "01")),
        (("S1_01",), ("S1", "01")),
        (("02",), ("S2", "02")),
        (("01",), None),  # of whom?
        (("S3", "01"), None),
        (("S3", "02"), ("S2", "02")),
        ((), None),
    ],
)
def test_folders_called_as_a_table_calls_its_videos(
    parts: tuple[str, ...], key: tuple[str, str] | None
) -> None:
    assert by_table_names([("S1", "01"), ("S2", "01"), ("S2", "02")])(parts) == key


def test_by_number_before_by_count() -> None:
    a = Annotation("s", "v", "micro", 4, 5, 8)
    kept, problem = by_number_or_count(a, Media(Path("v"), ("v",), tuple(range(5, 10))))
    assert kept is not None and (kept.onset, kept.offset, problem) == (0, 4, "")
    kept, problem = by_number_or_count(a, Media(Path("v"), ("v",), tuple(range(1, 6))))
    assert kept is not None and (kept.onset, kept.apex, kept.offset) == (0, 1, 4)
    kept, problem = by_number_or_count(a, Media(Path("v"), ("v",), tuple(range(7, 20))))
    assert "image 5 lies before the first, 7" in problem
    assert kept is not None and (kept.onset, kept.apex, kept.offset) == (0, None, 2)


def test_the_command_counts_and_gives_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (replace(trees.CLIPS[0], offset=3), *trees.CLIPS[1:])
    assert main(["data", "check", "mmew", str(trees.mmew(tmp_path, rows))]) == 6
    said = capsys.readouterr().out
    assert "mmew" in said and "impossible-offset" in said and "S01 S01-07-001 row 2" in said
    assert "300" in said  # what the release has
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n{name}" in f"\n{listed}" for name in (*SETS, "casme3-b", "samm-lv-30"))


# What laboratories do to a set


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda name: name.replace("0", "")])
@pytest.mark.parametrize("name", [n for n in SETS if n != "meview"])
def test_folders_in_another_case_or_without_zeros(
    tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    """A copy through a system that knows no case, or a script that drops zeros."""
    SETS[name][0](tmp_path)
    before = load(name, tmp_path)
    folders = sorted({m.parent for m in tmp_path.rglob("*.*") if m.suffix in (".jpg", ".png")})
    for folder in sorted(folders, key=lambda f: -len(f.parts)):
        for one in (folder, folder.parent):
            new = change(one.name)
            short = len(one.relative_to(tmp_path).parts) < 2 or one.name in ("color", "depth", "a")
            if one.exists() and new != one.name and not short:
                one.rename(one.parent / new)
    after = load(name, tmp_path)
    assert [(r.subject, r.name, r.annotations) for r in after.records()] == [
        (r.subject, r.name, r.annotations) for r in before.records()
    ]
    assert all(r.path is not None for r in after.records())


def test_another_spelling_may_mean_several(tmp_path: Path) -> None:
    names = [("sub01", "EP02_01"), ("sub02", "EP02_01"), ("sub02", "EP2_1"), ("sub03", "a")]
    key = spelled_as_in_table(lambda parts: None, names)
    assert key(("SUB1", "ep2_1")) == ("sub01", "EP02_01")
    assert key(("sub02", "ep2_1")) is None  # either of two
    assert key(("x", "ep02_01")) is None
    assert key(("sub03", "A")) is None  # a letter tells nothing
    assert key(()) is None
    # "100" is not "1".
    assert spelled_as_in_table(lambda parts: None, [("s", "v100")])(("s", "v1")) is None


def test_images_that_are_missing_at_an_end(tmp_path: Path) -> None:
    """The end of an expression was moved to the next image, be it far behind."""
    media = Media(tmp_path, ("v",), (*range(1, 11), *range(50, 61)))

    def placed(onset: int, apex: int | None, offset: int | None) -> tuple[object, str]:
        row = Annotation("s", "v", "micro", onset - 1, apex and apex - 1, offset and offset - 1)
        a, problem = by_number(row, media)
        return a and (a.onset, a.apex, a.offset), problem

    assert placed(2, 5, 9) == ((1, 4, 8), "")
    assert placed(9, 20, 52) == ((8, None, 12), "")  # an apex that is not there is not used
    assert placed(20, 25, 30) == (None, "image 20 is missing between others")
    assert placed(5, 8, 20) == ((4, 7, 9), "image 20 is missing between others")
    assert placed(20, 51, 55) == ((10, 11, 15), "image 20 is missing between others")
    assert placed(10, None, 20) == (None, "image 20 is missing between others")  # one frame is left
    assert placed(20, None, None) == ((10, None, None), "image 20 is missing between others")
    assert placed(55, 58, 70) == ((15, 18, 30), "")  # beyond the last: told by who knows the length


@pytest.mark.parametrize("policy", ["leave-out", "clamp"])
def test_a_row_whose_images_are_missing_is_named(tmp_path: Path, policy: Mismatch) -> None:
    trees.mmew(tmp_path)
    folder = tmp_path / "Micro_Expression" / "surprise" / "S01-07-001"  # 11, 14, 20
    for number in range(18, 22):
        (folder / f"{number}.jpg").unlink()
    data = load("mmew", tmp_path)
    assert codes(check(data).faults)["unjoinable-row"] == 1
    found = matched(data, policy)
    told = (found.left_out, found.clamped)[policy == "clamp"]
    assert [str(m) for m in told] == ["S01/S01-07-001 (row 2): image 20 is missing between others"]
    kept = [(a.onset, a.offset) for r in found.records for a in r.annotations if a.row == 2]
    assert kept == ([] if policy == "leave-out" else [(10, 16)])


def test_rows_of_two_workbooks_are_not_mixed_up(tmp_path: Path) -> None:
    """Both have a row 2: the fault was told of the other one's video."""
    trees.dfme_test(tmp_path, [replace(trees.CLIPS[0], apex=None), *trees.CLIPS[1:]])
    (fault,) = check(load("dfme-test", tmp_path)).faults
    assert (fault.code, fault.video, fault.row) == ("missing-apex", "sub0001_01", 2)
    assert fault.message == "testA.xlsx: column ApexFrame holds ''"


def test_a_copy_is_not_taken_for_the_original(tmp_path: Path) -> None:
    trees.mmew(tmp_path)
    shutil.copytree(tmp_path / "Micro_Expression", tmp_path / "Backup" / "Micro_Expression")
    data = load("mmew", tmp_path)
    assert codes(check(data).faults)["several-videos"] == 3
    assert not any("Backup" in str(r.path) for r in data.records())


def test_dates_and_merged_cells_are_called_so(tmp_path: Path) -> None:
    columns = "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion"
    row = [1, "S01-07-001", 3, 5, 9, "4", "fear"]
    for name, cell, message in (
        (
            "Filename",
            datetime.datetime(2026, 1, 7),
            "column Filename: holds the date or time",
        ),
        ("OffsetFrame", datetime.date(2026, 1, 7), "column OffsetFrame: holds the date or time"),
        ("Subject", None, "column Subject: the cell is empty; of merged cells, each needs"),
    ):
        index = columns.split(",").index(name)
        trees.book(tmp_path / "t.xlsx", columns, [[*row[:index], cell, *row[index + 1 :]]])
        with pytest.raises(UsageError, match=message):
            load("mmew", tmp_path)
