"""Persistent storage of a service's jobs (SQLite)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aumer.errors import UsageError

State = Literal["queued", "running", "done", "failed", "canceled", "deleting"]
#: Final states of a job.
ENDED = ("done", "failed", "canceled")

#: Name and type of each column, as in the dataclass.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, uploaded INTEGER NOT NULL,
    options TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
    crashes INTEGER NOT NULL DEFAULT 0, interrupted INTEGER NOT NULL DEFAULT 0,
    results TEXT NOT NULL DEFAULT '[]', problem TEXT
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class StoredJob:
    """One job.

    Attributes:
        id: a secret id, which gives access to the job.
        name: name of the video.
        path: path of the video for the service.
        uploaded: whether the file belongs to the service, which removes it.
        options: see `aumer.serve.job_options.JobOptions`.
        created, started, ended: seconds since 1970.
        crashes: number of times its process ended unexpectedly.
        interrupted: number of times the service ended unexpectedly while it was running.
        results: the ``face`` (or None) of each result.
        problem: why it failed, see `aumer.serve.job_options.problem`.
    """

    id: str
    name: str
    path: str
    uploaded: bool
    options: Mapping[str, Any]
    state: State
    created: float
    started: float | None = None
    ended: float | None = None
    crashes: int = 0
    interrupted: int = 0
    results: tuple[Mapping[str, Any], ...] = ()
    problem: Mapping[str, Any] | None = None


class JobStore:
    """The table of jobs. Every change is on the disk when its call returns; callable from any
    thread.

    Names and paths are stored as bytes, since file names may be invalid UTF-8.

    Args:
        path: created if missing, readable only by the user: an id in it gives access to the job.

    Raises:
        UsageError: the file is not such a table, or is damaged.
        OSError: from any call: the disk is full or not writable.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.suppress(PermissionError):  # another user's file that we may write
            path.chmod(0o600)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.text_factory = os.fsdecode
        try:
            for line in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {line}")
            self._db.execute(_SCHEMA)
            checked = [row[0] for row in self._db.execute("PRAGMA quick_check(1)")]
            if checked != ["ok"]:
                raise sqlite3.DatabaseError(checked[0])
            self._jobs("1")  # another version or a damaged table would fail later
        except (sqlite3.DatabaseError, OSError, TypeError, ValueError) as error:
            self._db.close()
            if _full(error):
                raise _as_os_error(error) from error
            raise UsageError(
                f"the jobs in {path} cannot be read ({error}): put a copy of it back, or remove "
                "all that is there with `aumer serve --purge`"
            ) from error

    def add(self, job: StoredJob) -> None:
        """Add a new job."""
        with self._using():
            self._db.execute(
                "INSERT INTO jobs (id, name, path, uploaded, options, state, created) "
                "VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?)",
                (
                    *(job.id, os.fsencode(job.name), os.fsencode(job.path), int(job.uploaded)),
                    *(json.dumps(job.options), job.state, job.created),
                ),
            )

    def get(self, id: str) -> StoredJob | None:
        """The job of that id."""
        found = self._jobs("id = ?", id)
        return found[0] if found else None

    def of(self, *states: State) -> list[StoredJob]:
        """The jobs in these states, the oldest first."""
        marks = ", ".join("?" * len(states))
        return self._jobs(f"state IN ({marks})", *states)

    def count(self, state: State) -> int:
        """Number of jobs in a state."""
        with self._using():
            (number,) = self._db.execute(
                "SELECT count(*) FROM jobs WHERE state = ?", (state,)
            ).fetchone()
        return int(number)

    def ids(self) -> set[str]:
        """Ids of all jobs."""
        with self._using():
            return {row["id"] for row in self._db.execute("SELECT id FROM jobs")}

    def change(self, id: str, *, only: tuple[State, ...] = (), **values: Any) -> bool:
        """Change columns of a job; False without a change if it is in none of the states in
        `only`.
        """
        for name in ("results", "problem"):
            if values.get(name) is not None:
                values[name] = json.dumps(values[name])
        names = ", ".join(f"{name} = ?" for name in values)
        where = f" AND state IN ({', '.join('?' * len(only))})" if only else ""
        with self._using():
            done = self._db.execute(
                f"UPDATE jobs SET {names} WHERE id = ?{where}", (*values.values(), id, *only)
            )
        return done.rowcount > 0

    def end(self, id: str, state: State, **values: Any) -> bool:
        """End a waiting or running job."""
        return self.change(id, only=("queued", "running"), state=state, ended=time.time(), **values)

    def remove(self, id: str) -> None:
        """Remove a job."""
        with self._using():
            self._db.execute("DELETE FROM jobs WHERE id = ?", (id,))
            # Until then it stays in the write-ahead log.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                raise _as_os_error(error) from error

    def _jobs(self, where: str, *values: Any) -> list[StoredJob]:
        with self._using():
            rows = self._db.execute(
                f"SELECT * FROM jobs WHERE {where} ORDER BY created, id", values
            ).fetchall()
        return [_job(row) for row in rows]


def _full(error: Exception) -> bool:
    return "disk is full" in str(error)


def _as_os_error(error: Exception) -> OSError:
    return OSError(errno.ENOSPC if _full(error) else errno.EIO, f"the table of jobs: {error}")


def _job(row: sqlite3.Row) -> StoredJob:
    values = dict(row)
    values["uploaded"] = bool(values["uploaded"])
    values["options"] = json.loads(values["options"])
    values["results"] = tuple(json.loads(values["results"]))
    values["problem"] = None if values["problem"] is None else json.loads(values["problem"])
    return StoredJob(**values)
