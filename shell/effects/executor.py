"""Carrying a decision out: each action to its executor, in order, up to the first failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from engine.actions import (
    HEARTBEATS,
    AcquireLock,
    Action,
    AskPeers,
    ClaimFounding,
    ClearFailover,
    CreateInitialize,
    DropFounder,
    Exit,
    MoveDataDirectory,
    ReadConfiguration,
    ReleaseLock,
    Remember,
    WriteConfig,
    WriteInitialize,
)
from shell.effects.local import LocalEffects
from shell.effects.postgres import PostgresEffects
from shell.effects.store import StoreEffects
from shell.stores.base import StoreError
from shell.world import World

_log = logging.getLogger(__name__)

# How long the loop waits for the store before it goes on without the answer.
STORE_PATIENCE_SECONDS = 0.5

# After these the world is another one, and the next cycle should not wait.
_CHANGES_THE_WORLD = (
    AcquireLock,
    ReleaseLock,
    Remember,
    ClaimFounding,
    DropFounder,
    CreateInitialize,
    WriteInitialize,
    WriteConfig,
    ClearFailover,
    ReadConfiguration,
)


class Executor:
    """Runs the actions of one decision after another."""

    def __init__(self, world: World, reconfigure: Callable[[], None]) -> None:
        self._world = world
        self._store = StoreEffects(world)
        self._postgres = PostgresEffects(world)
        self._local = LocalEffects(world, self._ask_peers, reconfigure)
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
            again = again or isinstance(action, _CHANGES_THE_WORLD)
        return again, tuple(outcomes)

    def _may_go_on(self, failed: Action) -> bool:
        return isinstance(failed, HEARTBEATS) and not self._world.lease.refused

    def _run_one(self, action: Action) -> bool:
        if (work := self._store.work_of(action)) is not None:
            return self._run_store(action, work)
        if (began := self._postgres.start_job(action)) is not None:
            return began
        if (side := self._postgres.side_work_of(action)) is not None:
            self._world.side.start(type(action).__name__, side, about=action)
            return True
        if isinstance(action, MoveDataDirectory):
            self._postgres.move_data_directory(action)
            return True
        return self._local.run(action)

    def _run_store(self, action: Action, work: Callable[[], bool]) -> bool:
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

    def _ask_peers(self, action: AskPeers) -> None:
        members = self._world.members_named(action.names)

        def ask() -> None:
            for answer in self._world.peer_calls.ask(members, action.timeout_seconds):
                self._world.peers[answer.name] = answer

        self._world.side.start("AskPeers", ask)
