"""Bounded waits that notice a cancellation: the only places where PostgreSQL control sleeps.

Not here: what is waited for.  Every wait ends at its deadline, and within `NOTICE_SECONDS` of a
cancellation.
"""

import select
import threading
from collections.abc import Callable

from shell.postgres.errors import Cancelled
from shell.processes import now

NOTICE_SECONDS = 0.05
NEVER = threading.Event()  # never set: the cancellation of what cannot be cancelled


def check(cancel: threading.Event, what: str) -> None:
    """Raise Cancelled when the event is set."""
    if cancel.is_set():
        raise Cancelled(f"{what} was cancelled")


def wait_until(
    condition: Callable[[], bool],
    deadline: float,
    cancel: threading.Event,
    what: str,
    *,
    step_seconds: float = 0.02,
) -> bool:
    """Ask again and again until the condition holds; False when the deadline passed first.

    `deadline` is in seconds of CLOCK_BOOTTIME.  Raises Cancelled.
    """
    while True:
        check(cancel, what)
        if condition():
            return True
        left = deadline - now()
        if left <= 0:
            return False
        cancel.wait(min(step_seconds, left))


def wait_readable(descriptor: int, deadline: float, cancel: threading.Event, what: str) -> bool:
    """Wait until a file descriptor is readable; False when the deadline passed first."""
    return wait_for_events(descriptor, select.POLLIN, deadline, cancel, what)


def wait_for_events(
    descriptor: int, events: int, deadline: float, cancel: threading.Event, what: str
) -> bool:
    """Wait for poll(2) events on a descriptor; False when the deadline passed first."""
    poller = select.poll()
    poller.register(descriptor, events)
    # Without a way to be cancelled one long sleep is enough: fewer wake-ups, less CPU.
    longest = NOTICE_SECONDS if cancel is not NEVER else 3600.0
    while True:
        check(cancel, what)
        left = deadline - now()
        if left <= 0:
            return bool(poller.poll(0))
        if poller.poll(max(1, int(min(left, longest) * 1000))):
            return True
