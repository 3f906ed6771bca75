"""Rows whose frames are not in their videos: one policy for every data set."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from data import trees
from data.test_check import Set

from aumer import strict
from aumer.bench.sources import Videos
from aumer.bench.tasks.spotting import SpottingTruth
from aumer.data import load, read_table_report
from aumer.data.check import check
from aumer.data.mismatch import MISMATCHES, Mismatch, frames_of, matched
from aumer.data.report import DataReport, TableReport, Unplaced
from aumer.errors import AumerError, ConfigError, UsageError
from aumer.evaluation.rows import SpottingSettings
from aumer.training.clip_run import ClipSource
from aumer.training.listing import listed
from aumer.training.run import DataSource, RunConfig, read_videos
from aumer.types import Annotation, VideoRecord

Find = Callable[[str], Path]


def a(onset: int, apex: int | None, offset: int | None, row: int = 0) -> Annotation:
    return Annotation("s", "v", "micro", onset, apex, offset, row=row)


def under(policy: Mismatch, *own: Annotation, unplaced: tuple[Unplaced, ...] = ()) -> Any:
    record = VideoRecord("set", "s", "v", 25.0, Path("v"), 10, own)
    return matched(Set(Path(), (record,), DataReport(unplaced=unplaced)), policy)


@pytest.mark.parametrize(
    ("row", "kept", "clamped"),
    [
        (a(0, 5, 9), a(0, 5, 9), a(0, 5, 9)),  # the last frame is in it
        (a(0, 5, 10), None, a(0, 5, 9)),
        (a(0, 10, 12), None, a(0, None, 9)),
        (a(0, 12, 9), a(0, 12, 9), a(0, 12, 9)),  # an apex outside is another fault
        (a(8, 9, 12), None, a(8, 9, 9)),
        (a(9, 9, 12), None, None),  # one frame is no movement
        (a(10, 11, 12), None, None),
        (a(3, 5, None), a(3, 5, None), a(3, 5, None)),  # nobody gave its end
        (a(10, 11, None), None, None),
    ],
)
def test_what_fits_and_what_is_left(
    row: Annotation, kept: Annotation | None, clamped: Annotation | None
) -> None:
    for policy, wanted in (("leave-out", kept), ("clamp", clamped)):
        found = under(policy, row)  # type: ignore[arg-type]
        assert found.records[0].annotations == (() if wanted is None else (wanted,))
        assert len(found.left_out) == (wanted is None)
        assert len(found.clamped) == (wanted is not None and wanted != row)
        assert bool(found.notes()) == (wanted != row)
    if kept is None:
        with pytest.raises(UsageError, match=r"set: 1 row with frames .* `mismatch` to leave"):
            under("refuse", row)
    else:
        assert under("refuse", row).records[0].annotations == (row,)


def test_rows_that_could_not_be_placed() -> None:
    one = Unplaced(a(11, 14, 20, row=4), a(0, 3, 9), "image 12 lies before the first, 15")
    other = Unplaced(a(1, 2, 3, row=9), None, "nobody knows")
    found = under("leave-out", a(2, 3, 4, row=6), unplaced=(one, other))
    assert [str(m) for m in found.left_out] == [
        "s/v (row 4): image 12 lies before the first, 15",
        "s/v (row 9): nobody knows",
    ]
    assert [x.row for x in found.records[0].annotations] == [6]
    found = under("clamp", a(2, 3, 4, row=6), unplaced=(one, other))
    assert found.records[0].annotations == (a(0, 3, 9), a(2, 3, 4, row=6))
    assert [m.annotation.row for m in found.left_out] == [9]


def test_a_policy_that_is_none() -> None:
    assert MISMATCHES == get_args(Mismatch) == ("leave-out", "clamp", "refuse")
    with pytest.raises(UsageError, match="one of leave-out, clamp, refuse; found 'drop'"):
        under("drop")  # type: ignore[arg-type]


def film(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (32, 24))
    for k in range(frames):
        writer.write(np.full((24, 32, 3), 5 * k, np.uint8))
    writer.release()
    return path


def test_a_file_is_decoded_where_there_is_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "v.avi", 40)
    record = VideoRecord("set", "s", "v", 25.0, path, None, (a(1, 2, 39),))
    assert frames_of(record) == 40
    late = replace(record, annotations=(a(1, 2, 40),))
    assert len(matched(Set(tmp_path, (late,), DataReport())).left_out) == 1
    monkeypatch.setattr("aumer.data.own.frame_times", lambda *_: pytest.fail("it was decoded"))
    assert frames_of(replace(record, annotations=(a(1, 2, 20),))) is None
    path.write_bytes(b"no video")
    assert frames_of(record) is None  # whoever reads it says so


def listing_counts(report: TableReport) -> list[int]:
    """How many rows are of each of CASME II's five classes."""
    words = ("happiness", "disgust", "repression", "surprise", "others")
    return [sum(x.emotion.casefold() == word for x in report.annotations) for word in words]


