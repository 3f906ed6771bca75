"""Faces at a cut, in a dissolve, and where one piece of a video ends and the next begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import aumer
from aumer import registry
from aumer.cache import FeatureCache
from aumer.config import Settings, load_settings
from aumer.errors import NoMotionError
from aumer.motion.analysis import analyze, analyze_all
from aumer.motion.joined import Analysis
from aumer.types import ImageArray
from aumer.video import open_video

FPS = 30
Shared = Callable[[str], Path]


def settings(**face: Any) -> Settings:
    return load_settings(overrides={"face": face})


def clip(path: Path, frames: int) -> ImageArray:
    shown = []
    for frame in open_video(path, keep=lambda index, time_s: index < frames):
        shown.append(cv2.resize(frame.image, (320, 240), interpolation=cv2.INTER_AREA))
    return np.array(shown)


@pytest.fixture(scope="module")
def takes(shared_data: Shared) -> tuple[ImageArray, ImageArray]:
    """Two people."""
    return (
        clip(shared_data("videos/fex_smile_still.mov"), 45),
        clip(shared_data("videos_more/still_neutral.mp4"), 45),
    )


@pytest.fixture(scope="module")
def film(takes: tuple[ImageArray, ImageArray]) -> ImageArray:
    """A cut at frame 45, and a dissolve of 15 frames that ends at 90."""
    first, second = takes
    share = (np.arange(1, 16) / 16)[:, None, None, None]
    mixed = np.rint(second[-15:] * (1 - share) + first[:15] * share).astype(np.uint8)
    return np.concatenate([first, second[:-15], mixed, first[15:]])


def test_landmarks_do_not_lag_behind_a_cut(
    takes: tuple[ImageArray, ImageArray], film: ImageArray
) -> None:
    after = analyze(film[:75], settings(), fps=FPS)
    alone = analyze(takes[1][:30], settings(), fps=FPS)
    assert after.track.valid.all()
    apart = np.abs(after.track.landmarks[45:50] - alone.track.landmarks[:5])
    assert apart.max() < 2  # px; they were led from the face before
    assert not after.features.valid[44]
    assert after.features.valid[:44].all() and after.features.valid[45:].all()


def test_a_dissolve_holds_no_motion_and_the_track_goes_on(film: ImageArray) -> None:
    found = analyze(film, settings(), fps=FPS)
    assert not found.features.valid[75:90].any()
    assert found.features.valid[:44].all() and found.features.valid[100:].all()
    assert found.track.valid[[0, 60, 110]].all()
    assert found.coverage == pytest.approx(found.features.valid.mean())


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop", [50, 70, 100])
def test_chunks_that_end_at_a_cut_or_in_a_dissolve_change_nothing(
    stop: int, film: ImageArray, tmp_path: Path
) -> None:
    """Borders of chunks lie every second: in the take before, at the cut's and in the dissolve."""

    def interrupt(done: int, estimate: int | None) -> None:
        if done == stop:
            raise Stop

    whole = analyze(film, settings(), fps=FPS)
    pieces = settings(restart_s=1.0)
    cache = FeatureCache(tmp_path, "film")
    with pytest.raises(Stop):
        analyze(film, pieces, fps=FPS, cache=cache, progress=interrupt)
    resumed = analyze(film, pieces, fps=FPS, cache=FeatureCache(tmp_path, "film"))
    at_once = analyze(film, pieces, fps=FPS)
    for found in (resumed, at_once):  # a piece begins with landmarks as a file keeps them
        np.testing.assert_array_equal(found.features.valid, whole.features.valid)
    np.testing.assert_array_equal(resumed.track.landmarks, at_once.track.landmarks)
    np.testing.assert_array_equal(resumed.features.values, at_once.features.values)
    np.testing.assert_array_equal(resumed.features.valid, at_once.features.valid)


def test_one_of_two_people_is_followed_to_the_end(shared_data: Shared) -> None:
    """A new chunk took the largest face, so that the followed one changed every ten seconds."""
    (found,) = analyze_all(shared_data("faults/two_smiles.mp4"), settings(restart_s=2.0))
    middle = found.track.boxes[:, [0, 2]].mean(axis=1)
    seen = found.track.valid
    assert seen.mean() > 0.98
    assert np.ptp(middle[seen]) < 100  # px of 720; the other one is 360 away
    assert found.track.faces == 2
    result = aumer.spot(shared_data("faults/two_smiles.mp4"), model="rules")
    assert any("2 faces are in view" in note for note in result.notes)


# ------------------------------------------------------------------------------ nothing measured


def unmeasured(source: Any, **options: Any) -> str:
    with pytest.raises(NoMotionError) as caught:
        aumer.spot(source, model="rules", **options)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_frames_too_far_apart_are_no_calm_face(shared_data: Shared) -> None:
    said = unmeasured(shared_data("faults/fps4.mp4"))
    assert "0.25 s apart" in said and "motion.max_gap_s" in said and "above 0.25" in said
    wider = {"motion": {"max_gap_s": 0.3}}
    result = aumer.spot(shared_data("faults/fps4.mp4"), model="rules", settings=wider)
    assert result.coverage == 1.0


