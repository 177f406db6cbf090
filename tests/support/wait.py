"""The one place in the tests that waits: for a condition, never for a time.

Belongs here: polling with a deadline. Must not: know what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None],
    timeout_seconds: float,
    what: str,
    poll_seconds: float = 0.02,
) -> T:
    """Return the first true value of `condition`; AssertionError naming `what` at the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout_seconds:g} s for {what}; last seen: {value!r}")
        time.sleep(poll_seconds)
