"""The page of a video, and the index of many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aumer.report.page import Section, TableBlock, page
from aumer.report.video import Html, IndexRow, index_page, video_page
from aumer.results import InputRow, SpotResult
from aumer.results.totals import VideoTally, totals
from aumer.types import ActingUnit, Expression, Features, Scores, VideoInfo

NASTY = "<b>\"Anna\" & 'Ben'</b><script>alert(1)</script>"


@pytest.fixture
def result() -> SpotResult:
    rows = 120
    times = np.arange(rows) / 30
    valid = np.ones(rows, np.bool_)
    valid[60:90] = False
    values = np.where(valid, 0.1, np.nan).astype(np.float32)[:, None]
    motion = np.zeros((rows, 1, 2), np.float32)
    motion[10:20] = 0.2
    motion[~valid] = np.nan
    frames = np.arange(rows)
    return SpotResult(
        video=VideoInfo(NASTY, "file", 640, 480, 30.0),
        expressions=(
            Expression("micro", 10, 14, 20, 10 / 30, 14 / 30, 20 / 30, 0.8, NASTY, {NASTY: 0.7}),
            Expression("macro", 30, 40, 55, 1.0, 40 / 30, 55 / 30, 0.6, peak=7.0),
        ),
        scores=Scores(values, times, frames, valid, ("expression",)),
        coverage=0.75,
        spotter="rules",
        notes=(NASTY,),
        limit=0.012,
        about={"subject": NASTY},
        features=Features(motion, times, frames, valid, ("mouth_r",), 30.0),
    )


def test_the_page_says_what_was_found_and_how_good_it_is(result: SpotResult) -> None:
    text = video_page(result, {})
    assert "1 micro-expressions, 1 macro-expressions" in text
    assert "75% of the time was measured" in text
    assert "<td>2.00</td>" not in text  # numbers stand to the right
    assert '<td class="n">2.00</td><td class="n">3.00</td><td class="n">1.00</td>' in text
    assert "Smallest movement that stands out from noise: 1.2 % of the outer-eye distance" in text
    assert text.count('alt="Motion around expression') == 2


def test_nothing_of_a_name_becomes_markup(result: SpotResult) -> None:
    text = video_page(result, {})
    assert "<b>" not in text.replace("<b>Table", "").replace("<b>Figure", "")
    assert "alert(1)</script>" not in text
    assert "&lt;script&gt;" in text


def test_action_units_have_a_column_where_they_were_read(result: SpotResult) -> None:
    assert "AUs" not in video_page(result, {})
    units = (ActingUnit(6, 0.1, acts=False), ActingUnit(12, 0.9, acts=True, side="left"))
    first, *others = result.expressions
    read = replace(result, expressions=(replace(first, aus=units), *others))
    assert ">L12<" in video_page(read, {})
    assert "AUs: the action units that act" in video_page(read, {})


def test_faces_are_shown_where_they_are_given(result: SpotResult) -> None:
    frames = Html().frames(result)
    assert {10, 14, 20, 30, 40, 55} <= set(frames)
    face = np.full((64, 64, 3), 128, np.uint8)
    text = video_page(result, {10: face, 14: face})
    assert text.count('alt="Face at the') == 2
    assert "Face at the" not in video_page(result, {})


def test_a_page_without_anything_found(result: SpotResult) -> None:
    text = video_page(replace(result, expressions=(), features=None, notes=()), {})
    assert "None was found." in text and "does not mean that nothing was there" in text


def test_the_format_writes_whole_files_and_no_existing_one(
    result: SpotResult, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    result.save(path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="exists"):
        result.save(path)
    assert path.read_bytes() == before
    result.save(path, overwrite=True)
    assert path.read_bytes() == before  # the same result gives the same bytes


def test_the_index_leads_to_pages_and_names_failures(result: SpotResult) -> None:
    done = InputRow.of("a/ä 1.mp4", result, about={"subject": "s1"})
    failed = InputRow.of("b.mp4", ValueError("torn"), about={"subject": "s2"})
    entries = [IndexRow(done, "a/ä 1.html"), IndexRow(failed, None)]
    text = index_page(entries, totals([VideoTally.of(result)], ["subject"]))
    assert 'href="a/%C3%A4%201.html"' in text
    assert text.count("<a href") == 1 + 2  # and the two of the contents
    assert "torn" in text and "1 of 2 gave no result" in text
    assert "<td>s1</td>" in text


def test_only_a_page_with_a_sortable_table_has_a_script() -> None:
    def made(sortable: bool) -> str:
        table = TableBlock(["a"], [["1"]], "c", sortable=sortable)
        return page("t", [], [], [Section("s", [table])])

    assert "<script" not in made(False) and "script-src" not in made(False)
    assert made(True).count("<script>") == 1 and "script-src 'sha256-" in made(True)
