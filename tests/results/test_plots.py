from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import aumer.files
from aumer.errors import UsageError
from aumer.results import SpotResult, plot_timeline, timeline_frames
from aumer.results.plots import (
    _KIND_COLOURS,
    FACES_SHOWN,
    _clock,
    _spread,
    _tick_step,
    _TimeAxis,
    displacement,
)
from aumer.types import Expression, Features, ImageArray, Kind

MakeResult = Callable[..., SpotResult]


def expression(kind: Kind, onset: int, apex: int, offset: int, score: float = 0.5) -> Expression:
    """At 30 frames a second."""
    return Expression(kind, onset, apex, offset, onset / 30, apex / 30, offset / 30, score)


def pixels(figure: Figure) -> ImageArray:
    """(H, W, 3) RGB."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100)
    decoded = cv2.imdecode(np.frombuffer(image.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1])


def count(image: ImageArray, colour: Any) -> int:
    """Pixels of about that colour."""
    return int((np.abs(image - 255.0 * np.array(to_rgb(colour))).max(axis=2) < 12).sum())


def texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_writes_a_png_that_decodes(result: SpotResult, tmp_path: Path) -> None:
    figure = result.plot(tmp_path / "out.png")
    image = cv2.imread(str(tmp_path / "out.png"))
    assert image is not None
    assert image.shape[1] == 2000
    assert image.std() > 10
    assert isinstance(figure, Figure)
    with pytest.raises(UsageError, match="exists already"):
        plot_timeline(result, path=tmp_path / "out.png")
    plot_timeline(result, path=tmp_path / "out.png", overwrite=True)
    with pytest.raises(UsageError, match=r"written as .png, .pdf, .svg; found '.pgn'.*'.png'"):
        plot_timeline(result, path=tmp_path / "out.pgn")


def test_an_interval_more_is_seen(make_result: MakeResult) -> None:
    none, micro, both = (
        make_result(90, expressions)
        for expressions in (
            [],
            [expression("micro", 3, 6, 12)],
            [expression("micro", 3, 6, 12), expression("macro", 40, 50, 70)],
        )
    )
    shown = [pixels(plot_timeline(r)) for r in (none, micro, both)]
    orange = [count(image, _KIND_COLOURS["micro"]) for image in shown]
    blue = [count(image, _KIND_COLOURS["macro"]) for image in shown]
    assert orange[1] - orange[0] > 100
    assert blue[2] - blue[1] > 100


def test_the_faces_are_shown_over_their_times(make_result: MakeResult) -> None:
    result = make_result(90, [expression("macro", 10, 20, 40)])
    assert timeline_frames(result) == (10, 20, 40)
    colours = {10: (250, 0, 250), 20: (0, 250, 0), 40: (250, 250, 0)}
    faces = {
        f: np.full((64, 64, 3), colour, np.uint8)
        for f, colour in {**colours, 99: (1, 2, 3)}.items()
    }
    image = pixels(plot_timeline(result, thumbnails=faces))
    columns = [
        np.flatnonzero((np.abs(image - np.array(colour)).max(axis=2) < 3).any(axis=0)).mean()
        for colour in colours.values()
    ]
    assert columns == sorted(columns)
    # One face missing (the video was cut meanwhile): the others are still shown.
    del faces[20]
    image = pixels(plot_timeline(result, thumbnails=faces))
    assert count(image, (250 / 255, 0, 250 / 255)) > 1000
    assert count(image, (0, 250 / 255, 0)) == 0


def test_of_many_the_best_get_their_faces_and_it_is_said(make_result: MakeResult) -> None:
    expressions = [
        expression("micro", 20 * k, 20 * k + 4, 20 * k + 9, score=((7 * k) % 12) / 12)
        for k in range(12)
    ]
    result = make_result(300, expressions)
    best = sorted(expressions, key=lambda e: e.score)[-FACES_SHOWN:]
    assert timeline_frames(result) == tuple(
        sorted(f for e in best for f in (e.onset, e.apex, e.offset))
    )
    faces = {f: np.zeros((8, 8, 3), np.uint8) for f in timeline_frames(result)}
    figure = plot_timeline(result, thumbnails=faces)
    assert f"top {FACES_SHOWN} of 12" in texts(figure)
    few = dataclasses.replace(result, expressions=expressions[:3])
    faces = dict.fromkeys(timeline_frames(few), faces.popitem()[1])
    assert "shown" not in texts(plot_timeline(few, thumbnails=faces))
    faces = dict.fromkeys(timeline_frames(few)[:6], faces.popitem()[1])
    assert "2 of 3" in texts(plot_timeline(few, thumbnails=faces))


ENDS = [expression("micro", 0, 2, 5), expression("macro", 50, 58, 59)]
CASES: dict[str, dict[str, Any]] = {
    "both ends": {"expressions": ENDS},
    "no features": {"expressions": ENDS, "features": False},
    "no channels": {"expressions": ENDS, "channels": ()},
    "neither": {"expressions": ENDS, "channels": (), "features": False},
    "twelve channels": {"channels": tuple(f"macro_{k}" for k in range(12))},
    "nothing found": {},
    "no face": {"missing": slice(0, 60)},
    "the face comes and goes": {"missing": slice(0, 60, 2)},
    "one row": {"rows": 1},
    "no row": {"rows": 0},
    "odd names": {"name": "$x_{\\frac" + "n" * 200 + "\udcff", "channels": ("_a", "$b$", "c" * 40)},
    "two seconds": {"expressions": [expression("micro", 9, 12, 15)]},
    "ten minutes": {"rows": 18_000, "expressions": ENDS, "missing": slice(900, 1800)},
    "an hour": {"rows": 90_000, "expressions": ENDS, "features": False},
    "a late part": {"begin": 5000.0},
    "other ROIs": {"expressions": ENDS, "rois": tuple("abcdefg")},
}


@pytest.mark.parametrize("case", CASES)
def test_every_result_can_be_drawn_and_nothing_is_cut_off(
    make_result: MakeResult, case: str
) -> None:
    result = make_result(**CASES[case])
    faces = {f: np.zeros((8, 8, 3), np.uint8) for f in timeline_frames(result)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_timeline(result, thumbnails=faces)
        assert pixels(figure).std() > 5
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_missing_faces_are_told_apart_from_missing_expressions(make_result: MakeResult) -> None:
    assert "no face" not in texts(plot_timeline(make_result()))
    assert "no face" in texts(plot_timeline(make_result(missing=slice(3, 9))))
    figure = plot_timeline(make_result(missing=slice(0, 60)))
    assert "no face found" in texts(figure)
    assert "motion in 0 % of the time" in texts(figure)
    assert "no frames analysed" in texts(plot_timeline(make_result(0)))


def test_pyplot_is_left_alone(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from aumer.results import SpotResult
from aumer.types import Scores, VideoInfo
scores = Scores(np.ones((9, 1), np.float32), np.arange(9.), np.arange(9), np.ones(9, bool), ("x",))
figure = SpotResult(VideoInfo("a", "array", 1, 1, None), (), scores, 1.0, "rules").plot("out.png")
print("matplotlib.pyplot" in sys.modules, type(figure.canvas).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(aumer.files.__file__).parents[1])},
    )
    assert done.stdout.split() == ["False", "FigureCanvasAgg"]


# -- numbers --------------------------------------------------------------------------------------


def path_features(mouth: Any, missing: slice = slice(0, 0), rate: float = 30.0) -> Features:
    """The mouth's ROIs follow `mouth` (T + 1,) px to the right; the rest stays."""
    values = np.zeros((len(mouth) - 1, 7, 2), np.float32)
    values[:, 3:, 0] = np.diff(mouth)[:, None]
    valid = np.ones(len(values), bool)
    valid[missing] = False
    values[~valid] = np.nan
    times = np.arange(len(values)) / rate
    rois = (
        *("brow_r_mid", "brow_l_mid", "nose_tip"),
        "mouth_r",
        "lip_upper",
        "mouth_l",
        "lip_lower",
    )
    return Features(values, times, np.arange(len(values)), valid, rois, rate)


