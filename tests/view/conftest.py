from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import aumer
from aumer.results import SpotResult
from aumer.simulate.features import simulate_features
from aumer.types import FaceTrack, VideoInfo
from aumer.video import content_digest
from aumer.view.shown import Shown, gather
from tests.video.conftest import turn
from tests.view import film

COUNT = 250


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with numbered films: of constant and of variable rate, and one no browser plays."""
    folder = tmp_path_factory.mktemp("films")
    film.write(folder / "constant.mp4", COUNT)
    film.write(folder / "variable.mp4", COUNT, times_ms=film.uneven(COUNT))
    film.write(folder / "lossless.avi", 120, codec="ffv1")
    # As a phone held upright records it.
    turn(film.write(folder / "turned.mp4", 120, turns=1), 90)
    return folder


@dataclass
class Served:
    """A server at work, and a client that has its cookie."""

    site: Any
    shown: list[Shown]
    cookie: str = ""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.site.port}{path}"

    def get(
        self, path: str, *, data: bytes | None = None, cookie: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body; nothing is followed."""
        request = urllib.request.Request(self.url(path), data=data)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if cookie:
            request.add_header("Cookie", self.cookie)
        try:
            answer: HTTPResponse = _opener().open(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error  # type: ignore[assignment]
        with answer:
            found = {k.lower(): v for k, v in answer.headers.items()}
            return answer.status, found, answer.read()

    def post(self, path: str, asked: Any, **headers: str) -> tuple[int, Any]:
        usual = {"Origin": self.url(""), "Content_Type": "application/json"}
        status, _, body = self.get(path, data=json.dumps(asked).encode(), **{**usual, **headers})
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Stay(), urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def serving(shown: list[Shown]) -> Iterator[Served]:
    for name in ("starlette", "uvicorn"):
        pytest.importorskip(name, reason="the extra `view` is not installed")
    from aumer.view.server import Site

    site = Site(shown)
    # uvicorn may set signal handlers in the main thread alone.
    thread = threading.Thread(target=site.run, daemon=True)
    thread.start()
    served = Served(site, shown)
    try:
        status, headers, _ = served.get(f"/?token={site.token}", cookie=False)
        assert status == 303
        served.cookie = headers["set-cookie"].partition(";")[0]
        yield served
    finally:
        site.stop()
        thread.join(10)
        assert not thread.is_alive()
        for one in shown:
            one.frames.close()


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serves copies of films and the other files that are given, with a result if one is."""

    @contextlib.contextmanager
    def start(*paths: Path, result: SpotResult | None = None) -> Iterator[Served]:
        copies = []
        for path in paths:
            copy = tmp_path / path.name
            if not copy.exists():
                shutil.copy(path, copy)
            copies.append(copy)
        shown = gather(copies, fps=None, cache=None)
        if result is not None:
            shown[0].add_result(result, None)
        with serving(shown) as served:
            yield served

    return start


@pytest.fixture(scope="session")
def motion() -> Any:
    """Ten seconds of simulated motion in which the rules find something."""
    (video,) = simulate_features(1, minutes=10 / 60, level="easy", seed=5, rate_per_min=30)
    return video.features


def result_of(video: Path, motion: Any, **changes: Any) -> SpotResult:
    """A result as if this motion had been measured in the film."""
    result = aumer.spot(motion, model="rules")
    frames = np.minimum(motion.frames, COUNT - 1)
    moved = replace(motion, frames=frames)
    found = []
    for e in result.expressions:
        onset, apex, offset = (min(k, COUNT - 1) for k in (e.onset, e.apex, e.offset))
        found.append(replace(e, onset=onset, apex=apex, offset=offset))
    n = len(motion)
    boxes = np.tile(np.array([40, 10, 120, 90], np.float32), (n, 1))
    marks = np.random.default_rng(0).uniform(40, 90, (n, 68, 2)).astype(np.float32)
    track = FaceTrack(motion.times, frames, np.ones(n, bool), boxes, marks)
    info = VideoInfo(video.name, "file", film.WIDTH, film.HEIGHT, 25.0, COUNT)
    content = content_digest(video)
    assert content
    changed = {
        "video": info,
        "expressions": tuple(found),
        "features": moved,
        "track": track,
        **changes,
    }
    return replace(result, digests={**result.digests, "content": content}, **changed)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, without a window."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("chromium and chromedriver are not installed (apt-get install chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for one in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    from selenium.webdriver.chrome.service import Service

    with patch.dict(os.environ, {"SE_OFFLINE": "true", "no_proxy": "127.0.0.1,localhost"}):
        made = selenium.Chrome(options, Service(driver))
    made.set_script_timeout(20)
    try:
        yield made
    finally:
        made.quit()
