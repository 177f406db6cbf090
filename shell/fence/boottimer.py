"""A timer that expires at a moment of CLOCK_BOOTTIME, also right after a suspend.

Here: Linux's timerfd, which Python offers only from 3.13 on. poll()'s own timeout stands still
during suspend, so without this the guard would have to wake up all the time just to look.
"""

from __future__ import annotations

import os

_CLOCK_BOOTTIME = 7
_TIMER_ABSOLUTE = 1
_NANOSECONDS = 1_000_000_000


class BootTimer:
    """A descriptor that becomes readable at the moment set last. Raises OSError if impossible."""

    def __init__(self) -> None:
        try:
            import ctypes  # noqa: PLC0415 (a Python without libffi has none)
        except ImportError as error:
            raise OSError("this Python has no ctypes") from error
        self._words = ctypes.c_long * 4  # struct itimerspec: interval, then value; s and ns each
        self._library = ctypes.CDLL(None)
        try:
            self.descriptor = self._library.timerfd_create(
                _CLOCK_BOOTTIME, os.O_CLOEXEC | os.O_NONBLOCK
            )
        except AttributeError as error:
            raise OSError("this C library has no timerfd") from error
        if self.descriptor < 0:
            raise OSError("timerfd_create was refused")
        self._moment = 0.0

    def set(self, moment: float) -> None:
        """Expire at `moment` (at once when it has passed); 0 for never."""
        if moment == self._moment:
            return
        self._moment = moment
        seconds, nanoseconds = divmod(int(moment * _NANOSECONDS), _NANOSECONDS)
        value = self._words(0, 0, seconds, nanoseconds)
        self._library.timerfd_settime(self.descriptor, _TIMER_ABSOLUTE, value, None)

    def clear(self) -> None:
        """Take note of an expiry: the descriptor is no longer readable."""
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            return
