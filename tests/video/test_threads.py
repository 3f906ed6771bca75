"""The decoder's thread: bounded, and gone whichever way reading ends (see `no_thread_stays`)."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.types import ImageArray, VideoInfo
from aumer.video import VideoReader, open_video


class Endless:
    """Frames without end, or until `fails`; counts what is asked of it."""

    info = VideoInfo("endless", "array", 2, 2, 1000.0)

    def __init__(self, fails: int | None = None, *, close_fails: bool = False) -> None:
        self.fails, self.close_fails = fails, close_fails
        self.made = self.passed = self.closed = 0

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        while True:
            if self.passed == self.fails:
                raise RuntimeError("decoder broke")
            yield self.passed / 1000, partial(self._image, self.passed)
            self.passed += 1

    def _image(self, index: int) -> ImageArray:
        self.made += 1
        return np.full((2, 2, 3), index % 256, np.uint8)

    def close(self) -> None:
        self.closed += 1
        if self.close_fails:
            raise OSError("close broke")


def decoding() -> bool:
    return any(thread.name == "aumer-decode" for thread in threading.enumerate())


def settle(value: Callable[[], int]) -> int:
    """The value once it has stood still for a while."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.2:
        if value() != last:
            last, since = value(), time.monotonic()
        time.sleep(0.01)
    return last


def test_opening_starts_no_thread() -> None:
    source = Endless()
    with VideoReader(source):
        assert not decoding()
    assert (source.closed, source.passed) == (1, 0)


@pytest.mark.parametrize("queue_size", [1, 4])
def test_never_more_than_the_queue_is_decoded_ahead(queue_size: int) -> None:
    source, asked = Endless(), []
    keep = lambda index, time_s: bool(asked.append(index) or True)  # noqa: E731
    with VideoReader(source, keep=keep, queue_size=queue_size) as reader:
        frames = iter(reader)
        for taken in (1, 2, 10):
            while next(frames).index + 1 < taken:
                pass
            assert settle(lambda: source.made) == taken + queue_size
            assert settle(lambda: len(asked)) <= taken + queue_size + 1
            assert decoding()


def test_skipped_frames_are_not_made() -> None:
    source = Endless()
    with VideoReader(source, keep=lambda index, time_s: index % 50 == 0, queue_size=2) as reader:
        frames = iter(reader)
        assert [next(frames).index for _ in range(3)] == [0, 50, 100]
        assert settle(lambda: source.made) == 5


def ended(source: Endless) -> bool:
    return source.closed == 1 and not decoding()


def test_leaving_the_loop_ends_the_thread() -> None:
    source = Endless()
    reader = VideoReader(source)
    for frame in reader:
        if frame.index == 3:
            break
    assert ended(source)


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    source = Endless()
    reader = VideoReader(source)
    with pytest.raises(KeyError):  # noqa: PT012
        for _ in reader:
            raise KeyError
    assert ended(source)


def test_close_ends_the_thread_while_it_waits() -> None:
    source = Endless()
    reader = VideoReader(source, queue_size=2)
    frames = iter(reader)
    next(frames)
    settle(lambda: source.made)
    reader.close()
    assert ended(source)
    reader.close()
    assert source.closed == 1
    assert list(frames) == []


def test_close_ends_the_thread_while_it_runs() -> None:
    source = Endless()
    reader = VideoReader(source, keep=lambda index, time_s: index == 0)
    frames = iter(reader)
    next(frames)
    assert decoding()
    reader.close()
    assert ended(source)
    assert list(frames) == []


def test_with_ends_the_thread() -> None:
    source = Endless()
    with VideoReader(source) as reader:
        next(iter(reader))
    assert ended(source)


def test_a_dropped_reader_ends_its_thread() -> None:
    source = Endless()
    reader = VideoReader(source)
    gone = weakref.ref(reader)
    frames = iter(reader)
    next(frames)
    del reader, frames
    gc.collect()
    assert gone() is None
    assert ended(source)


def test_a_reader_dropped_in_a_cycle_ends_its_thread() -> None:
    source = Endless()
    reader: Any = VideoReader(source)
    frames = iter(reader)
    next(frames)
    reader.frames = frames
    del reader, frames
    assert decoding()
    gc.collect()
    assert ended(source)


def test_keep_may_close_the_reader() -> None:
    source = Endless()

    def keep(index: int, time_s: float) -> bool:
        if index == 5:
            reader.close()
        return True

    reader = VideoReader(source, keep=keep)
    got = [frame.index for frame in reader]
    assert got == list(range(5))[: len(got)]


def test_an_error_of_the_decoder_reaches_the_consumer_after_the_frames_before_it() -> None:
    source, got = Endless(fails=3), []
    with pytest.raises(RuntimeError, match="decoder broke"):  # noqa: PT012
        for frame in VideoReader(source):
            got.append(frame.index)
    assert got == [0, 1, 2]
    assert ended(source)


@pytest.mark.parametrize("error", [ValueError("keep broke"), KeyboardInterrupt()])
def test_an_error_of_keep_reaches_the_consumer(error: BaseException) -> None:
    source = Endless()

    def keep(index: int, time_s: float) -> bool:
        if index == 2:
            raise error
        return True

    with pytest.raises(type(error)):
        list(VideoReader(source, keep=keep))
    assert ended(source)


def test_an_error_of_closing_hangs_nobody() -> None:
    source = Endless(close_fails=True)
    with pytest.raises(OSError, match="close broke"):
        list(VideoReader(source, end=0.01))
    assert ended(source)


def test_a_reader_is_read_once() -> None:
    source = Endless()
    reader = VideoReader(source, end=0.01)
    assert len(list(reader)) == 10
    with pytest.raises(UsageError, match=r"its reader is closed\. Call open_video again"):
        iter(reader)
    reader = VideoReader(source)
    frames = iter(reader)
    next(frames)
    with pytest.raises(UsageError, match="endless was read already"):
        iter(reader)
    reader.close()


def test_two_readers_do_not_mix(make: Any) -> None:
    images = make.pictures(6)
    pairs = zip(open_video(images, fps=25), open_video(images[::-1], fps=25), strict=True)
    for one, two in pairs:
        np.testing.assert_array_equal(one.image, images[one.index])
        np.testing.assert_array_equal(two.image, images[5 - two.index])


def test_a_reader_left_open_does_not_keep_python_from_ending(make: Any, tmp_path: Path) -> None:
    path = make.video(tmp_path / "v.mp4", make.pictures(100))
    script = (
        "import sys; from aumer.video import open_video\n"
        "frames = iter(open_video(sys.argv[1], queue_size=2)); next(frames)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
