from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import aumer
from aumer.cli import main
from aumer.log_capture import Pool, collected_warnings, unique
from aumer.results import Prediction, SpotResult
from aumer.testing.moving_face import film

_LOG = logging.getLogger("aumer")


def test_warnings_are_heard_and_nothing_less() -> None:
    with collected_warnings() as outer:
        _LOG.warning("one %d", 1)
        with collected_warnings() as inner:
            _LOG.info("not this")
            _LOG.error("two")
        _LOG.warning("three")
    _LOG.warning("too late")
    assert (outer, inner) == (["one 1", "two", "three"], ["two"])
    assert unique(outer, inner) == ("one 1", "two", "three")


def test_two_runs_at_a_time_do_not_mix() -> None:
    both = threading.Barrier(2)

    def run(name: str) -> list[str]:
        with collected_warnings() as collected, Pool(2) as pool:
            both.wait()
            pool.submit(_LOG.warning, name).result()
            both.wait()
        return collected

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(run, "ab")) == [["a"], ["b"]]


def test_a_logger_without_handlers_still_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a program that sets no logging up: Python's last resort writes warnings to stderr."""
    before, logging.root.handlers = logging.root.handlers, []
    try:
        with collected_warnings():
            _LOG.warning("for who has no handler")
    finally:
        logging.root.handlers = before
    assert "for who has no handler" in capsys.readouterr().err


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose picture stands still from .3 s on."""
    path = tmp_path_factory.mktemp("frozen") / "frozen.avi"
    frames = film(np.arange(9) / 30, scale=1.5, window=(130, 20, 320, 210), noise=1.0)
    frames = np.concatenate([frames, np.repeat(frames[-1:], 66, axis=0)])
    height, width = frames.shape[1:3]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 30, (width, height))
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video.release()
    return path


def test_what_the_reader_says_is_of_the_result(frozen: Path, tmp_path: Path) -> None:
    results = [aumer.spot(frozen, model="rules", cache=tmp_path) for _ in range(2)]
    results.append(SpotResult.from_json(results[0].to_json()))
    for result in results:  # from the cache as well, and from a file
        assert ["the picture freezes at" in note for note in result.notes] == [True]


def test_what_was_said_before_an_interruption_is_of_the_result_too(
    frozen: Path, tmp_path: Path
) -> None:
    """The frames of a chunk that is kept are not looked at again, and raise no second warning."""

    def stop(done: int, _: int | None) -> None:
        if done > 70:
            raise KeyboardInterrupt

    def run(**options: Any) -> tuple[str, ...]:
        pieces = {"face": {"restart_s": 1.0}}  # the second one sees the picture freeze
        return aumer.spot(frozen, model="rules", settings=pieces, cache=tmp_path, **options).notes

    with pytest.raises(KeyboardInterrupt):
        run(progress=stop)
    assert len(list(tmp_path.glob("*.part/*.npz"))) == 2
    for _ in range(2):  # resumed, and whole
        assert ["the picture freezes at" in note for note in run()] == [True]


def test_of_a_prediction_too(frozen: Path) -> None:
    found = aumer.classify(frozen)
    assert any("the picture freezes at" in note for note in found.notes)
    assert Prediction.from_dict(found.to_dict()).notes == found.notes
    older = {k: v for k, v in found.to_dict().items() if k != "notes"}
    assert Prediction.from_dict(older).notes == ()


def test_the_command_line_says_each_once_and_never_swallows_it(
    frozen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spot = [
        "spot",
        str(frozen),
        "--model",
        "network",
        "--graph",
        "samm-lv-facs",
        "--format",
        "json",
    ]
    spot += ["--cache", str(tmp_path)]
    logged = ("may mean little", "the picture freezes at")
    for options, times in (([], 1), ([], 1), (["--quiet"], 0)):  # measured, then from the cache
        assert main([*spot, *options]) == 0
        out, err = capsys.readouterr()
        notes = SpotResult.from_json(out).notes
        for text in logged:
            assert err.count(text) == times
            assert sum(text in note for note in notes) == 1
