"""Following a switchover or failover in the store, and telling its phases while they happen.

The phases go to stderr, so that stdout keeps its known shape.  Belongs here: reading what happens.
Does not belong here: asking for it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from ctl.cluster import ClusterView
from ctl.context import Access
from shell.stores.base import StoreError

POLL_SECONDS = 0.25
REMIND_SECONDS = 5.0
_LEADING = ("primary", "standby_leader")


@dataclass(slots=True)
class Phases:
    """Tells each change of the cluster once.  `old_leader` is the one that hands over."""

    old_leader: str | None
    started: float = field(default_factory=time.monotonic)
    _told: set[str] = field(default_factory=set)
    _reminded: float = 0.0

    def look(self, view: ClusterView) -> None:
        """Compare the view with what was told so far."""
        old = view.record.member(self.old_leader)
        leader = view.leader_name
        if view.record.failover is not None and leader == self.old_leader:
            self._tell("request", "the request is in the store")
        if old is not None and old.state == "stopping":
            self._tell("stopping", f"{old.name} shuts PostgreSQL down")
            self._remind(
                f"{old.name} is still shutting down: its checkpoint, archive_command or a replica"
                " that has not received everything holds it up"
            )
        if old is not None and old.state == "stopped":
            self._tell("stopped", f"{old.name} has shut PostgreSQL down")
        if leader is None:
            self._tell("free", "the leader lock is free")
        elif leader != self.old_leader:
            self._tell("taken", f"{leader} has taken the leader lock")
            new = view.leader
            if new is not None and new.state == "running" and new.role in _LEADING:
                works = "accepts writes" if new.role == "primary" else "follows the other cluster"
                self._tell("promoted", f"{leader} {works}")

    @property
    def finished(self) -> bool:
        """Whether the new leader was seen to work."""
        return "promoted" in self._told

    def _tell(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._reminded = time.monotonic()
            self._say(text)

    def _remind(self, text: str) -> None:
        if time.monotonic() - self._reminded >= REMIND_SECONDS:
            self._reminded = time.monotonic()
            self._say(text)

    def _say(self, text: str) -> None:
        click.echo(f"  {time.monotonic() - self.started:5.1f} s  {text}", err=True)


def follow_until(
    access: Access,
    phases: Phases,
    done: Callable[[], bool],
    seconds: float,
    wait: Callable[[float], object] = time.sleep,
) -> bool:
    """Look at the store until `done()`, at most so long; whether it was done in time.

    `done` may look at `access.view`; `wait` passes the time between two looks.  A store that
    cannot be asked for a moment is asked again.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            phases.look(access.read())
        except StoreError as error:
            phases.look(access.view)
            click.echo(f"  the store did not answer: {error}", err=True)
        if done():
            return True
        if time.monotonic() >= end:
            return False
        wait(POLL_SECONDS)


def call_while_following(
    access: Access, phases: Phases, call: Callable[[], None], seconds: float
) -> None:
    """Run a blocking call beside the telling; returns when the call has ended."""
    worker = threading.Thread(target=call, daemon=True)
    worker.start()
    follow_until(access, phases, lambda: not worker.is_alive(), seconds, wait=worker.join)
