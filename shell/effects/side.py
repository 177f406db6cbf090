"""Executors of small work beside the loop: on PostgreSQL, and questions to other members."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from engine.actions import (
    AdvanceSlots,
    ApplyConfiguration,
    AskLeader,
    AskPeers,
    AskSlots,
    CreateLogicalSlots,
    CreateSlots,
    DropSlots,
    Follow,
    RunCheckpoint,
    SetSyncNames,
    SideAction,
)
from engine.state import Known, Unknown
from shell.lanes import BACKOFF_SECONDS, QUESTION_SECONDS
from shell.postgres.errors import PostgresError
from shell.processes import now
from shell.world import World

ASK_LEADER_SECONDS = 3.0


class SideEffects:
    """Carries out what is short but may hang; a failure is tried again when the engine asks."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, action: SideAction) -> None:
        """Begin the work, unless the same is under way or has just failed."""
        rests = QUESTION_SECONDS if isinstance(action, AskLeader) else BACKOFF_SECONDS
        self._world.side.start(type(action).__name__, self._work_of(action), action, rests)

    def _work_of(self, action: SideAction) -> Callable[[], None]:
        instance = self._world.instance
        match action:
            case Follow():
                return lambda: instance.follow(action.upstream)
            case ApplyConfiguration():
                return self._apply
            case SetSyncNames():
                return lambda: instance.set_sync_names(action.text)
            case CreateSlots():
                return lambda: instance.slots.create(action.names)
            case CreateLogicalSlots():
                return lambda: instance.slots.create_logical(action.wanted)
            case DropSlots():
                return lambda: instance.slots.drop(action.names)
            case AdvanceSlots():
                return lambda: instance.slots.advance(action.positions)
            case RunCheckpoint():
                return instance.checkpoint
            case AskPeers():
                return self._asking_peers(action)
            case AskLeader():
                return lambda: self._ask_leader(action)
            case AskSlots():
                return lambda: self._ask_slots(action)
            case _:
                assert_never(action)

    def _apply(self) -> None:
        self._world.instance.apply_configuration()
        with contextlib.suppress(PostgresError):  # the loop tries it again, and says why
            self._world.configured.keep_copy()

    def _asking_peers(self, action: AskPeers) -> Callable[[], None]:
        members = self._world.members_named(action.members)

        def ask() -> None:
            for answer in self._world.peer_calls.ask(members, action.timeout_seconds):
                self._world.peers[answer.name] = answer

        return ask

    def _ask_slots(self, action: AskSlots) -> None:
        asked_at = now()
        try:
            told = self._world.instance.slots.ask_leader(
                action.leader, action.names, action.feedback, ASK_LEADER_SECONDS
            )
        except PostgresError as error:
            self._world.leader_slots = Unknown(asked_at, str(error))
            raise
        self._world.leader_slots = Known(told, asked_at)

    def _ask_leader(self, action: AskLeader) -> None:
        asked_at = now()
        try:
            told = self._world.instance.leader_timeline(
                action.leader, action.ours, ASK_LEADER_SECONDS
            )
        except PostgresError as error:
            former = self._world.leader_timeline
            since = former.since if isinstance(former, Unknown) else asked_at
            self._world.leader_timeline = Unknown(since, str(error))
            raise
        told = replace(told, asked_at=asked_at, receiver=action.receiver)
        self._world.leader_timeline = Known(told, asked_at)
