from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from aumer import files
from aumer.errors import UsageError
from aumer.files import TemporaryFolder, atomic_write, check_folder, check_target


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\xff", b"\x00\xff"),
        ("é\n", "é\n".encode()),
        (lambda file: file.write(b"written"), b"written"),
        (b"", b""),
    ],
    ids=["bytes", "text", "function", "nothing"],
)
def test_writes_what_it_is_given(tmp_path: Path, content: files.Content, expected: bytes) -> None:
    atomic_write(tmp_path / "out", content)
    assert (tmp_path / "out").read_bytes() == expected
    assert names(tmp_path) == ["out"]


def test_a_function_may_write_an_npz(tmp_path: Path) -> None:
    atomic_write(str(tmp_path / "a.npz"), lambda file: np.savez(file, x=np.arange(3)))
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["x"].tolist() == [0, 1, 2]


def test_refuses_an_existing_file_and_says_how_to_replace_it(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("mine")
    for call in (lambda: check_target(target), lambda: atomic_write(target, "new")):
        with pytest.raises(UsageError, match=r"out exists already; use `overwrite=True`"):
            call()
    assert target.read_text() == "mine"
    atomic_write(target, "new", overwrite=True)
    assert target.read_text() == "new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [ValueError("bug"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    tmp_path: Path, overwrite: bool, failure: BaseException
) -> None:
    target = tmp_path / "out"
    if overwrite:
        target.write_text("old")
    before = names(tmp_path)

    def half(file: IO[bytes]) -> None:
        file.write(b"half")
        file.flush()
        raise failure

    with pytest.raises(type(failure)):
        atomic_write(target, half, overwrite=overwrite)
    assert names(tmp_path) == before
    assert not overwrite or target.read_text() == "old"


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    def full(file: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UsageError, match=r"cannot write .*out: No space left"):
        atomic_write(tmp_path / "out", full)
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_failing_last_step_leaves_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "out", "x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        refuse_links(monkeypatch)
    target = tmp_path / "out"
    with pytest.raises(UsageError, match="exists already"):
        atomic_write(target, lambda file: target.write_text("theirs"))
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["out"]


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def test_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(monkeypatch)
    atomic_write(tmp_path / "out", "x")
    assert (tmp_path / "out").read_text() == "x"
    assert names(tmp_path) == ["out"]

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match="Input/output error"):
        atomic_write(tmp_path / "other", "x")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_of_many_writers_exactly_one_wins(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        refuse_links(monkeypatch)
    target = tmp_path / "out"
    start = threading.Barrier(8)
    won: list[int] = []

    def write(k: int) -> None:
        def content(file: IO[bytes]) -> None:
            start.wait()
            file.write(str(k).encode())

        try:
            atomic_write(target, content)
            won.append(k)
        except UsageError:
            pass

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [target.read_text()] == [str(k) for k in won]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_places_that_cannot_be_written(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for path, reason in {
        tmp_path / "absent" / "out": "absent does not exist; create it",
        tmp_path / "file" / "out": "file is not a folder",
        tmp_path: "it is a folder",
        tmp_path / "pipe": "not a regular file",
        tmp_path / ("n" * 300): "File name too long",
    }.items():
        with pytest.raises(UsageError, match=reason):
            check_target(path, overwrite=overwrite)
        with pytest.raises(UsageError, match=reason):
            atomic_write(path, "x", overwrite=overwrite)
    assert names(tmp_path) == ["file", "pipe"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_may_not_be_written_in_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """Asked of the system, as root may write where the rights say that nobody may."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").write_text("")
    check_folder(tmp_path / "closed" / "new" / "folder")
    check_target(tmp_path / "closed" / "out", overwrite=overwrite)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "closed")
    with pytest.raises(UsageError, match=r"cannot write .*closed/out: .*no permission to write"):
        check_target(tmp_path / "closed" / "out", overwrite=overwrite)
    for folder in (tmp_path / "closed", tmp_path / "closed" / "new" / "folder"):
        with pytest.raises(UsageError, match="no permission to write"):
            check_folder(folder)
    with pytest.raises(UsageError, match="file is not a folder"):
        check_folder(tmp_path / "file" / "new")
    assert names(tmp_path) == ["closed", "file"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc")
def test_a_file_system_that_refuses_what_its_rights_allow_is_told_before_the_work() -> None:
    """Root has every right of /proc, where no file can be made."""
    with pytest.raises(UsageError, match="no permission to write in the folder /proc"):
        check_target("/proc/out.json")
    with pytest.raises(UsageError, match="no permission to write in the folder /proc"):
        check_folder("/proc/new")


def test_overwriting_a_link_changes_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_text("old")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "real")
    with pytest.raises(UsageError, match="exists already"):
        atomic_write(link, "new")
    atomic_write(link, "new", overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "there" / "real").read_text() == "new"


def test_rights_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    atomic_write(tmp_path / "out", "x")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


# -- what is temporary ------------------------------------------------------------------------


def old(path: Path) -> Path:
    """As if it had lain there for a day."""
    os.utime(path, (time.time() - 86_400,) * 2)
    return path


def test_a_temporary_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with TemporaryFolder(beside=tmp_path) as folder:
        (folder / "film.avi").write_bytes(b"film")
        assert names(tmp_path) == [folder.name]
    assert names(tmp_path) == []
    kept = TemporaryFolder(beside=tmp_path)
    assert kept.path.is_dir()
    del kept
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="there nobody can tell what is still in use")
def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, sys; from aumer.files import TemporaryFolder, atomic_write\n"
        "with TemporaryFolder(beside=sys.argv[1]) as folder:\n"
        "    (folder / 'film.avi').write_bytes(b'film')\n"
        "    atomic_write(sys.argv[1] + '/out', lambda file: os._exit(9))"
    )
    place = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=place, check=False)
    assert ran.returncode == 9
    left = list(tmp_path.iterdir())
    assert len(left) == 2
    used = TemporaryFolder(beside=tmp_path)  # by somebody who works for long
    mine = (tmp_path / "aumer-tmp-mine", tmp_path / ".aumer-notes.tmp", tmp_path / "film.avi")
    for path in mine:
        path.write_text("mine")

    files._sweep.cache_clear()
    atomic_write(tmp_path / "out", "first")
    assert all(path.exists() for path in left)  # no hour has passed: they may be just begun
    for path in (*left, used.path, *mine):
        old(path)
    files._sweep.cache_clear()
    atomic_write(tmp_path / "out", "second", overwrite=True)
    assert not any(path.exists() for path in left)
    assert used.path.is_dir()
    assert all(path.read_text() == "mine" for path in mine)
    used.close()
