"""The watchdog device of one machine: opened it counts, and resets the machine unless it is fed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.state import Watchdog as Seen
from proof.world.events import Failure

if TYPE_CHECKING:
    from proof.world.host import Host

REBOOT_SECONDS = (10.0, 40.0)  # from the reset until the daemon starts


class WatchdogError(Failure):
    """The device can't be used."""


class Device:
    """The driver and its timer: they go on when whoever opened the device dies."""

    def __init__(self, host: Host) -> None:
        self.broken_until = 0.0  # in true time: till then it can't be opened, nor fed
        self._host = host
        self.counts = False
        self._turn = 0

    @property
    def is_broken(self) -> bool:
        """Whether the driver refuses everything now."""
        return self.broken_until > self._host.world.clock.now

    def count(self, seconds: float) -> None:
        """Begin the countdown, or begin it anew."""
        self.counts = True
        self._turn += 1
        moment = self._host.true_moment(self._host.now() + seconds)
        self._host.world.clock.at(moment, None, self._reset, self._turn)

    def stop(self) -> None:
        """End the countdown: the magic close."""
        self.counts = False
        self._turn += 1

    def _reset(self, turn: int) -> None:
        if turn != self._turn or not self._host.up:
            return
        world, host = self._host.world, self._host
        world.counts["watchdog fired"] += 1
        world.told(host.name, "the watchdog resets the machine")
        host.crash()
        world.clock.after(host.between(*REBOOT_SECONDS), None, host.boot)


class Watchdog:
    """One daemon's hold on the device; the steps of `shell/watchdog/device.py`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.is_open = False
        self._timeout_seconds = 0.0
        self._fed_at: float | None = None
        self._failed_at: float | None = None
        self._failed_why = ""
        self._seen = Seen(present=host.device is not None, why="no such device")

    def look(self) -> Seen:
        """What is known of it, without opening it."""
        return self._seen

    def activate(self, timeout_seconds: float) -> None:
        """Open it if need be, and let it count from that; raises WatchdogError."""
        self.is_open = True
        self._use()
        self._timeout_seconds = float(int(timeout_seconds))
        self._failed_at, self._failed_why = None, ""
        self.feed(timeout_seconds)

    def feed(self, lease_seconds: float) -> None:
        """Start the countdown anew, unless it would outlast the lease; raises WatchdogError."""
        if self.is_open and lease_seconds >= self._timeout_seconds:
            self._use().count(self._timeout_seconds)
            self._fed_at = self._host.now()
            self._note()

    def close(self) -> None:
        """Stop the countdown."""
        if self.is_open and self._host.device is not None:
            self._host.device.stop()
        self.is_open, self._fed_at, self._timeout_seconds = False, None, 0.0
        self._note()

    def _use(self) -> Device:
        device = self._host.device
        if device is None or device.is_broken:
            self._failed_at, self._failed_why = self._host.now(), "the device refuses"
            self.close()
            raise WatchdogError(self._failed_why)
        return device

    def _note(self) -> None:
        present = self._host.device is not None
        self._seen = Seen(
            present=present,
            why="" if present else "no such device",
            active=self.is_open,
            timeout_seconds=self._timeout_seconds,
            fed_at=self._fed_at,
            failed_at=self._failed_at,
            failed_why=self._failed_why,
        )
