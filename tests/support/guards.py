"""Pieces of scenes about what guards a primary: its lease, the members' word, the watchdog."""

from __future__ import annotations

from typing import Any

from engine.state import FailsafeAnswer, Lease, Watchdog
from tests.support.snapshots import NOW

URLS = {f"n{n}": f"http://10.0.0.{n}:8008/patroni" for n in (1, 2, 3)}


def agrees(name: str, age: float = 0.5, **fields: Any) -> FailsafeAnswer:
    """A member that was asked so many seconds ago to let us go on, and agreed."""
    values: dict[str, Any] = {"asked_at": NOW - age, "ttl_seconds": 30.0, "agreed": True}
    return FailsafeAnswer(name, **(values | fields))


def declines(name: str, why: str = "timed out", **fields: Any) -> FailsafeAnswer:
    """The same, but it did not agree."""
    return agrees(name, agreed=False, why=why, **fields)


# As this daemon knows it.
LEASES: dict[str, Lease] = {
    "none": Lease(),
    "fresh": Lease(sent_at=NOW - 2),
    "not due yet": Lease(sent_at=NOW - 7),
    "due": Lease(sent_at=NOW - 9.5),
    "overdue": Lease(sent_at=NOW - 12),
    "short": Lease(sent_at=NOW - 21),
    "ending": Lease(sent_at=NOW - 25.5),
    "over": Lease(sent_at=NOW - 31),
    "refused": Lease(sent_at=NOW - 2, refused=True),
}
AGREEMENTS: dict[str, tuple[FailsafeAnswer, ...]] = {
    "nobody": (),
    "all": (agrees("n2"), agrees("n3", 0.7)),
    "n3 is silent": (agrees("n2"), declines("n3")),
    "n3 leads": (agrees("n2"), declines("n3", "500 n3 is running as the primary", leads=True)),
}
WATCHDOGS: dict[str, Watchdog] = {
    "absent": Watchdog(why="/dev/watchdog: no such file"),
    "ready": Watchdog(present=True),
    "fed": Watchdog(True, "", True, 25.0, NOW - 1.9),
    "hungry": Watchdog(True, "", True, 25.0, NOW - 11),
    "active for 14s": Watchdog(True, "", True, 14.0, NOW - 1.9),
    "refused": Watchdog(present=True, failed_at=NOW - 3, failed_why="/dev/watchdog: busy"),
    "refused long ago": Watchdog(present=True, failed_at=NOW - 40, failed_why="busy"),
}
