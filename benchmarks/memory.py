"""What a process holds: memory, threads, descriptors."""

from __future__ import annotations

import gc
from pathlib import Path


def held() -> tuple[float, int, int]:
    """Resident memory (MB), threads and descriptors of this process."""
    gc.collect()
    process = Path("/proc/self")
    status = (process / "status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    threads, files = (len(list((process / name).iterdir())) for name in ("task", "fd"))
    return int(resident.split()[1]) / 1024, threads, files
