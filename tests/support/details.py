"""What actions carry beside their text: how long to wait, over which revision, under which limit.

The text of an action is for people; what an executor needs besides is recorded here, for the rule
that each scenario guards.  Moments are told from now.

    scenario | action: field=value
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from engine import actions as a
from engine.decide import RULES
from engine.state import Snapshot
from tests.support.near_misses import starts
from tests.support.scenarios import FOLDER

FILE = FOLDER / "details"
HEAD = "# scenario | action: what its text does not tell.  By `make rewrite`."
UNTOLD: dict[type, tuple[str, ...]] = {
    a.AcquireLock: ("begin_before", "initialize"),
    a.RenewLock: ("create", "begin_before"),
    a.DropFounder: ("revision",),
    a.WriteStatus: ("slots", "retain_slots"),
    a.WriteHistory: ("lines",),
    a.WriteFailsafe: ("members", "revision"),
    a.WriteSync: ("revision",),
    a.DeleteSync: ("revision",),
    a.ClearFailover: ("revision",),
    a.Clone: ("from_leader", "remote"),
    a.StartPostgres: ("begin_before",),
    a.StopPostgres: ("kill_at",),
    a.ArmFence: ("start_ticks", "grace_seconds", "required"),
    a.ActivateWatchdog: ("required",),
    a.AskPeers: ("timeout_seconds",),
    a.AskFailsafe: ("slots",),
    a.AskSlots: ("feedback",),
    a.Hold: ("until",),
}
MOMENTS = frozenset({"until", "begin_before", "kill_at"})


def _fields(action: object, s: Snapshot) -> Iterator[str]:
    for name in UNTOLD[type(action)]:
        value = getattr(action, name)
        if name in MOMENTS:
            value = "never" if value is None else f"{value - s.now:+.6g}"
        if name == "lines":
            value = [dataclasses.astuple(line) for line in value]
        if name == "members":
            value = dict(sorted(value.items()))
        yield f"{name}={value}"


def detail(name: str) -> str:
    """What the actions of the guarded rule carry in that scenario; empty if nothing."""
    s, rule = starts()[name], RULES[name.partition(" ")[0]]
    told = (
        f"{type(action).__name__}: {' '.join(_fields(action, s))}"
        for action in rule.then(s)
        if type(action) in UNTOLD
    )
    return "; ".join(told)


def recorded() -> dict[str, str]:
    """The lines of the file, by scenario."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    pairs = (line.partition(" | ") for line in lines if line and not line.startswith("#"))
    return {name: text for name, _, text in pairs}


def rewrite() -> None:
    """Record them again."""
    lines = [f"{name} | {text}" for name in starts() if (text := detail(name))]
    FILE.write_text("\n".join([HEAD, *lines]) + "\n")
