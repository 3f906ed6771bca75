"""Videos and results at addresses: fsspec's own memory, and a server that speaks S3 where moto and
s3fs are installed."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aumer import remote
from aumer.errors import BackendUnavailable, UsageError, VideoError
from aumer.remote import Mirror, fetched, is_address, listed, plain_path, send

fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty folder."""
    if request.param == "memory":
        system = fsspec.filesystem("memory")
        system.store.clear()
        system.pseudo_dirs[:] = [""]
        yield "memory://bucket"
        system.store.clear()
        return
    pytest.importorskip("s3fs", reason="needs the extra remote")
    server = pytest.importorskip("moto.server", reason="no server that speaks S3")
    running = server.ThreadedMotoServer(port=0)
    running.start()
    _, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{secrets.token_hex(4)}"  # moto keeps buckets as long as the process lives
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    running.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_videos_are_taken_from_an_address_and_results_go_to_one(
    run: Any, videos: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    send(videos / "smile.mp4", f"{bucket}/rec/smile.mp4")
    send(videos / "still.avi", f"{bucket}/rec/b/still.avi")
    send(videos / "text.mp4", f"{bucket}/rec/b/bad.mp4")
    words = f"spot {bucket}/rec --recursive -o {bucket}/out -o {bucket}/out/all.csv --format json"
    words += " --format html"
    ran = run(words)
    assert ran.code == 6, ran.err
    assert f"{bucket}/out/smile.json" in ran.err and str(tmp_path / "tmp") not in ran.err
    names = [one.removeprefix(f"{bucket}/out/") for one in listed(f"{bucket}/out", recursive=True)]
    assert names == [
        "all.csv", "all.inputs.csv", "b/still.html", "b/still.json", "index.html", "smile.html",
        "smile.json",
    ]  # fmt: skip
    assert list((tmp_path / "tmp").iterdir()) == []  # nothing is left here
    # The same as of files of this machine.
    (tmp_path / "here").mkdir()
    run(f"spot {videos}/smile.mp4 -o here/smile.json")
    with fetched(f"{bucket}/out/smile.json") as found:
        assert found.read_text() == (tmp_path / "here" / "smile.json").read_text()
    with fetched(f"{bucket}/out/smile.html") as found:
        assert str(tmp_path / "tmp") not in found.read_text("utf-8")
    # What has no path is linked by its name alone.
    assert run(f"spot {bucket}/rec/smile.mp4 -o {bucket}/elan/x.eaf").code == 0
    for name in ("x.eaf", "x_tsconf.xml"):
        with fetched(f"{bucket}/elan/{name}") as found:
            text = found.read_text("utf-8")
        assert str(tmp_path / "tmp") not in text and "file:" not in text
        assert '"./x_curves.csv"' in text
    # Nothing is replaced unasked; --resume keeps what is of this very run.
    ran = run(words)
    assert ran.code == 2 and f"{bucket}/out/" in ran.err and "exists already" in ran.err
    ran = run(f"{words} --resume")
    assert "smile.mp4: the result of an earlier run is kept" in ran.err
    with fetched(f"{bucket}/out/all.csv") as found:
        assert "smile.mp4" in found.read_text()
    ran = run(f"features {bucket}/rec/smile.mp4 -o {bucket}/out/m.npz")
    assert ran.code == 0 and f"{bucket}/out/m.npz" in ran.err
    assert f"{bucket}/out/m.npz" in listed(f"{bucket}/out", recursive=False)


def test_what_is_not_there_is_said(run: Any, bucket: str, tmp_path: Path) -> None:
    ran = run(f"spot {bucket}/x.mp4")
    assert ran.code == 3 and f"{bucket}/x.mp4: there is no such file" in ran.err
    ran = run(f"spot {bucket}/nothing/")
    assert ran.code == 2 and "there is no video" in ran.err
    send(_written(tmp_path / "x.csv"), f"{bucket}/x.csv")
    scheme, _, rest = bucket.partition("://")
    assert listed(f"{scheme.upper()}://{rest}", recursive=True)[0].endswith("/x.csv")


def test_a_bucket_that_is_not_there_is_not_made(
    run: Any, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is mistyped is said before the work, and makes no bucket at whoever pays."""

    from fsspec.implementations.memory import MemoryFileSystem

    class Store(MemoryFileSystem):  # type: ignore[misc]
        """As stores are: what stands first in a place is a bucket, which writing would make."""

        protocol = ("store",)
        root_marker = ""
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(path).removeprefix("store://").strip("/")

    fsspec.register_implementation("store", Store, clobber=True)
    Store().mkdir("there")
    send(videos / "text.mp4", "store://there/a/x.mp4")
    assert listed("store://there", recursive=True) == ("store://there/a/x.mp4",)
    with pytest.raises(UsageError, match=r"cannot write store://their/x\.mp4: there is no such"):
        send(videos / "text.mp4", "store://their/x.mp4")
    ran = run(f"spot {videos}/still.avi -o store://their/out/x.json")
    assert ran.code == 2 and "cannot write store://their/out: there is no such" in ran.err
    assert not Store().exists("their")


def _written(path: Path) -> Path:
    path.write_text("x")
    return path


def put(address: str, content: bytes = b"x") -> None:
    """A key of a store, which need not be a path."""
    if address.startswith("memory://"):
        fsspec.filesystem("memory").store[address.removeprefix("memory:/")] = _File(content)
        return
    import boto3

    name, _, key = address.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=name, Key=key, Body=content)


def _File(content: bytes) -> Any:
    from fsspec.implementations.memory import MemoryFile

    return MemoryFile(None, "x", content)


def test_keys_that_are_no_paths_lead_nowhere(
    bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A key with ".." in it would be written outside the folder that was asked for."""
    for key in ("in/a/../../../up.mp4", "in//x.mp4", "in/./x.mp4", "in/real.mp4"):
        put(f"{bucket}/{key}")
    caplog.clear()
    assert listed(f"{bucket}/in", recursive=True) == (f"{bucket}/in/real.mp4",)
    assert "left out 3 whose names are no paths" in caplog.text
    before = {*tmp_path.parent.rglob("*")}
    with Mirror((f"{bucket}/in/",)) as mirror:
        folder = Path(mirror.texts[0])
        assert [path.name for path in folder.rglob("*")] == ["real.mp4"]
        assert not (folder.parent / "up.mp4").exists()
    assert {*tmp_path.parent.rglob("*")} == before
    for name in ("..", "."):
        with pytest.raises(VideoError, match="names no file"), fetched(f"{bucket}/in/{name}"):
            pass


def test_folders_of_a_store_are_folders(
    run: Any, bucket: str, videos: Path, tmp_path: Path
) -> None:
    """Consoles mark a folder by an empty key with a stroke; and a key may be a folder's name."""
    for key in ("res/b/", "res/x", "res/x/y.json"):
        put(f"{bucket}/{key}", b"")
    (tmp_path / "rec" / "b").mkdir(parents=True)
    (tmp_path / "rec" / "b" / "still.avi").write_bytes((videos / "still.avi").read_bytes())
    with Mirror((f"{bucket}/res/",)) as mirror:
        folder = Path(mirror.texts[0])
        assert (folder / "x" / "y.json").is_file() and not (folder / "b").is_file()
    ran = run(f"spot rec --recursive -o {bucket}/res/")
    assert ran.code == 0, ran.err
    assert f"{bucket}/res/b/still.json" in listed(f"{bucket}/res", recursive=True)


def test_a_server_that_does_not_answer_is_no_missing_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: Callable[[str], Any] = lambda address: (_Silent(), address[5:])  # noqa: E731
    monkeypatch.setattr(remote, "_opened", opened)
    with pytest.raises(UsageError, match=r"cannot write s3://b/x: OSError: no answer.*ENDPOINT"):
        Mirror(("s3://b/x",))
    with pytest.raises(VideoError, match=r"s3://b/x cannot be read: OSError: no answer"):
        listed("s3://b/x", recursive=True)


class _Silent:
    """As s3fs, whose `exists` says no where nothing answers."""

    def info(self, _: str) -> Any:
        raise OSError("no answer")

    def exists(self, _: str) -> bool:
        return False

    def invalidate_cache(self) -> None:
        pass


def test_what_is_an_address(tmp_path: Path) -> None:
    assert is_address("s3://bucket/x.mp4") and is_address("memory://x")
    assert not is_address("C:/x.mp4") and not is_address("x.mp4") and not is_address(0)
    assert not is_address(f"file://{tmp_path}/x.mp4")
    assert plain_path(f"file://{tmp_path}/a%20b.mp4") == f"{tmp_path}/a b.mp4"
    with pytest.raises(UsageError, match="names a file of the machine other"):
        plain_path("file://other/x.mp4")


def test_a_file_address_is_a_path(run: Any, videos: Path, tmp_path: Path) -> None:
    ran = run(f"spot file://{videos}/still.avi -o file://{tmp_path}/x.json")
    assert ran.code == 0, ran.err
    assert (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("address", "said"), [("ftq://host/x.mp4", "nothing here reads addresses that begin with ftq")]
)
def test_addresses_that_nobody_reads(address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said), fetched(address):
        pass


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(address: str) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", lacks)
    with pytest.raises(BackendUnavailable, match=r"aumer\[remote\].*Install s3fs"):
        listed("s3://bucket", recursive=False)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(BackendUnavailable, match=r"aumer\[remote\]"):
        listed("s3://bucket", recursive=False)


class _Refusing:
    """A file system that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def info(self, _: str) -> Any:
        raise self._error

    exists = isdir = info


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), "the server refuses it .*AWS_ACCESS_KEY_ID"),
        (RuntimeError("Unable to locate credentials"), "AWS_PROFILE"),
        (ConnectionError("no route"), "AWS_ENDPOINT_URL"),
    ],
)
def test_what_a_server_says_is_told_with_advice(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: Callable[[str], Any] = lambda address: (_Refusing(error), address)  # noqa: E731
    monkeypatch.setattr(remote, "_opened", opened)
    with pytest.raises(VideoError, match=said), fetched("s3://bucket/x.mp4"):
        pass
    with pytest.raises(UsageError, match=f"cannot write s3://bucket/x.csv.*{said}"):
        send(tmp_path, "s3://bucket/x.csv")


def test_a_full_disk_is_said_before_anything_is_fetched(
    bucket: str, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(videos / "text.mp4", f"{bucket}/x.mp4")
    monkeypatch.setattr(remote, "_LEFT_FREE", 1 << 60)
    with pytest.raises(UsageError, match="set TMPDIR"), fetched(f"{bucket}/x.mp4"):
        pass


def test_places_of_this_machine_are_not_mirrored(tmp_path: Path) -> None:
    with Mirror((str(tmp_path / "x.csv"), "-")) as mirror:
        assert mirror.texts == (str(tmp_path / "x.csv"), "-")
        assert not mirror.mirrors and mirror.address(tmp_path / "x.csv") is None
