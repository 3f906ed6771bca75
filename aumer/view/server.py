"""The server of the page, only on the loopback and only with the token.

Every path but the first needs a cookie, which is set by the address with the token. Only files
given at the start of the server are read, each by its number; the browser sends no paths. Other
pages in the same browser can neither read nor write here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from aumer.errors import AumerError
from aumer.view.faces import face, jpeg, png
from aumer.view.shown import Shown, exports
from aumer.web import LOOPBACK, Listener, Pages, json_body, same, with_headers

#: Largest size of a request, bytes.
_LARGEST = 32 << 20


class GuardedListener(Listener):
    """A listener on the loopback that requires a token.

    Args:
        printed_by: the command that prints the address.

    Attributes:
        token: the token that the address must have.
        port: chosen by the system.
        address: to open in a browser.
        opening: the same for one use only: the command line of a browser, with the address, is
            visible to all users of the machine in the list of processes.
    """

    def __init__(self, app: ASGIApp, printed_by: str) -> None:
        super().__init__()
        self.token = secrets.token_urlsafe(32)
        self.address = f"http://{LOOPBACK}:{self.port}/?token={self.token}"
        once = secrets.token_urlsafe(32)
        self.opening = f"http://{LOOPBACK}:{self.port}/?token={once}"
        # Sending a video may take hours; the server does not wait for it.
        self.answer(_Guard(app, self.token, self.port, once, printed_by))


class Site(GuardedListener):
    """A server for some videos."""

    def __init__(self, shown: Sequence[Shown]) -> None:
        super().__init__(application(shown), "aumer view")


def application(shown: Sequence[Shown]) -> ASGIApp:
    """The server's application, which needs a `GuardedListener`: see the module."""
    pages = Pages("aumer.view")

    def video(request: Request) -> Shown:
        number = int(request.path_params["video"])
        if number >= len(shown):
            raise HTTPException(404, "there is no such video")
        return shown[number]

    def page(request: Request) -> Response:
        return pages.answer("index.html")

    def asset(request: Request) -> Response:
        return pages.answer(request.path_params["name"])

    def session(request: Request) -> Response:
        return JSONResponse({"videos": [one.about() for one in shown], "exports": exports()})

    def data(request: Request) -> Response:
        return Response(video(request).data(), media_type="application/octet-stream")

    def track(request: Request) -> Response:
        ask = request.query_params
        first, after = _whole(ask, "first"), _whole(ask, "after")
        return JSONResponse(video(request).track(ask.get("layer", ""), first, after))

    def film(request: Request) -> Response:
        path = video(request).path
        if path.is_dir():
            raise HTTPException(404, "a folder of images is no film")
        if not path.is_file():
            raise HTTPException(404, f"{video(request).name} is not there any more")
        return FileResponse(path)

    def frame(request: Request) -> Response:
        form = request.path_params["form"]
        if form not in ("png", "jpg"):
            raise HTTPException(404, "frames are png or jpg")
        image = video(request).frames[int(request.path_params["frame"])]
        if form == "png":
            return Response(png(image), media_type="image/png")
        return Response(jpeg(image), media_type="image/jpeg")

    def crop(request: Request) -> Response:
        one, ask = video(request), request.query_params
        at = _whole(ask, "at")
        image = face(
            one.frames,
            int(request.path_params["frame"]),
            one.box(ask.get("layer"), at),
            min(max(_whole(ask, "size"), 16), 1024),
            since=at,
            alpha=_number(ask, "alpha"),
        )
        return Response(png(image), media_type="image/png")

    def compared(request: Request) -> Response:
        ask = request.query_params
        return JSONResponse(video(request).compared(ask.get("a", ""), ask.get("b", "")))

    async def post(request: Request) -> Response:
        asked = await json_body(request, _LARGEST)
        return await run_in_threadpool(_posted, video(request), request.path_params["what"], asked)

    one = "/api/{video:int}"
    routes = [
        Route("/", page),
        Route("/assets/{name}", asset),
        Route("/api/session", session),
        Route(f"{one}/data", data),
        Route(f"{one}/track", track),
        Route(f"{one}/film", film),
        Route(one + "/frame/{frame:int}.{form}", frame),
        Route(one + "/face/{frame:int}.png", crop),
        Route(f"{one}/agreement", compared),
        Route(one + "/{what}", post, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers=HANDLERS)


def _posted(video: Shown, what: str, asked: Any) -> Response:
    if what == "save":
        saved = video.save(asked)
        return JSONResponse(saved, 409 if "conflict" in saved else 200)
    if what == "draft":
        return JSONResponse(video.keep_draft(asked))
    if what == "again":
        from aumer.results.schema import Node

        root = Node(asked)
        return JSONResponse(video.again(root["layer"].text(), root["sensitivity"].number()))
    if what == "export":
        name, text = video.exported(asked)
        said = f"attachment; filename*=UTF-8''{quote(name)}"
        return Response(text, media_type="text/plain", headers={"content-disposition": said})
    raise HTTPException(404, "there is nothing of that name")


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


#: Responses to errors.
HANDLERS: dict[Any, Any] = {AumerError: _failed, HTTPException: _refused}


def _whole(ask: Any, name: str) -> int:
    text = ask.get(name, "")
    if not text.isdecimal() or len(text) > 12:
        raise HTTPException(400, f"{name} must be a whole number; found {text!r}")
    return int(text)


def _number(ask: Any, name: str) -> float:
    try:
        return float(ask.get(name, "0"))
    except ValueError:
        raise HTTPException(400, f"{name} must be a number; found {ask[name]!r}") from None


class _Guard:
    """Allows requests with the token, or with the cookie set by it, to exactly this address."""

    def __init__(self, app: ASGIApp, token: str, port: int, once: str, printed_by: str) -> None:
        self._app, self._token, self._once, self._printed_by = app, token, once, printed_by
        # Cookies ignore ports, and another aumer server may be open in the same browser.
        self._cookie = f"aumer-view-{port}"
        self._hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        send = with_headers(send)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if host not in self._hosts:  # a name that some DNS server resolves to this machine
            return JSONResponse({"error": "wrong host"}, 403)
        given = parse_qs(request.url.query).get("token", [""])[0]
        if request.url.path == "/" and given and self._opens(given):
            # Removes the token from the address, and thus from the history and from screenshots.
            response = RedirectResponse("/", 303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return response
        if not same(request.cookies.get(self._cookie, ""), self._token):
            return Response(
                f"Open the address that `{self._printed_by}` printed: it holds the token that this "
                "page asks for.\n",
                403,
                media_type="text/plain",
            )
        if request.method not in ("GET", "HEAD"):
            # For cookies, other ports are the same site; they are not the same origin.
            origin = request.headers.get("origin", "")
            kind = request.headers.get("content-type", "").partition(";")[0].strip()
            if origin != f"http://{host}" or kind != "application/json":
                return JSONResponse({"error": "wrong origin"}, 403)
        return None

    def _opens(self, given: str) -> bool:
        if self._once and same(given, self._once):
            self._once = ""
            return True
        return same(given, self._token)
