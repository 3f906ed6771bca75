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
from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.results import SpotResult, plot_timeline, timeline_frames
from aumer.results.drawing import KIND_COLORS
from aumer.results.gallery import FACES_SHOWN, spread
from aumer.results.plots import displacement
from aumer.results.time_axis import TimeAxis, clock, tick_step
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


def count(image: ImageArray, color: Any) -> int:
    """Pixels of about that color."""
    return int((np.abs(image - 255.0 * np.array(to_rgb(color))).max(axis=2) < 12).sum())


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
    orange = [count(image, KIND_COLORS["micro"]) for image in shown]
    blue = [count(image, KIND_COLORS["macro"]) for image in shown]
    assert orange[1] - orange[0] > 100
    assert blue[2] - blue[1] > 100


def test_the_faces_are_shown_over_their_times(make_result: MakeResult) -> None:
    result = make_result(90, [expression("macro", 10, 20, 40)])
    assert timeline_frames(result) == (10, 20, 40)
    colors = {10: (250, 0, 250), 20: (0, 250, 0), 40: (250, 250, 0)}
    faces = {
        f: np.full((64, 64, 3), color, np.uint8) for f, color in {**colors, 99: (1, 2, 3)}.items()
    }
    image = pixels(plot_timeline(result, thumbnails=faces))
    columns = [
        np.flatnonzero((np.abs(image - np.array(color)).max(axis=2) < 3).any(axis=0)).mean()
        for color in colors.values()
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
    assert "no frames analyzed" in texts(plot_timeline(make_result(0)))


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
    found = spread(wanted, width, 10.0)
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
    assert clock(seconds, digits, longest) == text


@pytest.mark.parametrize("span", [1e-3, 0.03, 0.4, 2, 20, 59, 61, 600, 3600, 5e4, 1e6])
def test_a_handful_of_ticks(span: float) -> None:
    assert 1.9 < span / tick_step(span) <= 10


def test_the_axis_holds_what_lies_outside_the_scores(make_result: MakeResult) -> None:
    result = make_result(60, begin=1.0)
    outside = dataclasses.replace(result, expressions=(expression("micro", 0, 100, 110),))
    axis = TimeAxis.of(outside)
    assert axis.begin == 0
    assert axis.end == pytest.approx(110 / 30)


def test_a_track_stands_for_its_parts() -> None:
    from aumer.results.plots import _drawn
    from aumer.spotting.channels import CHANNELS

    assert sorted(_drawn(CHANNELS)) == ["macro_action", "micro_action"]
    combined = _drawn(("brow", "mouth", "expression", *CHANNELS))
    assert sorted(combined) == ["expression", "macro_action", "micro_action"]
    assert _drawn(("a_onset", "brow", "b")) == ["a_onset", "brow", "b"]


def test_the_score_that_decides_and_its_threshold(make_result: MakeResult) -> None:
    found = [expression("micro", 3, 6, 12, 0.61), expression("macro", 30, 40, 55, 0.87)]
    result = make_result(90, found, channels=("brow", "mouth", "expression", "micro_action"))
    plain = texts(plot_timeline(result))
    assert "needed" not in plain  # a result of before it was kept
    for odd in (3, {"threshold": "high"}):
        other = dataclasses.replace(result, settings={"decision": odd})
        assert "needed" not in texts(plot_timeline(other))
    for name in ("movement (rules)", "micro (network)", "score"):
        assert name in plain
    decided = dataclasses.replace(result, settings={"decision": {"threshold": 0.134}})
    figure = plot_timeline(decided)
    assert "needed 0.13" in texts(figure)
    scores = figure.axes[-1]
    flat = {  # bars of a kind are one line with gaps
        (line.get_color(), *np.round(line.get_ydata()[:2], 3)): np.round(
            line.get_xdata()[:2], 2
        ).tolist()
        for line in scores.get_lines()
        if len(line.get_ydata()) in (2, 3)
    }
    assert flat[(KIND_COLORS["micro"], 0.61, 0.61)] == [0.1, 0.4]
    assert flat[(KIND_COLORS["macro"], 0.87, 0.87)] == [1.0, 1.83]
    assert ("black", 0.134, 0.134) in flat


def test_the_threshold_is_kept_with_a_result() -> None:
    from aumer.spotting.combined import CombinedSpotter
    from aumer.spotting.network import NetSpotter
    from aumer.spotting.rules import RuleSpotter

    settings = load_settings(overrides={"rules.sensitivity": "high"})
    usual = CombinedSpotter.from_settings(load_settings()).threshold
    high = CombinedSpotter.from_settings(settings).threshold
    assert 0 < high < usual < 1
    assert RuleSpotter.from_settings(settings).threshold == 0.5
    network = NetSpotter.from_settings(settings)
    assert network.threshold == network.decoder.threshold


def test_more_than_a_minute_is_drawn_in_rows_of_one_width(make_result: MakeResult) -> None:
    found = [expression("macro", 30 * s, 30 * s + 15, 30 * s + 40) for s in (5, 59, 130)]
    result = make_result(4500, found)  # 150 s
    figure = plot_timeline(result)
    panels = [axes for axes in figure.axes if axes.get_xlim()[1] > 20]
    assert [axes.get_xlim() for axes in panels[::2]] == [(0, 60), (60, 120), (120, 180)]
    assert len(panels) == 6
    assert len({axes.get_ylim() for axes in panels[::2]}) == 1
    # The faces of a row are those of its own expressions, beyond those of the whole.
    many = [expression("macro", 60 * k, 60 * k + 10, 60 * k + 20, k / 99) for k in range(75)]
    assert len(timeline_frames(make_result(4500, many))) == 3 * 3 * FACES_SHOWN
    hour = TimeAxis.of(make_result(90_000, features=False)).rows_of_figure()
    assert len(hour) == 10 and hour[-1].end == pytest.approx(3000)


def test_a_part_alone(make_result: MakeResult) -> None:
    found = [expression("macro", 30 * s, 30 * s + 15, 30 * s + 40) for s in (5, 40)]
    result = make_result(1800, found)
    assert timeline_frames(result, start=30.0) == (1200, 1215, 1240)
    figure = result.plot(start=38.0, end=44.0)
    assert {axes.get_xlim() for axes in figure.axes} == {(38, 44)}
    assert "6.0 s shown" in texts(figure)
    with pytest.raises(UsageError, match=r"from `start=70` to `end=60` s; .* from 0 to 60 s"):
        result.plot(start=70.0)


def test_no_face_is_shown_twice(make_result: MakeResult) -> None:
    best, other = expression("macro", 100, 110, 130, 0.9), expression("micro", 105, 110, 116, 0.8)
    next_to = expression("macro", 130, 140, 150, 0.5)
    result = make_result(300, [best, other, next_to])
    assert timeline_frames(result) == (100, 110, 130, 140, 150)
    faces = {f: np.zeros((8, 8, 3), np.uint8) for f in timeline_frames(result)}
    figure = plot_timeline(result, thumbnails=faces)
    assert sum(len(axes.images) for axes in figure.axes) == 5
    assert "2 of 3" in texts(figure)


def test_truth_and_note(make_result: MakeResult) -> None:
    result = make_result(90, [expression("micro", 3, 6, 12)])
    assert "truth" not in texts(plot_timeline(result))
    assert "truth" in texts(plot_timeline(result, truth=()))
    truth = [expression("macro", 30, 40, 60)]
    figure = plot_timeline(result, truth=truth, note="a simulated face")
    assert "face.mp4 — a simulated face" in texts(figure)
    lane = next(axes for axes in figure.axes if axes.get_ylabel() == "truth")
    (bar,) = lane.patches
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((1, 2))
    assert to_rgb(bar.get_facecolor()) == to_rgb(KIND_COLORS["macro"])


def test_a_pause_between_two_smiles_is_rest() -> None:
    # As in the shared fex_two_smiles.mov: most of eight seconds is smile, and the face drifts.
    t = np.arange(343) / 30
    smiles = ((t > 2.6) & (t < 4.3)) | ((t > 7.0) & (t < 9.7))
    drift = -0.1 * t
    mouth = displacement(path_features(drift - np.where(smiles, 8.0, 0.0)))["mouth"]
    assert mouth[~smiles[1:]].max() < 0.5
    assert mouth[smiles[1:]].min() > 7.0
    # The other way round, and at any scale.
    again = displacement(path_features(np.where(smiles, 1.0, 0.0)))["mouth"]
    np.testing.assert_allclose(again, smiles[1:], atol=1e-5)


def test_many_expressions_cost_no_object_each(make_result: MakeResult) -> None:
    """An hour of two thousand took a minute to draw."""

    def objects(count: int) -> int:
        found = [expression("micro", 9 * k, 9 * k + 2, 9 * k + 5) for k in range(count)]
        figure = plot_timeline(make_result(1800, found))
        return sum(len(axes.get_children()) for axes in figure.axes)

    assert objects(200) == objects(2)
