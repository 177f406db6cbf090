"""What operators ask of this node: reload, restart (now, later), reinitialize."""

from collections.abc import Callable
from typing import TypeAlias

from engine import views
from engine.actions import (
    Action,
    Answer,
    ReadConfiguration,
    Remember,
    Report,
    StopPostgres,
)
from engine.facts.lease import another_owns_the_lock, i_own_the_lock
from engine.facts.postgres import (
    a_job_runs,
    may_accept_writes,
    postmaster_runs,
    runs_as_primary,
    still_starting,
)
from engine.facts.sync import i_am_synchronous
from engine.facts.work import (
    cancel_is_requested,
    daemon_is_stopping,
    leader_leads,
    nothing_is_requested,
    paused,
    reinitialize_is_requested,
    reload_is_requested,
    request_is_for_later,
    request_is_forced,
    restart_condition_fails,
    restart_is_requested,
    restart_is_scheduled,
    restarting,
    scheduled_restart_is_due,
)
from engine.rule import Rule, Table, fact, nothing
from engine.state import JobKind, Request, Snapshot
from engine.tables.safety import stop_at_once
from engine.tables.steps import (
    LEAVES_SYNC_FIRST,
    WHY_LEAVE_SYNC,
    leave_sync,
    start_timeout_seconds,
)
from engine.tables.upkeep import callback

Then: TypeAlias = Callable[[Snapshot], tuple[Action, ...]]


def waiting(s: Snapshot) -> Request:
    """The oldest request that is not being carried out."""
    return next(r for r in s.requests if r.id != s.memory.restarting_for)


def _answer(status: int, text: str) -> Then:
    return lambda s: (Answer(waiting(s).id, status, text),)


def _busy(s: Snapshot) -> tuple[Action, ...]:
    name = s.job.kind.value if s.job else "restart"
    return (Answer(waiting(s).id, 503, f"{name} already in progress"),)


def _restart(s: Snapshot) -> tuple[Action, ...]:
    return (
        Remember({"restarting_since": s.now, "restarting_for": waiting(s).id}),
        StopPostgres("fast", "restart asked for by an operator", checkpoint_first=True),
    )


def _restart_scheduled(s: Snapshot) -> tuple[Action, ...]:
    return (
        Remember({"restarting_since": s.now, "scheduled_restart": None}),
        StopPostgres("fast", "scheduled restart", checkpoint_first=True),
    )


def _schedule(s: Snapshot) -> tuple[Action, ...]:
    request = waiting(s)
    return (
        Remember({"scheduled_restart": request.condition}),
        Answer(request.id, 202, "Restart scheduled"),
    )


def _reinitialize(s: Snapshot) -> tuple[Action, ...]:
    request = waiting(s)
    wish = Remember(
        {"reinitialize": True, "reinit_from_leader": request.from_leader, "bring_back": True}
    )
    started = Answer(request.id, 200, "reinitialize started")
    return (wish, started, *stop_at_once(s, "reinitialize asked for by an operator"))


def _restarted(status: int, text: str) -> Then:
    def answer(s: Snapshot) -> tuple[Action, ...]:
        over = Remember({"restarting_since": None, "restarting_for": None})
        told = callback(s, "on_restart") if status == 200 else ()
        if s.memory.restarting_for is None:
            return (Report("info", text), over, *told)
        return (Answer(s.memory.restarting_for, status, text), over, *told)

    return answer


@fact(lambda s: f"failures={s.memory.failures}, last job {s.last_job}")
def the_restart_failed(s: Snapshot) -> bool:
    """The stop or the start failed since the restart began."""
    since, last = s.memory.restarting_since, s.last_job
    if since is None or last is None or last.finished < since:
        return False
    return last.kind in {JobKind.START, JobKind.STOP, JobKind.COPY_SLOTS} and not last.ok


@fact(lambda s: f"restarting_since={s.memory.restarting_since}")
def the_restart_is_done(s: Snapshot) -> bool:
    """PostgreSQL was started after it was stopped for the restart, and answers."""
    since, last, here = s.memory.restarting_since, s.last_job, s.postgres.postmaster
    if since is None or last is None or here is None or views.server(s) is None:
        return False
    return last.kind is JobKind.START and last.ok and last.finished >= since


