"""Formats of other programs: what goes out comes back."""

from __future__ import annotations

import contextlib
import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumer.cli import main
from aumer.errors import UsageError
from aumer.results.eaf import Eaf
from aumer.results.exchange import (
    Exchange,
    Timed,
    convert,
    ms,
    read_annotations,
    timed_of,
)
from aumer.results.rttm import Rttm
from aumer.results.subtitles import SubRip, WebVtt
from aumer.results.textgrid import TextGrid
from aumer.types import KINDS
from tests.results.conftest import expression, make

LABELS = st.none() | st.text(st.characters(codec="utf-8"), max_size=8) | st.just('a --> b\n\n"<&')

UNITS = st.none() | st.sampled_from(["12", "6+L12", "R2"])


@st.composite
def timed(draw: st.DrawFn) -> Timed:
    onset, apex, offset = sorted(draw(st.floats(0, 7300)) for _ in range(3))
    kind, score = draw(st.sampled_from(KINDS)), draw(st.floats(0, 1))
    return Timed(kind, onset, offset, apex, draw(LABELS), score, aus=draw(UNITS))


@pytest.mark.parametrize("kind", [SubRip(), WebVtt(), Rttm()], ids=lambda k: type(k).__name__)
@settings(max_examples=30, deadline=None)
@given(given_=st.lists(timed(), max_size=4), name=st.text(st.characters(codec="utf-8"), max_size=8))
def test_round_trip(kind: Exchange, given_: list[Timed], name: str) -> None:
    text = kind.text(name, given_)
    found = kind.parse(text)
    assert [(f.kind, f.label, f.score, f.aus) for f in found] == [
        (g.kind, g.label, g.score, None if isinstance(kind, Rttm) else g.aus) for g in given_
    ]
    for f, g in zip(found, given_, strict=True):
        assert f.onset_s == pytest.approx(g.onset_s, abs=0.00101)
        assert f.offset_s == pytest.approx(g.offset_s, abs=0.00101)
        assert f.apex_s == (
            None if isinstance(kind, Rttm) else pytest.approx(g.apex_s, abs=0.00101)
        )
    assert kind.text(name, found) == kind.text(name, kind.parse(kind.text(name, found)))


@settings(max_examples=30, deadline=None)
@given(given_=st.lists(timed(), max_size=4))
def test_round_trip_of_a_textgrid(given_: list[Timed]) -> None:
    """Whose tiers give another order."""

    def known(e: Timed) -> tuple[object, ...]:
        assert e.apex_s is not None
        return (
            e.kind,
            ms(e.onset_s),
            ms(e.apex_s),
            ms(e.offset_s),
            repr(e.label),
            e.score,
            repr(e.aus),
        )

    text = TextGrid().text("x", given_)
    assert sorted(map(known, TextGrid().parse(text))) == sorted(map(known, given_))
    assert TextGrid().parse(text.replace("\n", "\r\n")) == TextGrid().parse(text)


@pytest.mark.parametrize("suffix", ["eaf", "srt", "vtt", "rttm", "TextGrid"])
def test_saved_by_suffix_and_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ü x.{suffix}"
    make(60, [expression("micro", 3, 6, 9), expression("macro", 6, 20, 40)]).save(path)
    found = read_annotations(path)
    assert [e.kind for e in found] == ["micro", "macro"]
    assert found[1].offset_s == pytest.approx(40 / 30, abs=0.001)


def test_other_content_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.vtt"
    path.write_text("1\n", encoding="utf-8")
    with pytest.raises(UsageError, match="WEBVTT"):
        read_annotations(path)


@settings(max_examples=30, deadline=None)
@given(given_=st.lists(timed(), max_size=5))
def test_every_reference_of_an_eaf_resolves_and_it_comes_back(given_: list[Timed]) -> None:
    text = Eaf().text("ü <&.mp4", given_)
    root = ET.fromstring(text)
    for one, what, other, key in (
        ("ALIGNABLE_ANNOTATION", "TIME_SLOT_REF1", "TIME_SLOT", "TIME_SLOT_ID"),
        ("ALIGNABLE_ANNOTATION", "TIME_SLOT_REF2", "TIME_SLOT", "TIME_SLOT_ID"),
        ("REF_ANNOTATION", "ANNOTATION_REF", "ALIGNABLE_ANNOTATION", "ANNOTATION_ID"),
        ("REF_ANNOTATION", "CVE_REF", "CV_ENTRY_ML", "CVE_ID"),
        ("TIER", "LINGUISTIC_TYPE_REF", "LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID"),
        ("TIER", "PARENT_REF", "TIER", "TIER_ID"),
        ("LINGUISTIC_TYPE", "CONSTRAINTS", "CONSTRAINT", "STEREOTYPE"),
        ("LINGUISTIC_TYPE", "CONTROLLED_VOCABULARY_REF", "CONTROLLED_VOCABULARY", "CV_ID"),
        ("CVE_VALUE", "LANG_REF", "LANGUAGE", "LANG_ID"),
    ):
        ids = [e.attrib[key] for e in root.iter(other)]
        assert len(ids) == len(set(ids))
        assert {e.attrib[what] for e in root.iter(one) if what in e.attrib} <= set(ids)
    found = Eaf().parse(text)
    assert sorted((f.kind, f.score or 0) for f in found) == sorted(
        (g.kind, g.score or 0) for g in given_
    )
    by_score = {(f.kind, f.score, round(f.onset_s, 2)): f for f in found}
    for f in by_score.values():
        assert any(
            (f.kind, f.score) == (g.kind, g.score)
            and f.onset_s == pytest.approx(g.onset_s, abs=0.00101)
            and f.offset_s == pytest.approx(g.offset_s, abs=0.00101)
            and f.apex_s == pytest.approx(g.apex_s, abs=0.00101)
            for g in given_
        )


