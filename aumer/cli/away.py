"""Jobs of `aumer spot` and `aumer features` on cluster workers, one video each.

A job is self-contained and returns the summary and the bytes of the files, so that a worker needs
only the video, and the submitting process writes the files. Workers reuse loaded models for further
videos.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from aumer.cli.inputs import Input
from aumer.config import Settings
from aumer.errors import AumerError, VideoError
from aumer.files import TemporaryFolder, bound_for
from aumer.names import expanded, is_file
from aumer.remote import fetched, is_address

if TYPE_CHECKING:
    from aumer.cli.outputs import Plan

#: How often a job is retried after an error that the video did not cause, such as a lost server.
RETRIES = 2


@dataclass(frozen=True)
class Content:
    """Content of a file made by a worker.

    Attributes:
        number: index of the planned file that it is, or belongs to.
        name: name of the file.
    """

    number: int
    name: str
    data: bytes


F = TypeVar("F")


@dataclass(frozen=True)
class WorkerOutcome(Generic[F]):
    """The outcome of one video on a worker: a result for each face, with its files.

    Attributes:
        error: an error of aumer's that a retry would not avoid.
    """

    found: tuple[tuple[F, tuple[Content, ...]], ...] = ()
    error: AumerError | None = None


def outcome(
    made: WorkerOutcome[F] | Exception,
) -> tuple[tuple[F, Sequence[Content] | None], ...] | Exception:
    """The outcome as a batch needs it."""
    if isinstance(made, Exception):
        return made
    return made.found if made.error is None else made.error


@dataclass(frozen=True)
class How:
    """Options that all videos of a run share, for `aumer.pipeline.Spotter`.

    Attributes:
        options: keyword arguments.
        cache: a folder accessible to the worker, its own (True), or none.
        threads: threads that measure motion; None for one per core.
        min_coverage: see `aumer.spot`; none for the default.
        version: version of the submitting aumer.
    """

    settings: Settings
    options: tuple[tuple[str, Any], ...] = ()
    cache: str | bool | None = True
    threads: int | None = None
    min_coverage: float | None = None
    version: str = ""

    def run(self) -> dict[str, Any]:
        """Keyword arguments for one video's run."""
        least = {} if self.min_coverage is None else {"min_coverage": self.min_coverage}
        return {"cache": self.cache, "workers": self.threads, **least}


@contextmanager
def nearby(given: Input) -> Iterator[Input]:
    """The input as a local file; a remote one is fetched and removed afterwards.

    Raises:
        VideoError, UsageError: as `aumer.remote.fetched`. Errors in the block name the original
            input.
    """
    if isinstance(given.source, int):
        yield given
        return
    with ExitStack() as stack:
        here = given
        if is_address(given.source):
            here = replace(given, source=str(stack.enter_context(fetched(given.source))))
        try:
            yield here
        except AumerError as error:
            if error.args and isinstance(error.args[0], str):
                named = error.args[0].replace(str(here.source), given.text)
                error.args = (named, *error.args[1:])
            raise


def from_anywhere(given: Input) -> Input:
    """The input with an absolute path, for a process in another folder."""
    if isinstance(given.source, int) or is_address(given.source):
        return given
    return replace(given, source=_absolute(given.source))


