"""Attacks on the service, over real HTTP on the loopback."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aumer.client import Client, ServiceError
from aumer.errors import UsageError, VideoError
from aumer.serve import application
from aumer.serve.application import listen
from aumer.serve.job_options import Limits
from aumer.serve.openapi import description
from aumer.serve.service import Service, purge
from tests.serve import stub
from tests.serve.conftest import STUB, Serve, Served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def until(check: Callable[[], Any], within: float = 30) -> None:
    end = time.monotonic() + within
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def said(served: Served, sent: bytes, then: bytes = b"", within: float = 30) -> tuple[int, Any]:
    """Status and problem of what answers these bytes; the rest is sent when the answer has come."""
    with socket.create_connection(("127.0.0.1", served.port), within) as one:
        one.sendall(sent)
        found = one.recv(65536)
        while b"\r\n\r\n" not in found or not found.rstrip().endswith(b"}"):
            more = one.recv(65536)
            assert more, found
            found += more
    head, _, body = found.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), found
    assert b"traceback" not in body.lower()
    return int(head.split()[1]), json.loads(body)


# -- who may come in -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["x/health?", "x/health#", "x/assets/a?", "x"])
@pytest.mark.parametrize("path", ["/v1/service", "/health%0a", "/assets/page.js%0a"])
def test_no_host_and_no_line_end_opens_the_door(serve: Serve, host: str, path: str) -> None:
    """With starlette 0.40, which may be installed, ``x/health?`` did."""
    with serve(token="a-token-of-some-length") as served:
        assert served.ask("GET", path, Host=host)[0] == 401


def test_an_address_with_a_slash_leads_nowhere_else(serve: Serve) -> None:
    with serve() as served:
        for path in ("/v1/jobs/", "/health/", "//health"):
            status, headers, _ = served.ask("GET", path)
            assert status == 404 and "location" not in headers, path


def test_the_service_is_asked_by_its_name_in_capitals(serve: Serve) -> None:
    with serve() as served:
        assert served.ask("GET", "/health", Host=f"LocalHost:{served.port}")[0] == 200


def test_at_port_80_browsers_leave_the_port_out(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Listener:
        port = 80

        def __init__(self, host: str, port: int) -> None:
            pass

        def answer(self, app: Any, **more: Any) -> None:
            self.hosts = app._hosts

    with serve() as served:
        monkeypatch.setattr(application, "Listener", Listener)
        made: Any = listen(served.service, host="127.0.0.1", port=80, token=None)
        assert {"localhost", "127.0.0.1", "localhost:80"} <= made.hosts


def test_a_job_process_does_not_know_the_token(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUMER_TOKEN", "a-token-of-some-length")
    with serve() as served:
        job = served.upload("wait")
        until(lambda: served.service.progress(job["id"]) is not None)
        pid = served.service._work[job["id"]].process.pid
        assert b"a-token" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_only_the_user_reads_who_has_which_job(serve: Serve, tmp_path: Path) -> None:
    """Whoever reads an id has the job; the folder may have been made for all to see."""
    (tmp_path / "state").mkdir(mode=0o755)
    with serve() as served:
        served.upload("echo")
        found = {p.name: p.stat().st_mode & 0o77 for p in served.service.folder.iterdir()}
        assert {"jobs", "jobs.sqlite", "jobs.sqlite-wal"} <= set(found)
        assert not any(found.values()), found


# -- errors are problems ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n12345",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    ],
)
def test_what_is_no_request(serve: Serve, sent: bytes) -> None:
    with serve() as served:
        status, problem = said(served, sent)
        assert status == problem["status"] == 400


def test_one_connection_too_many(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_CONNECTIONS", 2)
    with serve() as served:
        held = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(2)]
        sent = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode()
        status, problem = said(served, sent)
        assert status == 503 and problem["type"].endswith(":busy")
        for one in held:
            one.close()
        until(lambda: _health(served) == 200)


def _health(served: Served) -> int:
    try:
        return served.ask("GET", "/health")[0]
    except OSError:
        return 0


def test_connections_that_bring_nothing_are_closed(serve: Serve) -> None:
    host = "Host: 127.0.0.1\r\n"
    with serve(idle_s=0.5) as served:
        # Nothing; half a head; and the body of an upload that was refused, byte by byte.
        head = f"POST /v1/jobs HTTP/1.1\r\n{host}Content-Length: 100000\r\n\r\n"
        held = []
        for sent in (b"", b"GET / HTTP/1.1\r\nX: ", head.encode()):
            one = socket.create_connection(("127.0.0.1", served.port), 20)
            one.sendall(sent)
            held.append(one)
        end = time.monotonic() + 20
        while held and time.monotonic() < end:
            for one in list(held):
                one.settimeout(0.05)
                try:
                    one.sendall(b" ")
                    if one.recv(4096):
                        continue
                except TimeoutError:
                    continue
                except OSError:
                    pass
                one.close()
                held.remove(one)
        assert not held


def test_a_slow_path(serve: Serve, tmp_path: Path) -> None:
    with serve(idle_s=0.3) as served:
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        status, problem = said(served, head.encode())
        assert status == 408 and problem["type"].endswith(":slow")


def test_texts_that_are_no_unicode(serve: Serve, tmp_path: Path) -> None:
    """Names of files need not be UTF-8; they come, and are answered, as JSON says them."""
    root = tmp_path / "root"
    root.mkdir()
    name = os.fsdecode(b"m\xfcller.mp4")
    (root / name).write_bytes(stub.film("echo"))
    with serve(roots=(root,)) as served:
        status, problem = served.post("a.mp4", b"", {"settings": {"\ud800": 1}})
        assert (status, problem["exit_code"]) == (400, 2)
        with pytest.raises(VideoError, match="no such file"):
            served.client.submit_path(root / os.fsdecode(b"\xff.mp4"))
        job = served.client.submit_path(root / name, formats=["json"]).wait(60)
        assert job.about["name"] == name
        assert json.loads(job.read("json"))["name"] == name
        assert (
            served.client.submit(root / name, formats=["json"]).about["name"] == "m\ufffdller.mp4"
        )


def test_paths_that_the_system_refuses(serve: Serve, tmp_path: Path) -> None:
    with serve(roots=(tmp_path,)) as served:
        for name in ("a" * 300, "a/" * 3000):
            with pytest.raises(VideoError):
                served.client.submit_path(tmp_path / name)


def test_words_that_are_not_known(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(stub.film("echo"))
    with serve(roots=(tmp_path,)) as served:
        asked = json.dumps({"path": str(tmp_path / "a.mp4"), "option": {"face": "left"}})
        for path, body, kind in (
            ("/v1/jobs", asked, "application/json"),
            ("/v1/jobs?options={}", json.dumps({"path": "/a"}), "application/json"),
            ("/v1/jobs?name=a.mp4&option={}", stub.film("echo"), "video/mp4"),
        ):
            status, _, text = served.ask("POST", path, body, Content_Type=kind)
            assert status == 400 and b"unknown name 'option" in text
        assert not list((served.service.folder / "jobs").iterdir())


def test_results_that_are_not_there(serve: Serve) -> None:
    with serve() as served:
        job = served.until(served.upload("echo")["id"], "done")["id"]
        where = f"/v1/jobs/{job}/result.json"
        for number in ("0000000011", "000000001", "2", "%C2%B2", "1" * 5000):
            status, _, text = served.ask("GET", f"{where}?number={number}")
            assert status == 404 and json.loads(text)["type"].endswith(":no-result"), number
        # A part of it is not offered: the whole comes.
        for part in ("bytes=abc", "bytes=5-1", "bytes=999999-", "bytes=0-1"):
            status, _, text = served.ask("GET", where, Range=part)
            assert status == 200 and json.loads(text)["word"] == "echo", part
        (served.service.of(job) / "results" / "1.json").unlink()
        status, _, text = served.ask("GET", where)
        assert status == 404 and "removed" in json.loads(text)["detail"]


# -- what befalls the disk -------------------------------------------------------------------------


def test_a_full_disk_ends_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(jobs=1) as served:
        store, real = served.service._store, served.service._store._db

        class Full:
            def execute(self, text: str, *values: Any) -> Any:
                if text.startswith(("INSERT", "UPDATE", "DELETE")):
                    raise sqlite3.OperationalError("database or disk is full")
                return real.execute(text, *values)

            def close(self) -> None:
                real.close()

        waiting = served.upload("echo 1")
        served.until(waiting["id"], "done")
        monkeypatch.setattr(store, "_db", Full())
        status, problem = served.post("a.mp4", stub.film("echo"))
        assert status == 507 and problem["type"].endswith(":disk-full")
        status, _, text = served.ask("DELETE", f"/v1/jobs/{waiting['id']}")
        assert status == 507 and json.loads(text)["type"].endswith(":disk-full")
        served.service._cleaned_at = -1e9
        served.service._wake.set()
        time.sleep(0.3)
        assert served.service.healthy
        monkeypatch.setattr(store, "_db", real)
        served.until(served.upload("echo 2")["id"], "done")


def test_a_job_that_could_not_be_started_is_started_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is so full that not even this can be written."""
    with serve(jobs=1) as served:
        store = served.service._store
        change, broken = store.change, threading.Event()

        def refusing(id: str, **values: Any) -> bool:
            if broken.is_set() and values.get("state") == "queued":
                raise OSError(errno.ENOSPC, "full")
            return change(id, **values)

        def start(*args: Any, **more: Any) -> Any:
            broken.set()
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(store, "change", refusing)
        with monkeypatch.context() as context:
            context.setattr("aumer.serve.service.subprocess.Popen", start)
            job = served.upload("echo 1")
            until(broken.is_set)
            time.sleep(0.2)
        broken.clear()
        served.until(job["id"], "done")


