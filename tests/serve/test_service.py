"""The service over real HTTP on the loopback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aumer.client import Client, ServiceError
from aumer.errors import AumerError, NoFaceError, UsageError, VideoError
from aumer.serve.job_options import LimitError, Limits, film
from aumer.serve.openapi import description
from aumer.serve.service import Service, purge
from aumer.serve.worker import SPOT, check_declared
from tests.serve import stub
from tests.serve.conftest import ROOT, STUB, Serve, Served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def word_of(served: Served, id: str) -> dict[str, Any]:
    status, _, text = served.ask("GET", f"/v1/jobs/{id}/result.json")
    assert status == 200, text
    found: dict[str, Any] = json.loads(text)
    return found


def gone(check: Callable[[], bool], within: float = 20) -> None:
    end = time.monotonic() + within
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


# -- jobs --------------------------------------------------------------------------------------


def test_a_job_from_upload_to_removal(serve: Serve) -> None:
    with serve() as served:
        formats = ["json", "eaf", "json"]  # what is asked for twice is made once
        job = served.client.submit(_file(served, "clip.mp4", "echo one"), formats=formats)
        states = [one["state"] for one in job.events()]
        assert states[-1] == "done" and set(states) <= {"queued", "running", "done"}
        assert job.about["results"] == [{"face": None, "micro": 0, "macro": 1}]
        assert json.loads(job.read("eaf"))["name"] == "clip.mp4"
        with pytest.raises(ServiceError, match="has made json, eaf"):
            job.read("csv")
        _, headers, _ = served.ask("GET", f"/v1/jobs/{job.id}/result.eaf")
        assert headers["content-disposition"] == "attachment; filename*=UTF-8''clip.eaf"
        assert headers["x-content-type-options"] == "nosniff"
        assert served.left == ["1.eaf", "1.json", "clip.mp4", "outcome.json"]
        job.delete()
        assert served.left == [] and not list((served.service.folder / "jobs").iterdir())
        with pytest.raises(ServiceError, match="no such job") as raised:
            job.refresh()
        assert raised.value.status == 404
        for path in served.service.folder.glob("jobs.sqlite*"):
            assert b"clip.mp4" not in path.read_bytes()


def _file(served: Served, name: str, word: str) -> Path:
    path = served.service.folder.parent / name
    path.write_bytes(stub.film(word))
    return path


def test_two_hundred_uploads_at_once(serve: Serve) -> None:
    """Each is kept as it came; of those whose jobs are let run, each has its own result."""
    with serve(queue=200) as served:
        with ThreadPoolExecutor(200) as pool:
            jobs = list(pool.map(lambda k: served.upload(f"echo {k}", f"{k}.mp4"), range(200)))
        assert len({job["id"] for job in jobs}) == 200
        for k, job in enumerate(jobs):
            folder = served.service.of(job["id"]) / "input"
            assert (folder / f"{k}.mp4").read_bytes() == stub.film(f"echo {k}")
        for job in jobs[::4] + jobs[1::4] + jobs[2::4]:
            served.service.cancel(job["id"])
        for k in range(3, 200, 4):
            served.until(jobs[k]["id"], "done", within=120)
            found = word_of(served, jobs[k]["id"])
            assert (found["word"], found["name"]) == (f"echo {k}", f"{k}.mp4")


def test_a_full_queue_takes_no_more_and_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with serve(queue=6, jobs=1) as served:
        first = served.upload(f"wait {go}")
        served.until(first["id"], "running")
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda k: served.post("a.mp4", stub.film(f"{k}")), range(12)))
        taken = [job for status, job in answers if status == 201]
        refused = [job for status, job in answers if status == 429]
        assert (len(taken), len(refused)) == (6, 6)
        assert (
            refused[0]["type"] == "urn:aumer:problem:queue-full"
            and "6 jobs" in refused[0]["detail"]
        )
        assert len(list((served.service.folder / "jobs").iterdir())) == 7
        go.touch()
        for job in (first, *taken):
            served.until(job["id"], "done")


def test_failures_are_those_of_spot(serve: Serve) -> None:
    kinds: dict[str, type[AumerError]]
    kinds = {"face": NoFaceError, "video": VideoError, "frames": UsageError, "bug": AumerError}
    with serve(memory_bytes=1 << 30) as served:
        jobs = {word: served.upload(word) for word in (*kinds, "memory", "echo 1")}
        for word, kind in kinds.items():
            with pytest.raises(kind) as raised:
                served.client.job(jobs[word]["id"]).wait(30)
            assert type(raised.value) is kind
            status, headers, text = served.ask("GET", f"/v1/jobs/{jobs[word]['id']}/result.json")
            assert status == 409 and headers["content-type"] == "application/problem+json"
            problem = json.loads(text)
            assert problem["exit_code"] == kind.exit_code and problem["meaning"]
        with pytest.raises(UsageError, match="more memory than the 1024 MiB"):
            served.client.job(jobs["memory"]["id"]).wait(30)
        said = json.dumps(served.until(jobs["video"]["id"], "failed"))
        assert "a.mp4: no video" in said and str(served.service.folder) not in said
        served.until(jobs["echo 1"]["id"], "done")


def test_a_crash_is_tried_once_more_and_kills_no_other(serve: Serve) -> None:
    with serve() as served:
        once, always = served.upload("crash once"), served.upload("crash")
        others = [served.upload(f"echo {k}") for k in range(3)]
        served.until(once["id"], "done")
        assert word_of(served, once["id"])["tries"] == 2  # and the first try's cache was there
        job = served.until(always["id"], "failed")
        assert job["problem"]["type"] == "urn:aumer:problem:crash"
        assert "2 times" in job["problem"]["detail"] and job["problem"]["exit_code"] == 1
        for other in others:
            served.until(other["id"], "done")


def test_a_worker_that_is_killed(serve: Serve, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with serve(jobs=1) as served:
        job = served.upload(f"wait {go}")
        gone(lambda: served.service.progress(job["id"]) is not None)
        os.kill(served.service._work[job["id"]].process.pid, signal.SIGKILL)
        go.touch()
        served.until(job["id"], "done")
        assert word_of(served, job["id"])["tries"] == 2


def test_cancel_and_delete(serve: Serve) -> None:
    with serve(jobs=1) as served:
        running, queued = served.upload("wait"), served.upload("echo 1")
        gone(lambda: served.service.progress(running["id"]) is not None)
        pid = served.service._work[running["id"]].process.pid
        assert served.client.job(queued["id"]).cancel().state == "canceled"
        job = served.client.job(running["id"])
        assert job.cancel().state == "canceled" and not alive(pid)
        with pytest.raises(ServiceError, match="canceled"):
            job.wait()
        assert served.left == []  # their uploads are gone
        assert job.cancel().state == "canceled"  # harmless when repeated
        last = served.upload("wait")
        gone(lambda: served.service.progress(last["id"]) is not None)
        pid = served.service._work[last["id"]].process.pid
        served.client.job(last["id"]).delete()
        assert not alive(pid) and not (served.service.folder / "jobs" / last["id"]).exists()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_what_takes_too_long_is_ended(serve: Serve) -> None:
    with serve(job_s=1.0) as served:
        job = served.until(served.upload("wait")["id"], "failed")
        assert job["problem"]["type"] == "urn:aumer:problem:limit"
        assert "longest" in job["problem"]["detail"]


def test_nothing_is_kept_longer_than_is_said(serve: Serve) -> None:
    with serve(keep_upload_s=0, keep_result_s=4.0) as served:
        about = served.client.about()
        assert "until the job ends" in about["personal_data"][0]["how_long"]
        job = served.upload("echo 1", "secret-name.mp4")
        served.until(job["id"], "done")
        gone(lambda: "secret-name.mp4" not in served.left)
        gone(lambda: served.service.get(job["id"]) is None)
        gone(lambda: not list((served.service.folder / "jobs").iterdir()))
        gone(lambda: job["id"] not in served.service._store.ids())
        for path in served.service.folder.glob("jobs.sqlite*"):
            assert b"secret-name" not in path.read_bytes()


# -- what is not taken -----------------------------------------------------------------------------


_NAMES = """
../a.mp4 ..%2fa.mp4 %2e%2e%2fa.mp4 /etc/passwd.mp4 a%00.mp4 .. .a.mp4 a%0a.mp4 C:a.mp4 a%5cb.mp4
noname
"""


@pytest.mark.parametrize("name", ["", "x" * 250 + ".mp4", *_NAMES.split()])
def test_names_that_lead_elsewhere(serve: Serve, name: str) -> None:
    with serve() as served:
        status, said = served.post(name, stub.film("echo"))
        assert (status, said["exit_code"]) == (400, 2) and "`name`" in said["detail"]
        assert not list((served.service.folder / "jobs").iterdir())


def test_paths_that_lead_elsewhere(serve: Serve, tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.mp4"
    root.mkdir()
    secret.write_bytes(stub.film("echo secret"))
    (root / "link.mp4").symlink_to(secret)
    (root / "own.mp4").write_bytes(stub.film("echo own"))
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe.mp4")
    with serve(roots=(root,)) as served:
        for path in (secret, root / "link.mp4", root / ".." / "secret.mp4", "own.mp4", "/none.mp4"):
            with pytest.raises(UsageError, match="lie in one of the service's folders"):
                served.client.submit_path(path)
        for path in (root / "none.mp4", root / "pipe.mp4"):
            with pytest.raises(VideoError):
                served.client.submit_path(path)
        with pytest.raises(UsageError, match="fps"):
            served.client.submit_path(root / "folder")
        job = served.client.submit_path(root / "own.mp4", formats=["json"]).wait(30)
        assert json.loads(job.read("json"))["word"] == "echo own"
        job.delete()
        assert (root / "own.mp4").exists()
        assert not list((served.service.folder / "jobs").iterdir())
        done = served.until(served.upload("echo 1")["id"], "done")["id"]
        for path in (
            f"/v1/jobs/../jobs/{done}",
            "/v1/jobs/..",
            "/v1/jobs/%2e%2e",
            "/v1/jobs/..%2f..%2fjobs.sqlite",
            f"/v1/jobs/{done}/result.json%2f..%2f..%2flock",
            f"/v1/jobs/{done}/result...%2foutcome.json",
            f"/v1/jobs/{done}/result.json?number=../1",
            f"/v1/jobs/{done}/result.json?number=2",
            f"/v1/jobs/{done}/result.json?number=0",
            "/assets/..%2fservice.py",
            "/assets/../service.py",
        ):
            status, _headers, text = served.ask("GET", path)
            assert status == 404 and b"word" not in text, path


def test_options_that_cannot_be_used(serve: Serve, tmp_path: Path) -> None:
    weights = tmp_path / "own.safetensors"
    weights.touch()
    with serve() as served:
        for options, said in (
            ({"model": str(weights)}, "model"),
            ({"recognizer": str(weights)}, "recognizer"),
            ({"nothing": 1}, "nothing"),
            ({"formats": ["exe"]}, "formats"),
            ({"formats": ["../1"]}, "formats"),
            ({"settings": {"motion": {"no": 1}}}, "motion.no"),
            ({"settings": {"face": {"detector": 7}}}, "detector"),
            ({"face": "front"}, "follow"),
            ({"fps": -1}, "fps"),
            ({"end": 1, "start": 2}, "end"),
            ({"sensitivity": "huge"}, "sensitivity"),
            ({"cache": "/etc"}, "cache"),
            (["a"], "options"),
        ):
            status, problem = served.post("a.mp4", stub.film("echo"), options)
            assert (status, problem["exit_code"]) == (400, 2) and said in problem["detail"], options
        status, _, text = served.ask(
            "POST", "/v1/jobs?name=a.mp4&options={", b"", Content_Type="video/mp4"
        )
        assert status == 400 and b"JSON" in text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Dear diary, " * 99,
        b"#EXTM3U\nfile:///etc/passwd\n" * 40,
        b"ffconcat version 1.0\n" * 40,
        b"PK\x03\x04".ljust(600, b"\0"),
        b"\x89PNG\r\n\x1a\n".ljust(600, b"\0"),
        b"<html>" * 200,
        b"GG".ljust(600, b"\0"),
    ],
)
def test_files_that_are_no_video(serve: Serve, body: bytes) -> None:
    with serve() as served:
        status, said = served.post("a.mp4", body)
        assert (status, said["exit_code"]) == (415, 3) and "no video" in said["detail"]
        assert not list((served.service.folder / "jobs").iterdir())


def test_kinds_of_content(serve: Serve) -> None:
    with serve() as served:
        for kind in ("text/html", "multipart/form-data; boundary=x", "image/png", ""):
            status, _, text = served.ask(
                "POST", "/v1/jobs?name=a.mp4", stub.film("echo"), Content_Type=kind
            )
            assert status == 415 and b"content type" in text
        for body in (b"{", b"[" * 9000, b"7", b'{"path": 7}', b"x" * 70000):
            status, headers, _ = served.ask(
                "POST", "/v1/jobs", body, Content_Type="application/json"
            )
            assert status in (400, 413), body
            assert headers["content-type"] == "application/problem+json"
        assert served.ask("PUT", "/v1/jobs")[0] == 405
        status, headers, text = served.ask("GET", "/none")
        assert status == 404 and json.loads(text)["type"].startswith("urn:aumer:")


def _raw(served: Served, head: str, body: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", served.port), 20)
    start = f"POST /v1/jobs?name=a.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
    made.sendall(f"{start}Content-Type: video/mp4\r\n{head}\r\n\r\n".encode() + body)
    return made


def _status(connection: socket.socket) -> int:
    return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize("declared", [20_000, 10**12, 10**18, 10**40])
def test_huge_declared_lengths(serve: Serve, declared: int) -> None:
    with serve(upload_bytes=10_000) as served, _raw(served, f"Content-Length: {declared}") as one:
        assert _status(one) in (400, 413)  # before a byte of it has come
        assert not list((served.service.folder / "jobs").iterdir())


def test_lengths_that_are_not_declared(serve: Serve) -> None:
    with serve(upload_bytes=10_000) as served:
        with _raw(served, "Transfer-Encoding: chunked") as one:
            part = stub.film("echo", 4000)
            for _ in range(3):
                one.sendall(b"fa0\r\n" + part + b"\r\n")
            assert _status(one) == 413
        gone(lambda: not list((served.service.folder / "jobs").iterdir()))
        for wrong in ("Content-Length: -1", "Content-Length: 1\r\nContent-Length: 2"):
            with _raw(served, wrong) as one:
                assert _status(one) == 400


def test_slow_and_aborted_uploads(serve: Serve) -> None:
    with serve(idle_s=0.5, bytes_per_s=10_000, queue=4) as served:
        folder = served.service.folder / "jobs"
        silent = _raw(served, "Content-Length: 100000", stub.film("echo"))
        # Never silent for half a second, and never fast enough.
        trickle = _raw(served, "Content-Length: 100000", stub.HEAD)
        aborted = [_raw(served, "Content-Length: 100000", stub.film("echo")) for _ in range(2)]
        gone(lambda: len(list(folder.iterdir())) == 4)
        assert served.post("a.mp4", stub.film("echo"))[0] == 429  # they hold places, ...
        for one in aborted:
            one.close()
        gone(lambda: len(list(folder.iterdir())) == 2)  # ... and give them back
        served.until(served.upload("echo 1")["id"], "done")
        trickle.settimeout(0.1)
        status = b""
        for _ in range(100):
            try:
                trickle.sendall(b" ")
                status = trickle.recv(4096)
                break
            except TimeoutError:
                continue
        assert b" 408 " in status
        assert _status(silent) == 408
        for one in (silent, trickle):
            one.close()
        gone(lambda: len(list(folder.iterdir())) == 1)
        assert served.service.counts() == {"waiting": 0, "running": 0}


# -- videos that declare too much ------------------------------------------------------------------


def bombs(folder: Path) -> Iterator[tuple[Path, str]]:
    """Small files that declare giant pictures, many of them, or a long time."""
    small = folder / "small.avi"
    writer = cv2.VideoWriter(str(small), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    avi = small.read_bytes()
    # Also in every picture (JPEG, SOF0), as FFmpeg believes it there alone.
    avi = avi.replace(struct.pack("<II", 64, 48), struct.pack("<II", 16_000, 16_000))
    sof = b"\xff\xc0\0\x11\x08"
    avi = avi.replace(sof + struct.pack(">HH", 48, 64), sof + struct.pack(">HH", 16_000, 16_000))
    (folder / "giant.avi").write_bytes(avi)
    yield folder / "giant.avi", "16000 x 16000"
    mp4 = folder / "small.mp4"
    writer = cv2.VideoWriter(str(mp4), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    data = bytearray(mp4.read_bytes())
    at = data.index(b"mp4v\0\0\0\0\0\0\0\1")
    data[at + 28 : at + 32] = struct.pack(">HH", 60_000, 60_000)
    tkhd = data.index(b"tkhd")
    data[tkhd + 80 : tkhd + 88] = struct.pack(">II", 60_000 << 16, 60_000 << 16)
    (folder / "giant.mp4").write_bytes(data)
    yield folder / "giant.mp4", "60000 x 60000"


def _png(width: int, height: int) -> bytes:
    """The beginning of an RGB picture of that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000))