def options_from_anywhere(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Options with absolute paths, for such a process."""
    return tuple(
        (name, _absolute(value) if isinstance(value, str) and is_file(value) else value)
        for name, value in options.items()
    )


def _absolute(path: str) -> str:
    return str(expanded(path).absolute())


#: Models of the last run by kind, per thread, since threads cannot share a spotter.
_connections = threading.local()


def aumer_version() -> str:
    """Version of aumer in this process."""
    from aumer.session import versions

    return versions().get("aumer", "")


def kept(how: How, make: Callable[[How], F]) -> F:
    """`make(how)`, cached for further videos.

    Raises:
        AumerError: the job comes from another version of aumer.
    """
    here = aumer_version()
    if how.version and here != how.version:
        raise AumerError(
            f"the worker on {platform.node()} has aumer {here}, and the run is of {how.version}: "
            "results of two versions must not be mixed. Install the same on both"
        )
    held: dict[str, tuple[How, Any]] = _connections.__dict__.setdefault("held", {})
    name = make.__qualname__
    if name not in held or held[name][0] != how:
        held[name] = how, make(how)
    made: F = held[name][1]
    return made


class Written(Protocol):
    """Protocol of writers of the files of one video."""

    def save(self, number: int, result: Any, given: Input, /) -> list[Path]: ...


def carried(
    planned: Sequence[Plan | None],
    given: Input,
    results: Sequence[F],
    writer: Callable[[tuple[Plan | None, ...]], Written],
    homes: Sequence[Path | None] = (),
) -> Iterator[tuple[F, tuple[Content, ...]]]:
    """Each result with the bytes of its files.

    Args:
        planned: plan of one input on the submitting machine; the worker uses the same names.
        writer: makes the writer, from the plan for a local folder.
        homes: folders in which the planned files will lie, in order; None for an address.
    """
    with TemporaryFolder() as folder:
        number, moved = 0, []
        for plan in planned:
            own = []
            for path in plan.files[0] if plan else ():
                (folder / str(number)).mkdir()
                own.append(folder / str(number) / path.name)
                number += 1
            moved.append(None if plan is None else replace(plan, files=(tuple(own),)))
        outputs = writer(tuple(moved))
        bound = {folder / str(k): home for k, home in enumerate(homes)}
        for result in results:
            with bound_for(bound):
                first = outputs.save(0, result, given)
            # What lies beside a file comes before it, as `Plan.beside` says.
            turn = {path.parent: k for k, path in enumerate(first)}
            every = sorted(
                (p for p in folder.rglob("*") if p.is_file()),
                key=lambda p: (turn.get(p.parent, len(turn)), p in first, str(p)),
            )
            contents = [Content(int(p.parent.name), p.name, p.read_bytes()) for p in every]
            for path in every:
                path.unlink()
            yield result, tuple(contents)


def told(
    given: Input, work: Callable[[Input], tuple[tuple[F, tuple[Content, ...]], ...]]
) -> WorkerOutcome[F]:
    """The outcome of a video; errors of the video are returned, not raised, so that it is not
    retried.
    """
    try:
        with nearby(given) as here:
            return WorkerOutcome(work(here))
    except VideoError as error:
        place = given.source
        if isinstance(place, str) and not (is_address(place) or os.path.lexists(place)):
            return WorkerOutcome(
                error=VideoError(
                    f"{given.text}: the worker on {platform.node()} sees no such file: videos lie "
                    "in a folder that all workers share, under one name, or at an address "
                    "(s3://...)"
                )
            )
        return WorkerOutcome(error=error)
    except AumerError as error:
        return WorkerOutcome(error=error)


# -- aumer spot ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpotJob:
    """One video of `aumer spot`; `planned` covers only this video, and `homes` has the folder of
    each of its files, where links lead to; None for an address.
    """

    given: Input
    how: How
    planned: Plan
    part: tuple[tuple[str, float | None], ...]
    homes: tuple[Path | None, ...] = ()
    show_faces: bool = True
    fps: float | None = None


def spot_there(job: SpotJob) -> WorkerOutcome[Any]:
    """Run a job of `aumer spot` on a worker."""
    return told(job.given, lambda here: tuple(_spotted(job, here)))


def _spotter(how: How) -> Any:
    from aumer.pipeline import Spotter

    return Spotter(settings=how.settings, **dict(how.options))


def _spotted(job: SpotJob, here: Input) -> Iterator[tuple[Any, tuple[Content, ...]]]:
    from aumer.cli.console import Console
    from aumer.cli.outputs import Outputs

    spotter = kept(job.how, _spotter)
    away = {} if here is job.given else {"source": None}
    found = [
        replace(one, about=dict(here.about), **away)
        for one in spotter.each_face(here.source, **dict(job.part), **job.how.run())
    ]

    def writer(plans: tuple[Plan | None, ...]) -> Outputs:
        assert plans[0] is not None
        quiet = Console(quiet=True)
        return Outputs(plans[0], (here,), quiet, job.fps, show_faces=job.show_faces)

    # Data for tables are returned; motion and landmarks only in files, if requested.
    for result, contents in carried((job.planned,), here, found, writer, job.homes):
        yield replace(result, features=None, track=None, source=None), contents


# -- aumer features --------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeaturesJob:
    """One video of `aumer features`; the plans cover only this video."""

    given: Input
    how: How
    planned: tuple[Plan | None, Plan | None, Plan | None]
    part: tuple[tuple[str, float | None], ...]
    unit: str
    table: bool
    label: str | None = None
    fps: float | None = None


@dataclass(frozen=True)
class ToldMotion:
    """Summary of a face's motion, which itself is in files.

    Attributes:
        table: its rows as CSV without header, if requested.
    """

    line: str
    notes: tuple[str, ...]
    face: int | None
    header: str = ""
    table: bytes = b""
    micro: tuple[()] = field(default=())
    macro: tuple[()] = field(default=())

    def summary(self) -> str:
        return self.line


def features_there(job: FeaturesJob) -> WorkerOutcome[ToldMotion]:
    """Run a job of `aumer features` on a worker."""
    return told(job.given, lambda here: tuple(_measured(job, here)))


def _meter(how: How) -> Any:
    from aumer.measure import Meter

    return Meter(settings=how.settings, **dict(how.options))


def _measured(job: FeaturesJob, here: Input) -> Iterator[tuple[ToldMotion, tuple[Content, ...]]]:
    from aumer.cli.features import FeatureFiles, labeled

    meter = kept(job.how, _meter)
    found = meter.each_face(here.source, **dict(job.part), **job.how.run())

    def writer(plans: tuple[Plan | None, ...]) -> FeatureFiles:
        data, crop, flow = plans
        return FeatureFiles(data, crop, flow, job.unit, job.fps)

    for motion, contents in carried(job.planned, here, found, writer):
        text, header = b"", ""
        if job.table:
            named = labeled(motion, job.label)
            header = next(iter(named.csv_chunks(job.unit))).partition("\n")[0] + "\n"
            text = "".join(named.csv_chunks(job.unit, header=False)).encode()
        yield ToldMotion(motion.summary(), motion.notes, motion.face, header, text), contents
