"""The one way to leave a process: independent jobs through joblib, here or on a Dask cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aumer import plugins
from aumer.errors import AumerError, BackendUnavailable, ConfigError, UsageError

Job = TypeVar("Job")
Done = TypeVar("Done")


#: How joblib gives the ways in which workers ended, such as ``{SIGSEGV(-11), EXIT(1)}``.
_CODES = re.compile(r"exit codes of the workers are \{(.*)\}")
#: Stands before what one of aumer's errors says, at the end of a traceback.
_OURS = re.compile(r"^aumer\.errors\.\w+: ")


@dataclass(frozen=True)
class Workers:
    """Where jobs run. It changes when they are done, never what they give.

    Attributes:
        number: local processes; 1 is this one.
        backend: "local", or "dask" for a cluster, which has its own number.
        scheduler: the cluster's address, such as ``tcp://10.0.0.1:8786``.

    Raises:
        ConfigError: a number below 1, or a scheduler without "dask" or the reverse.
    """

    number: int = 1
    backend: Literal["local", "dask"] = "local"
    scheduler: str = ""

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
        """Whether a job sees this machine's files."""
        return self.backend == "local"

    def run(self, function: Callable[[Job], Done], jobs: Sequence[Job]) -> Iterator[Done]:
        """What the function gives for each job, in the order in which they end.

        A worker loads the plugins that were loaded here. A job goes to it as one object: Dask
        scatters large arguments, and what was scattered to a worker that dies is lost, whereas a
        whole job is simply sent again.

        Raises:
            BackendUnavailable: the extra "cluster" is not installed.
            UsageError: no scheduler answers at the address.
            AumerError: the system killed a worker, or one cannot load a plugin or its job.
        """
        if self.backend == "local" and min(self.number, len(jobs)) <= 1:
            yield from map(function, jobs)
            return
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        function = plugins.there(function)
        try:
            with self._backend():
                parallel = Parallel(return_as="generator_unordered")
                yield from parallel(delayed(function)(job) for job in jobs)
        except BrokenProcessPool as error:
            raise AumerError(_end_of(error)) from error

    @contextmanager
    def _backend(self) -> Iterator[None]:
        from joblib import parallel_config

        if self.backend == "local":
            # max_nbytes: arrays are copied, as memory maps could not be written to.
            with parallel_config("loky", n_jobs=self.number, max_nbytes=None):
                yield
            return
        with _client(self.scheduler) as client, parallel_config("dask", n_jobs=-1, client=client):
            yield


def _end_of(error: BaseException) -> str:
    """What befell a worker, in words: joblib has them in the texts of its errors alone."""
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
        ways = ", ".join(dict.fromkeys(codes[1].split(", ")))  # one for each worker that ended
        return f"a worker process ended before its job was done: {ways}. {kept}"
    return f"a worker process was killed, most often for want of memory. {kept} with fewer workers"


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise BackendUnavailable(
            "the backend dask needs the extra cluster: pip install 'aumer[cluster]'"
        ) from error
    try:
        return Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from error
