"""Steps that tables share: how a server is started, a restart is answered, a device is set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import watchdog as watchdogs
from engine.actions import (
    ActivateWatchdog,
    Answer,
    ArmFence,
    AskLeader,
    DeleteInitialize,
    Exit,
    Hold,
    Remember,
    Report,
    RunCallback,
    StartPostgres,
    StopPostgres,
)
from engine.state import JobKind, JobResult
from engine.tables import leave, requests, safety, slots, steps, upkeep, watchdog
from proof import checker
from tests.support.scenes import scene
from tests.support.snapshots import LSN, NOW


def started(base: str, **changes: Any) -> StartPostgres:
    """How the server of that base is started, as primary where it was one."""
    s = scene(base, {k.replace("__", "."): v for k, v in changes.items()})
    begin = steps.start_primary if base == "crashed primary" else steps.start_standby
    (start,) = checker.of(StartPostgres, begin(s))
    return start


@pytest.mark.parametrize(("limit", "timeout"), [(0.0, 300.0), (7.0, 7.0), (300.0, 300.0)])
def test_a_standby_starts_within_the_limit(limit: float, timeout: float) -> None:
    """Without one it has five minutes."""
    found = started("down replica", policy__primary_start_timeout_seconds=limit)
    assert found.timeout_seconds == timeout


@pytest.mark.parametrize(
    ("limit", "since", "timeout"),
    [
        (0.0, None, 300.0),
        (60.0, None, 60.0),
        (60.0, NOW - 20, 40.0),
        (60.0, NOW - 50, 10.0),
        (60.0, NOW - 59, 10.0),
        (0.0, NOW - 20, 280.0),
    ],
)
def test_a_primary_starts_within_what_is_left(
    limit: float, since: float | None, timeout: float
) -> None:
    """Counted from when it went down, and ten seconds at least."""
    limits = {
        "policy__primary_start_timeout_seconds": limit,
        "memory__primary_down_since": since,
    }
    assert started("crashed primary", **limits).timeout_seconds == timeout


def test_a_primary_begins_before_it_would_have_to_be_stopped() -> None:
    """By the end of its lease, less the margin; without a lease there is no such moment."""
    assert started("crashed primary").begin_before == NOW + 23
    assert started("crashed primary", lease="none").begin_before is None


# --- restarts -------------------------------------------------------------------------------------

CALLBACK = {"policy.callbacks": ["on_restart"], "memory.restarting_since": NOW - 5}


def test_a_restart_over_rest_is_answered_and_forgotten() -> None:
    """Its callback is run when it went well; a scheduled one is only reported."""
    s = scene("replica", CALLBACK | {"memory.restarting_for": 1})
    over = Remember({"restarting_since": None, "restarting_for": None})
    told = RunCallback("on_restart", "replica")
    done = requests._restarted(200, "restarted successfully")
    assert done(s) == (Answer(1, 200, "restarted successfully"), over, told)
    assert requests._restarted(503, "failed")(s) == (Answer(1, 503, "failed"), over)
    assert requests._restarted(202, "later")(s) == (Answer(1, 202, "later"), over)
    scheduled = scene("replica", CALLBACK)
    assert done(scheduled) == (Report("info", "restarted successfully"), over, told)


def ended(kind: JobKind, ok: bool, finished: float = NOW - 1) -> JobResult:
    """The end of a job."""
    return JobResult(kind, ok, finished, "" if ok else "code 1")


@pytest.mark.parametrize(
    ("last", "failed", "done"),
    [
        (None, False, False),
        (ended(JobKind.START, True), False, True),
        (ended(JobKind.START, True, NOW - 5), False, True),
        (ended(JobKind.START, True, NOW - 6), False, False),
        (ended(JobKind.START, False), True, False),
        (ended(JobKind.START, False, NOW - 5), True, False),
        (ended(JobKind.START, False, NOW - 6), False, False),
        (ended(JobKind.STOP, False), True, False),
        (ended(JobKind.STOP, True), False, False),
        (ended(JobKind.COPY_SLOTS, False), True, False),
        (ended(JobKind.CLONE, False), False, False),
        (ended(JobKind.PROMOTE, True), False, False),
    ],
)
def test_a_restart_is_over_by_what_ended_since_it_began(
    last: JobResult | None, failed: bool, done: bool
) -> None:
    """A start that went well, or a start, stop or copy of slots that did not."""
    s = replace(scene("replica", CALLBACK), last_job=last)
    assert requests.the_restart_failed.holds(s) is failed
    assert requests.the_restart_is_done.holds(s) is done
    nothing = replace(s, memory=replace(s.memory, restarting_since=None))
    assert not requests.the_restart_failed.holds(nothing)
    assert not requests.the_restart_is_done.holds(nothing)
    for silent in ("silent standby", "clean standby"):
        deaf = replace(s, postgres=scene("replica", {"postgres": silent}).postgres)
        assert not requests.the_restart_is_done.holds(deaf)


@pytest.mark.parametrize(
    ("limit", "request_limit", "expected"),
    [(60.0, None, 60.0), (0.0, None, 300.0), (60.0, 5.0, 5.0)],
)
def test_how_long_a_restart_may_take(
    limit: float, request_limit: float | None, expected: float
) -> None:
    """The timeout of the request, else primary_start_timeout, else five minutes."""
    condition = {"@": "RestartCondition", "timeout_seconds": request_limit}
    asked = {"@": "Request", "id": 1, "kind": "restart", "since": NOW, "condition": condition}
    s = scene(
        "replica",
        CALLBACK
        | {
            "requests": [asked],
            "memory.restarting_for": 1,
            "policy.primary_start_timeout_seconds": limit,
        },
    )
    assert requests._restart_limit_seconds(s) == expected


# --- callbacks, the watchdog ----------------------------------------------------------------------


def test_only_configured_callbacks_are_run() -> None:
    """For the role that PostgreSQL has, or the one that is told."""
    s = scene("replica", {"policy.callbacks": ["on_reload"], "postgres.wanted_config": "new"})
    assert upkeep.callback(s, "on_reload") == (RunCallback("on_reload", "replica"),)
    assert upkeep.callback(s, "on_reload", "primary") == (RunCallback("on_reload", "primary"),)
    assert upkeep.callback(s, "on_start") == ()
    assert upkeep._apply(s)[1:] == (RunCallback("on_reload", "replica"),)


@pytest.mark.parametrize(
    ("changes", "activated"),
    [
        ({"policy.watchdog_mode": "automatic", "watchdog": "ready"}, True),
        ({"policy.watchdog_mode": "required", "watchdog": "ready"}, True),
        ({"policy.watchdog_mode": "off", "watchdog": "ready"}, False),
        ({"policy.watchdog_mode": "automatic", "watchdog": "absent"}, False),
        ({"policy.watchdog_mode": "automatic", "watchdog": "fed"}, False),
        (
            {"policy.watchdog_mode": "automatic", "watchdog": "ready", "policy.pause": True},
            False,
        ),
    ],
)
def test_the_device_counts_before_anything_is_writable(
    changes: dict[str, Any], activated: bool
) -> None:
    """Where it is wanted and can be used, does not count yet, and outside maintenance mode."""
    found = watchdog.activate_if_wanted(scene("replica", changes))
    assert bool(checker.of(ActivateWatchdog, found)) is activated


# --- the leader, divergence, a bootstrap that failed ----------------------------------------------


def test_the_leader_is_asked_about_where_our_wal_ends() -> None:
    """With the timeline and the position, if they are known."""
    (asked, hold) = steps.ask_leader(scene("old primary", {}))
    assert isinstance(asked, AskLeader)
    assert asked.ours == (3, LSN)
    assert isinstance(hold, Hold)
    assert hold.until == NOW + 1
    (unknown, _) = steps.ask_leader(scene("old primary", {"postgres": "unreadable"}))
    assert isinstance(unknown, AskLeader)
    assert unknown.ours is None


def test_a_diverged_standby_remembers_from_what() -> None:
    """The leader's timeline, or none when that is not known; a starting one is not waited for."""
    report, memory, stop = steps.stop_diverged(scene("old primary", {}), "the leader")
    assert memory == Remember({"diverged_from": 4})
    assert isinstance(stop, StopPostgres)
    assert isinstance(report, Report)
    assert (stop.mode, report.level) == ("fast", "warning")
    _, unknown, _ = steps.stop_diverged(scene("old primary", {"leader_timeline": None}), "n2")
    assert unknown == Remember({"diverged_from": 0})
    starting = scene("replica", {"postgres": "starting"})
    assert steps.stop_diverged(starting, "n1")[-1] == StopPostgres(
        "immediate", "diverged from n1", kill_at=NOW + 1.75
    )


