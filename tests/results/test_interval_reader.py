"""What aumer writes for other programs is scored like its tables."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

import aumer
from aumer.errors import UsageError
from aumer.evaluation.tables import read_predictions
from aumer.results import SpotResult
from aumer.results.exchange import annotation_endings
from aumer.tables.reading import IntervalReading, choose


@lru_cache(maxsize=1)
def result() -> SpotResult:
    (video,) = aumer.simulate_features(1, minutes=0.5, seed=1)
    found = aumer.spot(video.features, model="rules")
    assert isinstance(found, SpotResult) and len(found.expressions) > 1
    return found


@pytest.mark.parametrize("ending", sorted({*annotation_endings()} - {".csv"}))
def test_every_format_is_read(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk{ending}"
    result().save(path)
    assert choose(path, IntervalReading()) == "annotations"
    found = read_predictions(path, fps=30)
    spans = [(p.kind, p.onset, p.offset) for p in found]
    assert spans == [(e.kind, e.onset, e.offset) for e in result().expressions]
    videos = {p.video for p in found}
    assert videos in ({"talk"}, {result().video.name})


def test_a_file_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.eaf").write_text("onset,offset\n1,2\n")
    with pytest.raises(UsageError, match=r"x\.eaf"):
        read_predictions(tmp_path / "x.eaf", fps=30)


def test_a_file_without_expressions_is_a_video_without_any(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").write_text("")
    assert list(read_predictions(tmp_path / "talk.srt", fps=30)) == []
