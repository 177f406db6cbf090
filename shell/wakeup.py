"""What ends the loop's sleep: an event from any thread, the postmaster's exit, or a deadline."""

from __future__ import annotations

import os
import select
import threading

from shell.processes import ProcessId, now, open_pidfd


class Wakeup:
    """One sleeper (the main loop), many wakers."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.RLock()  # a signal handler may interrupt its holder
        self._reasons: list[str] = []
        self._watched: ProcessId | None = None
        self._pidfd: int | None = None

    @property
    def fd(self) -> int:
        """The file descriptor that a signal handler may write to."""
        return self._event

    def wake(self, why: str) -> None:
        """End the sleep, now or at its next beginning; from any thread."""
        with self._lock:
            if len(self._reasons) < 20:
                self._reasons.append(why)
        os.eventfd_write(self._event, 1)

    def watch_process(self, process: ProcessId | None) -> None:
        """Also wake when this process ends; None watches nothing."""
        if process == self._watched:
            return
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._watched, self._pidfd = process, None
        if process is not None:
            self._pidfd = open_pidfd(process)
            if self._pidfd is None:  # it has ended already
                self.wake("postmaster ended")

    def sleep(self, until: float) -> list[str]:
        """Sleep until `until` (CLOCK_BOOTTIME) or an event; why it ended, empty for the time."""
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        if self._pidfd is not None:
            poll.register(self._pidfd, select.POLLIN)
        ready = poll.poll(max(0.0, until - now()) * 1000)
        with self._lock:
            reasons, self._reasons = self._reasons, []
        for fd, _ in ready:
            if fd == self._event:
                os.eventfd_read(self._event)
            else:
                reasons.append("postmaster ended")
                self._forget_process()
        return reasons

    def _forget_process(self) -> None:
        assert self._pidfd is not None
        os.close(self._pidfd)
        self._pidfd = None
