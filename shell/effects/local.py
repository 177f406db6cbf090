"""Executors that act at once in the loop: the fence, memory, answers, reports."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import assert_never

from engine import views
from engine.actions import (
    ActivateWatchdog,
    Answer,
    ArmFence,
    AskFailsafe,
    CloseWatchdog,
    DisarmFence,
    Exit,
    FeedWatchdog,
    Hold,
    LoopAction,
    MoveDataDirectory,
    ReadConfiguration,
    Remember,
    Report,
    RunCallback,
)
from engine.memory import with_changes
from shell.fence.client import FenceUnavailable, PostmasterGone
from shell.postgres.errors import PostgresError
from shell.processes import ProcessId, now
from shell.watchdog.device import WatchdogError
from shell.world import World

_log = logging.getLogger(__name__)
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LocalEffects:
    """Carries out what needs no lane.  `reconfigure` is called when the node file was read."""

    def __init__(self, world: World, reconfigure: Callable[[], None]) -> None:
        self._world = world
        self._reconfigure = reconfigure
        self._told: dict[str, str] = {}
        self.exit: Exit | None = None

    def run(self, action: LoopAction) -> bool:
        """Carry the action out; False when the rest of the list must wait for another cycle."""
        match action:
            case ArmFence():
                return self._arm(action)
            case DisarmFence():
                return self._disarm()
            case ActivateWatchdog():
                return self._activate_watchdog(action)
            case FeedWatchdog():
                self._feed_watchdog()
            case CloseWatchdog():
                self._close_watchdog()
            case AskFailsafe():
                self._ask_failsafe(action)
            case Remember():
                self._world.memory = with_changes(self._world.memory, action.changes)
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
            case MoveDataDirectory():
                return self._move_data_directory()
            case _:
                assert_never(action)
        return True

    def _arm(self, action: ArmFence) -> bool:
        client = self._world.fence_client
        ends = views.certain_until(self._world.lease, self._world.memory)
        ends = action.asked_ends_at if ends is None else ends
        if client is None or ends is None:
            return not action.required
        kill_at = ends - action.before_end_seconds
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

    def _lease_left(self) -> float:
        ends = views.certain_until(self._world.lease, self._world.memory)
        return 0.0 if ends is None else ends - now()

    def _activate_watchdog(self, action: ActivateWatchdog) -> bool:
        timeout = min(action.timeout_seconds, float(int(self._lease_left())))
        if timeout < 1.0:
            return not action.required
        try:
            self._world.watchdog.activate(timeout)
        except WatchdogError as error:
            self._report(Report("error" if action.required else "warning", f"watchdog: {error}"))
            return not action.required
        return True

    def _feed_watchdog(self) -> None:
        try:
            self._world.watchdog.feed(self._lease_left())
        except WatchdogError as error:
            self._report(Report("error", f"watchdog: {error}"))

    def _close_watchdog(self) -> None:
        try:
            self._world.watchdog.close()
        except OSError as error:
            self._report(Report("error", f"watchdog: it was not closed: {error.strerror}"))

    def _ask_failsafe(self, action: AskFailsafe) -> None:
        settings = self._world.configured.settings
        self._world.failsafe.ask(
            action,
            {
                "name": settings.name,
                "conn_url": settings.postgresql.conn_url,
                "api_url": settings.restapi.api_url,
            },
        )

    def _move_data_directory(self) -> bool:
        try:
            place = self._world.instance.move_data_directory()
        except PostgresError as error:
            self._report(Report("error", f"after the failed bootstrap: {error}"))
            return False
        if place is not None:
            _log.error("the unfinished data directory was moved to %s", place)
        return True

    def _report(self, action: Report) -> None:
        """Say it once: a rule that says the same in every cycle would flood the log."""
        kind = action.text.split(":", 1)[0]
        if self._told.get(kind) != action.text:
            self._told[kind] = action.text
            _log.log(_LEVELS[action.level], "%s", action.text)
