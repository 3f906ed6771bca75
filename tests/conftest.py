"""Real videos, tables and golden values that tests may use; they are not part of the repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("aumer", deadline=None)
settings.load_profile("aumer")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """``shared_data("videos/no_face.mp4")`` is a path that exists.

    The files lie in ``$AUMER_TEST_DATA``, by default in ``shared/data`` beside the checkout. Where
    one is missing the test is skipped.
    """
    root = Path(
        os.environ.get("AUMER_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data"
    ).resolve()

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"no {path}; AUMER_TEST_DATA names the folder of test data")
        return path

    return find
