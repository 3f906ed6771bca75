"""Live runs of films: what they tell, keep, drop and record."""

from __future__ import annotations

import gc
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import aumer
from aumer.config import load_settings
from aumer.errors import UsageError, VideoError
from aumer.motion.analysis import analyze, reached
from aumer.testing.moving_face import brow_raise, film, smile
from aumer.video import ArraySource, VideoReader, open_video
from aumer.video.played import Played
from aumer.video.writer import VideoFile

WINDOW = (130, 20, 320, 210)
#: Noise is known soon, so that short films have something final before they end; and the motion of
#: the first seconds is put away.
QUICK = {"rules": {"noise_window_s": 5.5, "lookahead_s": 1.0}, "face": {"restart_s": 2.0}}


@lru_cache(maxsize=1)
def performance() -> npt.NDArray[np.uint8]:
    """Eleven seconds with three smiles and two raises of the brows."""
    bumps = [b for t in (0.8, 4.6, 8.6) for b in smile(t, t + 0.4, t + 1.0, px=4.0)]
    bumps += [b for t in (2.8, 6.9) for b in brow_raise(t, t + 0.2, t + 0.5)]
    return film(np.arange(11 * 30) / 30, bumps=tuple(bumps), window=WINDOW, noise=1.0)


def told(expressions: Any) -> list[tuple[Any, ...]]:
    return [(e.kind, e.moment, e.label) for e in expressions]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rules", "combined"])
def test_what_is_final_is_what_the_recording_gives(model: str) -> None:
    images = performance()
    batch = aumer.spot(images, fps=30, model=model, settings=QUICK, recognizer="graph-motion")
    with aumer.live(images, fps=30, model=model, settings=QUICK, recognizer="default") as run:
        events = list(run)
    final = [one for one in events if one.event == "final"]
    assert told(sorted((one.expression for one in final), key=lambda e: e.onset)) == told(
        batch.expressions
    )
    assert len(final) >= 4
    assert sum(one.at_s < 10.5 for one in final) >= 2, "not at the end alone"
    first = [one for one in events if one.event == "provisional"]
    assert first and np.median([one.delay_s for one in first]) <= 0.5
    summary = run.summary
    assert (summary.analyzed, summary.dropped, summary.coverage) == (len(images), 0, 1.0)
    assert sum(summary.found.values()) == len(final) == summary.told["final"]
    assert f"{len(images)} frames, 0 dropped, a face in 100%" in str(summary)


def test_asking_on_the_way_changes_nothing() -> None:
    images, settings = performance()[:150], load_settings(overrides=QUICK)
    whole = analyze(images, settings, fps=30)
    last = None
    for place in reached(lambda keep, _: open_video(images, fps=30, keep=keep), settings):
        if place.over or place.frame is None or place.frame.index % 7 == 3:
            last = place.measured()[0]
            if not place.over:
                now = len(last.features)
                steady = slice(0, max(0, now - 45))
                np.testing.assert_allclose(
                    last.features.values[steady], whole.features.values[steady], atol=0.02
                )
    assert last is not None
    np.testing.assert_array_equal(last.features.values, whole.features.values)
    np.testing.assert_array_equal(last.features.frames, whole.features.frames)
    np.testing.assert_array_equal(last.track.landmarks, whole.track.landmarks)


def test_what_lies_far_back_is_forgotten() -> None:
    images, settings = performance()[:240], load_settings(overrides=QUICK)
    whole = analyze(images, settings, fps=30).features
    lengths = []
    for place in reached(
        lambda keep, _: open_video(images, fps=30, keep=keep), settings, keeps_s=2.5
    ):
        assert place.frame is not None
        if place.over or place.frame.index % 20 == 0:
            features = place.measured()[0].features
            lengths.append(len(features))
    assert max(lengths) <= 30 * (2.5 + 2 * 2.0) + 2
    count = len(features)
    np.testing.assert_allclose(features.values, whole.values[-count:], atol=1e-5)
    np.testing.assert_array_equal(features.times, whole.times[-count:])
    np.testing.assert_array_equal(features.frames, whole.frames[-count:])


def test_frames_wait_for_the_clock_and_are_dropped_where_nobody_takes_them() -> None:
    images = np.zeros((12, 32, 32, 3), np.uint8)
    source = Played(ArraySource(images, 60.0), by_clock=True)
    reader = VideoReader(source, queue_size=2, drops=True)
    begin, got = time.monotonic(), []
    for frame in reader:
        assert source.began is not None
        assert time.monotonic() - source.began >= frame.time_s
        got.append(frame.index)
        if frame.index == 0:
            time.sleep(0.15)
    assert time.monotonic() - begin >= 11 / 60
    assert reader.dropped == len(images) - len(got) > 0
    assert got == sorted(got)


def test_a_run_by_the_clock_skips_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    images = performance()[:90]
    with aumer.live(images, fps=90, realtime=True, model="rules") as run:
        steps = list(run.steps())
    summary = run.summary
    assert summary.analyzed + summary.dropped <= len(images)
    assert all(step.lag_s >= 0 for step in steps)
    assert steps[-1].dropped == summary.dropped
    if summary.dropped:
        assert "were dropped" in caplog.text