@pytest.mark.parametrize("seconds", [3, 30, 300])
@pytest.mark.parametrize("rate", [30.0, 12.5, 100.0])
def test_displacement_is_the_distance_from_rest(seconds: int, rate: float) -> None:
    t = np.arange(int(seconds * rate) + 1) / rate
    raised = (t > 1) & (t < 2.5)
    groups = displacement(path_features(np.where(raised, 5.0, 0.0), rate=rate))
    assert list(groups) == ["brow", "nose", "mouth"]
    np.testing.assert_allclose(groups["mouth"], np.where(raised, 5.0, 0.0)[1:], atol=1e-5)
    np.testing.assert_array_equal(groups["brow"], 0)


def test_displacement_forgets_slow_drift_but_not_a_cut_expression() -> None:
    t = np.arange(1801) / 30
    drifting = displacement(path_features(0.02 * t))["mouth"]
    assert drifting.max() < 0.2  # of 1.2 px in a minute
    cut = displacement(path_features(np.where(t > 58.5, 5.0, 0.0)))["mouth"]
    np.testing.assert_allclose(cut[-20:], 5.0, atol=1e-5)


def test_displacement_starts_afresh_after_a_gap() -> None:
    t = np.arange(301) / 30
    mouth = displacement(path_features(np.where(t > 5, 40.0, 0.0), slice(140, 170)))["mouth"]
    assert np.isnan(mouth[140:170]).all()
    np.testing.assert_allclose(np.delete(mouth, np.s_[140:170]), 0, atol=1e-5)


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=6).map(sorted),
    st.floats(0.1, 1.6),
)
def test_spread_keeps_order_distance_and_room(wanted: list[float], width: float) -> None:
    found = _spread(wanted, width, 10.0)
    assert all(b - a >= width - 1e-9 for a, b in pairwise(found))
    assert found[0] >= width / 2 - 1e-9
    assert found[-1] <= 10 - width / 2 + 1e-9
    free = all(b - a >= width for a, b in pairwise(wanted))
    if free and wanted[0] >= width / 2 and wanted[-1] <= 10 - width / 2:
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("seconds", "digits", "longest", "text"),
    [
        (2.345, 2, 20, "2.35"),
        (2.0, 0, 20, "2"),
        (59.96, 1, 61, "1:00.0"),
        (59.96, 0, 61, "1:00"),
        (125.0, 0, 600, "2:05"),
        (5.25, 1, 600, "0:05.2"),
        (3599.9, 0, 4000, "1:00:00"),
        (3725.0, 0, 4000, "1:02:05"),
    ],
)
def test_clock(seconds: float, digits: int, longest: float, text: str) -> None:
    assert _clock(seconds, digits, longest) == text


@pytest.mark.parametrize("span", [1e-3, 0.03, 0.4, 2, 20, 59, 61, 600, 3600, 5e4, 1e6])
def test_a_handful_of_ticks(span: float) -> None:
    assert 1.9 < span / _tick_step(span) <= 10


def test_the_axis_holds_what_lies_outside_the_scores(make_result: MakeResult) -> None:
    result = make_result(60, begin=1.0)
    outside = dataclasses.replace(result, expressions=(expression("micro", 0, 100, 110),))
    axis = _TimeAxis.of(outside)
    assert axis.begin == 0
    assert axis.end == pytest.approx(110 / 30)


def test_of_a_networks_tracks_those_that_can_be_told_apart() -> None:
    from aumer.results.plots import _drawn
    from aumer.spotting.channels import CHANNELS

    of_network = ["micro_apex", "macro_apex", "micro_action", "macro_action"]
    assert sorted(_drawn(CHANNELS)) == sorted(of_network)
    assert _drawn(("brow", "mouth", "expression", *CHANNELS))[:3] == ["brow", "mouth", "expression"]
    assert _drawn(("a_onset", "b")) == ["a_onset", "b"]
