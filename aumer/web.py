"""Shared by the HTTP servers: sockets, headers, secrets, request bodies and pages."""

from __future__ import annotations

import hmac
import json
import socket
from importlib import resources
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Send

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

    def answer(self, app: ASGIApp, *, patience_s: int = 1, connections: int | None = None) -> None:
        """Set the application that answers once the server runs.

        Args:
            patience_s: how long running requests may take when the server stops.
            connections: most concurrent connections; further ones are answered 503.
        """
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=connections,
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
