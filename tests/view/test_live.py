"""The page of a live run: who gets in, and what it is told."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import Any

import numpy as np
import pytest

from aumer.streaming.events import LiveEvent, LiveStep, LiveSummary
from aumer.types import Expression, Frame

pytest.importorskip("starlette", reason="the extra `view` is not installed")

from aumer.view.live import LiveSite


@contextmanager
def served() -> Iterator[tuple[LiveSite, Any]]:
    site = LiveSite(LiveSummary("camera 0", "rules", 0.2, 6.0))
    thread = threading.Thread(target=site.run)
    thread.start()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    try:
        yield site, opener
    finally:
        site.end()
        thread.join()


def step(number: int, *events: LiveEvent) -> LiveStep:
    image = np.full((600, 800, 3), number, np.uint8)
    curve = np.array([np.nan, 0.25, 0.5], np.float32)
    box = np.array([10, 20, 110, 140], np.float32)
    frame = Frame(number, number / 30, image)
    return LiveStep(frame, box, events, np.arange(3) / 30, curve, 0.04, number, number // 2)


def test_the_page_is_told_all(recwarn: Any) -> None:
    seen = Expression("macro", 18, 30, 42, 0.6, 1.0, 1.4, score=0.9)
    with served() as (site, opener):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(f"http://127.0.0.1:{site.port}/api/live/events")
        assert refused.value.code == 403
        assert b"aumer live" in refused.value.read()
        assert b"aumer live" in opener.open(site.address).read()
        for name in ("live.js", "live.css", "style.css", "uPlot.iife.min.js", "uPlot.min.css"):
            assert opener.open(f"http://127.0.0.1:{site.port}/assets/{name}").read()
        with pytest.raises(urllib.error.HTTPError) as none:
            opener.open(f"http://127.0.0.1:{site.port}/api/live/frame.jpg")
        assert none.value.code == 404
        site.show(step(60, LiveEvent("provisional", 1, seen, 1.7, 0.3)))
        site.show(step(240, LiveEvent("final", 1, seen, 7.5, 6.1)))
        picture = opener.open(f"http://127.0.0.1:{site.port}/api/live/frame.jpg").read()
        assert picture.startswith(b"\xff\xd8")
        stream = opener.open(f"http://127.0.0.1:{site.port}/api/live/events")
        site.end()
        parts = stream.read().decode().split("\n\n")
    told = [p.partition("data: ")[2] for p in parts if p.startswith("id: ")]
    names = [json.loads(one)["event"] for one in told]
    assert names == ["started", "provisional", "dropped", "final", "dropped", "ended"]
    numbers = [int(p.partition("\n")[0].removeprefix("id: ")) for p in parts if p[:3] == "id:"]
    assert numbers == list(range(1, 7))
    (state,) = [p.partition("data: ")[2] for p in parts if p.startswith("event: state")]
    about = json.loads(state)
    assert (about["dropped"], about["box"], about["size"]) == (120, [10, 20, 110, 140], [800, 600])
    assert about["curve"] == [None, 0.25, 0.5]


def test_who_comes_again_misses_nothing_and_gets_nothing_twice() -> None:
    seen = Expression("macro", 18, 30, 42, 0.6, 1.0, 1.4, score=0.9)
    with served() as (site, opener):
        opener.open(site.address).read()
        for k in range(600):
            site.show(step(0, LiveEvent("provisional", k, seen, 1.7, 0.3)))
        request = urllib.request.Request(
            f"http://127.0.0.1:{site.port}/api/live/events", headers={"Last-Event-ID": "590"}
        )
        stream = opener.open(request)
        site.end()
        text = stream.read().decode()
    numbers = [
        int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id:")
    ]
    assert numbers == list(range(591, 603)), "and of 600 no more than 500 are kept"
    assert len(site._sent) == 500
