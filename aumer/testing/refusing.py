"""That a part refuses what it cannot do, in the way that users are told of it."""

from __future__ import annotations

from collections.abc import Callable

from aumer.errors import UsageError


def refuses(call: Callable[[], object], what: str) -> None:
    """Fail unless the call raises a UsageError. `what` is what it must refuse, for the message."""
    try:
        call()
    except UsageError:
        return
    raise AssertionError(f"it must refuse {what} with a UsageError")