@pytest.mark.parametrize(
    ("initialize", "founder", "deleted"),
    [
        ("", None, True),
        ("", "n1", True),
        ("", "n2", False),
        ("74", None, False),
        (None, None, False),
    ],
)
def test_a_bootstrap_that_failed_takes_back_only_its_own_claim(
    initialize: str | None, founder: str | None, deleted: bool
) -> None:
    """Another founder's, and a cluster's identity, stay; without the store it waits."""
    keys = {
        "cluster.initialize": initialize,
        "cluster.initialize_revision": 7,
        "cluster.founder": founder,
    }
    actions = steps.leave_bootstrap(scene("new cluster", keys))
    deletes = [x for x in actions if isinstance(x, DeleteInitialize)]
    assert deletes == ([DeleteInitialize(7)] if deleted else [])
    assert isinstance(actions[-1], Exit)
    waits = steps.leave_bootstrap(scene("new cluster", {"cluster": "silent"}))
    assert waits == (Hold("the store to answer"),)


@pytest.mark.parametrize(
    ("down", "server", "since"),
    [(None, NOW - 40, NOW - 40), (NOW - 9, NOW - 40, NOW - 9)],
)
def test_a_start_that_is_given_up_counts_from_the_first_silence(
    down: float | None, server: float, since: float
) -> None:
    """So that others may take over at once."""
    silent = {"@": "Unknown", "since": server, "why": "timed out"}
    s = scene(
        "primary",
        {
            "postgres": "starting",
            "postgres.server": silent,
            "memory.primary_down_since": down,
        },
    )
    (memory,) = checker.of(Remember, leave._give_the_start_up(s))
    assert memory.changes["primary_down_since"] == since