def test_decompression_bombs(serve: Serve, tmp_path: Path) -> None:
    """By HTTP, with the real work: a file of a kilobyte takes no gigabytes."""
    made = list(bombs(tmp_path))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(_png(30_000, 20_000))
    with serve(analyze=SPOT, memory_bytes=3 << 29, roots=(tmp_path,)) as served:
        jobs = [(served.client.submit(path), said) for path, said in made]
        jobs.append((served.client.submit_path(tmp_path / "images", fps=25), "more pixels"))
        for job, said in jobs:
            with pytest.raises(UsageError, match=said):
                job.wait(60)
            assert job.about["problem"]["type"] == "urn:aumer:problem:limit"


def test_what_a_file_declares(tmp_path: Path) -> None:
    list(bombs(tmp_path))
    limits = Limits()
    for name in ("small.avi", "small.mp4"):
        check_declared(tmp_path / name, limits)
    with pytest.raises(LimitError, match="s long"):
        check_declared(tmp_path / "small.mp4", Limits(length_s=0.05))
    with pytest.raises(LimitError, match="frames or more"):
        check_declared(tmp_path / "small.avi", Limits(frames=2))
    with pytest.raises(LimitError, match="64 x 48"):
        check_declared(tmp_path / "small.avi", Limits(pixels=3071))
    for name in ("small.avi", "small.mp4"):
        assert film((tmp_path / name).read_bytes()[:512])


