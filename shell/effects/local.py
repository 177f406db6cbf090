"""Executors that act at once in the loop: the fence, questions, memory, answers, reports."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from engine.actions import (
    Action,
    Answer,
    ArmFence,
    AskLeader,
    AskPeers,
    DisarmFence,
    Exit,
    Hold,
    ReadConfiguration,
    Remember,
    Report,
    RunCallback,
)
from engine.state import Known, Unknown
from shell.fence.client import FenceUnavailable, PostmasterGone
from shell.postgres.errors import PostgresError
from shell.processes import ProcessId, now
from shell.world import World

_log = logging.getLogger(__name__)
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ASK_LEADER_SECONDS = 3.0


class LocalEffects:
    """Carries out what needs no lane.  `reconfigure` is called when the node file was read."""

    def __init__(
        self, world: World, ask: Callable[[AskPeers], None], reconfigure: Callable[[], None]
    ) -> None:
        self._world = world
        self._ask_peers = ask
        self._reconfigure = reconfigure
        self._told: dict[str, str] = {}
        self.exit: Exit | None = None

    def run(self, action: Action) -> bool:
        """Carry the action out; False when the rest of the list must wait for another cycle."""
        match action:
            case ArmFence():
                return self._arm(action)
            case DisarmFence():
                return self._disarm()
            case AskPeers():
                self._ask_peers(action)
            case AskLeader():
                self._world.side.start("AskLeader", lambda: self._ask_leader(action), about=action)
            case Remember():
                self._world.memory = replace(self._world.memory, **action.changes)
            case Report():
                self._report(action)
            case Answer():
                self._world.desk.answer(action.request_id, action.status, action.text)
            case RunCallback():
                self._world.instance.run_callback(action.action, action.role)
            case ReadConfiguration():
                self._reconfigure()
            case Exit():
                self.exit = action
            case Hold():
                pass
            case _:
                raise AssertionError(f"no executor for {type(action).__name__}")
        return True

    def _arm(self, action: ArmFence) -> bool:
        client, lease = self._world.fence_client, self._world.lease
        if client is None or lease.sent_at is None:
            return not action.required
        kill_at = lease.sent_at + lease.ttl_seconds - action.before_end_seconds
        target = ProcessId(action.pid, action.start_ticks) if action.pid else None
        try:
            client.arm(target, kill_at, action.grace_seconds)
        except PostmasterGone:
            return True
        except FenceUnavailable as error:
            self._report(Report("error" if action.required else "warning", f"fence: {error}"))
            return not action.required
        return True

    def _disarm(self) -> bool:
        client = self._world.fence_client
        if client is not None:
            try:
                client.disarm()
            except FenceUnavailable as error:
                self._report(Report("warning", f"fence: {error}"))
        return True

    def _ask_leader(self, action: AskLeader) -> None:
        asked_at = now()
        try:
            told = self._world.instance.leader_timeline(action.leader, ASK_LEADER_SECONDS)
        except PostgresError as error:
            former = self._world.leader_timeline
            since = former.since if isinstance(former, Unknown) else asked_at
            self._world.leader_timeline = Unknown(since, str(error))
            raise
        self._world.leader_timeline = Known(replace(told, asked_at=asked_at), asked_at)

    def _report(self, action: Report) -> None:
        """Say it once: a rule that says the same in every cycle would flood the log."""
        kind = action.text.split(":", 1)[0]
        if self._told.get(kind) != action.text:
            self._told[kind] = action.text
            _log.log(_LEVELS[action.level], "%s", action.text)
