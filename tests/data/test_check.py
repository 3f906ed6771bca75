"""The linter: every kind of fault by a case made for it, and the counts on the real tables."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from data import trees

from aumer.data import load, read_table_report
from aumer.data.check import FAULTS, Check, check
from aumer.data.dataset import JoinedDataSet
from aumer.data.report import DataReport, Fault, TableReport
from aumer.errors import UsageError
from aumer.types import Annotation, Kind, VideoRecord

Find = Callable[[str], Path]


def a(
    onset: int,
    apex: int | None,
    offset: int | None,
    *,
    kind: Kind = "macro",
    aus: str = "",
    row: int = 0,
) -> Annotation:
    return Annotation("s1", "v", kind, onset, apex, offset, aus=aus, row=row)


class Set(JoinedDataSet):
    name: ClassVar[str] = "set"
    layout: ClassVar[str] = "none"
    expected: ClassVar[Mapping[str, int]] = {}

    @classmethod
    def from_root(cls, root: Any, *args: Any, **options: Any) -> Set:
        return cls(Path(root), (), DataReport())


def checked(
    *own: Annotation,
    frames: int | None = 100,
    path: Path | None = Path("v"),
    report: DataReport | None = None,
) -> Check:
    record = VideoRecord("set", "s1", "v", 25.0, path, frames, own)
    return check(Set(Path(), (record,), report or DataReport()))


def found(result: Check) -> Counter[str]:
    return Counter(fault.code for fault in result.faults)


@pytest.mark.parametrize(
    ("own", "faults"),
    [
        ([a(1, 3, 9), a(10, 12, 20)], {}),
        ([a(1, 10, 9)], {"apex-outside": 1}),
        ([a(5, 4, 9)], {"apex-outside": 1}),
        ([a(5, 5, 9), a(20, 29, 29)], {}),  # the ends belong to it
        ([a(5, 9, None)], {}),  # without an offset nothing lies after it
        ([a(1, 3, 9), a(9, 12, 20)], {"overlap": 1}),  # one frame in common
        ([a(1, 3, 9), a(2, 3, 5, kind="micro")], {"overlap": 1}),
        ([a(1, 3, 9), a(1, 3, 9)], {"duplicate": 1}),
        ([a(1, 3, 9), a(1, 3, 9, kind="micro")], {"overlap": 1}),
        ([a(90, 95, 99)], {}),
        ([a(90, 95, 100)], {"outside-video": 1}),
        ([a(100, 101, None)], {"outside-video": 1}),
        ([a(0, 3, 25, kind="micro")], {}),  # a second at 25 frames a second
        ([a(0, 3, 26, kind="micro")], {"long-micro": 1}),
        ([a(0, 3, 26)], {}),
    ],
)
def test_intervals(own: list[Annotation], faults: dict[str, int]) -> None:
    assert found(checked(*own)) == faults


def table(*own: Annotation, name: str = "one.csv", frames: int | None = None) -> TableReport:
    lengths = {} if frames is None else {("s1", "v"): frames}
    return TableReport("set", Path(name), "", len(own), own, lengths=lengths)


def test_two_tables_that_disagree() -> None:
    one = table(a(1, 3, 9, aus="4+7", row=2), a(1, 3, 9, kind="micro", aus="12", row=3))
    same = table(a(1, 3, 9, aus="7 + 4"), a(1, 3, 9, kind="micro", aus="12"), name="two.csv")
    other = table(a(1, 3, 9, aus="4", row=5), a(1, 3, 9, kind="micro"), name="three.csv")
    result = checked(report=DataReport((one, same, other)))
    (fault,) = [f for f in result.faults if f.code == "au-disagreement"]
    assert fault.row == 2 and fault.message == "4+7 in one.csv; 4 in three.csv, row 5"


def test_two_that_begin_together_are_not_mixed_up() -> None:
    own = a(1, 3, 9, aus="4"), a(1, 3, 12, aus="12")
    assert found(checked(report=DataReport((table(*own), table(*own))))) == {"overlap": 1}


def test_a_table_that_promises_another_length() -> None:
    assert found(checked(report=DataReport((table(frames=101),)))) == {"frame-count": 1}
    assert found(checked(report=DataReport((table(frames=100),)))) == {}


def film(path: Path, frames: int, fps: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (32, 24))
    for k in range(frames):
        writer.write(np.full((24, 32, 3), 5 * k, np.uint8))
    writer.release()
    return path


def test_files_are_decoded(tmp_path: Path) -> None:
    right = film(tmp_path / "right.avi", 20, 25.0)
    assert found(checked(a(1, 3, 19), path=right, frames=None)) == {}
    assert found(checked(a(1, 3, 20), path=right, frames=None)) == {"outside-video": 1}
    slow = film(tmp_path / "slow.avi", 20, 24.0)
    result = checked(a(1, 3, 19), path=slow, frames=None)
    assert found(result) == {"frame-rate": 1}
    assert "has 24 frames a second, not 25" in result.faults[0].message
    (tmp_path / "text.avi").write_text("no video")
    assert found(checked(path=tmp_path / "text.avi", frames=None)) == {"unreadable-video": 1}


def test_counts() -> None:
    class Released(Set):
        expected: ClassVar[Mapping[str, int]] = {"subjects": 1, "videos": 2, "macro": 1, "micro": 0}

    record = VideoRecord("set", "s1", "v", 25.0, Path("v"), 100, (a(1, 2, 3),))
    missing = VideoRecord("set", "s1", "w", 25.0)
    result = check(Released(Path(), (record, missing), DataReport()))
    (fault,) = result.faults
    assert (fault.code, fault.message) == ("count", "1 videos, expected 2")
    assert result.counts == {"subjects": 1, "videos": 1, "micro": 0, "macro": 1}


# On the real tables


def test_casme_sq(tmp_path: Path, shared_data: Find) -> None:
    report = read_table_report("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))
    trees.casme_sq(tmp_path, report)
    shutil.copy(shared_data("annotations/casme_sq_auwgcn.csv"), tmp_path)
    result = check(load("casme-sq", tmp_path))
    assert result.counts == {"subjects": 22, "videos": 95, "macro": 300, "micro": 57}
    assert found(result) == {
        "missing-offset": 44,
        "missing-apex": 1,
        "apex-outside": 3,
        "overlap": 16,
        "missing-frames": 95,  # the tree is sparse
    }


def test_casme2_editions(tmp_path: Path, shared_data: Find) -> None:
    report = read_table_report("casme2", shared_data("annotations/casme2_coding.xlsx"))
    trees.casme2(tmp_path, report)
    assert found(check(load("casme2", tmp_path))) == {"missing-frames": 255}
    shutil.copy(shared_data("annotations/casme2_coding_2019.xlsx"), tmp_path)
    codes = found(check(load("casme2", tmp_path)))
    assert codes == {"missing-frames": 255, "au-disagreement": 57}


def test_samm_lv(tmp_path: Path, shared_data: Find) -> None:
    report = read_table_report("samm-lv", shared_data("annotations/samm_lv_coding.xlsx"))
    trees.samm_lv(tmp_path, report)
    result = check(load("samm-lv", tmp_path))
    assert result.counts == {"subjects": 30, "videos": 147, "macro": 343, "micro": 159}
    codes = found(result)
    assert (codes["missing-apex"], codes["overlap"], codes["count"]) == (6, 111, 0)
    rules = Counter(c.rule.name for c in result.corrections)
    assert rules == {"fractional-frame": 430, "onset-before-video": 10, "repeated-name": 1}


def test_what_is_gone_is_said(tmp_path: Path, shared_data: Find) -> None:
    report = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    trees.samm(tmp_path, trees.some(report, "006"), whole=True)
    trees.samm(tmp_path, trees.all_but(report, "006"))
    sparse = len({a.video for a in report.annotations if a.subject != "006"})
    assert found(check(load("samm", tmp_path))) == {"apex-outside": 1, "missing-frames": sparse}
    shutil.rmtree(tmp_path / "006" / "006_1_2")
    (tmp_path / "006" / "006_1_3" / "006_03950.jpg").unlink()
    (tmp_path / "006" / "006_1_4" / "006_02403.jpg").unlink()  # the last
    result = check(load("samm", tmp_path))
    assert found(result) == {
        "apex-outside": 1,
        "missing-video": 1,
        "missing-frames": sparse + 1,
        "outside-video": 1,
        "count": 1,
    }
    by_code = {fault.code: fault for fault in reversed(result.faults)}
    assert by_code["missing-video"].video == "006_1_2"
    assert "1 images are missing between 3912 and 3988, the first is 3950" in (
        by_code["missing-frames"].message
    )
    assert by_code["outside-video"].video == "006_1_4"


# Policies and the report


def test_policies_close_faults() -> None:
    own = a(1, 30, 9), a(20, 22, 120)
    result = checked(*own)
    assert len(result.open) == 2
    record = VideoRecord("set", "s1", "v", 25.0, Path("v"), 100, own)
    data = Set(Path(), (record,), DataReport())
    half = check(data, policies={"outside-video": "accept"})
    assert [fault.code for fault in half.open] == ["apex-outside"]
    assert not check(data, policies={"outside-video": "accept", "apex-outside": "accept"}).open


def test_an_overlap_is_advice() -> None:
    """The simulator and the spotters make them."""
    result = checked(a(1, 3, 9), a(2, 3, 5, kind="micro"))
    assert (len(result.faults), len(result.advice), result.open) == (1, 1, ())
    told = result.to_dict()
    assert told["clean"] is True and told["faults"][0]["severity"] == "advice"
    assert checked(a(1, 30, 9)).to_dict()["faults"][0]["severity"] == "fault"


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"overlaps": "accept"}, "Did you mean 'overlap'"),
        ({"overlap": "mirror"}, "must be one of accept; found 'mirror'"),
        ({"missing-offset": "miror"}, "Did you mean 'mirror'"),
    ],
)
def test_policies_that_are_none(policies: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(Set(Path(), (), DataReport()), policies=policies)


def test_the_report_for_machines(tmp_path: Path, shared_data: Find) -> None:
    report = read_table_report("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))
    trees.casme_sq(tmp_path, report)
    result = check(load("casme-sq", tmp_path), policies={"missing-offset": "mirror"})
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["clean"] is False
    assert told["summary"]["missing-offset"] == {"count": 44, "policy": "mirror"}
    assert told["summary"]["overlap"] == {"count": 16, "policy": None}
    assert len(told["faults"]) == len(result.faults)
    first = next(fault for fault in told["faults"] if fault["code"] == "missing-offset")
    assert (first["subject"], first["video"], first["row"]) == ("s15", "15_0402", 4)
    assert told["tables"][0]["rows"] == 357


def test_every_fault_that_can_be_made_has_a_meaning() -> None:
    """Otherwise sorting them would fail where one turns up for the first time."""
    import re

    package = Path(trees.__file__).parents[2] / "aumer" / "data"
    made = set()
    for path in package.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        made |= set(re.findall(r'Fault\(\s*"([a-z-]+)"', text))
        made |= set(re.findall(r'Rule\(\s*"([a-z-]+)",[^)]*final=False', text))
    assert {"overlap", "missing-offset", "several-videos"} <= made
    assert made == set(FAULTS)
    assert Fault("overlap", "").code in FAULTS
