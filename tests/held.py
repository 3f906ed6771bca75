"""What a process holds of its system: threads and descriptors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_SELF = Path("/proc/self")


@dataclass(frozen=True)
class Held:
    """Threads, and how many descriptors are open on what, as Linux counts them in this process.

    Tests ask what one moment has `beyond` another, and not whether both are equal: what an earlier
    test has left (a connection, a thread) may end meanwhile.
    """

    threads: int
    descriptors: Counter[str]

    @classmethod
    def now(cls) -> Held:
        open_on: Counter[str] = Counter()
        for link in (_SELF / "fd").iterdir():
            try:
                open_on[str(link.readlink())] += 1
            except FileNotFoundError:  # the one that listed this folder
                continue
        return cls(len(list((_SELF / "task").iterdir())), open_on)

    def beyond(self, before: Held) -> str:
        """What is held now and was not `before`, in words; empty if nothing is."""
        found = [
            f"{count} more of {what}"
            for what, count in (self.descriptors - before.descriptors).items()
        ]
        if (more := self.threads - before.threads) > 0:
            found.append(f"{more} more threads")
        return ", ".join(found)