@pytest.mark.parametrize("model", ["rules", "combined"])
def test_the_smile_is_there_in_five_pictures_a_second(model: str, shared_data: Shared) -> None:
    result = aumer.spot(shared_data("faults/fps5.mp4"), model=model)
    assert result.coverage == 1.0
    assert [e.kind for e in result.expressions] == ["macro"]
    assert ["frames lie 0.2 s apart" in note for note in result.notes] == [True]


@pytest.mark.parametrize("model", ["rules", "combined"])
def test_four_pictures_a_second_are_four_in_any_file(model: str, shared_data: Shared) -> None:
    """Each held for a quarter of a second in a file of 30 frames a second, as in one of four."""
    path = shared_data("faults/dup4in30.mp4")
    with pytest.raises(NoMotionError, match=r"changes every 0\.2\d s.*motion\.max_gap_s"):
        aumer.spot(path, model=model)
    wider = {"motion": {"max_gap_s": 0.3}}
    result = aumer.spot(path, model=model, settings=wider)
    assert any("picture changes every 0.2" in note for note in result.notes)
    assert model != "rules" or [e.kind for e in result.expressions] == ["macro"]


def test_held_pictures_are_told_and_still_ones_too(
    takes: tuple[ImageArray, ImageArray], shared_data: Shared
) -> None:
    first, smile = takes[0], clip(shared_data("videos/selfie_smile.mp4"), 70)
    held = aumer.spot(smile[np.repeat(np.arange(0, 70, 3), 4)], model="rules", fps=30)
    assert any("picture changes every 0.13 s" in note for note in held.notes)
    still = aumer.spot(first[np.zeros(60, int)], model="rules", fps=30)
    assert any("picture never changes" in note for note in still.notes)
    for name in ("videos/webcam_mixed.mp4", "videos_more/webcam_posed.mp4"):
        notes = aumer.spot(shared_data(name), model="rules").notes
        assert not any("picture" in note for note in notes)


def test_a_flow_of_nan_is_named(
    takes: tuple[ImageArray, ImageArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It means that nothing fits; the picture is not to blame alone."""
    monkeypatch.setattr(registry, "_parts", {**registry._parts, "flow": {}})
    nothing = np.full((128, 128, 2), np.nan, np.float32)
    registry.register("flow", "mine")(lambda a, b: nothing[: a.shape[0], : a.shape[1]])
    said = unmeasured(takes[0][:10], fps=30, settings={"motion.flow": "mine"})
    assert "or the flow mine gives NaN" in said


@pytest.mark.parametrize("fps", [5.0, 30 / 1.001 / 6, 4.97])
def test_five_frames_a_second_are_five_whatever_rounding_says(
    fps: float, takes: tuple[ImageArray, ImageArray]
) -> None:
    assert analyze(takes[0][::5], settings(), fps=fps).coverage == 1.0


def test_a_photograph_says_nothing(takes: tuple[ImageArray, ImageArray], tmp_path: Path) -> None:
    first = takes[0][0]
    assert "one frame was analyzed" in unmeasured(takes[0][:1], fps=30)
    for name in ("photo.jpg", "photo.png"):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(first, cv2.COLOR_RGB2BGR))
        assert "one frame was analyzed" in unmeasured(tmp_path / name)
    (tmp_path / "photo.png").unlink()
    assert "one frame was analyzed" in unmeasured(tmp_path, fps=30)


def test_a_recording_that_drops_to_four_frames_counts_what_it_measured(
    takes: tuple[ImageArray, ImageArray], tmp_path: Path
) -> None:
    """A second at 30 frames, then seven frames of a quarter of a second."""
    first = takes[0]
    numbers = [*range(30), *range(30, 85, 8)]
    for k, number in enumerate(numbers):
        image = cv2.cvtColor(first[min(k, 44)], cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    found: Analysis = analyze(tmp_path, settings(), fps=30)
    assert found.track.coverage == 1.0
    assert found.coverage == pytest.approx(30 / 78, abs=0.02)
    result = aumer.spot(tmp_path, fps=30, model="rules")
    assert result.coverage == found.coverage
    assert any("could be measured in" in note for note in result.notes)
    said = unmeasured(tmp_path, fps=30, min_coverage=0.5)
    assert "measured in" in said and "at least 50%" in said


def test_pictures_that_go_from_one_to_another_all_the_time_are_not_measured(
    takes: tuple[ImageArray, ImageArray],
) -> None:
    cut_in_each = np.stack([takes[k % 2][0] for k in range(20)])
    assert "cut in every frame" in unmeasured(cut_in_each, fps=30)
