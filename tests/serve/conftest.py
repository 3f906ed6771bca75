"""A service at work on the loopback, and raw HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from aumer.client import Client
from aumer.serve.application import listen
from aumer.serve.job_options import Limits
from aumer.serve.service import Service

ROOT = Path(__file__).parents[2]
STUB = "tests.serve.stub:analyze"


@pytest.fixture(autouse=True)
def _jobs_find_the_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's process imports from where this one does, and by absolute paths only."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


@dataclass
class Served:
    """A service at work."""

    service: Service
    port: int
    token: str | None = None

    @property
    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", token=self.token or "")

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body; the path goes out as it stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post(self, name: str, body: bytes, options: Any = None) -> tuple[int, Any]:
        """Upload: status and JSON."""
        path = f"/v1/jobs?name={name}" + (f"&options={json.dumps(options)}" if options else "")
        kind = "application/octet-stream"
        status, _, text = self.ask("POST", path.replace(" ", "%20"), body, Content_Type=kind)
        return status, json.loads(text)

    def upload(self, word: str, name: str = "a.mp4", **options: Any) -> Any:
        """A job that does as the word says, see `tests.serve.stub`."""
        from tests.serve.stub import film

        status, job = self.post(name, film(word), {"formats": ["json"], **options})
        assert status == 201, job
        return job

    def until(self, id: str, *states: str, within: float = 30) -> Any:
        """The job once it is in one of these states."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            job = self.client.job(id).about
            if job["state"] in states:
                return job
            time.sleep(0.02)
        raise AssertionError(f"{job} is not {states}")

    @property
    def left(self) -> list[str]:
        """Files of all jobs but locks."""
        found = (self.service.folder / "jobs").rglob("*")
        return sorted(p.name for p in found if p.is_file() and p.name != "lock")


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Begins a service with these limits, whose jobs do as their files say."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    @contextlib.contextmanager
    def start(
        *,
        token: str | None = None,
        analyze: str = STUB,
        roots: tuple[Path, ...] = (),
        **limits: Any,
    ) -> Iterator[Served]:
        made = Limits(**{"jobs": 2, "queue": 500, **limits})
        service = Service(tmp_path / "state", made, roots=roots, analyze=analyze)
        listener = listen(service, host="127.0.0.1", port=0, token=token)
        thread = threading.Thread(target=listener.run, daemon=True)
        thread.start()
        try:
            yield Served(service, listener.port, token)
        finally:
            listener.stop()
            thread.join(20)
            service.stop()
            assert not thread.is_alive()

    return start