def _restart_limit_seconds(s: Snapshot) -> float:
    for request in s.requests:
        if request.id == s.memory.restarting_for and request.condition.timeout_seconds:
            return request.condition.timeout_seconds
    return start_timeout_seconds(s)


@fact(lambda s: f"begun at {s.memory.restarting_since}, {_restart_limit_seconds(s):g}s allowed")
def the_restart_takes_too_long(s: Snapshot) -> bool:
    """The timeout of the request, else primary_start_timeout, has passed."""
    since = s.memory.restarting_since
    return since is not None and s.now - since >= _restart_limit_seconds(s)


REQUEST = Table(
    "request",
    "Does an operator wait for an answer?",
    applies=(~daemon_is_stopping,),
    rules=(
        Rule(
            "request.restart_done",
            "The restart is done",
            when=(restarting, the_restart_is_done),
            then=_restarted(200, "restarted successfully"),
            why="PostgreSQL answers again.",
        ),
        Rule(
            "request.restart_failed",
            "The restart failed",
            when=(restarting, the_restart_failed),
            then=_restarted(503, "restart failed"),
            why="The start is tried again, but the operator must know.",
        ),
        Rule(
            "request.restart_slow",
            "The restart takes longer than its timeout",
            when=(restarting, the_restart_takes_too_long),
            then=_restarted(503, "restart is taking longer than the timeout"),
            why="The operator must know; whatever starts PostgreSQL goes on.",
        ),
        Rule(
            "request.scheduled_skipped",
            "The time of a scheduled restart has come, but its conditions do not hold",
            when=(nothing_is_requested, scheduled_restart_is_due, restart_condition_fails),
            then=lambda _: (
                Report("info", "scheduled restart: its conditions are not satisfied"),
                Remember({"scheduled_restart": None}),
            ),
            why="A conditional restart is done only if it is needed.",
        ),
        Rule(
            "request.scheduled_leave_sync",
            "Before the scheduled restart of a synchronous standby: ask the leader to release it",
            when=(
                nothing_is_requested,
                scheduled_restart_is_due,
                ~a_job_runs,
                ~paused,
                *LEAVES_SYNC_FIRST,
            ),
            then=leave_sync,
            why=WHY_LEAVE_SYNC,
        ),
        Rule(
            "request.scheduled_restart",
            "The time of a scheduled restart has come",
            when=(nothing_is_requested, scheduled_restart_is_due, ~a_job_runs, ~paused),
            then=_restart_scheduled,
            why="An operator chose that time.",
            ends=True,
        ),
        Rule(
            "request.none",
            "Nobody waits for an answer",
            when=(nothing_is_requested,),
            then=nothing,
            why="There is nothing to do.",
        ),
        Rule(
            "request.reload",
            "Read the configuration again",
            when=(reload_is_requested,),
            then=lambda s: (
                ReadConfiguration(),
                Answer(waiting(s).id, 202, "reload scheduled"),
            ),
            why="An error keeps the configuration in force and is logged.",
        ),
        Rule(
            "request.cancel_nothing",
            "No restart is scheduled",
            when=(cancel_is_requested, ~restart_is_scheduled),
            then=_answer(404, "no restarts are scheduled"),
            why="There is nothing to take back.",
        ),
        Rule(
            "request.cancel",
            "Take the scheduled restart back",
            when=(cancel_is_requested,),
            then=lambda s: (
                Remember({"scheduled_restart": None}),
                Answer(waiting(s).id, 200, "scheduled restart deleted"),
            ),
            why="The operator changed their mind.",
        ),
        Rule(
            "request.restart_paused",
            "Maintenance mode: no restart can be scheduled",
            when=(restart_is_requested, request_is_for_later, paused),
            then=_answer(500, "Can't schedule restart in the paused state"),
            why="In pause nothing happens by itself.",
        ),
        Rule(
            "request.restart_twice",
            "A restart is scheduled already",
            when=(restart_is_requested, request_is_for_later, restart_is_scheduled),
            then=_answer(409, "Another restart is already scheduled"),
            why="One schedule at a time; it can be flushed.",
        ),
        Rule(
            "request.restart_later",
            "Schedule the restart",
            when=(restart_is_requested, request_is_for_later),
            then=_schedule,
            why="An operator chose that time.",
        ),
        Rule(
            "request.restart_busy",
            "A restart is asked for while long work is under way",
            when=(restart_is_requested, a_job_runs),
            then=_busy,
            why="One piece of long work on PostgreSQL at a time.",
        ),
        Rule(
            "request.restart_starting",
            "A restart is asked for while PostgreSQL starts",
            when=(restart_is_requested, still_starting),
            then=_answer(503, "postgres is still starting"),
            why="A restart would only begin the recovery anew.",
        ),
        Rule(
            "request.restart_skipped",
            "The conditions of the restart do not hold",
            when=(restart_is_requested, restart_condition_fails),
            then=_answer(503, "restart conditions are not satisfied"),
            why="A conditional restart is done only if it is needed.",
        ),
        Rule(
            "request.restart_leader_unproven",
            "A writable server without the lock is not restarted",
            when=(restart_is_requested, may_accept_writes, ~i_own_the_lock),
            then=_answer(503, "restart failed: this node does not own the leader lock"),
            why="Safety decides about this server first.",
        ),
        Rule(
            "request.leave_sync",
            "Before the restart of a synchronous standby: ask the leader to release it",
            when=(restart_is_requested, postmaster_runs, *LEAVES_SYNC_FIRST),
            then=leave_sync,
            why=WHY_LEAVE_SYNC,
        ),
        Rule(
            "request.restart",
            "Restart: checkpoint, stop, start",
            when=(restart_is_requested, postmaster_runs),
            then=_restart,
            why="A checkpoint before the stop makes the outage short.",
            ends=True,
        ),
        Rule(
            "request.restart_down",
            "PostgreSQL is down: there is nothing to stop",
            when=(restart_is_requested,),
            then=_answer(503, "restart failed: PostgreSQL is not running"),
            why="The other tables start it when they may.",
        ),
        Rule(
            "request.reinit_leader",
            "The leader can't be reinitialized",
            when=(reinitialize_is_requested, i_own_the_lock),
            then=_answer(503, "I am the leader, can not reinitialize"),
            why="It has the data that the others are copied from.",
        ),
        Rule(
            "request.reinit_primary",
            "A writable server is never reinitialized",
            when=(reinitialize_is_requested, runs_as_primary),
            then=_answer(503, "PostgreSQL runs as primary here, can not reinitialize"),
            why="It may hold commits that nobody else has.",
        ),
        Rule(
            "request.reinit_no_leader",
            "No leader to copy",
            when=(reinitialize_is_requested, ~another_owns_the_lock),
            then=_answer(503, "Cluster has no leader, can not reinitialize"),
            why="The old copy may be the best one that is left.",
        ),
        Rule(
            "request.reinit_early",
            "The leader can't be copied yet",
            when=(reinitialize_is_requested, ~leader_leads),
            then=_answer(
                503,
                "The leader is not promoted yet, or is down, can not reinitialize: "
                "try again once it leads",
            ),
            why="A good standby would go down with nobody to copy, and may be the best one left.",
        ),
        Rule(
            "request.reinit_busy",
            "A reinitialize is asked for while long work is under way",
            when=(reinitialize_is_requested, a_job_runs, ~request_is_forced),
            then=_busy,
            why="The operator may force it, which cancels that work.",
        ),
        Rule(
            "request.reinit_leave_sync",
            "Before a synchronous standby is emptied: ask the leader to release it",
            when=(reinitialize_is_requested, *LEAVES_SYNC_FIRST),
            then=leave_sync,
            why="Who is named in `sync` may lead: the copy must be the one that confirmed commits.",
        ),
        Rule(
            "request.reinit_synchronous",
            "The leader has not released this synchronous standby",
            when=(reinitialize_is_requested, i_am_synchronous),
            then=_answer(
                503,
                "This is a synchronous standby, and the leader has not released it: "
                "look after the leader, then try again",
            ),
            why="If that leader is lost, nobody else may have what was acknowledged.",
        ),
        Rule(
            "request.reinitialize",
            "Stop, empty the directory and clone",
            when=(reinitialize_is_requested,),
            then=_reinitialize,
            why="The request is the permission to remove this copy.",
            ends=True,
        ),
        Rule(
            "request.unknown",
            "A request that no rule answers",
            when=(),
            then=_answer(501, "not understood"),
            why="The table is total: silence would be indistinguishable from a bug.",
        ),
    ),
)