# -- who may come in -------------------------------------------------------------------------------


def test_the_token(serve: Serve) -> None:
    with serve(token="a-token-of-some-length") as served:
        for path in ("/", "/health", "/openapi.json", "/assets/page.js"):
            assert served.ask("GET", path)[0] == 200
        for method, path in (("GET", "/v1/service"), ("POST", "/v1/jobs"), ("GET", "/none")):
            for given in ("", "Bearer", "Bearer wrong", "Basic a-token-of-some-length"):
                status, headers, text = served.ask(method, path, Authorization=given)
                assert status == 401 and headers["www-authenticate"] == "Bearer"
                assert b"a-token" not in text
        assert served.client.about()["limits"]["jobs"] == 2
        with pytest.raises(ServiceError, match="token"):
            Client(f"http://127.0.0.1:{served.port}", token="other").about()


def test_other_pages_get_nothing_on_the_loopback(serve: Serve) -> None:
    with serve() as served:
        port = served.port
        assert served.ask("GET", "/v1/service", Host=f"localhost:{port}")[0] == 200
        assert served.ask("GET", "/v1/service", Host=f"evil.example:{port}")[0] == 403
        own = f"http://127.0.0.1:{port}"
        for origin, status in ((own, 415), ("http://evil.example", 403), ("null", 403)):
            assert served.ask("POST", "/v1/jobs", b"", Origin=origin)[0] == status
        _, headers, _ = served.ask("GET", "/")
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "access-control-allow-origin" not in headers


