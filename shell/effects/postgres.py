"""Executors of long work on PostgreSQL: the job lane."""

from __future__ import annotations

import logging
import threading
from typing import assert_never

from engine.actions import (
    Clone,
    CopySlots,
    CreateRoles,
    JobAction,
    Promote,
    RecoverFromCrash,
    RemoveDataDirectory,
    Rewind,
    RunInitdb,
    StartPostgres,
    StopPostgres,
)
from shell.lanes import Work
from shell.world import World

_log = logging.getLogger(__name__)


class PostgresEffects:
    """Carries jobs out by calls of the instance."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start_job(self, action: JobAction) -> bool:
        """Begin the job of that action; False while another one runs."""
        work = self._work_of(action)
        if isinstance(action, StopPostgres):
            _log.info("stopping PostgreSQL (%s): %s", action.mode, action.why)
            return self._world.jobs.replace(action.kind, action.mode, work, kill_at=action.kill_at)
        return self._world.jobs.start(action.kind, "", work)

    def _work_of(self, action: JobAction) -> Work:
        instance = self._world.instance
        match action:
            case RunInitdb():
                return instance.initdb
            case CreateRoles():
                return instance.create_roles
            case Clone():
                return lambda cancel: instance.clone(
                    action.source, cancel, from_leader=action.from_leader, remote=action.remote
                )
            case StartPostgres():
                return lambda cancel: self._start(action, cancel)
            case StopPostgres():
                return lambda cancel: instance.stop(
                    action.mode,
                    cancel,
                    checkpoint_first=action.checkpoint_first,
                    archive_last=action.archive_last,
                    kill_at=action.kill_at,
                )
            case Promote():
                return lambda cancel: instance.promote(action.timeout_seconds, cancel)
            case RecoverFromCrash():
                return instance.recover_from_crash
            case Rewind():
                return lambda cancel: instance.rewind(action.source, cancel)
            case RemoveDataDirectory():
                return lambda cancel: self._remove(action, cancel)
            case CopySlots():
                return lambda cancel: instance.copy_slots(action.source, action.names, cancel)
            case _:
                assert_never(action)

    def _start(self, action: StartPostgres, cancel: threading.Event) -> None:
        instance = self._world.instance
        if not instance.start(
            action.role,
            action.upstream,
            action.timeout_seconds,
            cancel,
            begin_before=action.begin_before,
        ):
            _log.info("PostgreSQL is still starting up")

    def _remove(self, action: RemoveDataDirectory, cancel: threading.Event) -> None:
        _log.warning("emptying the data directory: %s", action.permission)
        self._world.instance.remove_data_directory(cancel)
