"""Runs the jobs: a queue, a process for each running job, and removal of old data.

A folder holds everything: ``jobs.sqlite``, and for each job ``jobs/ID`` with the upload
(``input/NAME``) and the ``results``. One service at a time works in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aumer.errors import EXIT_BUG, AumerError, UsageError, VideoError
from aumer.serve.job_options import JobOptions, LimitError, Limits, problem, problem_body
from aumer.serve.store import ENDED, JobStore, State, StoredJob
from aumer.serve.worker import SPOT

_log = logging.getLogger("aumer")

#: How often a job is restarted after a crash of its process, and of the service.
_CRASHES, _INTERRUPTIONS = 1, 4
#: Seconds between two polls of anything without events.
_LOOK_S, _KEEPING_S = 0.5, 30.0
_TABLE, _JOBS, _LOCK = "jobs.sqlite", "jobs", "lock"


class Full(Exception):
    """The queue is full."""


@dataclass
class _Work:
    """A running job."""

    job: StoredJob
    process: subprocess.Popen[bytes]
    deadline: float
    progress: tuple[int, int | None] | None = None
    why: str = ""  # why it is being ended: "canceled", "deleting", "time", "stop"
    ended: threading.Event = field(default_factory=threading.Event)


class Service:
    """Jobs in a folder.

    Args:
        folder: created if missing.
        limits: limits of uploads and jobs.
        roots: folders whose videos may be given by path.
        analyze: ``module:function``, see `aumer.serve.worker.spotted`.
        plugins: plugins loaded first by every job's process, see `aumer.plugins.load`.

    Raises:
        UsageError: the folder cannot be used, another service works in it, or a root is not a
            folder.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        *,
        roots: Sequence[Path] = (),
        analyze: str = SPOT,
        plugins: Sequence[str] = (),
    ) -> None:
        self.folder, self.limits = folder, limits
        self.roots = tuple(root.resolve() for root in roots)
        for root in self.roots:
            if not root.is_dir():
                raise UsageError(
                    f"`root` must be a folder of videos; found {root}, which is not a folder"
                )
        self._analyze, self._plugins = analyze, tuple(map(str, plugins))
        self._held = _hold(folder)
        try:
            (folder / _JOBS).mkdir(mode=0o700, exist_ok=True)
            self._store = JobStore(folder / _TABLE)
        except OSError as error:
            os.close(self._held)
            raise _unusable(folder, error) from error
        except BaseException:
            os.close(self._held)
            raise
        self._lock = threading.RLock()
        self._reserved = 0  # by uploads in progress
        self._work: dict[str, _Work] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._cleaned_at = 0.0
        try:
            self._recover()
        except OSError as error:
            self._store.close()
            os.close(self._held)
            raise _unusable(folder, error) from error
        self._thread = threading.Thread(target=self._run, name="aumer jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the running jobs; the next service in the folder restarts them."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._store.close()
        os.close(self._held)

    # -- what is asked from outside, from any thread ---------------------------------------------

    @property
    def healthy(self) -> bool:
        """Whether jobs are started and the folder can be written."""
        return self._thread.is_alive() and os.access(self.folder, os.W_OK)

    def counts(self) -> dict[str, int]:
        """Numbers of waiting jobs (including uploads in progress) and of running jobs."""
        with self._lock:
            return {
                "waiting": self._store.count("queued") + self._reserved,
                "running": self._store.count("running"),
            }

    @contextlib.contextmanager
    def reserve(self) -> Iterator[None]:
        """Reserve a place in the queue during an upload.

        Raises:
            Full: there is none.
        """
        with self._lock:
            if self._store.count("queued") + self._reserved >= self.limits.queue:
                raise Full
            self._reserved += 1
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= 1

    def begin(self) -> tuple[str, Path]:
        """A new job's id and the folder for its upload; call `add` or `drop` next."""
        id = secrets.token_urlsafe(16)
        folder = self.of(id) / "input"
        folder.mkdir(parents=True, mode=0o700)
        return id, folder

    def drop(self, id: str) -> None:
        """Discard an incomplete upload."""
        shutil.rmtree(self.of(id), ignore_errors=True)

    def add(self, id: str, path: Path, options: JobOptions, *, uploaded: bool) -> StoredJob:
        """Put a job in the queue; it is stored on the disk when this returns."""
        job = StoredJob(
            id, path.name, str(path), uploaded, options.to_dict(), "queued", time.time()
        )
        _sync(path.parent if uploaded else self.of(id), self.of(id), self.folder / _JOBS)
        self._store.add(job)
        self._wake.set()
        return job

    def inside(self, text: str) -> Path:
        """The video at a path, which must be in one of the roots after links are resolved.

        Raises:
            UsageError: it is in none; the message says nothing about other folders.
            VideoError: it is missing, or is neither a file nor a folder.
        """
        try:
            path = Path(os.path.realpath(text)) if Path(text).is_absolute() else None
        except (OSError, ValueError):
            path = None
        if path is None or not any(path.is_relative_to(root) for root in self.roots):
            raise UsageError(
                f"`path` must be absolute and lie in one of the service's folders; found {text!r}"
            )
        try:
            there = path.is_file() or path.is_dir()
        except OSError as error:  # a name is too long, or no permission for a folder
            raise VideoError(f"{text}: {error.strerror or error}") from error
        if not there:
            raise VideoError(f"{text}: no such file or folder")
        return path

    def get(self, id: str) -> StoredJob | None:
        """A job."""
        job = self._store.get(id)
        return None if job is None or job.state == "deleting" else job

    def progress(self, id: str) -> tuple[int, int | None] | None:
        """Decoded frames of a running job, and an estimate of the total."""
        work = self._work.get(id)
        return None if work is None else work.progress

    def result(self, job: StoredJob, number: int, suffix: str) -> Path:
        """Path of a result file of a finished job."""
        return self.of(job.id) / "results" / f"{number}.{suffix}"

    def cancel(self, id: str) -> bool:
        """End a waiting or running job and remove its upload; False if it was neither."""
        with self._lock:
            work = self._work.get(id)
            if work is not None:
                _end(work, "canceled")
            elif self._store.end(id, "canceled"):
                self._clean(id)
                return True
            else:
                return False
        work.ended.wait(10)
        return True

    def delete(self, id: str) -> bool:
        """Remove a job and all its data; False if there was none."""
        with self._lock:
            states: tuple[State, ...] = ("queued", "running", "done", "failed", "canceled")
            if not self._store.change(id, only=states, state="deleting"):
                return False
            work = self._work.get(id)
            if work is not None:
                _end(work, "deleting")
            else:
                self._forget(id)
                return True
        work.ended.wait(10)
        return True

    def of(self, id: str) -> Path:
        """The folder of a job."""
        return self.folder / _JOBS / id

    # -- the thread that runs jobs ---------------------------------------------------------------

    def _recover(self) -> None:
        """Recover the jobs of an earlier service."""
        known = self._store.ids()
        for path in (self.folder / _JOBS).iterdir():
            if path.name not in known:  # an incomplete upload
                shutil.rmtree(path, ignore_errors=True)
        for job in self._store.of("deleting"):
            self._forget(job.id)
        for job in self._store.of("running"):
            if self._finished(job.id):
                continue
            if job.interrupted >= _INTERRUPTIONS:
                detail = f"the service ended {job.interrupted + 1} times while it was at work"
                self._store.end(job.id, "failed", problem=problem("crash", detail, EXIT_BUG))
                self._clean(job.id)
            else:
                self._store.change(job.id, state="queued", interrupted=job.interrupted + 1)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self._collect()
                self._begin()
                if time.monotonic() - self._cleaned_at > min(
                    _KEEPING_S, self.limits.keep_result_s / 4
                ):
                    self._cleaned_at = time.monotonic()
                    self._expire()
            except OSError as error:  # a full disk may have space later
                _log.error("the service cannot work at the moment, and tries again: %s", error)
            self._wake.wait(_LOOK_S)
        for work in list(self._work.values()):
            _end(work, "stop")
        for work in list(self._work.values()):
            work.process.wait()
        try:
            self._collect()
        except OSError as error:  # the next service finds them as running, and restarts them
            _log.error("how far the jobs are could not be written: %s", error)

    def _begin(self) -> None:
        with self._lock:
            for job in self._store.of("running"):
                if job.id not in self._work:  # its process could not be started
                    self._store.change(job.id, only=("running",), state="queued", started=None)
        free = self.limits.jobs - len(self._work)
        for job in self._store.of("queued")[: max(0, free)] if free > 0 else []:
            with self._lock:
                if self._store.change(
                    job.id, only=("queued",), state="running", started=time.time()
                ):
                    self._start(job)

    def _start(self, job: StoredJob) -> None:
        if not job.uploaded:
            try:  # roots may have changed since the request, and links may change
                if str(self.inside(job.path)) != job.path:
                    raise UsageError(f"{job.name} has become a link to another place")
            except AumerError as error:
                self._store.end(job.id, "failed", problem=problem_body(error))
                self._clean(job.id)
                return
        asked = {
            "path": job.path,
            "options": dict(job.options),
            "limits": asdict(self.limits),
            "analyze": self._analyze,
            "plugins": self._plugins,
        }
        try:
            folder = self.of(job.id)
            temporary = folder / "temporary"
            # Also the job's own folder: without its video it fails, and blocks no other job.
            temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "request.json").write_text(json.dumps(asked), encoding="utf-8")
            process = subprocess.Popen(
                [sys.executable, "-c", _worker(), str(folder.resolve())],
                # Files left there by a killed library are removed with the job.
                env={**_environment(), "TMPDIR": str(temporary.resolve())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C goes to the service, which ends the job properly
            )
        except OSError as error:
            _log.error("the process of a job cannot be started: %s", error)
            raise  # it stays in the queue, see `_begin`
        work = _Work(job, process, time.monotonic() + self.limits.job_s)
        self._work[job.id] = work
        threading.Thread(target=self._listen, args=(work,), daemon=True).start()

    def _listen(self, work: _Work) -> None:
        """Read a job's progress until its process ends."""
        assert work.process.stdout is not None
        with contextlib.suppress(ValueError, TypeError, OSError), work.process.stdout:
            for line in work.process.stdout:
                done, total = json.loads(line)
                work.progress = int(done), None if total is None else int(total)
        work.process.wait()
        self._wake.set()

    def _collect(self) -> None:
        """Collect ended jobs, and end jobs that take too long."""
        for id, work in list(self._work.items()):
            if work.process.poll() is None:
                if time.monotonic() > work.deadline and not work.why:
                    _end(work, "time")
                continue
            with self._lock:
                self._ended(id, work)
                del self._work[id]
            assert work.process.stdin is not None
            with contextlib.suppress(OSError):
                work.process.stdin.close()
            work.ended.set()

    def _ended(self, id: str, work: _Work) -> None:
        job, now = work.job, self._store.get(id)
        if now is not None and now.state == "deleting":  # regardless of any other end
            self._forget(id)
        elif work.why == "canceled":
            self._store.end(id, "canceled")
            self._clean(id)
            shutil.rmtree(self.of(id) / "results", ignore_errors=True)
        elif self._finished(id):
            pass
        elif work.why == "stop":
            self._store.change(id, only=("running",), state="queued")
        elif work.why == "time":
            limit = LimitError(
                f"the job has worked for {self.limits.job_s:g} s, the longest that one may here. "
                "Give a smaller video, or a part of it"
            )
            self._store.end(id, "failed", problem=problem_body(limit))
            self._clean(id)
        elif job.crashes < _CRASHES:
            _log.warning("the process of a job ended (%s); it is begun again", _how(work.process))
            self._store.change(id, only=("running",), state="queued", crashes=job.crashes + 1)
        else:
            detail = (
                f"its process ended {job.crashes + 1} times without a word "
                f"({_how(work.process)}): the video may be damaged, or need more than the "
                f"{self.limits.memory_bytes >> 20} MiB of memory that a job may take here"
            )
            said = problem("crash", detail, EXIT_BUG)
            self._store.end(id, "failed", problem=said, crashes=job.crashes + 1)
            self._clean(id)

    def _finished(self, id: str) -> bool:
        """Store the results if they are complete."""
        try:
            text = (self.of(id) / "results" / "outcome.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        outcome = json.loads(text)
        if "problem" in outcome:
            self._store.end(id, "failed", problem=outcome["problem"])
            shutil.rmtree(self.of(id) / "results", ignore_errors=True)
        else:
            self._store.end(id, "done", results=outcome["results"])
        self._clean(id, upload=not self.limits.keep_upload_s)
        return True

    def _clean(self, id: str, *, upload: bool = True) -> None:
        """Remove everything of an ended job except its results."""
        for name in ("made", "cache", "temporary", *(("input",) if upload else ())):
            shutil.rmtree(self.of(id) / name, ignore_errors=True)
        (self.of(id) / "request.json").unlink(missing_ok=True)

    def _forget(self, id: str) -> None:
        """Remove all data of a job; files that cannot be removed are tried again later."""
        shutil.rmtree(self.of(id), ignore_errors=True)
        if self.of(id).exists():
            _log.error("files of a job could not be removed, and will be tried again: %s", id)
        else:
            self._store.remove(id)

    def _expire(self) -> None:
        now = time.time()
        with self._lock:
            for job in self._store.of("deleting"):
                if job.id not in self._work:
                    self._forget(job.id)
        for job in self._store.of(*ENDED):  # type: ignore[arg-type]
            since = now - (job.ended or 0.0)
            if since < 0:  # the clock was wrong: the job is not kept until a date years ahead
                self._store.change(job.id, ended=now)
            elif since >= self.limits.keep_result_s:
                self.delete(job.id)
            elif since >= self.limits.keep_upload_s:
                shutil.rmtree(self.of(job.id) / "input", ignore_errors=True)


def _end(work: _Work, why: str) -> None:
    """End the process of a job and all its children."""
    work.why = why
    if sys.platform == "win32":
        work.process.kill()
        return
    # The id of a process is not reused before `wait`.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if work.process.returncode is None:
            os.killpg(work.process.pid, signal.SIGKILL)


def _how(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _sync(*folders: Path) -> None:
    """Sync folder entries to the disk."""
    if sys.platform == "win32":
        return
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _hold(folder: Path) -> int:
    """The file descriptor of a lock on a service's folder, held until it is closed.

    Raises:
        UsageError: another service holds it, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # If `purge` removed the file in between, another process may lock a new one.
            there = os.path.samestat(os.fstat(descriptor), (folder / _LOCK).stat())
        except OSError:
            there = False
        if not there:
            os.close(descriptor)
            raise UsageError(f"another service is at work in {folder}; end it first")
    return descriptor


def _unusable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot keep jobs in {folder}: {error.strerror or error}; choose another folder with "
        "`--state`"
    )


def _worker() -> str:
    """The program of a job's process, which imports from where the service does.

    With ``-m`` it would look in the folder where the service was started first: a user's
    ``token.py`` or ``queue.py`` there would end every job.
    """
    known = [place for place in sys.path if place]  # "" is that folder, too
    return (
        f"import sys; sys.path[:] = {known!r}; from pathlib import Path; "
        "from aumer.serve import worker; sys.exit(worker.main(Path(sys.argv[1])))"
    )


def _environment() -> dict[str, str]:
    """Environment of a job's process, which reads untrusted files: without the service's token."""
    return {name: value for name, value in os.environ.items() if name != "AUMER_TOKEN"}


def purge(folder: Path) -> int:
    """Remove all data of a service in a folder; returns the number of jobs.

    Raises:
        UsageError: a service is running there, or the folder is not a service's.
    """
    if not (folder / _TABLE).is_file():
        raise UsageError(f"{folder} holds no jobs of a service: {_TABLE} is not in it")
    held = _hold(folder)
    try:
        jobs = sum(1 for _ in (folder / _JOBS).iterdir()) if (folder / _JOBS).is_dir() else 0
        shutil.rmtree(folder / _JOBS, ignore_errors=True)
        left = (folder / _JOBS).exists()
        # The table last: while it exists, an interrupted purge can be repeated.
        for name in (f"{_TABLE}-wal", f"{_TABLE}-shm", *(() if left else (_TABLE,))):
            (folder / name).unlink(missing_ok=True)
        if left:
            raise UsageError(
                f"some files of jobs could not be removed: delete {folder / _JOBS} by hand"
            )
        if sys.platform != "win32":  # there open files cannot be removed
            (folder / _LOCK).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot remove what is in {folder}: {error.strerror or error}") from error
    finally:
        os.close(held)
    with contextlib.suppress(OSError):
        folder.rmdir()  # unless it contains other files
    return jobs


def retention(limits: Limits, folder: Path) -> list[dict[str, Any]]:
    """Which personal data a service stores, where, and for how long."""

    def hours(seconds: float) -> str:
        if not seconds:
            return "until the job ends"
        if seconds >= 2 * 86400:
            return f"until {seconds / 86400:g} days after the job has ended"
        unit = "hour" if seconds == 3600 else "hours"
        return f"until {seconds / 3600:g} {unit} after the job has ended"

    job = folder / _JOBS / "ID"
    return [
        {
            "what": "the uploaded video, which shows faces; a video named by path is only read",
            "where": str(job / "input"),
            "how_long": hours(limits.keep_upload_s),
        },
        {
            "what": "landmarks and motion of the face, from which a second try goes on",
            "where": str(job / "cache"),
            "how_long": "until the job ends",
        },
        {
            "what": "results: times, numbers and labels of expressions; pictures of faces only "
            "where a job asks for `faces`",
            "where": str(job / "results"),
            "how_long": hours(limits.keep_result_s),
        },
        {
            "what": "the job: name or path of the video, options, times, outcome; no addresses",
            "where": str(folder / _TABLE),
            "how_long": hours(limits.keep_result_s),
        },
    ]
