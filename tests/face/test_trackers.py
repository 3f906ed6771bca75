"""What the face stage holds is made once for many videos, forgets each of them, and is given back.

Counts only: parts, threads, descriptors, objects that are still known.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

import aumer
import aumer.errors
from aumer import registry
from aumer.config import Settings, load_settings
from aumer.errors import AumerError, NoFaceError, UsageError
from aumer.face.interface import Detector, Landmarker
from aumer.face.mean_face import MEAN_FACE
from aumer.face.track import FaceTracker
from aumer.face.trackers import Trackers
from aumer.motion.analysis import analyze
from aumer.pipeline import Spotter
from aumer.types import FloatArray, ImageArray, VideoRecord
from tests.held import Held

SIDE = 160
POINTS = (MEAN_FACE[:, :2] * 40 + (80, 70)).astype(np.float32)
_NOISE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
#: Smooth, so that it is one scene when it moves.
SEEN = cv2.normalize(cv2.GaussianBlur(_NOISE, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


class _Part:
    """Counts what is made and closed; a part that is used after `close` is told."""

    made: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        self.closed, self.frames = 0, 0
        type(self).made.append(self)

    def use(self) -> None:
        assert not self.closed
        self.frames += 1

    def close(self) -> None:
        self.closed += 1


class CountedDetector(_Part, Detector):
    made: ClassVar[list[Any]] = []

    def __call__(self, image: ImageArray) -> FloatArray:
        self.use()
        if not image.any():
            return np.empty((0, 5), np.float32)
        low, high = POINTS.min(axis=0), POINTS.max(axis=0)
        return np.array([[*low, *high, 0.9]], np.float32)


class CountedLandmarker(_Part, Landmarker):
    made: ClassVar[list[Any]] = []

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        self.use()
        return POINTS if image.any() else None

    def reset(self) -> None:
        self.frames = 0


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})
    for part in (CountedDetector, CountedLandmarker):
        part.made.clear()
    aumer.register("detector", "counted")(CountedDetector)
    aumer.register("landmarker", "counted")(CountedLandmarker)
    face = {"detector": "counted", "landmarker": "counted", "carry": False}
    yield load_settings(overrides={"face": face})
    for part in (CountedDetector, CountedLandmarker):
        part.made.clear()


def clip(seed: int = 0, length: int = 5) -> np.ndarray:
    rolled = [np.roll(SEEN, k + seed, axis=1) for k in range(length)]
    return np.stack(rolled)


def counts() -> list[tuple[int, int]]:
    """Of detectors and landmarkers: how many were made, and are closed."""
    return [
        (len(part.made), sum(one.closed for one in part.made))
        for part in (CountedDetector, CountedLandmarker)
    ]


def test_a_call_closes_what_it_made(settings: Settings) -> None:
    aumer.spot(clip(), fps=30, model="rules", settings=settings)
    assert counts() == [(1, 1), (1, 1)]
    aumer.features(clip(), fps=30, settings=settings)
    assert counts() == [(2, 2), (2, 2)]
    with pytest.raises(AumerError):
        aumer.spot(clip() * 0, fps=30, model="rules", settings=settings)
    assert counts() == [(3, 3), (3, 3)]
    with pytest.raises(AumerError):
        aumer.classify(clip() * 0, fps=30, settings=settings)
    assert counts() == [(4, 4), (4, 4)]


def test_a_part_that_fails_is_closed_and_so_are_those_made_before_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Spotter(model="rules", settings=settings) as spotter:
        monkeypatch.setattr(CountedLandmarker, "__call__", lambda *_: np.zeros(3))
        with pytest.raises(UsageError, match=r"landmarks \(68, 2\)"):
            spotter(clip(), fps=30)
        assert counts() == [(1, 1), (1, 1)]
    monkeypatch.setattr(CountedDetector, "__init__", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        FaceTracker.from_settings(settings.face)
    assert counts()[1] == (2, 2)


def test_a_spotter_uses_its_parts_for_every_video_and_gives_the_same(settings: Settings) -> None:
    videos = [clip(), clip(3), clip() * 0, clip(7)]

    def spotted(spotter: Spotter, video: np.ndarray) -> Any:
        try:
            track = spotter(video, fps=30).track
        except NoFaceError as error:
            return str(error)
        assert track is not None
        return track.boxes.tolist(), track.landmarks.tolist()

    fresh = []
    for video in videos:
        with Spotter(model="rules", settings=settings) as spotter:
            fresh.append(spotted(spotter, video))
    assert counts() == [(4, 4), (4, 4)]
    spotter = Spotter(model="rules", settings=settings)
    assert [spotted(spotter, video) for video in videos] == fresh
    assert counts() == [(5, 4), (5, 4)]
    spotter.close()
    assert counts() == [(5, 5), (5, 5)]
    assert spotted(spotter, videos[0]) == fresh[0]  # it goes on, with parts made anew
    assert counts() == [(6, 5), (6, 5)]
    del spotter
    gc.collect()
    assert counts() == [(6, 6), (6, 6)]


def test_training_follows_all_videos_with_one_tracker(settings: Settings, tmp_path: Path) -> None:
    from aumer.training.videos import extract

    records = []
    for number in range(3):
        folder = tmp_path / f"v{number}"
        folder.mkdir()
        for k, image in enumerate(clip(number)):
            cv2.imwrite(str(folder / f"{k}.png"), image)
        records.append(VideoRecord("own", f"s{number}", f"v{number}", 30.0, folder))
    assert len(extract(records, settings)) == 3
    assert counts() == [(1, 1), (1, 1)]


def test_each_thread_has_a_tracker_of_its_own(settings: Settings) -> None:
    trackers = Trackers(settings.face)
    all_lent = threading.Barrier(3)

    def work(_: int) -> int:
        with trackers.lent() as tracker:
            all_lent.wait(60)
            return id(tracker)

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(work, range(3)))) == 3
        assert len(set(pool.map(work, range(3)))) == 3
    assert counts() == [(3, 0), (3, 0)]
    with trackers.lent():
        trackers.close()
        assert counts() == [(3, 2), (3, 2)]
    assert counts() == [(3, 3), (3, 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="counted in /proc")
@pytest.mark.parametrize("parts", ["counted", "default"])
def test_videos_leave_no_thread_no_descriptor_and_no_object(
    parts: str, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (SIDE, SIDE))
    for image in clip():
        writer.write(image)
    writer.release()
    used = settings if parts == "counted" else load_settings()
    trackers: list[weakref.ref[FaceTracker]] = []

    def one() -> None:
        with Trackers(used.face).lent() as tracker:
            trackers.append(weakref.ref(tracker))
        analyze(path, used)

    for _ in range(2):  # what libraries start once, they start here
        one()
    gc.collect()
    before = Held.now()
    for _ in range(6):
        one()
    gc.collect()
    assert not Held.now().beyond(before)
    assert not [ref for ref in trackers if ref() is not None]
    broken = tmp_path / "broken.avi"
    broken.write_bytes(path.read_bytes()[:600])
    for _ in range(3):
        with pytest.raises(AumerError):
            analyze(broken, used)
    gc.collect()
    assert not Held.now().beyond(before)


def test_mediapipes_graphs_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With graphs that only count: MediaPipe itself need not be installed."""
    from aumer.face import mediapipe

    graphs: list[Any] = []

    class Graph:
        def __init__(self, **_: Any) -> None:
            self.closed = 0
            graphs.append(self)

        def process(self, _: ImageArray) -> Any:
            assert not self.closed
            return SimpleNamespace(detections=None, multi_face_landmarks=None)

        def close(self) -> None:
            self.closed += 1

    made = SimpleNamespace(
        face_detection=SimpleNamespace(FaceDetection=Graph),
        face_mesh=SimpleNamespace(FaceMesh=Graph),
    )
    monkeypatch.setattr(mediapipe, "_solutions", lambda: made)
    settings = load_settings(overrides={"face": {"detector": "mediapipe"}}).face
    for _ in range(2):
        landmarker = mediapipe.MediaPipeLandmarker()
        landmarker(SEEN, np.array([20, 20, 100, 100], np.float32))
        landmarker.close()
        tracker = FaceTracker.from_settings(settings)
        tracker(SEEN)
        tracker.close()
    assert [graph.closed for graph in graphs] == [1] * 6


def test_mediapipe_starts_no_compiler() -> None:
    """Its microphones' package looks for a library with ldconfig, a linker and a compiler."""
    pytest.importorskip("mediapipe")
    code = (
        "import subprocess, sys\n"
        "def told(self, *words, **more): raise SystemExit(f'started {words or more}')\n"
        "subprocess.Popen.__init__ = told\n"
        "from aumer.face.mediapipe import MediaPipeDetector\n"
        "MediaPipeDetector()\n"
        "assert 'sounddevice' not in sys.modules"
    )
    place = {**os.environ, "PYTHONPATH": str(Path(aumer.errors.__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", code], env=place, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[-500:]