def test_a_folder_that_somebody_has_removed_holds_up_no_other(serve: Serve, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with serve(jobs=1) as served:
        first = served.upload(f"wait {go}")
        lost, last = served.upload("echo 1"), served.upload("echo 2")
        shutil.rmtree(served.service.of(lost["id"]))
        go.touch()
        for job, state in ((first, "done"), (lost, "failed"), (last, "done")):
            served.until(job["id"], state)


@pytest.mark.parametrize("what", ["text", "half", "other", "file"])
def test_a_table_that_cannot_be_read(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    table = folder / "jobs.sqlite"
    if what == "text":
        table.write_bytes(b"Dear diary, " * 999)
    elif what == "file":
        (folder / "jobs").write_text("")
    else:
        with sqlite3.connect(table) as db:
            db.execute("CREATE TABLE jobs (id TEXT, state TEXT)")
            db.executemany("INSERT INTO jobs VALUES (?, 'done')", [("x" * 900,)] * 99)
        db.close()
        if what == "half":
            os.truncate(table, table.stat().st_size // 2)
    with pytest.raises(UsageError, match="--purge" if what != "file" else "cannot keep jobs"):
        Service(folder, Limits(), analyze=STUB)
    if what != "file":
        purge(folder)
        assert not folder.exists()


def test_purging_may_be_interrupted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as served:
        served.until(served.upload("echo 1", "secret.mp4")["id"], "done")
        folder = served.service.folder
    (folder / "jobs.sqlite-wal").write_bytes(b"secret.mp4")
    removed: list[str] = []
    unlink = Path.unlink

    def once(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        removed.append(self.name)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Path, "unlink", once)
        with pytest.raises(KeyboardInterrupt):
            purge(folder)
    assert purge(folder) == 0 and not folder.exists()


def test_what_cannot_be_removed_is_not_forgotten(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as served:
        job = served.until(served.upload("echo 1")["id"], "done")["id"]
        with monkeypatch.context() as context:
            context.setattr("aumer.serve.service.shutil.rmtree", lambda *_, **__: None)
            served.client.job(job).delete()
            assert served.service.get(job) is None and served.service.of(job).exists()
        served.service._cleaned_at = -1e9
        served.service._wake.set()
        until(lambda: not served.service.of(job).exists())
        until(lambda: job not in served.service._store.ids())


# -- when things meet ------------------------------------------------------------------------------


def test_a_clock_that_was_ahead_keeps_nothing_for_years(serve: Serve) -> None:
    with serve(keep_result_s=2.0) as served:
        job = served.until(served.upload("echo 1")["id"], "done")["id"]
        served.service._store.change(job, ended=time.time() + 1e8)
        until(lambda: not served.service.of(job).exists())


def test_a_job_that_is_deleted_and_canceled_at_once_is_gone(serve: Serve) -> None:
    with serve() as served:
        job = served.upload("wait")["id"]
        until(lambda: served.service.progress(job) is not None)
        with served.service._lock:  # as two requests may do in a moment
            asked = threading.Thread(target=served.service.delete, args=(job,))
            canceled = threading.Thread(target=served.service.cancel, args=(job,))
            served.service._store.change(job, state="deleting")
        canceled.start()
        asked.start()
        canceled.join()
        asked.join()
        until(lambda: not served.service.of(job).exists())
        assert job not in served.service._store.ids()


def test_a_path_that_has_become_a_link_is_not_followed(serve: Serve, tmp_path: Path) -> None:
    root, secret, go = tmp_path / "root", tmp_path / "secret.mp4", tmp_path / "go"
    root.mkdir()
    secret.write_bytes(stub.film("echo secret"))
    (root / "a.mp4").write_bytes(stub.film("echo own"))
    with serve(roots=(root,), jobs=1) as served:
        served.upload(f"wait {go}")
        job = served.client.submit_path(root / "a.mp4", formats=["json"])
        (root / "a.mp4").unlink()
        (root / "a.mp4").symlink_to(secret)
        go.touch()
        with pytest.raises(UsageError, match="lie in one of"):
            job.wait(60)


# -- the client ------------------------------------------------------------------------------------


def test_a_client_of_nonsense() -> None:
    for address in ("http://h:99999", "http://h:a", "http://a b", "ftp://h", "", 7):
        with pytest.raises(UsageError, match="address"):
            Client(address)  # type: ignore[arg-type]
    for token in ("two\nlines", "blank s", "€uro"):
        with pytest.raises(UsageError, match="`token`") as raised:
            Client("http://127.0.0.1:1", token=token)
        assert token not in str(raised.value)
    with pytest.raises(ServiceError, match="no answer"):
        Client("http://" + "a" * 70 + ":1", token="").about()


@pytest.fixture
def other() -> Iterator[Callable[[bytes | None], Client]]:
    """A client of a server that says these bytes, or (None) neither reads nor says anything."""
    made = []

    def start(answer: bytes | None) -> Client:
        listener = socket.create_server(("127.0.0.1", 0))
        made.append(listener)

        def run() -> None:
            connection, _ = listener.accept()
            made.append(connection)
            if answer is not None:
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()

        threading.Thread(target=run, daemon=True).start()
        return Client(f"http://127.0.0.1:{listener.getsockname()[1]}", token="", timeout_s=0.5)

    yield start
    for one in made:
        one.close()


_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        _OK % 100 + b"{",
        _OK % 4 + b"<h1>",
        _OK % 2 + b"[]",
        b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 4\r\n\r\n<h1>",
        b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\n<h1>",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 16\r\n\r\n" + b'{"exit_code":[]}',
        b"SSH-2.0\r\n",
        b"",
        None,
    ],
)
def test_another_server_is_a_service_error(
    other: Callable[[bytes | None], Client], answer: bytes | None
) -> None:
    with pytest.raises(ServiceError):
        other(answer).about()


def test_an_upload_that_nobody_reads(
    other: Callable[[bytes | None], Client], tmp_path: Path
) -> None:
    """It is the service that is wrong, and not the video."""
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.truncate(30_000_000)
    with pytest.raises(ServiceError, match="no answer"):
        other(None).submit(path)


def test_what_cannot_be_uploaded(serve: Serve, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "a.mp4").write_bytes(stub.film("echo"))
    with serve() as served:
        for path in ("pipe.mp4", ".", "none.mp4"):
            with pytest.raises(VideoError):
                served.client.submit(tmp_path / path)
        with pytest.raises(UsageError, match="JSON"):
            served.client.submit(tmp_path / "a.mp4", fps=object())


def test_a_stream_of_events_that_breaks_off(serve: Serve) -> None:
    with serve() as served:
        job = served.client.job(served.upload("wait")["id"])
        other = served.client.job(job.id)
        seen: list[str] = []

        def read() -> None:
            with pytest.raises(ServiceError, match=r"broke off|no answer"):
                seen.extend(one["state"] for one in other.events())
            seen.append("told")

        thread = threading.Thread(target=read)
        thread.start()
        until(lambda: "frames" in other.about and other.about["frames"])
        states = [one["state"] for one in _some(job.events(), 1)]  # a reader that goes away
        assert states == ["running"]
    thread.join(20)
    assert seen[-1] == "told"


def _some(all: Iterator[Any], count: int) -> Iterator[Any]:
    for _ in range(count):
        yield next(all)


# -- the description -------------------------------------------------------------------------------


def test_what_is_answered_is_described(serve: Serve, tmp_path: Path) -> None:
    """Of each route the status and the kind of content, and of JSON the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    told = description()

    def check(served: Served, method: str, path: str, body: Any = None, **headers: str) -> int:
        status, got, text = served.ask(method, path, body, **headers)
        plain = path.partition("?")[0]
        (item,) = (
            item
            for known, item in told["paths"].items()
            if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(known)), plain)
        )
        answers = item[method.lower()]["responses"]
        assert str(status) in answers, (method, path, status, text)
        kinds = answers[str(status)].get("content", {})
        kind = got.get("content-type", "").partition(";")[0]
        assert (kind in kinds or "*/*" in kinds) if text else not kinds, (path, kind, kinds)
        if (schema := kinds.get(kind, {}).get("schema")) and kind.endswith("json"):
            jsonschema.validate(json.loads(text), {**schema, "components": told["components"]})
        return status

    with serve() as served:
        done = served.until(served.upload("echo 1")["id"], "done")["id"]
        failed = served.until(served.upload("face")["id"], "failed")["id"]
        one, none = f"/v1/jobs/{done}", "/v1/jobs/" + "x" * 22
        film = {"Content_Type": "video/mp4"}
        found = [
            check(served, *asked, **more)
            for *asked, more in (
                ("GET", "/", {}),
                ("GET", "/assets/page.js", {}),
                ("GET", "/assets/none.js", {}),
                ("GET", "/health", {}),
                ("GET", "/health", {"Host": "evil"}),
                ("GET", "/openapi.json", {}),
                ("GET", "/v1/service", {}),
                ("POST", "/v1/jobs?name=a.mp4", stub.film("echo 2"), film),
                ("POST", "/v1/jobs?name=a.mp4", stub.film("echo 2"), {"Origin": "http://evil"}),
                ("POST", "/v1/jobs", b"", {}),
                ("POST", "/v1/jobs", b"{", {"Content_Type": "application/json"}),
                ("POST", "/v1/jobs", b" " * 70000, {"Content_Type": "application/json"}),
                ("GET", one, {}),
                ("GET", f"/v1/jobs/{failed}", {}),
                ("GET", none, {}),
                ("GET", one + "/events", {}),
                ("GET", none + "/events", {}),
                ("POST", one + "/cancel", {}),
                ("GET", one + "/result.json", {}),
                ("GET", one + "/result.json?no=1", {}),
                ("GET", f"/v1/jobs/{failed}/result.json", {}),
                ("DELETE", one, {}),
                ("DELETE", one, {}),
            )
        ]
    assert {200, 201, 204, 400, 403, 404, 409, 413, 415} == set(found)
