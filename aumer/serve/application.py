"""The HTTP interface of the service: access, uploads and responses."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from aumer import registry
from aumer.errors import AumerError, UsageError, VideoError
from aumer.results.formats import ending
from aumer.serve.job_options import (
    HEAD,
    JobOptions,
    LimitError,
    check_name,
    film,
    problem,
    problem_body,
)
from aumer.serve.openapi import description
from aumer.serve.service import Full, Service, retention
from aumer.serve.store import ENDED, StoredJob
from aumer.web import HEADERS, Listener, Pages, json_body, same, with_headers

_log = logging.getLogger("aumer")

#: Largest size of JSON, and of options in an address, bytes.
_LARGEST = 64 << 10
#: Block size for writing, bytes.
_BLOCK = 1 << 20
#: Bytes that uploads leave free on the disk.
_RESERVE = 256 << 20
#: Seconds between two checks of a job for events, and between keep-alive messages.
_LOOK_S, _ALIVE_S = 0.2, 15.0
#: Largest number of connections.
_CONNECTIONS = 1000
_ID = re.compile(r"[\w-]{22}", re.ASCII)
#: Public paths; the page itself asks the user for the token.
_OPEN = re.compile(r"/|/favicon\.ico|/health|/openapi\.json|/assets/[\w.]+", re.ASCII)
_MEDIA = {
    "json": "application/json",
    "csv": "text/csv",
    "html": "text/html",
    "eaf": "application/xml",
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "vtt": "text/vtt",
}


class _Json(JSONResponse):
    """JSON in ASCII: file names may be invalid UTF-8 and must still be sent."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class _Problem(Exception):
    """An error that is sent unchanged."""

    def __init__(self, status: int, body: dict[str, Any], **headers: str) -> None:
        super().__init__(body["detail"])
        self.status, self.body, self.headers = status, body, headers


def listen(
    service: Service, *, host: str, port: int, token: str | None, names: tuple[str, ...] = ()
) -> Listener:
    """A listener for a service.

    Args:
        token: the bearer token of requests; None only on the loopback, where requests must be
            addressed to it.
        names: further allowed ``host:port`` for requests without a token.

    Raises:
        UsageError: it cannot listen there.
    """
    listener = Listener(host, port)
    here = (host.lower(), "localhost", "127.0.0.1", "[::1]")
    hosts = {*(f"{name}:{listener.port}" for name in here), *(name.lower() for name in names)}
    if listener.port == 80:  # which browsers omit
        hosts.update(here)
    listener.answer(
        application(service, token, frozenset(hosts)),
        patience_s=5,
        connections=_CONNECTIONS,
        refusal=_refusal,
        head_s=service.limits.idle_s,
    )
    return listener


