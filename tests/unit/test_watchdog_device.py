"""The watchdog device, with a fake ioctl where only a kernel with a watchdog could answer."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from shell.watchdog.device import KEEPALIVE, SETTIMEOUT, WatchdogDevice, WatchdogError


class Driver:
    """A driver that counts from `shortest` seconds at least, and notes what it was told."""

    def __init__(self, shortest: int = 1, refuses: OSError | None = None) -> None:
        self.told: list[tuple[str, int]] = []
        self._shortest = shortest
        self._refuses = refuses

    def __call__(self, file: int, request: int, argument: bytes) -> bytes:
        """Answer like the kernel."""
        os.fstat(file)
        if self._refuses is not None:
            raise self._refuses
        name = {SETTIMEOUT: "timeout", KEEPALIVE: "feed"}[request]
        value = max(struct.unpack("i", argument)[0], self._shortest if name == "timeout" else 0)
        self.told.append((name, value))
        return struct.pack("i", value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that notes what is written to the device."""
    place = tmp_path / "watchdog"
    place.touch()
    return place


def test_a_device_counts_is_fed_and_closed(path: Path) -> None:
    """Activation sets the timeout and feeds; closing writes the V that stops the countdown."""
    driver = Driver()
    device = WatchdogDevice(str(path), driver)
    device.activate(25.0)
    seen = device.look()
    assert (seen.active, seen.timeout_seconds, seen.present) == (True, 25.0, True)
    assert seen.fed_at is not None
    device.feed(lease_seconds=29.9)
    device.feed(lease_seconds=24.9)  # the machine would be reset after the end of the lease
    assert driver.told == [("timeout", 25), ("feed", 0), ("feed", 0)]
    assert path.read_bytes() == b""
    device.close()
    assert path.read_bytes() == b"V"
    assert not device.look().active


def test_the_timeout_can_be_changed_while_it_counts(path: Path) -> None:
    """A second activation sets the timeout on the open device."""
    driver = Driver()
    device = WatchdogDevice(str(path), driver)
    device.activate(14.0)
    device.activate(25.0)
    assert driver.told[2] == ("timeout", 25)
    assert path.read_bytes() == b""


def test_a_driver_that_counts_too_long_is_refused(path: Path) -> None:
    """A timeout that outlasts the lease is no guard: the device is closed, the mend is named."""
    device = WatchdogDevice(str(path), Driver(shortest=60))
    with pytest.raises(WatchdogError, match="less than 60s: raise ttl"):
        device.activate(25.0)
    seen = device.look()
    assert not seen.active
    assert seen.failed_at is not None
    assert "raise ttl" in seen.failed_why
    assert path.read_bytes() == b"V"


def test_a_failed_feeding_closes_the_device(path: Path) -> None:
    """Whatever the kernel refuses is remembered with its meaning."""
    driver = Driver()
    device = WatchdogDevice(str(path), driver)
    device.activate(25.0)
    driver._refuses = OSError(16, "Device or resource busy")
    with pytest.raises(WatchdogError, match="another program uses it"):
        device.feed(30.0)
    assert not device.look().active


def test_the_kernel_says_what_is_no_watchdog(path: Path) -> None:
    """A file without the ioctls of a watchdog is named, by the kernel itself."""
    device = WatchdogDevice(str(path))
    with pytest.raises(WatchdogError, match=r"correct watchdog\.device"):
        device.activate(25.0)


@pytest.mark.parametrize(
    ("place", "mend"),
    [("/nowhere/watchdog", "modprobe softdog"), ("/etc/hostname", "is not a device")],
)
def test_what_is_missing_is_seen_without_opening_it(place: str, mend: str) -> None:
    """A look names the mend, and starts no countdown."""
    seen = WatchdogDevice(place).look()
    assert not seen.present
    assert mend in seen.why


def test_a_device_of_another_account_is_seen() -> None:
    """A device that the account may not write to is named with the mend."""
    if os.access("/dev/kmsg", os.W_OK) or not Path("/dev/kmsg").exists():
        assert WatchdogDevice("/dev/null").look().present
    else:
        assert "write access" in WatchdogDevice("/dev/kmsg").look().why
