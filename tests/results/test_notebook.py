"""Expressions as small films in notebooks."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aumer.results import SpotResult
from aumer.results.notebook import MOST_BYTES, PICTURES, SIDE, clips
from aumer.results.totals import VideoTally, totals
from aumer.types import FaceTrack
from aumer.video.writer import VideoFile
from tests.results.conftest import expression, make


def track(rows: int = 60) -> FaceTrack:
    """A face whose box trembles."""
    boxes = np.tile(np.float32([20, 20, 60, 60]), (rows, 1))
    boxes += np.random.default_rng(0).normal(0, 2, (rows, 1)).astype(np.float32)
    times, frames, valid = np.arange(rows) / 30, np.arange(rows), np.ones(rows, bool)
    return FaceTrack(times, frames, valid, boxes, np.zeros((rows, 68, 2), np.float32))


@pytest.fixture
def seen(tmp_path: Path) -> SpotResult:
    """Two seconds: a picture that is the same but for a square, which brightens with each frame."""
    path = tmp_path / "face.mp4"
    still = np.random.default_rng(1).integers(0, 90, (80, 80, 3), np.uint8)
    with VideoFile(path, fps=30, size=(80, 80), codec="mp4v") as video:
        for k in range(60):
            image = still.copy()
            image[30:50, 30:50] = 90 + 2 * k
            video.write(image)
    found = [expression("micro", 3, 6, 9, 0.5), expression("macro", 20, 30, 45, 0.9)]
    return dataclasses.replace(make(60, found), source=path, track=track())


def pictures(webp: bytes) -> list[np.ndarray]:
    film = Image.open(io.BytesIO(webp))
    assert film.format == "WEBP" and film.info["loop"] == 0  # for ever
    found = []
    for k in range(film.n_frames):
        film.seek(k)
        found.append(np.asarray(film.convert("RGB"), float))
    return found


def test_films_show_the_frames_of_their_expression(seen: SpotResult) -> None:
    micro, macro = clips(seen)
    assert (micro.expression.kind, macro.expression.kind) == ("micro", "macro")
    for clip, first, last in ((micro, 0, 15), (macro, 14, 51)):
        shown = pictures(clip.webp)
        # WebP makes one of pictures that look alike, for as long as both.
        assert 8 <= len(shown) <= min(PICTURES, last - first + 1)
        assert shown[0].shape == (SIDE, SIDE, 3) and len(clip.webp) <= MOST_BYTES
        bright = [picture[40:56, 40:56].mean() for picture in shown]
        assert bright[0] == pytest.approx(90 + 2 * first, abs=6)
        assert bright[-1] == pytest.approx(90 + 2 * last, abs=6)
        assert np.all(np.diff(bright) > -1)
        # The crop stands still although the box trembles.
        edges = [np.abs(picture[:, :24] - shown[0][:, :24]).mean() for picture in shown]
        assert max(edges) < 8


def test_they_are_in_the_page_and_stay_small(seen: SpotResult) -> None:
    page = seen._repr_html_()
    assert page.count("data:image/webp;base64,") == 2 and "4 times slower" in page
    many = [expression("macro", 2 * k, 2 * k + 1, 2 * k + 4) for k in range(25)]
    assert len(clips(dataclasses.replace(seen, expressions=tuple(many)))) == 5
    labeled = dataclasses.replace(seen.expressions[0], label='<b>"')
    (clip,) = clips(dataclasses.replace(seen, expressions=(labeled,)))
    assert "&lt;b&gt;&quot;" in clip.html and "<b>" not in clip.html


def test_no_face_where_none_is_wanted_or_can_be_had(seen: SpotResult, tmp_path: Path) -> None:
    loaded = SpotResult.from_json(seen.to_json())
    assert loaded == seen and loaded.source is None
    gone = dataclasses.replace(seen, source=tmp_path / "gone.mp4")
    hidden = dataclasses.replace(seen, source=None)
    for result in (loaded, gone, hidden, dataclasses.replace(seen, track=None)):
        assert clips(result) == () and "webp" not in result._repr_html_()


def test_reading_stops_when_it_takes_long(
    seen: SpotResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aumer.results.notebook._READ_S", -1.0)
    assert clips(seen) == ()


def test_what_is_too_large_is_left_out(seen: SpotResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aumer.results.notebook.MOST_BYTES", 100)
    assert clips(seen) == ()


def test_totals_show_themselves(seen: SpotResult) -> None:
    about = dataclasses.replace(seen, about={"condition": "<rest>"})
    found = totals([VideoTally.of(about), VideoTally.of(about)], ["condition"])
    page = found._repr_html_()
    assert page.count("<tr>") == 2 and "<td>&lt;rest&gt;</td>" in page and "<th>micro</th>" in page
    assert totals([about, about], ["condition"]) == found
    assert totals([])._repr_html_() == "<p>no video</p>"