# --- texts and positions --------------------------------------------------------------------------


def test_a_server_that_was_never_seen_leaves_no_position() -> None:
    """Only the control file of a primary tells where it ended."""
    assert leave.final_lsn(scene("old primary", {})) == LSN
    assert leave.final_lsn(scene("old primary", {"postgres": "unreadable"})) is None
    assert leave.final_lsn(scene("down replica", {})) is None


def test_silence_is_told_with_its_reason() -> None:
    """If there is one; an answer that counts no more has none."""
    for why, told in (("timed out", " (timed out)"), ("", "")):
        silent = {"@": "Unknown", "since": NOW - 1, "why": why}
        assert leave._silence(scene("primary", {"postgres.server": silent})) == told
    assert leave._silence(scene("primary", {})) == ""


def armed(pid: int | None, kill_at: float) -> dict[str, Any]:
    """A fence with a deadline for that process, or for the directory."""
    return {"@": "Fence", "ready": True, "armed_pid": pid, "kill_at": kill_at}


def test_a_watchdog_that_is_not_there_is_told_with_its_reason() -> None:
    """Before the first look there is none."""
    for why, told in (("no such device", "no such device"), ("", "not looked at yet")):
        device = {"@": "Watchdog", "present": False, "why": why}
        assert watchdogs.trouble(scene("primary", {"watchdog": device})) == told


@pytest.mark.parametrize(
    ("changes", "ahead"),
    [
        ({}, True),
        ({"policy.pause": True}, False),
        ({"fence": "missing"}, False),
        ({"fence": "armed"}, False),
        ({"fence": armed(4711, NOW + 26.5)}, False),
        ({"fence": armed(4711, NOW + 26.5 + 1 / 1024)}, True),
        ({"fence": armed(4711, NOW + 33)}, True),
        ({"fence": armed(9, NOW + 20)}, True),
        ({"fence": armed(None, NOW + 20)}, False),
        ({"postgres": "standby"}, False),
    ],
)
def test_an_unguarded_server_gets_its_deadline_before_the_lease_is_asked_for(
    changes: dict[str, Any], ahead: bool
) -> None:
    """By the end of that lease; outside of maintenance mode, and where there is a fence.

    A deadline that stands for this server is only made earlier: 3.5 s before that end.
    """
    found = safety.arm_ahead(scene("primary", {"fence": "idle", "lease": "none"} | changes))
    assert [x.asked_ends_at for x in checker.of(ArmFence, found)] == ([NOW + 30] if ahead else [])


def test_what_was_safe_under_this_leader_stays_safe() -> None:
    """Under another one each copy has to be covered anew; one that is copied again starts anew."""
    told = {"leader_slots": "cdc", "memory.covered_from": {"old": 650}}
    for leader, kept in (("n1", {"old": 650, "cdc": 700}), ("n3", {"cdc": 700})):
        s = scene("replica with cdc", told | {"memory.covered_by": leader})
        (memory,) = checker.of(Remember, slots._cover(s))
        assert memory.changes == {"covered_by": "n1", "covered_from": kept}
    gone = {"postgres.server.slots": [], "memory.covered_from": {"old": 650, "cdc": 700}}
    (memory,) = checker.of(Remember, slots._copy(scene("replica with cdc", told | gone)))
    assert memory.changes["covered_from"] == {"old": 650}


@pytest.mark.parametrize(
    ("lost", "until"),
    [(NOW - 29, NOW + 1), (NOW - 30, NOW + 1), (NOW - 60, NOW + 1), (NOW, NOW + 30)],
)
def test_lost_keys_are_waited_for_while_a_lease_may_be_left(lost: float, until: float) -> None:
    """Until the last one has ended; from then on for our own key, a second at a time."""
    gone = {"@": "KeysLost", "at": lost, "seen": True}
    s = scene("new replica", {"keys_lost": gone, "memory.knows_cluster": False})
    report, hold = steps.wait_for_keys("the keys")(s)
    assert report == Report("warning", "the store has lost the cluster's keys")
    assert hold == Hold("the keys", until)
