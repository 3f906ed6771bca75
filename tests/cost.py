"""What a call costs, told apart from what else a test process does."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from threadpoolctl import threadpool_limits


def cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Processor time of the quickest of some calls, after one that is not timed.

    The garbage collector waits: late in a run of all tests it looks through millions of objects
    that are not the call's. One thread computes, for idle ones of a matrix product count as work.
    """
    work()
    taken = []
    gc.collect()
    gc.disable()
    try:
        with threadpool_limits(1):
            for _ in range(repeats):
                begin = time.process_time()
                work()
                taken.append(time.process_time() - begin)
    finally:
        gc.enable()
    return min(taken)
