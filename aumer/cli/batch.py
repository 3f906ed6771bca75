"""Processing of several videos by `aumer spot` and `aumer features`."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from aumer.cli.console import Console, interrupted
from aumer.cli.options import add_cluster, add_range
from aumer.errors import (
    EXIT_BUG,
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_UNREADABLE,
    MEANINGS,
    AumerError,
)
from aumer.foreign import shown
from aumer.names import expanded

if TYPE_CHECKING:
    from aumer.cli.away import Content
    from aumer.cli.inputs import Input
    from aumer.workers import Workers

#: Help texts for inputs and for exit codes other than 0.
INPUTS = """\
inputs:
  VIDEO is a file, a folder of frames (needs --fps), a folder of videos (--recursive: and those in
  the folders in it), or camera:0 (needs --end). Several are done one after the other, or with
  --backend dask by the workers of a cluster; one that fails does not stop the rest. VIDEO and -o
  may be addresses, s3://bucket/folder/x.mp4 (the extra remote); a video is here while it is read.
"""
EXIT_CODES = (
    "".join(f"  {code:3d}  {what}\n" for code, what in MEANINGS.items())
    + """\
    6  some inputs failed, or all did for different reasons; a table on stderr says why
  130  interrupted; what was analyzed is kept (see --cache), and the same command continues
  141  whoever read stdout stopped reading
  143  ended by SIGTERM, at once, as by SIGKILL (137): nothing that was written is damaged, and the
       same command goes on as after an interrupt
