"""The examples in docstrings run, and no public name and no interface is without one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import aumer
from aumer import registry
from aumer.testing.moving_face import film, smile

#: What parts of one's own derive from, beside the names of `aumer.__all__`.
INTERFACES = (
    *("aumer.face.interface:Detector", "aumer.face.interface:Landmarker"),
    *("aumer.flow.interface:Flow", "aumer.spotting.interface:SpotterModel"),
    *("aumer.spotting.parts:Architecture", "aumer.spotting.parts:Objective"),
    *("aumer.spotting.parts:TrackDecoder", "aumer.spotting.net:SpottingNetwork"),
    *("aumer.recognition.interface:Recognizer", "aumer.recognition.action_units:AUReader"),
    *("aumer.results.formats:Format", "aumer.data.dataset:DataSet"),
    "aumer.evaluation.interface:Report",
)


def interface(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


NAMES = {name: getattr(aumer, name) for name in aumer.__all__}
NAMES |= {where.partition(":")[2]: interface(where) for where in INTERFACES}


@pytest.fixture(scope="module")
def interview(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two seconds with a smile, which the examples call interview.mp4."""
    path = tmp_path_factory.mktemp("film") / "interview.mp4"
    frames = film(np.arange(60) / 30, bumps=smile(0.6, 1.0, 1.4, px=4.0))
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs(
    name: str, interview: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUMER_CACHE", str(cache))
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})
    Path("interview.mp4").symlink_to(interview)
    thing = NAMES[name]
    names = {"aumer": aumer, "np": np, thing.__name__: thing}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = [
        test
        for test in doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs=names)
        if test.examples
    ]
    assert any(test.name == name for test in found), f"{name} has no example in its docstring"
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in found:
        runner.run(test, out=told.append, clear_globs=False)
    assert not runner.failures, "".join(told)


def test_no_interface_is_forgotten() -> None:
    """Whatever the conformance suites of aumer.testing check has an example here."""
    import aumer.testing

    suites = {name for name in dir(aumer.testing) if name.endswith("Suite")}
    checked = {name.removesuffix("Suite") for name in suites}
    shown = {name.removesuffix("Model") for name in NAMES}
    assert checked and checked <= shown, checked - shown


def test_names_that_are_documented_are_documented_once() -> None:
    assert all(inspect.getdoc(thing) for thing in NAMES.values())