#: CASME II's rows whose frames do not match their images, by their lines in both workbooks.
FIVE = {62: "EP06_01", 119: "EP09_02", 120: "EP09_06", 138: "EP01_08", 204: "EP16_01"}


@pytest.mark.parametrize("edition", ["casme2_coding", "casme2_coding_2019"])
def test_casme2_as_its_owners_ship_it(tmp_path: Path, shared_data: Find, edition: str) -> None:
    """The five rows, made so as to miss images at the beginning or at the end: the others are
    taken, and these are named, whatever the edition."""
    report = read_table_report("casme2", shared_data(f"annotations/{edition}.xlsx"))
    root = trees.casme2(tmp_path, report)
    for x in report.annotations:
        if x.row in FIVE:
            assert x.video == FIVE[x.row]
            folder = root / "Cropped" / x.subject / x.video
            shutil.rmtree(folder)
            assert x.offset is not None
            ends = (x.onset + 8, x.offset + 8) if x.row % 2 else (x.onset + 1, x.offset)
            trees.images(folder, "reg_img{}.jpg", ends, whole=True)
    data = load("casme2", root)
    found = matched(data)
    assert {m.annotation.row: m.annotation.video for m in found.left_out} == FIVE
    assert sum(len(r.annotations) for r in found.records) == 250
    both = matched(data, "clamp")
    assert (len(both.clamped), len(both.left_out)) == (5, 0)
    counts = check(data).faults
    assert sum(f.code in ("outside-video", "unjoinable-row") for f in counts) == 5
    policies = dict.fromkeys(("outside-video", "unjoinable-row"), "leave-out")
    policies["missing-frames"] = "accept"  # the tree is sparse
    opened = check(data, policies=policies).open
    assert {f.code for f in opened} <= {"missing-apex"}
    listing = listed({"casme2": root}, ("happiness", "disgust", "repression", "surprise", "others"))
    assert len(listing.examples) == sum(listing_counts(report)) - 5
    assert len(listing.mismatched) == 5


def test_training_has_the_same_policy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trees.images(tmp_path / "v", "{}.png", range(10))
    (tmp_path / "t.csv").write_text("file,fps,kind,onset,offset\nv,25,micro,1,5\nv,25,micro,6,12\n")
    data = DataSource("own", str(tmp_path))
    with pytest.raises(ConfigError, match="mismatch"):
        strict.build(DataSource, {**vars(data), "mismatch": "drop"}, "data")
    refusing = RunConfig(replace(data, mismatch="refuse"), str(tmp_path / "out"))
    with pytest.raises(
        UsageError, match="own: 1 row with frames that the video does not have: v/v"
    ):
        read_videos(refusing)
    with pytest.raises(AumerError):  # no face; the rows have been read
        read_videos(RunConfig(data, str(tmp_path / "out")))
    assert "1 row left out, with frames that the video does not have" in caplog.text
    clips = {"source": "own", "root": str(tmp_path), "mismatch": "clamp"}
    assert strict.build(ClipSource, clips, "data").mismatch == "clamp"


def test_a_spotting_run_counts_what_is_left(tmp_path: Path) -> None:
    rows = (a(1, 2, 5, row=2), a(6, 8, 12, row=3))
    record = VideoRecord("set", "s", "v", 25.0, Path("v"), 10, rows)
    source = Videos(Set(tmp_path, (record,), DataReport()), tmp_path)
    assert [x.row for r in source.records() for x in r.annotations] == [2]
    assert "1 row left out" in source.notes()[0]
    (row,) = source.left_out()
    truth = SpottingTruth({"set": ()}, {"set": ()}, {"set": ()}, left_out={"set": (row,)})
    rules = truth.expected("set", SpottingSettings(expect_macro=3, expect_micro=2))
    assert (rules.expect_macro, rules.expect_micro) == (3, 1)
    told = truth.to_dict()["datasets"]["set"]["left_out"]
    assert told == [{**row}] and told[0]["reason"].startswith("the offset is frame 12")
