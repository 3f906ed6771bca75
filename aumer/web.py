"""Shared by the HTTP servers: sockets, headers, secrets, request bodies and pages."""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import socket
from collections.abc import Callable
from importlib import resources
from typing import Any

import h11
import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from aumer.errors import UsageError

LOOPBACK = "127.0.0.1"
#: Security headers: a page loads nothing from elsewhere and may not be embedded elsewhere.
HEADERS = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

#: Seconds until a connection that brings no whole head of a request is closed.
_HEAD_S = 30.0
#: What answers where no application has been asked: to a status and what is wrong.
Refusal = Callable[[int, str], Response]


def _plain(status: int, what: str) -> Response:
    return PlainTextResponse(what, status)


class _Connection(H11Protocol):
    """A connection: one too many is refused, and one that brings no request is closed.

    uvicorn waits for ever for the head of a request, and for the rest of a body that was refused.
    """

    def __init__(
        self, *args: Any, refusal: Refusal, connections: int | None, head_s: float, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._refuse, self._most, self._head_s = refusal, connections, head_s
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            busy = self._refuse(503, "too many connections are open; try again later")
            busy.headers["connection"] = "close"
            self.app = busy
        self._await_head()

    def on_response_complete(self) -> None:
        self._await_head()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        answer = self._refuse(400, "this is no HTTP request that can be understood")
        head = [*answer.raw_headers, (b"connection", b"close")]
        events = (
            h11.Response(status_code=400, headers=head, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        )
        # Of a request that has been answered, or is being answered, the rest may be wrong, too.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in events:
                self.transport.write(self.conn.send(event))
        self.transport.close()

    def _await_head(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self.loop.call_later(self._head_s, self._end_waiting)

    def _end_waiting(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        if cycle is None or cycle.response_complete:
            self.transport.close()


class Listener:
    """A socket that listens at once, and the server that answers on it later.

    Args:
        host: a name or an address of this machine.
        port: 0 lets the system choose.

    Attributes:
        port: the port in use.

    Raises:
        UsageError: the address does not exist here, or the port is in use.
    """

    def __init__(self, host: str = LOOPBACK, port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        if port:  # allow a port that the last server left in TIME_WAIT
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"cannot listen at {host}, port {port}: {error.strerror or error}; choose another "
                "`host` or `port`"
            ) from error
        self._socket.listen(1024)  # early connections wait for the server
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None

    def answer(
        self,
        app: ASGIApp,
        *,
        patience_s: int = 1,
        connections: int | None = None,
        refusal: Refusal = _plain,
        head_s: float = _HEAD_S,
    ) -> None:
        """What answers, once it runs.

        Args:
            patience_s: how long answers that are under way may take when the server ends.
            connections: how many at once; what is beyond is answered 503.
            refusal: the answer to what is one too many, or no request: to a status and what is
                wrong.
            head_s: how long a connection may take to bring the head of a request.
        """
        protocol = functools.partial(
            _Connection, refusal=refusal, connections=connections, head_s=head_s
        )
        config = uvicorn.Config(
            app,
            http=protocol,  # type: ignore[arg-type]  # called as the class is
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=patience_s,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until `stop`, or an interrupt."""
        assert self._server is not None, "first `answer`"
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def close(self) -> None:
        """Listen no more, where `run` was never called."""
        self._socket.close()

    def stop(self) -> None:
        """End `run`, from another thread."""
        if self._server is not None:
            self._server.should_exit = True


def same(given: str, secret: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def with_headers(send: Send) -> Send:
    """Add `HEADERS` to every answer that does not set them itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            own = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
            message = {**message, "headers": [*message["headers"], *own]}
        await send(message)

    return sending


async def json_body(request: Request, most: int) -> Any:
    """The JSON body of a request, of at most `most` bytes.

    Raises:
        HTTPException: 413 or 400.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, "too much at once")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "no JSON") from None


class Pages:
    """The files of a page, read from their package."""

    def __init__(self, package: str) -> None:
        self._files = {
            entry.name: entry.read_bytes()
            for entry in (resources.files(package) / "page").iterdir()
            if entry.name.rpartition(".")[2] in _KINDS
        }

    def answer(self, name: str) -> Response:
        """The response with a file.

        Raises:
            HTTPException: 404.
        """
        if name not in self._files:
            raise HTTPException(404, "there is no such file")
        return Response(self._files[name], media_type=_KINDS[name.rpartition(".")[2]])
