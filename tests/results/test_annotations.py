"""Coders' files: what is saved comes back, and the history says what was changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumer.errors import UsageError
from aumer.results import SpotResult
from aumer.results.annotations import (
    Annotated,
    AnnotationFile,
    of_result,
    path_for,
    placed,
    read_any,
)
from aumer.results.exchange import convert, read_annotations
from aumer.tables import intervals
from aumer.types import KINDS
from tests.results.conftest import expression, make

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def annotated(draw: st.DrawFn) -> Annotated:
    onset, apex, offset = sorted(draw(st.integers(0, 10**6)) for _ in range(3))
    has_apex = draw(st.booleans())
    return Annotated(
        draw(st.sampled_from(KINDS)),
        onset / 30,
        offset / 30,
        apex / 30 if has_apex else None,
        draw(st.none() | TEXT),
        draw(st.none() | st.floats(0, 1)),
        draw(st.uuids().map(str)),
        onset,
        apex if has_apex else None,
        offset,
        draw(st.booleans()),
        comment=draw(TEXT),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(annotated(), max_size=4), TEXT, TEXT.filter(str.strip))
def test_round_trip(found: list[Annotated], name: str, coder: str) -> None:
    file = AnnotationFile(name, content="c0ffee", frames=9, duration_s=0.3).changed(found, coder)
    assert AnnotationFile.from_json(file.to_json()) == file
    assert [c.what for c in file.history] == ["add"] * len(found)


def one(**changes: object) -> Annotated:
    usual = Annotated("micro", 1.0, 1.4, 1.2, None, 0.5, "e1", 30, 36, 42)
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_the_history_says_who_what_and_from_what_to_what() -> None:
    file = AnnotationFile("a.mp4", (one(), one(id="e2")))
    changed = file.changed([one(onset=29, onset_s=29 / 30, comment="blink?"), one(id="e3")], "Ann")
    assert changed.coder == "Ann"
    assert [(c.who, c.what, c.id) for c in changed.history] == [
        ("Ann", "onset_s,comment,onset", "e1"),
        ("Ann", "delete", "e2"),
        ("Ann", "add", "e3"),
    ]
    moved, deleted, added = changed.history
    assert (moved.before["onset"], moved.after["onset"]) == (30, 29)
    assert deleted.after == {} and deleted.before["kind"] == "micro"
    assert added.before == {} and added.after["offset"] == 42
    assert moved.when.endswith("+00:00")
    same = changed.changed(changed.expressions, "Bob")
    assert same.history == changed.history  # who changes nothing leaves no trace
    with pytest.raises(UsageError, match="every expression needs an id"):
        file.changed([one(), one()], "Ann")


def test_it_is_a_format_like_the_others(tmp_path: Path) -> None:
    result = make(60, [expression("micro", 3, 6, 9), expression("macro", 6, 20, 40)])
    path = tmp_path / "face.annotations"
    result.save(path)
    assert [(e.kind, e.onset_s) for e in read_annotations(path)] == [("micro", 0.1), ("macro", 0.2)]
    file = AnnotationFile.load(path)
    assert (file.video, file.content, file.coder) == ("face.mp4", "c0ffee", "")
    assert [(e.onset, e.apex, e.offset) for e in file.expressions] == [(3, 6, 9), (6, 20, 40)]
    assert file == of_result(result)
    for suffix in ("eaf", "vtt"):
        assert convert(path, tmp_path / f"a.{suffix}").count == 2
        assert convert(tmp_path / f"a.{suffix}", tmp_path / f"{suffix}.annotations").count == 2
        back = read_any(tmp_path / f"{suffix}.annotations")
        for e, f in zip(back.expressions, file.expressions, strict=True):
            assert e.onset_s == pytest.approx(f.onset_s, abs=0.0011)
            assert e.onset is None
    with pytest.raises(UsageError, match="cannot be read as a result"):
        SpotResult.load(path)
    with pytest.raises(UsageError, match="exists already"):
        file.save(path)
    with pytest.raises(UsageError, match=r"saved as \.annotations"):
        file.save(tmp_path / "face.json")


def test_it_is_a_table_of_intervals(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.annotations"
    AnnotationFile("a.mp4").changed([one(label="joy")], "Ann").save(path)
    table = intervals.read(path)
    assert table.notes == ()
    (row,) = table
    assert (row.video, row.kind, row.onset, row.apex, row.offset) == ("a.mp4", "micro", 30, 36, 42)
    assert row.label == "joy"
    AnnotationFile("a.mp4").save(path, overwrite=True)
    assert [row.kind for row in intervals.read(path)] == ["none"]


def test_times_become_the_nearest_frames() -> None:
    times = np.array([0.0, 0.1, 0.4, 0.5, 1.0])
    (found,) = placed([one(onset_s=0.09, apex_s=0.3, offset_s=0.8)], times)
    assert (found.onset, found.apex, found.offset) == (1, 2, 4)
    assert (found.onset_s, found.apex_s, found.offset_s) == (0.1, 0.4, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read annotations"),
        ('{"schema": "aumer.spot_result"}', "schema must be 'aumer.annotations'"),
        ('{"schema": "aumer.annotations", "schema_version": 2}', "newer aumer"),
        ('{"schema": "aumer.annotations", "schema_version": 1}', "video is missing"),
    ],
)
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.annotations"
    path.write_text(text)
    for read in (AnnotationFile.load, read_annotations):
        with pytest.raises(UsageError, match=message):
            read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"onset": 50}, "frames must be"),
        ({"onset": None}, "both"),
        ({"id": ""}, "id"),
        ({"score": 2.0}, "score"),
        ({"onset_s": 2.0}, "times must be"),
        ({"comment": "x" * 10_001}, "comment"),
    ],
)
def test_what_no_annotation_is(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one(**changes)


def test_where_a_coders_file_lies() -> None:
    video = Path("films/a b.mp4")
    assert path_for(video, "Anna").name == "a b.mp4.anna.annotations"
    assert path_for(video, "김 서연").name == "a b.mp4.김-서연.annotations"
    assert path_for(video, "../../etc").parent == video.parent
    for wrong in ("", "  ", "a\nb", "x" * 65):
        with pytest.raises(UsageError, match="coder's name"):
            path_for(video, wrong)
