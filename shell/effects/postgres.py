"""Executors of long work on PostgreSQL (the job lane) and of small work beside the loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from engine.actions import (
    Action,
    AdvanceSlots,
    ApplyConfiguration,
    Clone,
    CreateRoles,
    CreateSlots,
    DropSlots,
    Follow,
    MoveDataDirectory,
    Promote,
    RecoverFromCrash,
    RemoveDataDirectory,
    Rewind,
    RunCheckpoint,
    RunInitdb,
    StartPostgres,
    StopPostgres,
)
from shell.lanes import Work
from shell.world import World

_log = logging.getLogger(__name__)


class PostgresEffects:
    """Carries PostgreSQL actions out by calls of the instance."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start_job(self, action: Action) -> bool | None:
        """Begin the job of that action; False while another one runs, None if it is not a job."""
        work = self._job_of(action)
        if work is None:
            return None
        if isinstance(action, StopPostgres):
            _log.info("stopping PostgreSQL (%s): %s", action.mode, action.why)
            return self._world.jobs.replace(action.kind, action.mode, work)
        kind = getattr(action, "kind")  # noqa: B009 - every job action has one
        return self._world.jobs.start(kind, "", work)

    def _job_of(self, action: Action) -> Work | None:
        instance = self._world.instance
        match action:
            case RunInitdb():
                return instance.initdb
            case CreateRoles():
                return instance.create_roles
            case Clone():
                return lambda cancel: instance.clone(
                    action.source, cancel, from_leader=action.from_leader
                )
            case StartPostgres():
                return lambda cancel: self._start(action, cancel)
            case StopPostgres():
                return lambda cancel: instance.stop(
                    action.mode, cancel, checkpoint_first=action.checkpoint_first
                )
            case Promote():
                return lambda cancel: instance.promote(action.timeout_seconds, cancel)
            case RecoverFromCrash():
                return instance.recover_from_crash
            case Rewind():
                return lambda cancel: instance.rewind(action.source, cancel)
            case RemoveDataDirectory():
                return lambda cancel: self._remove(action, cancel)
            case _:
                return None

    def _start(self, action: StartPostgres, cancel: threading.Event) -> None:
        instance = self._world.instance
        if not instance.start(action.role, action.upstream, action.timeout_seconds, cancel):
            _log.info("PostgreSQL is still starting up")

    def _remove(self, action: RemoveDataDirectory, cancel: threading.Event) -> None:
        _log.warning("emptying the data directory: %s", action.permission)
        self._world.instance.remove_data_directory(cancel)

    def side_work_of(self, action: Action) -> Callable[[], None] | None:
        """What to run beside the loop for that action; None if it is not one of these."""
        instance = self._world.instance
        match action:
            case Follow():
                return lambda: instance.follow(action.upstream)
            case ApplyConfiguration():
                return self._apply
            case CreateSlots():
                return lambda: instance.create_slots(action.names)
            case DropSlots():
                return lambda: instance.drop_slots(action.names)
            case AdvanceSlots():
                return lambda: instance.advance_slots(action.positions)
            case RunCheckpoint():
                return instance.checkpoint
            case _:
                return None

    def _apply(self) -> None:
        self._world.instance.apply_configuration()
        self._world.configured.keep_copy()

    def move_data_directory(self, _: MoveDataDirectory) -> None:
        """Set the half-made directory aside, at once: it is a rename."""
        place = self._world.instance.move_data_directory()
        if place is not None:
            _log.error("the unfinished data directory was moved to %s", place)
