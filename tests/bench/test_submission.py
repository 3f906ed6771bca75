"""Files for the challenges' servers: written, read back, and refused where they are not theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aumer.bench.submission import (
    CHALLENGES,
    challenge,
    check,
    check_names,
    class_of,
    emotion_of,
    subject_and_video,
    written,
)
from aumer.errors import UsageError
from aumer.evaluation.rows import PredictedInterval, Video
from aumer.evaluation.tables import read_predictions
from aumer.types import KINDS, Expression

VIDEOS = [Video("SAMM", "006/006_1", 200.0, 500), Video("SAMM", "007_2", 200.0, 400)]
rows_of_ours = st.lists(
    st.builds(
        lambda v, k, a, n, e: PredictedInterval(
            *v.key, k, min(a, v.frames - 1), min(a + n, v.frames - 1), label=e
        ),
        st.sampled_from(VIDEOS),
        st.sampled_from(KINDS),
        st.integers(0, 399),
        st.integers(0, 90),
        st.sampled_from(["negative", "positive", "surprise", "happiness"]),
    ),
    max_size=8,
    unique_by=lambda p: (p.video, p.kind, p.onset, p.offset),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_ours, name=st.sampled_from(sorted(CHALLENGES)), first=st.sampled_from([0, 1]))
def test_what_is_written_has_no_fault_and_is_read(
    tmp_path: Path, rows: list[PredictedInterval], name: str, first: int
) -> None:
    asked = challenge(name)
    path = tmp_path / "samm_pred.csv"
    path.write_text(written(asked, rows, first))
    checked = check(path, asked, VIDEOS, first)
    assert checked.faults == ()
    wanted = [p for p in rows if p.kind in asked.kinds]
    assert checked.rows == len(wanted)
    found = read_predictions(path, first_frame=first)
    named = (lambda v: v.rpartition("/")[2]) if asked.emotions else str
    assert sorted((p.video, p.kind, p.onset, p.offset) for p in found) == sorted(
        (named(p.video), p.kind, p.onset, p.offset) for p in wanted
    )
    if asked.emotions:
        assert {p.label for p in found} <= set(asked.emotions)


def test_subjects_as_the_organizers_script_compares_them() -> None:
    assert subject_and_video("007_2") == ("7", "007_2")
    assert subject_and_video("spNO.142/a") == ("spNO.142", "a")
    asked = challenge("megc2024")
    assert written(
        asked, [PredictedInterval("SAMM", "017_3", "micro", 315, 427, label="sadness")]
    ) == ("subject,video,onset,offset,emotion\n17,017_3,316,428,negative\n")
    assert emotion_of(asked, "happiness") == "positive"
    for label in ("", "others"):
        with pytest.raises(UsageError, match="none for"):
            emotion_of(asked, label)
    with pytest.raises(UsageError, match=r"'megc2052'.*Did you mean 'megc2025'"):
        challenge("megc2052")


def test_the_class_of_an_expression_without_a_label() -> None:
    e = Expression("micro", 1, 2, 3, 1.0, 2.0, 3.0, 1.0, "surprise")
    assert class_of(e) == "surprise"
    doubted = replace(e, label=None, probs={"negative": 0.3, "positive": 0.4, "surprise": 0.3})
    assert class_of(doubted) == "positive"
    at_rest = replace(e, label=None, probs=dict.fromkeys(("negative", "positive"), 0.5))
    assert class_of(at_rest) == class_of(replace(e, label=None)) == ""


@pytest.mark.parametrize(
    ("name", "line", "codes"),
    [
        ("megc2022", "006/006_1,10,20,me", []),
        ("megc2022", "006_1,10,20,mae", []),  # the end of its path alone
        ("megc2022", "006_9,10,20,me", ["video"]),
        ("megc2022", "006_1,10,20,micro", ["type"]),
        ("megc2022", "006_1,20,10,me", ["reversed"]),
        ("megc2022", "006_1,0,10,me", ["outside"]),  # frames begin at 1
        ("megc2022", "006_1,490,501,me", ["outside"]),
        ("megc2022", "006_1,490,500,me", []),
        ("megc2022", "006_1,9.5,20,me", ["frame"]),
        ("megc2022", "006_1,,20,me", ["frame"]),
        ("megc2022", "006_1,10,20", ["cells"]),
        ("megc2025", "6,006_1,10,20,negative", []),
        ("megc2025", "006,006_1,10,20,negative", ["video"]),  # compared as written
        ("megc2025", "6,006_1,10,20,happiness", ["emotion"]),
    ],
)
def test_faults_of_a_line(tmp_path: Path, name: str, line: str, codes: list[str]) -> None:
    asked = challenge(name)
    path = tmp_path / "p.csv"
    path.write_text(f"{','.join(asked.columns)}\n{line}\n")
    checked = check(path, asked, VIDEOS)
    assert [fault.code for fault in checked.faults] == codes
    assert all(fault.line == 2 for fault in checked.faults)
    # Without the videos, what only they tell is none.
    alone = [fault.code for fault in check(path, asked).faults]
    assert alone == [c for c in codes if c != "video" and not (c == "outside" and "501" in line)]


def test_faults_of_a_file(tmp_path: Path) -> None:
    asked = challenge("megc2024")
    path = tmp_path / "cas_pred.csv"
    path.write_text("vid,pred_onset,pred_offset,type\n006_1,1,2,me\n")
    (fault,) = check(path, asked).faults
    assert fault.code == "header" and "subject,video,onset,offset,emotion" in fault.message
    assert not check(path, challenge("megc2023")).faults
    path.write_text("vid,onset,offset,type\n006_1,1,2,me\n006_1,1,2,me\n")
    checked = check(path, challenge("megc2023"), VIDEOS)
    assert [(f.line, f.code) for f in checked.faults] == [(3, "duplicate")]
    assert any("one that was sent before" in note for note in checked.notes)
    assert any("1 of 2 videos have no row, such as 007_2" in note for note in checked.notes)
    text = checked.describe()
    assert "faults: 1 duplicate" in text and "line 3: the same interval as in line 2" in text
    path.write_text("")
    (fault,) = check(path, asked).faults
    assert "found nothing" in fault.message
    path.write_text(",".join(asked.columns) + "\n")
    empty = check(path, asked, VIDEOS)
    assert not empty.faults and "it has no row: nothing was spotted" in empty.notes
    # Two emotions for one interval are two predictions of it.
    path.write_text(",".join(asked.columns) + "\n6,006_1,1,2,negative\n6,006_1,1,2,positive\n")
    assert [f.code for f in check(path, asked, VIDEOS).faults] == ["duplicate"]


def test_a_participant_s_rows_are_no_fault(tmp_path: Path) -> None:
    """Lines as files of 2024 have them; one begins at frame 0, which says how they count."""
    path = tmp_path / "cas_pred.csv"
    path.write_text(
        "subject,video,onset,offset,emotion\n5,anger1,482,504,negative\n11,happy3,0,20,positive\n"
    )
    videos = [Video("CASME3", "5/anger1", 30.0, 4000), Video("CASME3", "11/happy3", 30.0, 3000)]
    assert not check(path, challenge("megc2024"), videos, first_frame=0).faults
    (fault,) = check(path, challenge("megc2024"), videos, first_frame=1).faults
    assert fault.code == "outside"


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        (b"vid;pred_onset;pred_offset;type\n006_1;1;2;me\n", ["separator"]),
        (b"sep=,\nvid,pred_onset,pred_offset,type\n006_1,1,2,me\n", ["separator"]),
        (b"vid\tpred_onset\tpred_offset\ttype\n006_1\t1\t2\tme\n", ["separator"]),
        ("vid,pred_onset,pred_offset,type\n006_1,1,2,me\n".encode("utf-16"), ["encoding"]),
        ("vid,pred_onset,pred_offset,type\n006_1,1,2,me\n".encode("utf-8-sig"), ["encoding"]),
        (b"vid, pred_onset,pred_offset,type\n006_1,1,2,me\n", ["blanks"]),
        (b"vid,pred_onset,pred_offset,type\n006_1,1,2, me\n", ["blanks"]),
        (b"vid,pred_onset,pred_offset,type\r\n006_1,1,2,me\r\n", []),
    ],
)
def test_what_a_plain_reader_would_take_otherwise(
    tmp_path: Path, content: bytes, codes: list[str]
) -> None:
    """The tables that are read here may be written in many ways, a submission in one."""
    (tmp_path / "samm_pred.csv").write_bytes(content)
    checked = check(tmp_path / "samm_pred.csv", challenge("megc2022"), VIDEOS)
    assert [fault.code for fault in checked.faults] == codes


def test_names_are_written_as_they_are() -> None:
    """No quote before what a spreadsheet would take for a formula; commas and blanks survive."""
    names = ("=1", "+a b", "c,d")
    rows = [PredictedInterval("SAMM", name, "micro", 0, 4) for name in names]
    text = written(challenge("megc2022"), rows)
    assert text.splitlines()[1:] == ["+a b,1,5,me", "=1,1,5,me", '"c,d",1,5,me']


def test_two_videos_of_one_name_are_refused() -> None:
    same = [Video("SAMM", "006_1", 200.0), Video("SAMM", "6/006_1", 200.0)]
    check_names(challenge("megc2022"), same)
    check_names(challenge("megc2024"), [same[0], Video("CASME3", "6/006_1", 30.0)])
    with pytest.raises(UsageError, match=r"SAMM/006_1 and SAMM/6/006_1 the same, 6,006_1"):
        check_names(challenge("megc2024"), same)
