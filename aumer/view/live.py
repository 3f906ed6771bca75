"""The page of a live run: its picture, the amount of motion, and a stream of events.

Access is guarded as for the page of `aumer view` (`aumer.view.server`). Recent events are stored
for pages that are opened later; of pictures only the last one.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from aumer.streaming.events import EventLines, LiveStep, LiveSummary
from aumer.types import ImageArray
from aumer.view.faces import jpeg
from aumer.view.server import HANDLERS, GuardedListener
from aumer.web import Pages

#: Number of stored lines, seconds between two checks for new ones, and between keep-alive messages.
_KEPT, _LOOK_S, _ALIVE_S = 500, 0.05, 15.0
#: Largest width of pictures, px, and number of points of curves.
_WIDEST, _POINTS = 640, 150


class LiveSite(GuardedListener):
    """A server for one live run; `show` takes each step."""

    def __init__(self, summary: LiveSummary) -> None:
        self._lines = EventLines(summary)
        self._summary = summary
        self._lock = threading.Lock()
        self._sent: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._count = 0
        self._state: tuple[int, str] = (0, "{}")
        self._image: ImageArray | None = None
        self._over = False
        self._tell(self._lines.started())
        pages = Pages("aumer.view")

        def page(request: Request) -> Response:
            return pages.answer("live.html")

        def asset(request: Request) -> Response:
            return pages.answer(request.path_params["name"])

        def events(request: Request) -> Response:
            last = request.headers.get("last-event-id", "0")
            since = int(last) if last.isdecimal() and len(last) < 12 else 0
            return StreamingResponse(self._events(since), media_type="text/event-stream")

        def frame(request: Request) -> Response:
            with self._lock:
                image = self._image
            if image is None:
                raise HTTPException(404, "no frame was seen yet")
            return Response(jpeg(_small(image)), media_type="image/jpeg")

        routes = [
            Route("/", page),
            Route("/assets/{name}", asset),
            Route("/api/live/events", events),
            Route("/api/live/frame.jpg", frame),
        ]
        super().__init__(Starlette(routes=routes, exception_handlers=HANDLERS), "aumer live")

    def show(self, step: LiveStep) -> None:
        """Show the next step of the run."""
        state = json.dumps(_state(step), allow_nan=False)
        self._tell(self._lines.of(step))
        with self._lock:
            self._image = step.frame.image
            self._state = self._state[0] + 1, state

    def end(self) -> None:
        """Send the end of the run, and stop the server."""
        self._tell(self._lines.ended())
        self._over = True
        self.stop()

    def _tell(self, lines: list[dict[str, Any]]) -> None:
        with self._lock:
            for line in lines:
                self._count += 1
                self._sent.append((self._count, json.dumps(line, ensure_ascii=False)))

    async def _events(self, since: int) -> AsyncIterator[str]:
        shown, silent = -1, 0.0
        while True:
            over = self._over
            with self._lock:
                told = [one for one in self._sent if one[0] > since]
                number, state = self._state
            text = "".join(f"id: {k}\ndata: {line}\n\n" for k, line in told)
            since = told[-1][0] if told else since
            if number != shown:
                text += f"event: state\ndata: {state}\n\n"
                shown = number
            silent = 0.0 if text else silent + _LOOK_S
            if silent >= _ALIVE_S:
                text, silent = ": alive\n\n", 0.0
            if text:
                yield text
            if over:
                return
            await asyncio.sleep(_LOOK_S)


def _state(step: LiveStep) -> dict[str, Any]:
    """The page's content besides events."""
    every = max(1, -(-len(step.times) // _POINTS))
    curve = np.where(np.isfinite(step.curve), step.curve, -1)[::-1][::every][::-1]
    height, width = step.frame.image.shape[:2]
    return {
        "time_s": round(step.frame.time_s, 3),
        "frame": step.frame.index,
        "analyzed": step.analyzed,
        "dropped": step.dropped,
        "lag_s": round(step.lag_s, 3),
        "size": [width, height],
        "box": None if step.box is None else [round(float(x), 1) for x in step.box],
        "times": [round(float(x), 3) for x in step.times[::-1][::every][::-1]],
        "curve": [None if x < 0 else round(float(x), 3) for x in curve],
    }


def _small(image: ImageArray) -> ImageArray:
    height, width = image.shape[:2]
    if width <= _WIDEST:
        return image
    size = (_WIDEST, round(height * _WIDEST / width))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