def test_the_description_is_of_every_route(serve: Serve) -> None:
    from aumer.serve.application import application

    with serve() as served:
        guard: Any = application(served.service, None, frozenset())
        routes = {
            (route.path, method.lower())
            for route in guard._app.routes
            for method in route.methods - {"HEAD"}
        }
        told = description()
        known = {
            (path, method)
            for path, item in told["paths"].items()
            for method in item
            if method != "parameters"
        }
        assert known == routes
        job = served.until(served.upload("echo 1")["id"], "done")
        assert set(job) == set(told["components"]["schemas"]["Job"]["properties"])
        options = told["components"]["schemas"]["Options"]["properties"]
        assert set(job["options"]) == set(options)


# -- restarts --------------------------------------------------------------------------------------

_SERVER = f"""
import sys
from pathlib import Path
from aumer.serve.application import listen
from aumer.serve.job_options import Limits
from aumer.serve.service import Service
service = Service(Path(sys.argv[1]), Limits(jobs=2), analyze={STUB!r})
listener = listen(service, host="127.0.0.1", port=0, token=None)
print(listener.port, flush=True)
listener.run()
"""


def _server(folder: Path) -> tuple[subprocess.Popen[str], Client]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    return process, Client(f"http://127.0.0.1:{int(process.stdout.readline())}", token="")


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for task in text for one in (task / "children").read_text().split()]


