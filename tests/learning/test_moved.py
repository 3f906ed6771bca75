"""Names of the two trainings that became one say where they are, for one release."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "name", "where"),
    [
        ("training.checkpoint", "load_state", "aumer.learning.checkpoint"),
        ("training.curves", "tensorboard", "aumer.learning.log"),
        ("recognition.learning", "torchrun", "aumer.learning.machine"),
    ],
)
def test_what_moved_says_where_to(module: str, name: str, where: str) -> None:
    found = importlib.import_module(f"aumer.{module}")
    with pytest.raises(ImportError, match=where):
        getattr(found, name)
    with pytest.raises(AttributeError):
        found.nothing_of_the_kind  # noqa: B018
