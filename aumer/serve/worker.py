"""The process of one job, see `main`.

It reads FOLDER/request.json, prints progress on stdout, and writes FOLDER/results, which is
complete or absent. It ends with the service, and its memory is limited.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from aumer import plugins
from aumer.errors import AumerError
from aumer.serve.job_options import JobOptions, LimitError, Limits, problem_body

#: The default function of a job.
SPOT = "aumer.serve.worker:spotted"
#: Seconds between two lines of progress.
_EVERY_S = 0.2
#: The kernel's option to end a process with its parent.
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class WorkerTask:
    """The input of a job's function.

    Attributes:
        source: the video.
        options: see `JobOptions`.
        limits: see `Limits`.
        made: an empty folder for files N.FORMAT of the Nth result.
        cache: a folder where a second try finds measurements of the first.
        progress: called with the number of decoded frames and an estimate of the total, or None.
    """

    source: Path
    options: JobOptions
    limits: Limits
    made: Path
    cache: Path
    progress: Callable[[int, int | None], None]


def spotted(task: WorkerTask) -> Sequence[Mapping[str, Any]]:
    """Spot, and write the requested files; returns the face of each result.

    Raises:
        LimitError: the video is larger or longer than allowed.
        AumerError: as `aumer.spot`.
    """
    # Limits images in folders; OpenCV reads it when loaded.
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(task.limits.pixels)
    check_declared(task.source, task.limits)

    from aumer.pipeline import spot
    from aumer.results import thumbnails
    from aumer.results.formats import format_named

    def seen(name: str, value: Any) -> None:
        if name == "track" and len(value) and value.times[-1] > task.limits.length_s:
            raise _longer(float(value.times[-1]), task.limits)

    options = task.options.of_spot()
    found = spot(task.source, cache=task.cache, progress=task.progress, hook=seen, **options)
    results = found if isinstance(found, tuple) else (found,)
    for number, result in enumerate(results, 1):
        for suffix in task.options.formats:
            made, faces = format_named(suffix), None
            if task.options.faces and result.track is not None:
                frames = made.frames(result)
                faces = thumbnails(task.source, frames, result.track, fps=task.options.fps)
            made.alone(result, task.made / f"{number}.{suffix}", thumbnails=faces)
    return [
        {"face": result.face, "micro": len(result.micro), "macro": len(result.macro)}
        for result in results
    ]


def check_declared(source: Path, limits: Limits) -> None:
    """Reject a file by its declared properties, before decoding.

    Raises:
        LimitError: it declares larger pictures, more frames, or a longer duration than allowed.
    """
    if source.is_dir():
        return
    from aumer.video.container import read_container

    sizes: list[tuple[float, float]] = []
    with contextlib.suppress(OSError):  # `aumer.spot` reports the error
        known = read_container(source)
        for track in known.pictures if known else ():
            sizes.append((track.width, track.height))
            if track.length_s is not None and track.length_s > limits.length_s:
                raise _longer(track.length_s, limits)
    _check_sizes(sizes, limits)

    import cv2

    from aumer.video.capture import quiet

    with quiet():
        capture = cv2.VideoCapture(str(source.absolute()), cv2.CAP_FFMPEG)
    try:
        asked = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        width, height, count = (capture.get(one) for one in asked)
    finally:
        capture.release()
    _check_sizes([(width, height)], limits)
    if limits.frames < count < 1e9:  # larger counts are invented by OpenCV
        raise _more(int(count), limits)


def _check_sizes(sizes: Sequence[tuple[float, float]], limits: Limits) -> None:
    for width, height in sizes:
        if width * height > limits.pixels:
            raise LimitError(
                f"the video's pictures have {width:.0f} x {height:.0f} pixels; this service takes "
                f"{limits.pixels:,} at most. Give a smaller copy"
            )


def _longer(seconds: float, limits: Limits) -> LimitError:
    return LimitError(
        f"the video is {seconds:.0f} s long; this service takes {limits.length_s:g} s at most. "
        "Give a part of it"
    )


def _more(frames: int, limits: Limits) -> LimitError:
    return LimitError(
        f"the video has {frames:,} frames or more; this service takes {limits.frames:,} at most. "
        "Give a part of it"
    )


class _Telling:
    """Prints progress as lines of JSON from time to time; ends a job with too many frames."""

    def __init__(self, out: TextIO, limits: Limits) -> None:
        self._out, self._limits, self._last_shown = out, limits, 0.0

    def __call__(self, done: int, total: int | None) -> None:
        if done > self._limits.frames:
            raise _more(done, self._limits)
        if time.monotonic() - self._last_shown >= _EVERY_S or done == total:
            self._last_shown = time.monotonic()
            with contextlib.suppress(BrokenPipeError):
                self._out.write(json.dumps([done, total]) + "\n")
                self._out.flush()


def main(folder: Path) -> int:
    """Run the job of a folder."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries is not progress
    end_with_parent()
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    limits = Limits(**asked["limits"])
    _limit_memory(limits.memory_bytes)
    with _alone(folder):
        made = folder / "made"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        outcome: dict[str, Any] = {}
        try:
            for plugin in asked["plugins"]:
                plugins.load(plugin)
            module, _, name = str(asked["analyze"]).partition(":")
            work: Callable[[WorkerTask], Sequence[Mapping[str, Any]]]
            work = getattr(importlib.import_module(module), name)
            options, told_to = JobOptions.of(asked["options"]), _Telling(out, limits)
            task = WorkerTask(Path(asked["path"]), options, limits, made, folder / "cache", told_to)
            outcome["results"] = list(work(task))
        except Exception as error:
            problem = problem_body(_of_limits(error, limits) or error)
            # Paths of the service are not disclosed.
            detail = problem["detail"].replace(f"{Path(asked['path']).parent}{os.sep}", "")
            outcome = {"problem": {**problem, "detail": detail}}
        _write(made / "outcome.json", json.dumps(outcome))
        shutil.rmtree(folder / "results", ignore_errors=True)
        made.rename(folder / "results")
    return 0


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _of_limits(error: BaseException | None, limits: Limits) -> LimitError | None:
    """The `LimitError` for a library's error at a limit; `None` for other errors."""
    while error is not None:
        said = str(error).casefold()
        short = ("insufficient memory", "can't allocate memory", "outofmemory", "out of memory")
        if isinstance(error, MemoryError) or (
            not isinstance(error, AumerError) and any(one in said for one in short)
        ):
            return LimitError(
                f"the job needs more memory than the {limits.memory_bytes >> 20} MiB that one may "
                "take here. Give a smaller video, or a part of it"
            )
        if "cv_io_max_image_pixels" in said:
            return LimitError(
                f"an image has more pixels than the {limits.pixels:,} that this service takes. "
                "Give smaller copies"
            )
        error = error.__cause__ or error.__context__
    return None


def _limit_memory(most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    # Limits data, not address space: torch maps gigabytes that it never touches.
    with contextlib.suppress(ValueError, OSError, OverflowError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would contain faces


def end_with_parent() -> None:
    """End this process when its parent, which holds the other end of stdin, ends."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if sys.platform == "linux":  # works even if a library holds Python's lock
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@contextlib.contextmanager
def _alone(folder: Path) -> Any:
    """Wait until no process of an earlier service works in the folder."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