class _Api:
    """What a service answers, by path."""

    def __init__(self, service: Service) -> None:
        self._service, self._limits, self._pages = service, service.limits, Pages("aumer.serve")

    def _found(self, request: Request) -> StoredJob:
        id = request.path_params["id"]
        job = self._service.get(id) if _ID.fullmatch(id) else None
        if job is None:
            detail = "there is no such job, or it was removed"
            raise _Problem(404, problem("no-job", detail))
        return job

    def page(self, request: Request) -> Response:
        return self._pages.answer(request.path_params.get("name", "index.html"))

    def health(self, request: Request) -> Response:
        well = self._service.healthy
        return _Json({"status": "ok" if well else "failing"}, 200 if well else 503)

    def openapi(self, request: Request) -> Response:
        return _Json(description())

    def about(self, request: Request) -> Response:
        return _Json(
            {
                "version": version("aumer"),
                "limits": {**vars(self._limits)},
                "jobs": self._service.counts(),
                "formats": sorted(registry.names("format")),
                "personal_data": retention(self._limits, self._service.folder),
                "paths": bool(self._service.roots),
            }
        )

    async def create(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            job = await self._by_path(request)
        elif kind == "application/octet-stream" or kind.startswith("video/"):
            job = await self._upload(request)
        else:
            detail = (
                "the content type must be application/octet-stream or video/..., with the bytes of "
                f"a video, or application/json, with its path; found {kind or 'none'!r}"
            )
            raise _Problem(415, problem("type", detail))
        where = f"/v1/jobs/{job.id}"
        return _Json(shown(job, self._service), 201, headers={"location": where})

    async def _by_path(self, request: Request) -> StoredJob:
        try:
            asked = await asyncio.wait_for(json_body(request, _LARGEST), self._limits.idle_s)
        except asyncio.TimeoutError:
            raise _slow(f"it was not whole after {self._limits.idle_s:g} s") from None
        if not isinstance(asked, dict) or not isinstance(asked.get("path"), str):
            raise UsageError("a job is {'path': the path of a video, 'options': {...}}")
        _check_known(asked, "path", "options")
        _check_known(request.query_params)
        options = JobOptions.of(asked.get("options", {}))
        path = await run_in_threadpool(self._service.inside, asked["path"])
        if path.is_dir() and options.fps is None:
            raise UsageError("a folder of images has no times: give `fps`, its frames per second")
        with self._service.reserve():
            id, folder = self._service.begin()
            try:
                folder.rmdir()
                return self._service.add(id, path, options, uploaded=False)
            except BaseException:
                self._service.drop(id)
                raise

    async def _upload(self, request: Request) -> StoredJob:
        _check_known(request.query_params, "name", "options")
        name = check_name(request.query_params.get("name", ""))
        text = request.query_params.get("options", "{}")
        try:
            options = JobOptions.of(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise (
                error
                if isinstance(error, AumerError)
                else UsageError(f"`options` must be JSON: {error}")
            ) from error
        declared = request.headers.get("content-length", "")
        if declared:
            self._check_size(int(declared) if len(declared) < 16 else 1 << 60)
        with self._service.reserve():
            id, folder = self._service.begin()
            try:
                await self._receive(request, folder / name)
                # Without interruption: a task canceled in between must not leave half of it.
                return self._service.add(id, folder / name, options, uploaded=True)
            except BaseException:
                self._service.drop(id)
                raise

    def _check_size(self, size: int) -> None:
        if size > self._limits.upload_bytes:
            raise _Problem(
                413,
                problem_body(
                    LimitError(
                        f"the file has {size:,} bytes or more; this service takes "
                        f"{self._limits.upload_bytes:,} at most. Give a smaller copy, or a part "
                        "of it"
                    )
                ),
            )
        if size > shutil.disk_usage(self._service.folder).free - _RESERVE:
            raise _full_disk()

    async def _receive(self, request: Request, path: Path) -> None:
        """Write the body to a file, and sync it to the disk."""
        size, begun = 0, time.monotonic()
        block = bytearray()
        parts = request.stream().__aiter__()
        with path.open("xb") as file:
            while True:
                try:
                    part = await asyncio.wait_for(parts.__anext__(), self._limits.idle_s)
                except StopAsyncIteration:
                    break
                except asyncio.TimeoutError:
                    raise _slow(f"nothing came for {self._limits.idle_s:g} s") from None
                block += part
                size += len(part)
                if size > self._limits.upload_bytes:
                    self._check_size(size)
                taken = time.monotonic() - begun
                if taken > self._limits.idle_s and size < self._limits.bytes_per_s * taken:
                    raise _slow(f"{size / taken:.0f} bytes a second came")
                if size >= HEAD and size - len(part) < HEAD:
                    _check_film(bytes(block[:HEAD]))
                if len(block) >= _BLOCK:
                    await run_in_threadpool(file.write, block)
                    block = bytearray()
            if size < HEAD:
                _check_film(bytes(block))
            file.write(block)
            file.flush()
            await run_in_threadpool(os.fsync, file.fileno())

    def one(self, request: Request) -> Response:
        return _Json(shown(self._found(request), self._service))

    def events(self, request: Request) -> Response:
        job = self._found(request)
        return StreamingResponse(_events(self._service, job.id), media_type="text/event-stream")

    def result(self, request: Request) -> Response:
        job, suffix = self._found(request), request.path_params["suffix"]
        if job.state != "done":
            if job.problem is not None:
                raise _Problem(409, dict(job.problem))
            detail = f"the job is {job.state}; it has no result"
            raise _Problem(409, problem("no-result", detail, state=job.state))
        formats = job.options["formats"]
        if suffix not in formats:
            detail = f"the job has made {', '.join(formats)}; ask for others with `formats`"
            raise _Problem(404, problem("no-format", detail))
        _check_known(request.query_params, "number")
        asked = request.query_params.get("number", "1" if len(job.results) == 1 else "")
        if asked not in map(str, range(1, len(job.results) + 1)):
            detail = f"say which result: `number=1` to {len(job.results)}; found {asked[:20]!r}"
            raise _Problem(404, problem("no-result", detail))
        number = int(asked)
        which = "" if len(job.results) == 1 else f"-face{job.results[number - 1]['face']}"
        called = os.fsencode(f"{Path(job.name).stem}{which}{ending(suffix)}")
        try:
            content = self._service.result(job, number, suffix).read_bytes()
        except FileNotFoundError:
            detail = "the result was removed"
            raise _Problem(404, problem("no-result", detail)) from None
        return Response(
            content,
            media_type=_MEDIA.get(suffix, "text/plain"),
            headers={"content-disposition": f"attachment; filename*=UTF-8''{quote(called)}"},
        )

    def cancel(self, request: Request) -> Response:
        job = self._found(request)
        self._service.cancel(job.id)
        return _Json(shown(self._found(request), self._service))

    def delete(self, request: Request) -> Response:
        self._service.delete(self._found(request).id)
        return Response(status_code=204)


def application(service: Service, token: str | None, hosts: frozenset[str]) -> ASGIApp:
    """The application of a service; arguments as for `listen`."""
    api = _Api(service)
    job = "/v1/jobs/{id}"
    routes = [
        Route("/", api.page),
        Route("/assets/{name}", api.page),
        Route("/health", api.health),
        Route("/openapi.json", api.openapi),
        Route("/v1/service", api.about),
        Route("/v1/jobs", api.create, methods=["POST"]),
        Route(job, api.one),
        Route(job, api.delete, methods=["DELETE"]),
        Route(job + "/events", api.events),
        Route(job + "/cancel", api.cancel, methods=["POST"]),
        Route(job + "/result.{suffix}", api.result),
    ]
    handlers: dict[Any, Callable[..., Any]] = {
        AumerError: _failed,
        _Problem: _as_it_stands,
        HTTPException: _refused,
        Full: _full(service),
        ClientDisconnect: _gone,
        OSError: _broken,
        Exception: _bug,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    # It would redirect to any host name in the request.
    app.router.redirect_slashes = False
    return _Guard(app, token, hosts)


def shown(job: StoredJob, service: Service) -> dict[str, Any]:
    """A job as JSON."""
    now = service.progress(job.id) if job.state == "running" else None
    done, total = now if now is not None else (None, None)
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "frames": done,
        "frames_estimate": total,
        "options": dict(job.options),
        "results": [dict(one) for one in job.results],
        "problem": job.problem,
        "removed_at": None if job.ended is None else job.ended + service.limits.keep_result_s,
    }


async def _events(service: Service, id: str) -> AsyncIterator[str]:
    """Server-Sent Events of a job: ``job`` at every change, the last when it has ended."""
    last, spoke = None, time.monotonic()
    while True:
        job = await run_in_threadpool(service.get, id)
        if job is None:
            yield "event: removed\ndata: {}\n\n"
            return
        text = json.dumps(shown(job, service))
        if text != last:
            last, spoke = text, time.monotonic()
            yield f"event: job\ndata: {text}\n\n"
        elif time.monotonic() - spoke > _ALIVE_S:
            spoke = time.monotonic()
            yield ": still here\n\n"
        if job.state in ENDED:
            return
        await asyncio.sleep(_LOOK_S)


def _check_known(given: Mapping[str, Any], *known: str) -> None:
    wrong = sorted(set(given) - set(known))
    if wrong:
        allowed = f"allowed are {', '.join(known)}" if known else "none is allowed here"
        raise UsageError(f"unknown name {wrong[0]!r}: {allowed}")


def _check_film(head: bytes) -> None:
    if not film(head):
        detail = (
            "the file is no video of a kind that is taken (MP4, QuickTime, Matroska, WebM, AVI, "
            "MPEG, WMV, FLV, Ogg)"
        )
        raise _Problem(415, {**problem_body(VideoError(detail))})


def _slow(what: str) -> _Problem:
    return _Problem(408, problem("slow", f"the upload was ended: {what}"), connection="close")


def _full_disk() -> _Problem:
    detail = "the service's disk has no room for it just now"
    return _Problem(507, problem("disk-full", detail), **{"retry-after": "600"})


# -- answers to errors -----------------------------------------------------------------------------


def _answer(status: int, body: dict[str, Any], **headers: str) -> Response:
    return _Json({**body, "status": status}, status, headers, media_type="application/problem+json")


async def _failed(request: Request, error: Exception) -> Response:
    return _answer(422 if isinstance(error, VideoError) else 400, problem_body(error))


async def _as_it_stands(request: Request, error: Exception) -> Response:
    assert isinstance(error, _Problem)
    return _answer(error.status, error.body, **error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "nothing-here", 405: "method", 413: "limit"}.get(error.status_code, "request")
    return _answer(error.status_code, problem(kind, error.detail), **dict(error.headers or {}))


def _full(service: Service) -> Callable[..., Any]:
    async def answer(request: Request, error: Exception) -> Response:
        detail = f"{service.limits.queue} jobs wait already, as many as may; try again later"
        return _answer(429, problem("queue-full", detail), **{"retry-after": "60"})

    return answer


async def _gone(request: Request, error: Exception) -> Response:
    return _answer(400, problem("aborted", "the upload was broken off"))


async def _broken(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        _log.error("the service cannot work at the moment: %s", error)
        detail = f"the service's disk cannot be used just now: {error.strerror or error}"
        return _answer(503, problem("disk", detail), **{"retry-after": "600"})
    full = _full_disk()
    return _answer(full.status, full.body, **full.headers)


async def _bug(request: Request, error: Exception) -> Response:
    return _answer(500, problem_body(error))


def _refusal(status: int, what: str) -> Response:
    answer = _answer(status, problem("busy" if status == 503 else "request", what))
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


class _Guard:
    """Allows requests with the token or, without a token, requests addressed to the loopback.

    Without a token the host must be this machine, and changes must not come from another page:
    other sites in a browser on this machine have no access, whatever their DNS says.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: frozenset[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        send = with_headers(send)
        refusal = self._refusal(Request(scope, receive))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if self._token is not None:
            # Not from `request.url`, which includes the untrusted header Host.
            if _OPEN.fullmatch(request.scope["path"]):
                return None
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and same(given.strip(), self._token):
                return None
            detail = "this service asks for its token: Authorization: Bearer TOKEN"
            return _answer(401, problem("token", detail), **{"www-authenticate": "Bearer"})
        host = request.headers.get("host", "").lower()
        if host not in self._hosts:
            return _answer(
                403, problem("host", "the service is asked by another name than its own")
            )
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return _answer(403, problem("origin", "another page may not ask this service"))
        return None
