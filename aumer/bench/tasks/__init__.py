"""The tasks of benchmarks, by the kind that a protocol names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aumer.bench.task import Task

#: By kind of protocol: module and class. A task is imported when a protocol is run with it.
TASKS = {
    "spotting": "aumer.bench.tasks.spotting:Spotting",
    "recognition": "aumer.bench.tasks.recognition:Recognition",
    "spot-then-recognize": "aumer.bench.tasks.spot_then_recognize:SpotThenRecognize",
}


def task_of(kind: str) -> type[Task[Any, Any, Any]]:
    """The task of a kind of protocol."""
    module, _, name = TASKS[kind].partition(":")
    found: type[Task[Any, Any, Any]] = getattr(import_module(module), name)
    return found
