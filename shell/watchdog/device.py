"""Linux's watchdog device: once opened it counts, and resets the machine unless it is fed.

Belongs here: opening, the timeout, feeding, closing, and what each refusal means.  When any of it
is done is the engine's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from engine.state import Watchdog
from shell.processes import now

# <linux/watchdog.h>, as most architectures number their ioctls.
SETTIMEOUT = 0xC0045706
KEEPALIVE = 0x80045705
MAGIC_CLOSE = b"V"

Ioctl = Callable[[int, int, bytes], bytes]


class WatchdogError(Exception):
    """The device can't be used; the text names the mend."""


class WatchdogDevice:
    """One device, `/dev/watchdog` by default; used from the main loop only."""

    def __init__(self, path: str, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._path = Path(path)
        self._ioctl = ioctl
        self._file: int | None = None
        self._timeout_seconds = 0.0
        self._fed_at: float | None = None
        self._failed_at: float | None = None
        self._failed_why = ""

    def look(self) -> Watchdog:
        """What is known of the device, without opening it: that would start the countdown."""
        why = "" if self._file is not None else self._unfit()
        return Watchdog(
            present=not why,
            why=why,
            active=self._file is not None,
            timeout_seconds=self._timeout_seconds,
            fed_at=self._fed_at,
            failed_at=self._failed_at,
            failed_why=self._failed_why,
        )

    def activate(self, timeout_seconds: float) -> None:
        """Open the device if need be, and let it count from `timeout_seconds`, or fewer.

        Raises WatchdogError, with the device closed, when it can't be opened or counts longer.
        """
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            set_to = self._set_timeout(int(timeout_seconds))
        except OSError as error:
            raise self._failed(self._meaning(error)) from error
        if set_to > timeout_seconds:
            raise self._failed(
                f"{self._path} can't count from less than {set_to}s: raise ttl, or lower "
                "watchdog.safety_margin"
            )
        self._timeout_seconds = float(timeout_seconds)
        self._failed_at, self._failed_why = None, ""
        self.feed(timeout_seconds)

    def feed(self, lease_seconds: float) -> None:
        """Start the countdown anew, unless it would outlast the lease; raises WatchdogError."""
        if self._file is None or lease_seconds < self._timeout_seconds:
            return
        fed_at = now()
        try:
            self._ioctl(self._file, KEEPALIVE, struct.pack("i", 0))
        except OSError as error:
            raise self._failed(self._meaning(error)) from error
        self._fed_at = fed_at

    def close(self) -> None:
        """Stop the countdown; a driver with `nowayout` goes on, and resets the machine."""
        file, self._file, self._fed_at = self._file, None, None
        self._timeout_seconds = 0.0
        if file is not None:
            try:
                os.write(file, MAGIC_CLOSE)
            finally:
                os.close(file)

    def _set_timeout(self, seconds: int) -> int:
        assert self._file is not None
        answer = self._ioctl(self._file, SETTIMEOUT, struct.pack("i", seconds))
        return int(struct.unpack("i", answer)[0])

    def _failed(self, why: str) -> WatchdogError:
        self._failed_at, self._failed_why = now(), why
        try:
            self.close()
        except OSError as error:
            why = f"{why}; closing it failed too: {error.strerror}"
        return WatchdogError(why)

    def _unfit(self) -> str:
        try:
            found = self._path.stat()
        except OSError as error:
            return self._meaning(error)
        if not stat.S_ISCHR(found.st_mode):
            return f"{self._path} is not a device: correct watchdog.device"
        if not os.access(self._path, os.W_OK):
            return self._meaning(OSError(errno.EACCES, os.strerror(errno.EACCES)))
        return ""

    def _meaning(self, error: OSError) -> str:
        mends = {
            errno.ENOENT: "load the machine's driver, or `modprobe softdog`",
            errno.EACCES: "give the daemon's account write access to it, by a udev rule or chown",
            errno.EBUSY: "another program uses it (systemd's RuntimeWatchdogSec?): stop that",
            errno.ENOTTY: "it is no watchdog: correct watchdog.device",
        }
        mend = mends.get(error.errno or 0, "see the kernel's log")
        return f"{self._path}: {error.strerror}; {mend}"
