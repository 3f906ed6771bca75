"""The tasks of benchmarks, by the kind that a protocol names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aumer.bench.task import Task

#: By kind of protocol: module and class. A task is imported when a protocol is run with it.
TASKS = {
    "spotting": ("spotting", "Spotting"),
    "recognition": ("recognition", "Recognition"),
    "spot-then-recognise": ("spot_then_recognize", "SpotThenRecognize"),
}


def task_of(kind: str) -> type[Task[Any, Any, Any]]:
    """The task of a kind of protocol."""
    module, name = TASKS[kind]
    found: type[Task[Any, Any, Any]] = getattr(import_module(f"{__name__}.{module}"), name)
    return found
