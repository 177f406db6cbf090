"""Carrying a decision out in the model, as `shell/effects/` does: in order, until one fails.

Each lane's actions are matched completely; `assert_never` lets mypy refuse an action that the
shell can carry out and the model cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never, cast, get_args

from engine import actions as a
from engine import views
from engine.actions import HEARTBEATS, Action, JobAction, LoopAction, SideAction, StoreAction
from engine.memory import with_changes
from engine.state import Known, Unknown
from proof.world.events import Steps
from proof.world.fence import FenceUnavailable, PostmasterGone
from proof.world.instance import PostgresError
from proof.world.session import StoreUnavailable
from proof.world.store_work import StoreWork
from proof.world.watchdog import WatchdogError
from shell.effects.executor import CHANGES_THE_WORLD, STORE_PATIENCE_SECONDS
from shell.effects.side import ASK_LEADER_SECONDS
from shell.lanes import BACKOFF_SECONDS, QUESTION_SECONDS

if TYPE_CHECKING:
    from proof.world.daemon import Daemon


_IN_STORE = frozenset(get_args(StoreAction))
_AS_JOBS = frozenset(get_args(JobAction))
_BESIDE = frozenset(get_args(SideAction))


class Executor:
    """Runs the actions of one decision after another."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.exit: a.Exit | None = None
        self._store = StoreWork(daemon)

    def run(self, actions: Iterable[Action]) -> Steps:
        """Carry the actions out; whether to look again at once, and whether all were done."""
        again = failed = False
        for action in actions:
            kind, todo = type(action), cast(Any, action)
            if a.is_too_late(action, self._daemon.now()):
                done = False
            elif kind in _IN_STORE:
                done = yield from self._run_store(todo)
            elif kind in _AS_JOBS:
                done = self._start_job(todo)
            elif kind in _BESIDE:
                done = self._start_side(todo)
            else:
                done = self._run_here(todo)
            if not done:
                failed = True
                if not isinstance(action, HEARTBEATS) or self._daemon.lease.refused:
                    return again, failed
            again = again or isinstance(action, CHANGES_THE_WORLD)
        return again, failed

    # --- the store's lane -------------------------------------------------------------------------

    def _run_store(self, action: StoreAction) -> Steps:
        work = self._store.work(action)
        try:
            done = yield from self._daemon.store_lane.run(work, STORE_PATIENCE_SECONDS)
        except StoreUnavailable:
            return False
        return bool(done)

    # --- jobs -------------------------------------------------------------------------------------

    def _start_job(self, action: JobAction) -> bool:
        daemon = self._daemon
        detail = action.mode if isinstance(action, a.StopPostgres) else ""
        daemon.world.job_begins(daemon.host.name, action)
        if isinstance(action, a.StopPostgres):
            return daemon.jobs.replace(action.kind, detail, self._job_work(action), action.kill_at)
        return daemon.jobs.start(action.kind, detail, self._job_work(action))

    def _job_work(self, action: JobAction) -> Steps:
        instance = self._daemon.instance
        match action:
            case a.RunInitdb():
                return instance.initdb()
            case a.CreateRoles():
                return instance.create_roles()
            case a.Clone():
                assert action.source is not None, "standby clusters are not modelled"
                return instance.clone(action.source)
            case a.StartPostgres():
                return instance.start(
                    action.role, action.upstream, action.timeout_seconds, action.begin_before
                )
            case a.StopPostgres():
                kill_at = action.kill_at or 0.0  # each immediate one has its moment
                return instance.stop(action.mode, kill_at, action.checkpoint_first)
            case a.Promote():
                return instance.promote(action.timeout_seconds)
            case a.RecoverFromCrash():
                return instance.recover_from_crash()
            case a.Rewind():
                return instance.rewind(action.source)
            case a.RemoveDataDirectory():
                return instance.remove_data_directory()
            case a.CopySlots():
                raise AssertionError("logical slots are not modelled")
            case _:
                assert_never(action)

    # --- beside the loop --------------------------------------------------------------------------

    def _start_side(self, action: SideAction) -> bool:
        work = self._side_work(action)
        rests = QUESTION_SECONDS if isinstance(action, a.AskLeader) else BACKOFF_SECONDS
        self._daemon.side.start(type(action).__name__, lambda: work, action, rests)
        return True

    def _side_work(self, action: SideAction) -> Steps:
        instance = self._daemon.instance
        match action:
            case a.Follow():
                return self._briefly(lambda: instance.follow(action.upstream))
            case a.ApplyConfiguration():
                return self._briefly(instance.apply_configuration)
            case a.SetSyncNames():
                return instance.set_sync_names(action.text)
            case a.CreateSlots():
                return self._briefly(lambda: instance.change_slots(action.names, ()))
            case a.DropSlots():
                return self._briefly(lambda: instance.change_slots((), action.names))
            case a.AdvanceSlots():
                return self._briefly(lambda: instance.advance_slots(dict(action.positions)))
            case a.RunCheckpoint():
                return instance.checkpoint()
            case a.AskPeers():
                return self._daemon.questions.ask_peers(action.members, action.timeout_seconds)
            case a.AskLeader():
                return self._ask_leader(action)
            case a.CreateLogicalSlots() | a.AskSlots():
                raise AssertionError("logical slots are not modelled")
            case _:
                assert_never(action)

    def _briefly(self, work: Callable[[], None]) -> Steps:
        yield self._daemon.host.seconds_for("side")
        work()

    def _ask_leader(self, action: a.AskLeader) -> Steps:
        daemon, asked_at = self._daemon, self._daemon.now()
        try:
            told = yield from daemon.instance.leader_timeline(action.leader, ASK_LEADER_SECONDS)
        except PostgresError as error:
            former = daemon.leader_timeline
            since = former.since if isinstance(former, Unknown) else asked_at
            daemon.leader_timeline = Unknown(since, str(error))
            raise
        asked_on = None if action.ours is None else action.ours[0]
        told = replace(told, asked_at=asked_at, asked_on=asked_on, receiver=action.receiver)
        daemon.leader_timeline = Known(told, asked_at)

    # --- at once ----------------------------------------------------------------------------------

    def _run_here(self, action: LoopAction) -> bool:
        daemon = self._daemon
        match action:
            case a.Hold() | a.ReadConfiguration() | a.RunCallback():
                pass
            case a.ArmFence():
                return self._arm(action)
            case a.DisarmFence():
                self._disarm()
            case a.AskFailsafe():
                daemon.questions.ask_failsafe(action)
            case a.Remember():
                daemon.memory = with_changes(daemon.memory, action.changes)
            case a.Answer():
                daemon.answer(action.request_id, action.status, action.text)
            case a.Exit():
                self.exit = action
            case a.MoveDataDirectory():
                daemon.host.disk.empty()
                daemon.host.disk.set_aside += 1
            case a.Report():
                daemon.report(action.text)
            case a.ActivateWatchdog():
                return self._activate_watchdog(action)
            case a.FeedWatchdog():
                self._feed_watchdog()
            case a.CloseWatchdog():
                daemon.watchdog.close()
            case _:
                assert_never(action)
        return True

    def _arm(self, action: a.ArmFence) -> bool:
        client = self._daemon.fence_client
        ends = views.certain_until(self._daemon.lease, self._daemon.memory)
        ends = action.asked_ends_at if ends is None else ends
        if client is None or ends is None:
            return not action.required
        kill_at = ends - action.before_end_seconds
        try:
            client.guard().arm(action.pid, kill_at, action.grace_seconds)
        except PostmasterGone:
            return True
        except FenceUnavailable:
            return not action.required
        return True

    def _lease_left(self) -> float:
        ends = views.certain_until(self._daemon.lease, self._daemon.memory)
        return 0.0 if ends is None else ends - self._daemon.now()

    def _activate_watchdog(self, action: a.ActivateWatchdog) -> bool:
        timeout = min(action.timeout_seconds, float(int(self._lease_left())))
        if timeout < 1.0:
            return not action.required
        try:
            self._daemon.watchdog.activate(timeout)
        except WatchdogError as error:
            self._daemon.report(f"watchdog: {error}")
            return not action.required
        return True

    def _feed_watchdog(self) -> None:
        try:
            self._daemon.watchdog.feed(self._lease_left())
        except WatchdogError as error:
            self._daemon.report(f"watchdog: {error}")

    def _disarm(self) -> None:
        client = self._daemon.fence_client
        if client is not None:
            try:
                client.guard().disarm()
            except FenceUnavailable as error:
                self._daemon.report(f"fence: {error}")
