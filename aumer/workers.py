"""Independent jobs in local processes or on a Dask cluster."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aumer import plugins
from aumer.errors import AumerError, BackendUnavailable, ConfigError, UsageError

Job = TypeVar("Job")
Done = TypeVar("Done")


_LOGGER = logging.getLogger("aumer")
#: Seconds between two checks whether a cluster has workers.
_LOOK_S = 5.0
#: joblib's text on how workers ended, such as ``{SIGSEGV(-11), EXIT(1)}``.
_CODES = re.compile(r"exit codes of the workers are \{(.*)\}")
#: Prefix of the message of aumer's errors at the end of a traceback.
_OURS = re.compile(r"^aumer\.errors\.\w+: ")


@dataclass(frozen=True)
class Workers:
    """Where jobs run. This changes when they are done, never their results.

    Attributes:
        number: number of local processes; 1 is this process.
        backend: "local", or "dask" for a cluster, which has its own number of workers.
        scheduler: the cluster's address, such as ``tcp://10.0.0.1:8786``.
        found: called with the address of the cluster's dashboard, once the cluster answers.

    Raises:
        ConfigError: a number below 1, a scheduler without "dask", or "dask" without a scheduler.
    """

    number: int = 1
    backend: Literal["local", "dask"] = "local"
    scheduler: str = ""
    found: Callable[[str], object] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ConfigError(f"workers must be 1 or more; found {self.number}")
        if self.backend not in ("local", "dask"):
            raise ConfigError(f"the backend must be local or dask; found {self.backend!r}")
        if bool(self.scheduler) != (self.backend == "dask"):
            raise ConfigError(
                "the backend dask needs the address of a scheduler, and no other backend takes "
                "one: "
                "give both or neither (`dask scheduler` prints it, tcp://...)"
            )

    @property
    def share_files(self) -> bool:
        """Whether jobs can read this machine's files."""
        return self.backend == "local"

    def run(self, function: Callable[[Job], Done], jobs: Sequence[Job]) -> Iterator[Done]:
        """The function's result for each job, in order of completion.

        Workers load the plugins that were loaded here. If a worker of a cluster dies, its job is
        sent to another.

        Raises:
            BackendUnavailable: the extra "cluster" is not installed, the system killed a worker, or
                a worker cannot load a plugin or its job.
            UsageError: no scheduler answers at the address.
        """
        if self.backend == "dask":
            with closing(self.each(function, jobs)) as outcomes:
                for _, found in outcomes:
                    if isinstance(found, Exception):
                        raise found
                    yield found
            return
        if min(self.number, len(jobs)) <= 1:
            yield from map(function, jobs)
            return
        from joblib import Parallel, delayed, parallel_config
        from joblib.externals.loky.process_executor import BrokenProcessPool

        function = plugins.there(function)
        try:
            # max_nbytes=None: arrays are copied, since memory maps would be read-only.
            with parallel_config("loky", n_jobs=self.number, max_nbytes=None):
                parallel = Parallel(return_as="generator_unordered")
                yield from parallel(delayed(function)(job) for job in jobs)
        except BrokenProcessPool as error:
            raise BackendUnavailable(_end_of(error)) from error

    def check(self) -> None:
        """Raise if the cluster does not answer; to be called before anything is written.

        Raises:
            BackendUnavailable, UsageError: as `run`.
        """
        if self.backend == "dask":
            _client(self.scheduler).close()

    def each(
        self, function: Callable[[Job], Done], jobs: Sequence[Job], *, retries: int = 0
    ) -> Generator[tuple[int, Done | Exception], None, None]:
        """The number of each job with the function's result or its error, in order of completion,
        on a cluster. A failed job does not stop the others.

        Args:
            retries: how often a failed job is tried again.

        Raises:
            BackendUnavailable, UsageError: as `run`.
        """
        if self.backend != "dask":
            raise ConfigError(f"`each` is for a cluster; the backend is {self.backend}")
        client = _client(self.scheduler)
        from distributed import as_completed

        # Its log of a lost scheduler is pages of tracebacks; the status of the jobs is enough.
        log = logging.getLogger("distributed")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            if self.found is not None:
                self.found(client.dashboard_link)
            function = plugins.there(function)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about large jobs
                futures = [
                    client.submit(function, job, pure=False, retries=retries) for job in jobs
                ]
            numbers = {future.key: number for number, future in enumerate(futures)}
            waiting = as_completed(futures, loop=client.loop)  # type: ignore[no-untyped-call]
            del futures  # otherwise results stay in the workers' memory
            try:
                for future in _watched(client, waiting, self.scheduler):
                    error = _error_of(future, self.scheduler)
                    yield numbers[future.key], future.result() if error is None else error
                    future.release()
            finally:
                client.cancel(list(waiting.futures))
        finally:
            client.close()
            log.setLevel(level)


def _watched(client: Any, waiting: Any, address: str) -> Iterator[Any]:
    """The finished jobs; warns if a cluster has no worker, since the wait would have no end."""
    over = threading.Event()

    def watch() -> None:
        said = False
        while not over.is_set():
            lacking = not client.scheduler_info().get("workers")
            if lacking and not said:
                _LOGGER.warning(
                    "the cluster at %s has no worker, and this run waits for one: start `dask "
                    "worker %s` where the videos can be read",
                    address,
                    address,
                )
            said = lacking
            over.wait(_LOOK_S)

    watcher = threading.Thread(target=copy_context().run, args=(watch,), daemon=True)
    watcher.start()
    try:
        yield from waiting
    finally:
        over.set()


def _error_of(future: Any, address: str) -> Exception | None:
    """The error of a cluster's job; aumer's own if the worker or the scheduler died."""
    from distributed import KilledWorker

    if future.status == "finished":
        return None
    if future.status != "error":
        return BackendUnavailable(
            f"the scheduler at {address} lost the job or stopped (the job is {future.status} "
            "there). What was finished is kept: check that the scheduler runs, and run the same "
            "again"
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        return BackendUnavailable(
            "every worker of the cluster that ran this job died, most often for lack of memory."
            " Give workers more (`dask worker --memory-limit`), or leave it out"
        )
    return error if isinstance(error, Exception) else AumerError(str(error))


def _end_of(error: BaseException) -> str:
    """A description of how a worker ended; joblib states it only in its error messages."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    kept = "What was finished is kept: run the same again"
    if not isinstance(error, TerminatedWorkerError):
        *_, said = str(error.__cause__ or error).strip('\n" ').splitlines()
        return (
            f"a worker process cannot load what it is sent: {_OURS.sub('', said)}. {kept} when "
            "that is mended, or with one worker, which is this process"
        )
    codes = _CODES.search(str(error))
    if codes and "SIGKILL" not in codes[1]:
        ways = ", ".join(dict.fromkeys(codes[1].split(", ")))  # one per worker
        return f"a worker process ended before its job was done: {ways}. {kept}"
    return f"a worker process was killed, most often for lack of memory. {kept} with fewer workers"


def _client(address: str) -> Any:
    try:
        from distributed import Client
        from distributed.comm.addressing import resolve_address
    except ImportError as error:
        raise BackendUnavailable(
            "the backend dask needs the extra cluster: pip install 'aumer[cluster]'"
        ) from error
    try:
        resolve_address(address)  # what is no address would hold up a client when it closes
        return Client(address, timeout=10, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from error
    except Exception as error:  # the answer of another kind of server
        raise UsageError(
            f"the server at {address} is not a Dask scheduler, or has another version of Dask: "
            f"{type(error).__name__}: {error}"
        ) from error
