"""Formats of other programs: what goes out comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumer.errors import UsageError
from aumer.results.exchange import Exchange, Rttm, SubRip, Timed, WebVtt, read_annotations
from tests.results.conftest import expression, make

LABELS = st.none() | st.text(st.characters(codec="utf-8"), max_size=8) | st.just('a --> b\n\n"<&')


@st.composite
def timed(draw: st.DrawFn) -> Timed:
    onset, apex, offset = sorted(draw(st.floats(0, 7300)) for _ in range(3))
    kind, score = draw(st.sampled_from(("micro", "macro"))), draw(st.floats(0, 1))
    return Timed(kind, onset, offset, apex, draw(LABELS), score)


@pytest.mark.parametrize("kind", [SubRip(), WebVtt(), Rttm()], ids=lambda k: type(k).__name__)
@settings(max_examples=30, deadline=None)
@given(given_=st.lists(timed(), max_size=4), name=st.text(st.characters(codec="utf-8"), max_size=8))
def test_round_trip(kind: Exchange, given_: list[Timed], name: str) -> None:
    text = kind.text(name, given_)
    found = kind.parse(text)
    assert [(f.kind, f.label, f.score) for f in found] == [
        (g.kind, g.label, g.score) for g in given_
    ]
    for f, g in zip(found, given_, strict=True):
        assert f.onset_s == pytest.approx(g.onset_s, abs=0.00101)
        assert f.offset_s == pytest.approx(g.offset_s, abs=0.00101)
        assert f.apex_s == (
            None if isinstance(kind, Rttm) else pytest.approx(g.apex_s, abs=0.00101)
        )
    assert kind.text(name, found) == kind.text(name, kind.parse(kind.text(name, found)))


@pytest.mark.parametrize("suffix", ["srt", "vtt", "rttm"])
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
