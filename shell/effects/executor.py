"""Carrying a decision out: each action to its executor, in order, up to the first failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from engine.actions import (
    HEARTBEATS,
    AcquireLock,
    Action,
    ClaimFounding,
    ClearFailover,
    CreateInitialize,
    DeleteSync,
    DropFounder,
    Exit,
    JobAction,
    ReadConfiguration,
    ReleaseLock,
    Remember,
    SideAction,
    StoreAction,
    WriteConfig,
    WriteInitialize,
    WriteSync,
    is_too_late,
)
from shell.effects.local import LocalEffects
from shell.effects.postgres import PostgresEffects
from shell.effects.side import SideEffects
from shell.effects.store import StoreEffects
from shell.processes import now
from shell.stores.base import StoreError
from shell.world import World

_log = logging.getLogger(__name__)

# How long the loop waits for the store before it goes on without the answer.
STORE_PATIENCE_SECONDS = 0.5

# After these the world is another one, and the next cycle should not wait.
CHANGES_THE_WORLD = (
    AcquireLock,
    ReleaseLock,
    Remember,
    ClaimFounding,
    DropFounder,
    CreateInitialize,
    WriteInitialize,
    WriteConfig,
    WriteSync,
    DeleteSync,
    ClearFailover,
    ReadConfiguration,
)


class Executor:
    """Runs the actions of one decision after another."""

    def __init__(self, world: World, reconfigure: Callable[[], None]) -> None:
        self._world = world
        self._store = StoreEffects(world)
        self._postgres = PostgresEffects(world)
        self._side = SideEffects(world)
        self._local = LocalEffects(world, reconfigure)
        self._store_trouble = ""

    @property
    def exit(self) -> Exit | None:
        """The order to end the daemon, once it was given."""
        return self._local.exit

    def run(self, actions: Iterable[Action]) -> tuple[bool, tuple[str, ...]]:
        """Carry the actions out; whether to look again at once, and each one's outcome.

        The list ends at the first failure, unless a heartbeat failed and was not refused.
        """
        again, outcomes = False, []
        for action in actions:
            done = self._run_one(action)
            outcomes.append(f"{type(action).__name__}: {'done' if done else 'not done'}")
            if not done and not self._may_go_on(action):
                return again, tuple(outcomes)
            again = again or isinstance(action, CHANGES_THE_WORLD)
        return again, tuple(outcomes)

    def _may_go_on(self, failed: Action) -> bool:
        return isinstance(failed, HEARTBEATS) and not self._world.lease.refused

    def _run_one(self, action: Action) -> bool:
        if is_too_late(action, now()):
            _log.info("%s was not begun: it comes too late", type(action).__name__)
            return False
        if isinstance(action, StoreAction):
            return self._run_store(action)
        if isinstance(action, JobAction):
            return self._postgres.start_job(action)
        if isinstance(action, SideAction):
            self._side.start(action)
            return True
        return self._local.run(action)

    def _run_store(self, action: StoreAction) -> bool:
        work = self._store.work_of(action)
        try:
            done = self._world.store_lane.run(work, STORE_PATIENCE_SECONDS)
        except StoreError as error:
            if str(error) != self._store_trouble:
                self._store_trouble = str(error)
                _log.warning("%s: %s", type(action).__name__, error)
            return False
        except Exception:  # a strange answer must not end the daemon of a leader
            _log.exception("%s failed", type(action).__name__)
            return False
        if done:
            self._store_trouble = ""
        return bool(done)