def test_files_where_the_service_is_started_are_not_its_own(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's script may have the name of a module that a job imports."""
    (tmp_path / "here").mkdir()
    for name in ("token", "queue", "numpy"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit(1)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    with serve() as served:
        job = served.until(served.upload("echo 1")["id"], "done", "failed")
        assert job["state"] == "done", job["problem"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """In the middle of jobs and of an upload: nothing is lost, and nothing is left behind."""
    state, go = tmp_path / "state", tmp_path / "go"
    words = [f"wait {go}"] * 2 + [f"echo {k}" for k in range(4)]
    process, client = _server(state)
    try:
        jobs = []
        for k, word in enumerate(words):
            path = tmp_path / f"{k}.mp4"
            path.write_bytes(stub.film(word))
            jobs.append(client.submit(path, formats=["json"]))
        half = http.client.HTTPConnection("127.0.0.1", client._port or 0)
        half.putrequest("POST", "/v1/jobs?name=half.mp4")
        half.putheader("Content-Type", "video/mp4")
        half.putheader("Content-Length", "100000")
        half.endheaders(stub.film("echo half"))
        folder = state / "jobs"
        gone(lambda: len(list(folder.iterdir())) == 7 and len(_children(process.pid)) == 2)
        gone(lambda: all((state / "jobs" / j.id / "cache" / "tries").exists() for j in jobs[:2]))
        workers = _children(process.pid)
        process.kill()
        process.wait()
        gone(lambda: not any(map(alive, workers)))
        half.close()
    finally:
        process.kill()
    process, client = _server(state)
    try:
        go.touch()
        for k, (word, job) in enumerate(zip(words, jobs, strict=True)):
            found = json.loads(client.job(job.id).wait(30).read("json"))
            assert (found["word"], found["name"]) == (word, f"{k}.mp4")
            assert found["tries"] == (2 if k < 2 else 1)
        assert {p.name for p in folder.iterdir()} == {job.id for job in jobs}
        with pytest.raises(UsageError, match="another service"):
            purge(state)
        process.terminate()
        process.wait(20)
    finally:
        process.kill()
    assert purge(state) == 6
    assert not state.exists()
    with pytest.raises(UsageError, match="holds no jobs"):
        purge(state)


def test_a_server_that_is_ended(serve: Serve, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with serve() as served:
        job = served.upload(f"wait {go}")
        gone(lambda: served.service.progress(job["id"]) is not None)
        pid = served.service._work[job["id"]].process.pid
        with pytest.raises(UsageError, match="another service is at work"):
            Service(served.service.folder, Limits())
    assert not alive(pid)
    go.touch()
    with serve() as served:
        served.until(job["id"], "done")
        kept = served.service.get(job["id"])
        assert kept is not None and (kept.crashes, kept.interrupted) == (0, 0)
