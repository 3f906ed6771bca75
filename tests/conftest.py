"""Real videos, tables and golden values that tests may use; they are not part of the repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Several workers (`pytest -n`) share the cores. Without this each would start as many threads as
# there are cores, and they would wait for one another. Set before torch or numpy is imported.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, threads)

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
