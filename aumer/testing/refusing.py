"""Checks that a part rejects invalid input with an error for users."""

from __future__ import annotations

from collections.abc import Callable

from aumer.errors import UsageError


def refuses(call: Callable[[], object], what: str) -> None:
    """Fail unless the call raises a UsageError. `what` describes the invalid input, for the
    message.
    """
    try:
        call()
    except UsageError:
        return
    raise AssertionError(f"it must refuse {what} with a UsageError")