def test_stop_ends_in_order() -> None:
    run = aumer.live(performance(), fps=30, model="rules", settings=QUICK)
    events = []
    for step in run.steps():
        events += step.events
        if step.frame.time_s > 3.0:
            run.stop()
    assert run.summary.seconds < 5.0
    assert [one.event for one in events if one.event == "final"]
    with pytest.raises(UsageError, match="iterated once"):
        list(run)


def test_leaving_the_loop_gives_everything_back() -> None:
    run = aumer.live(performance(), fps=30, model="rules", settings=QUICK)
    for _ in run.steps():
        break
    run.close()
    with pytest.raises(UsageError, match="iterated once"):
        next(iter(run))


# -- recordings ------------------------------------------------------------------------------------


def test_a_recording_keeps_every_frame_and_its_time(tmp_path: Path) -> None:
    images, path = performance()[:40], tmp_path / "seen.mp4"
    with aumer.live(images, fps=25, model="rules", record=path, realtime=True) as run:
        for _ in run:
            pass
    assert run.summary.recording == path
    assert str(path) in str(run.summary)
    with open_video(path) as video:
        frames = list(video)
    assert len(frames) == len(images)  # dropped ones, too
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(40) / 25, atol=2e-5)
    assert np.abs(frames[0].image.astype(int) - images[0]).mean() < 8
    with pytest.raises(UsageError, match="exists"):
        aumer.live(images, fps=25, record=path)
    with aumer.live(images[:3], fps=25, model="rules", record=path, overwrite=True) as run:
        list(run)
    assert path.stat().st_size


def test_what_was_recorded_until_an_error_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "seen.mov"
    run = aumer.live(performance()[:60], fps=30, model="rules", record=path)

    def fail() -> None:
        for step in run.steps():
            if step.frame.time_s > 0.5:
                raise RuntimeError("of whoever shows it")

    with pytest.raises(RuntimeError), run:
        fail()
    with open_video(path) as video:
        assert 10 < sum(1 for _ in video) <= 60
    assert [p.name for p in tmp_path.iterdir()] == ["seen.mov"]


def test_a_full_disk_ends_the_recording_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = VideoFile._check_room

    def full(file: VideoFile) -> None:
        room(file)
        if file._count >= 30:
            raise UsageError("the disk is nearly full")

    monkeypatch.setattr(VideoFile, "_check_room", full)
    path = tmp_path / "seen.mp4"
    with aumer.live(performance()[:75], fps=30, model="rules", record=path) as run:
        list(run)
    assert run.summary.analyzed == 75 and run.summary.recording == path
    (note,) = run.summary.notes
    assert "the recording ends at 1.0 s" in note
    with open_video(path) as video:
        assert sum(1 for _ in video) == 30


def test_a_source_that_hangs_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    go, seen = threading.Event(), []

    class Hanging(ArraySource):
        def frames(self) -> Any:
            for k, one in enumerate(super().frames()):
                if k == 20:  # all before it wait to be analyzed by now, or are
                    threading.Timer(0.2, run.stop).start()
                    go.wait(60.0)
                yield one

    images = performance()[:40]
    monkeypatch.setattr("aumer.streaming.live.open_source", lambda *_: Hanging(images, 30.0))
    run = aumer.live(images, fps=30, model="rules")
    for _ in run.steps():
        seen.append(go.is_set())
        if len(seen) > 1 and run.summary.analyzed == 20:
            threading.Timer(0.5, go.set).start()  # which closing waits for, a while
    assert run.summary.analyzed == 20
    assert seen and not any(seen), "the run was over while the source hung"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": "x.avi"}, r"keeps the times of its frames.*\.mp4 or \.mov"),
        ({"record": "no/such/x.mp4"}, "does not exist"),
        ({"end": 0.0}, "above 0"),
        ({"face": "all"}, "follows one face"),
        ({"workers": 0}, "workers"),
        ({"model": "none"}, "none"),
        ({"recognizer": "graph"}, "reads flow maps"),
        ({"settings": {"rules": {"noise_window_s": 0.0}}}, "noise_window_s=0"),
        ({"fps": None}, "fps"),
    ],
)
def test_what_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        aumer.live(np.zeros((3, 32, 32, 3), np.uint8), **{"fps": 30, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_what_fails_on_the_way_is_all_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise UsageError("the spotter gives up")

    monkeypatch.setattr("aumer.streaming.decisions.Decisions.step", fail)
    before = threading.active_count()
    with pytest.raises(UsageError, match="gives up") as error:
        list(aumer.live(performance()[:30], fps=30, model="rules"))
    del error
    gc.collect()
    assert threading.active_count() <= before  # those of an earlier test may end meanwhile


def test_no_such_source() -> None:
    with pytest.raises(VideoError, match="no such file"):
        aumer.live("none.mp4")


def test_a_film_without_a_face(tmp_path: Path) -> None:
    blank = np.full((30, 64, 64, 3), 90, np.uint8)
    with aumer.live(blank, fps=30) as run:
        steps = list(run.steps())
    assert run.summary.coverage == 0
    assert not any(step.events or step.box is not None for step in steps)
    assert all(np.isnan(step.curve).all() for step in steps)
