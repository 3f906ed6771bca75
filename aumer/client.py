"""A client of `aumer serve` that needs only the standard library.

>>> client = Client("http://127.0.0.1:8000")  # doctest: +SKIP
>>> job = client.submit("interview.mp4", face="left")  # doctest: +SKIP
>>> job.wait().result().expressions  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from aumer.arguments import as_path
from aumer.errors import (
    EXIT_BUG,
    EXIT_NO_FACE,
    EXIT_UNREADABLE,
    EXIT_USAGE,
    EXIT_WEIGHTS,
    AumerError,
    NoFaceError,
    UsageError,
    VideoError,
    WeightsError,
)
from aumer.files import atomic_write

if TYPE_CHECKING:
    from aumer.results import SpotResult

_ERRORS: dict[int, type[AumerError]] = {
    EXIT_BUG: AumerError,
    EXIT_USAGE: UsageError,
    EXIT_UNREADABLE: VideoError,
    EXIT_NO_FACE: NoFaceError,
    EXIT_WEIGHTS: WeightsError,
}
_VISIBLE, _HOST = re.compile("[!-~]+"), re.compile(r"[^\s\x00-\x1f\x7f]+")
_ENDED = ("done", "failed", "canceled")


class ServiceError(AumerError):
    """The service does not answer, or refuses for a reason that is not one of aumer's errors.

    Attributes:
        status: of HTTP; 0 if nothing answered.
        problem: the body of the answer, see ``/openapi.json``.
    """

    def __init__(
        self, message: str, status: int = 0, problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.problem = status, dict(problem or {})


class Client:
    """A connection to a service.

    Args:
        address: such as ``http://127.0.0.1:8000``.
        token: the secret of the service; by default ``$AUMER_TOKEN``.
        timeout_s: longest wait for an answer to begin, or to continue.
    """

    def __init__(self, address: str, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        try:
            parts = urlsplit(str(address))
            port = parts.port
        except ValueError:  # a port that is none
            parts, port = urlsplit(""), None
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
            raise UsageError(
                f"`address` must be http://HOST:PORT or https://...; found {address!r}"
            )
        self._host, self._port = host, port
        self._secure, self._base = parts.scheme == "https", parts.path.rstrip("/")
        self._token = os.environ.get("AUMER_TOKEN") if token is None else token
        if self._token and not _VISIBLE.fullmatch(self._token):  # which is not shown
            raise UsageError("`token` (or $AUMER_TOKEN) must be ASCII characters, and no blanks")
        self._timeout = timeout_s

    def about(self) -> dict[str, Any]:
        """Version, limits, jobs, formats, and which data of people the service stores."""
        return self._object("GET", "/v1/service")

    def submit(self, video: str | os.PathLike[str], **options: Any) -> RemoteJob:
        """Upload a video.

        Args:
            options: those of `aumer.spot`, and ``formats`` and ``faces``; see docs/service.md.

        Raises:
            VideoError: the file cannot be read, or the service does not accept it as a video.
            UsageError: an option cannot be used, or the file is too large.
            ServiceError: the queue is full, the token is wrong, nothing answers, ...
        """
        path = as_path("video", video)
        name, text = quote(os.fsencode(path.name)), quote(_json_text(options))
        try:
            if path.exists() and not path.is_file():  # a pipe would not end
                raise VideoError(f"{path} is not a file; `submit_path` takes a folder of images")
            file = path.open("rb")
        except OSError as error:
            raise VideoError(f"{path}: {error.strerror or error}") from error
        with file:
            body = _Upload(path, file)
            head = {"Content-Type": "application/octet-stream", "Content-Length": str(body.size)}
            where = f"/v1/jobs?name={name}&options={text}"
            return RemoteJob(self, self._object("POST", where, body, head))

    def submit_path(self, path: str | os.PathLike[str], **options: Any) -> RemoteJob:
        """Submit a video that the service can read at this path; see `submit`."""
        asked = {"path": str(as_path("path", path)), "options": options}
        head = {"Content-Type": "application/json"}
        return RemoteJob(self, self._object("POST", "/v1/jobs", _json_text(asked).encode(), head))

    def job(self, id: str) -> RemoteJob:
        """A job by its id."""
        return RemoteJob(self, self._object("GET", f"/v1/jobs/{quote(id, safe='')}"))

    def _object(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        with self._answer(method, path, body, headers) as answer:
            text = answer.read()
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._nobody("what answers there is no service of aumer")
        return found

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout)
        given = dict(headers or {})
        if self._token:
            given["Authorization"] = f"Bearer {self._token}"
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # of a name that can be no machine's
            raise self._nobody(error) from error
        try:
            # A service that refuses an upload answers before the upload ends; that answer is read.
            broken: OSError | None = None
            try:
                connection.request(method, f"{self._base}{path}", body, given)
            except (BrokenPipeError, ConnectionResetError) as error:
                broken = error
            if broken is not None:
                answer = http.client.HTTPResponse(connection.sock, method=method)
                answer.begin()
            else:
                answer = connection.getresponse()
            if not 200 <= answer.status < 300:
                raise _refusal(answer)
            yield answer
        except (OSError, http.client.HTTPException) as error:  # also in the middle of an answer
            raise self._nobody(error) from error
        finally:
            connection.close()

    def _nobody(self, why: Exception | str) -> ServiceError:
        where = self._host if self._port is None else f"{self._host}:{self._port}"
        return ServiceError(
            f"no answer from {where}: {str(why) or type(why).__name__}; is `aumer serve` at work "
            "there?"
        )


class RemoteJob:
    """A job of a service.

    Attributes:
        about: the latest answer of the service: state, frames, options, results, problem, ...
    """

    def __init__(self, client: Client, about: dict[str, Any]) -> None:
        self._client, self.about = client, about

    @property
    def id(self) -> str:
        """The job's id. Whoever knows it has access to the job."""
        return str(self.about["id"])

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``done``, ``failed`` or ``canceled``, by the latest answer."""
        return str(self.about["state"])

    def refresh(self) -> RemoteJob:
        """Ask the service for the present state; returns itself."""
        self.about = self._client._object("GET", self._path())
        return self

    def events(self) -> Iterator[dict[str, Any]]:
        """The service's report at every change, until the job has ended or was removed.

        Raises:
            ServiceError: the service has ended before the job; ask again once it is back.
        """
        with self._client._answer("GET", self._path("/events")) as answer:
            kind = ""
            for line in answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "job":
                    self.about = json.loads(value)
                    yield self.about
                elif name == "data" and kind == "removed":
                    return
        if self.state not in _ENDED:
            raise self._client._nobody("it broke off before the job had ended")

    def wait(self, timeout_s: float | None = None) -> RemoteJob:
        """Wait until the job is done; returns itself.

        Raises:
            AumerError: it failed; the error is the one that `aumer.spot` would have raised.
            ServiceError: it was canceled or deleted, or `timeout_s` has passed.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        pause = 0.05
        while self.refresh().state not in _ENDED:
            if until is not None and time.monotonic() > until:
                raise ServiceError(f"the job is {self.state} after {timeout_s:g} s")
            time.sleep(pause)
            pause = min(1.0, pause * 1.5)
        if self.state == "failed":
            raise _error(self.about["problem"], 200)
        if self.state == "canceled":
            raise ServiceError("the job was canceled")
        return self

    def read(self, suffix: str, *, number: int | None = None) -> bytes:
        """The bytes of a result's file.

        Args:
            suffix: a format, such as "csv".
            number: which result, from 1, if each face has its own.

        Raises:
            ServiceError: there is none.
            AumerError: the job failed, see `wait`.
        """
        which = "" if number is None else f"?number={number}"
        with self._client._answer("GET", self._path(f"/result.{quote(suffix)}{which}")) as answer:
            return answer.read()

    def save(
        self, path: str | os.PathLike[str], *, number: int | None = None, overwrite: bool = False
    ) -> None:
        """Write a result to a file in the format of its suffix."""
        found = self.read(Path(path).suffix[1:].lower(), number=number)
        atomic_write(path, found, overwrite=overwrite)

    def result(self, *, number: int | None = None) -> SpotResult:
        """The result as an object. This loads numpy."""
        from aumer.results import SpotResult

        return SpotResult.from_json(self.read("json", number=number).decode())

    def cancel(self) -> RemoteJob:
        """Cancel the job; returns itself."""
        self.about = self._client._object("POST", self._path("/cancel"), b"")
        return self

    def delete(self) -> None:
        """Delete the job and everything that the service stores of it."""
        with self._client._answer("DELETE", self._path()):
            pass

    def _path(self, more: str = "") -> str:
        return f"/v1/jobs/{quote(self.id, safe='')}{more}"


class _Upload:
    """A file's bytes: as many as it had at first, or an error of its own."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self.size = self._left = os.fstat(file.fileno()).st_size

    def read(self, size: int) -> bytes:
        try:
            found = self._file.read(min(size, self._left))
        except OSError as error:
            raise VideoError(f"{self._path}: {error.strerror or error}") from error
        if self._left and not found:
            raise VideoError(f"{self._path} became shorter while it was sent")
        self._left -= len(found)
        return found


def _json_text(values: Mapping[str, Any]) -> str:
    try:
        return json.dumps(values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"options must be what JSON knows: {error}") from error


def _refusal(answer: http.client.HTTPResponse) -> AumerError:
    text = answer.read(1 << 20)
    try:
        problem = json.loads(text)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        said = f"{answer.status} {answer.reason}: {text.decode(errors='replace')[:300]}"
        problem = {"detail": f"another program than `aumer serve` answers: {said}"}
    return _error(problem, answer.status)


def _error(problem: Mapping[str, Any], status: int) -> AumerError:
    detail = str(problem.get("detail", "no reason given"))
    code = problem.get("exit_code")
    kind = _ERRORS.get(code) if isinstance(code, int) else None
    return ServiceError(detail, status, problem) if kind is None else kind(detail)