"""
)


def add_batch(
    parser: argparse.ArgumentParser,
    formats: Sequence[str],
    format_help: str,
    *,
    several: str = "+",
) -> None:
    """Add options for the videos (`several` is argparse's nargs), their parts, and the outputs."""
    add = parser.add_argument
    add("videos", nargs=several, metavar="VIDEO", help="file, folder, or camera:0")
    add("--recursive", action="store_true", help="search the folders in a folder, too")
    add("-o", "--output", action="append", default=[], metavar="PATH", help="see below")
    add("--format", action="append", default=[], choices=formats, help=format_help)
    add("--overwrite", action="store_true", help="replace existing files")
    add_cluster(parser)
    add_range(parser)


def cluster_of(args: argparse.Namespace, console: Console) -> Workers | None:
    """The Dask cluster, if requested.

    Raises:
        ConfigError: a scheduler without `dask`, or the reverse.
    """
    from aumer.workers import Workers

    workers = Workers(
        backend=args.backend,
        scheduler=args.scheduler,
        found=lambda page: console.note(f"what the cluster does is shown at {page}"),
    )
    return workers if workers.backend == "dask" else None


def cache_there(args: argparse.Namespace) -> str | bool | None:
    """The cache of cluster workers: as requested, or each worker's own."""
    if args.no_cache:
        return None
    return str(expanded(args.cache).absolute()) if args.cache else True


def options_given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options as keyword arguments, without those not given, so that the library's defaults
    apply.
    """
    return {name: value for name in names if (value := getattr(args, name)) is not None}


@dataclass(frozen=True)
class _Failure:
    given: Input
    exit_code: int
    reason: str


class Found(Protocol):
    """Protocol of the result of one face of a video."""

    @property
    def micro(self) -> Sized: ...
    @property
    def macro(self) -> Sized: ...
    @property
    def notes(self) -> Sequence[str]: ...
    def summary(self) -> str:
        """One line for stderr."""


F = TypeVar("F", bound=Found)
F_contra = TypeVar("F_contra", bound=Found, contravariant=True)


class Sink(Protocol[F_contra]):
    """Protocol of outputs. `number` is the index of the input."""

    @property
    def listed(self) -> Sequence[Path]:
        """Tables of the outcome of each input."""

    def save(self, number: int, result: F_contra, given: Input, /) -> list[Path]:
        """Write the files of a face; returns those written. `given` is a local file."""

    def deliver(
        self, number: int, result: F_contra, contents: Sequence[Content] | None, /
    ) -> list[Path]:
        """The same for files made by a worker; None for a file that is kept."""

    def show(self, number: int, result: F_contra, /) -> None:
        """Print the result, if stdout is an output."""

    def stale(self, number: int, results: Sequence[F_contra], /) -> list[Path]:
        """Files of an earlier run for faces that this run did not find."""

    def list_inputs(
        self, number: int | None = None, outcome: Sequence[F_contra] | Exception = (), /
    ) -> list[Path]:
        """Write `listed`, with the outcome of this input."""

    def close(self, summary: str) -> None:
        """Finish the outputs."""


#: The outcome of an input on a worker: its faces with their files (None for kept ones), or an
#: error.
Outcome = tuple[tuple[F, Sequence["Content"] | None], ...] | Exception


class VideoBatch(Generic[F]):
    """Processes the videos in turn; failures are reported at once and again at the end.

    Args:
        work: analyzes the input with an index, a local file.
        elsewhere: lets workers analyze the inputs instead; yields index and outcome in order of
            completion.
        told: rewrites a message for the user, for example with the address of a mirrored file.
    """

    def __init__(
        self,
        inputs: tuple[Input, ...],
        work: Callable[[int, Input], tuple[F, ...]],
        outputs: Sink[F],
        console: Console,
        *,
        elsewhere: Callable[[], Iterator[tuple[int, Outcome[F]]]] | None = None,
        told: Callable[[str], str] = str,
    ) -> None:
        self._inputs, self._work, self._outputs, self._console = inputs, work, outputs, console
        self._elsewhere, self._displayed = elsewhere, told
        self._waiting: dict[int, list[F]] = {}
        self._next = 0
        from aumer.cli.outputs import distinct

        self._labels = distinct(inputs)
        self._failures: list[_Failure] = []
        self._written: list[Path] = []
        self._unlisted: AumerError | None = None  # why the tables do not hold all
        self._done = self._micro = self._macro = 0

    def run(self) -> None:
        self._written += self._outputs.list_inputs()
        if self._elsewhere is not None:
            self._run_elsewhere(self._elsewhere())
            return
        from aumer.cli.away import nearby

        for number, given in enumerate(self._inputs):
            self._console.start(self._title(number))
            try:
                with nearby(given) as here:
                    results = self._work(number, here)
                    saved = [(one, self._outputs.save(number, one, here)) for one in results]
            except Exception as error:
                if interrupted(error):
                    raise KeyboardInterrupt from error
                self._lost(number, error)
                continue
            finally:
                self._console.finish()
            self._had(number, saved)

    def _run_elsewhere(self, outcomes: Iterator[tuple[int, Outcome[F]]]) -> None:
        self._console.start("videos", unit="videos")
        total = len(self._inputs)
        try:
            for number, outcome in outcomes:
                try:
                    if isinstance(outcome, Exception):
                        raise outcome
                    saved = [
                        (one, self._outputs.deliver(number, one, contents))
                        for one, contents in outcome
                    ]
                except Exception as error:
                    if interrupted(error):
                        raise KeyboardInterrupt from error
                    self._lost(number, error)
                else:
                    self._had(number, saved)
                self._console.progress(self._tried, total)
        finally:
            self._console.finish()

    def _lost(self, number: int, error: Exception) -> None:
        self._fail(number, error)
        self._list(number, error)
        self._show(number, [])

    def _list(self, number: int | None, outcome: Sequence[F] | Exception = ()) -> None:
        """Write the tables of all videos. A server that is away meanwhile does not end the run:
        each time holds all that came before, and the last one is in `summarize`.
        """
        try:
            self._outputs.list_inputs(number, outcome)
        except AumerError as error:
            self._unlisted = error
        else:
            self._unlisted = None

    def _had(self, number: int, saved: Sequence[tuple[F, list[Path]]]) -> None:
        given, results = self._inputs[number], [one for one, _ in saved]
        self._done += 1
        self._list(number, results)
        self._console.notes(shown(given.text), (n for r in results for n in r.notes))
        for result, written in saved:
            self._micro += len(result.micro)
            self._macro += len(result.macro)
            self._written += [path for path in written if path not in self._written]
            if written:
                places = ", ".join(shown(self._displayed(str(path))) for path in written)
                self._console.note(f"{result.summary()}; wrote {places}")
        self._show(number, results)
        stale = self._outputs.stale(number, results)
        if stale:
            self._console.note(
                f"{given.text}: of an earlier run, not of this one: "
                f"{', '.join(self._displayed(str(path)) for path in stale)}. This run found "
                "no such face; the files were left as they are: delete or move them"
            )

    def _show(self, number: int, results: list[F]) -> None:
        """Print results in the order of the inputs."""
        self._waiting[number] = results
        while self._next in self._waiting:
            for result in self._waiting.pop(self._next):
                self._outputs.show(self._next, result)
            self._next += 1

    def summarize(self) -> int:
        """Print a summary; returns the exit code."""
        failures, total = self._failures, len(self._inputs)
        if self._unlisted is not None:
            self._list(None)
        if self._unlisted is not None:
            self._console.error(self._console.message(self._unlisted))
        if self._done:
            videos = f"{self._done} of {total} videos" if failures else f"{total} videos"
            self._outputs.close(f"{videos}: {self._micro} micro, {self._macro} macro")
        for path in self._outputs.listed:
            self._console.note(f"status of each video: {self._displayed(str(path))}")
        if not failures:
            return EXIT_OK if self._unlisted is None else self._unlisted.exit_code
        if total > 1:
            width = max(len(f.given.text) for f in failures)
            lines = [
                f"  {shown(f.given.text):<{width}}  exit code {f.exit_code}  {f.reason}"
                for f in failures
            ]
            self._console.line("\n".join([f"{len(failures)} of {total} videos failed:", *lines]))
        codes = {f.exit_code for f in failures}
        return codes.pop() if len(failures) == total and len(codes) == 1 else EXIT_PARTIAL

    def report_interrupted(self, cache: Path | None, option: str) -> None:
        """After Ctrl-C, print what is saved and how to continue.

        Args:
            option: the option needed to continue if files exist already; "" if it is set.
        """
        total = len(self._inputs)
        camera = any(isinstance(given.source, int) for given in self._inputs[self._tried :][:1])
        self._console.error(
            f"interrupted; {self._done} of {total} videos are done. "
            + (
                f"Written: {self._displayed(', '.join(map(str, self._written)))}. "
                if self._written
                else ""
            )
            + (
                f"What was analyzed is kept in {cache}: the same command"
                + (f" with {option}" if self._written and option else "")
                + " continues from there"
                if cache and not camera
                else "The unfinished one will start again"
            )
        )

    @property
    def _tried(self) -> int:
        return self._done + len(self._failures)

    def _title(self, number: int) -> str:
        from aumer.cli.outputs import called

        text = called(self._inputs[number], self._labels[number])
        return f"[{number + 1}/{len(self._inputs)}] {text}" if len(self._inputs) > 1 else text

    def _fail(self, number: int, error: Exception) -> None:
        from aumer.cli.outputs import with_label

        given = self._inputs[number]
        if isinstance(error, AumerError):
            code, reason = error.exit_code, self._console.message(error)
            text = with_label(given, self._labels[number], reason)
            if not isinstance(given.source, int):  # a command that can be copied
                text = text.replace("--no-spot VIDEO", f"--no-spot {shlex.quote(given.text)}")
            self._console.error(text)
        elif isinstance(error, OSError) and _is_about(error, given):  # mostly missing permissions
            code, reason = EXIT_UNREADABLE, f"{given.text} cannot be read: {error.strerror}"
            self._console.error(reason)
        else:
            code, reason = EXIT_BUG, f"internal error, {type(error).__name__}: {error}"
            self._console.bug(error, where=f"{given.text}: ")
        self._failures.append(_Failure(given, code, " ".join(reason.split())))


def _is_about(error: OSError, given: Input) -> bool:
    """Whether an OSError is about this input, not about a package's file."""
    return str(error.filename).startswith(os.path.expanduser(given.text))  # noqa: PTH111