def test_an_elan_file_of_a_coder_is_read(tmp_path: Path) -> None:
    """Tiers of their own, none of ours beside `Micro`, and slots without a time."""
    path = tmp_path / "coded.eaf"
    path.write_text(
        """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1200"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="1601"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="Micro"><ANNOTATION><ALIGNABLE_ANNOTATION
 ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3"><ANNOTATION_VALUE>lip corner
</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="words"><ANNOTATION><ALIGNABLE_ANNOTATION
 ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>well
</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>""",
        encoding="utf-8",
    )
    assert read_annotations(path) == (Timed("micro", 1.2, 1.6, None, "lip corner", None),)


def test_a_textgrid_of_praat_is_read(tmp_path: Path) -> None:
    """Written in Praat's long form and in UTF-16, with a coder's word and a moved apex."""
    path = tmp_path / "coded.TextGrid"
    path.write_text(
        """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "micro"
        xmin = 0
        xmax = 2.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1.2
            text = ""
        intervals [2]:
            xmin = 1.2
            xmax = 1.601
            text = "suré ""?"" 3 "
    item [2]:
        class = "TextTier"
        name = "micro apex"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            number = 1.4
            mark = ""
""",
        encoding="utf-16",
    )
    assert read_annotations(path) == (Timed("micro", 1.2, 1.6, 1.4, 'suré "?" 3', None),)


def test_a_file_goes_from_format_to_format(tmp_path: Path) -> None:
    result = make(60, [expression("micro", 3, 6, 9), expression("macro", 6, 20, 40)])
    result.save(tmp_path / "r.json")
    files = ["r.json", "a.eaf", "b.textgrid", "c.vtt", "d.srt", "e.rttm"]
    for source, target in itertools.pairwise(files):
        assert convert(tmp_path / source, tmp_path / target).count == 2
    first, last = (read_annotations(tmp_path / name) for name in ("a.eaf", "e.rttm"))
    assert [replace(e, apex_s=None) for e in first] == list(last)
    with pytest.raises(UsageError, match="exists already"):
        convert(tmp_path / "a.eaf", tmp_path / "b.textgrid")
    with pytest.raises(UsageError, match=r"counts frames.* ends in one of .*\.textgrid"):
        convert(tmp_path / "a.eaf", tmp_path / "x.json")
    assert read_annotations(tmp_path / "r.json") == timed_of(result)
    with pytest.raises(UsageError, match="cannot be read as annotations"):
        read_annotations(tmp_path / "r.html")
    assert not (tmp_path / "x.json").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(60, [expression("micro", 3, 6, 9)]).save(tmp_path / "r.json")
    words = ["convert", str(tmp_path / "r.json"), str(tmp_path / "r.eaf")]
    assert main(words) == 0 and "1 expression" in capsys.readouterr().err
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0 and len(read_annotations(words[2])) == 1


@pytest.mark.parametrize("suffix", ["eaf", "textgrid", "vtt", "srt", "rttm"])
def test_what_is_damaged_is_told(tmp_path: Path, suffix: str) -> None:
    """Cut anywhere, a file is read in part or told; never an error of Python's own."""
    path = tmp_path / f"x.{suffix}"
    make(60, [expression("micro", 3, 6, 9), expression("macro", 6, 20, 40)]).save(path)
    whole = path.read_bytes()
    noise = bytes(range(256))
    for content in (noise, b"\xff\xfe\x00", *(whole[: len(whole) * k // 9] for k in range(9))):
        path.write_bytes(content)
        with contextlib.suppress(UsageError):
            assert len(read_annotations(path)) <= 2


def test_a_file_without_our_tiers_is_told_and_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "x.eaf"
    make(60, [expression("micro", 3, 6, 9)]).save(path)
    path.write_text(path.read_text().replace('"micro"', '"a"').replace('"macro"', '"b"'))
    with pytest.raises(UsageError, match=r"no tier (micro or macro|macro or micro)") as told:
        read_annotations(path)
    assert "'a'" in str(told.value)
