"""What is remembered once a job has ended, when it is tried again, and for how long things wait."""

from __future__ import annotations

from typing import Any

import pytest

from engine.actions import ArmFence, AskFailsafe, Hold, Promote, Remember, Report
from engine.decide import RULES
from engine.tables import failsafe, safety, standby
from proof import checker
from tests.support.scenes import scene
from tests.support.snapshots import NOW

ENDED = {"job_seen": NOW - 0.5, "failures": 0, "retry_at": 0.0}
UNWRITTEN = {
    "diverged_from": 0,
    "needs_new_copy": False,
    "opening": None,
    "wrote_on": None,
    "promotions_begun": 0,
}
REPLACED = {
    **UNWRITTEN,
    "rewinding": False,
    "rewound_from": None,
    "rewind_failed": "",
    "beaten": "",
}


def ended(kind: str, ok: bool = True, why: str = "code 1") -> dict[str, Any]:
    """A job that has just ended."""
    return {
        "last_job": {"@": "JobResult", "kind": kind, "ok": ok, "finished": NOW - 0.5, "why": why}
    }


def noted(rule: str, changes: dict[str, Any]) -> dict[str, Any]:
    """What that rule remembers."""
    (memory,) = checker.of(Remember, RULES[rule].then(scene("down replica", changes)))
    return dict(memory.changes)


@pytest.mark.parametrize(
    ("kind", "forgotten"),
    [
        ("create roles", {"roles_created": True}),
        (
            "clone",
            {
                "reinitialize": False,
                "reinit_from_leader": False,
                **REPLACED,
            },
        ),
        ("initdb", REPLACED),
        ("remove data directory", REPLACED),
        ("rewind", {"rewinding": False, **UNWRITTEN}),
        ("promote", {"lock_free_since": None}),
        ("stop", {}),
        ("start", {}),
    ],
)
def test_a_job_that_ended_well_leaves_true_notes(kind: str, forgotten: dict[str, Any]) -> None:
    """A new copy of the data has no history; a rewind mends what had diverged."""
    assert noted("note.job_ended", ended(kind)) == ENDED | forgotten


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 1.0), (1, 2.0), (2, 5.0), (3, 10.0), (4, 10.0), (99, 10.0)]
)
def test_the_next_try_waits_longer_after_each_failure(failures: int, pause: float) -> None:
    """One second, two, five, and ten from then on."""
    found = noted("note.job_failed", {**ended("start", ok=False), "memory.failures": failures})
    assert found == {
        "job_seen": NOW - 0.5,
        "failures": failures + 1,
        "retry_at": NOW + pause,
        "bootstrap_failed": "",
    }


@pytest.mark.parametrize(("why", "said"), [("code 1", "code 1"), ("", "no reason given")])
def test_a_failure_without_a_reason_is_a_failure(why: str, said: str) -> None:
    """An empty reason must not look as if nothing had failed."""
    bootstrap = {**ended("initdb", ok=False, why=why), "memory.bootstrapping": True}
    assert noted("note.job_failed", bootstrap)["bootstrap_failed"] == said
    failed = noted("note.rewind_failed", ended("rewind", ok=False, why=why))
    assert failed == {"job_seen": NOW - 0.5, "rewind_failed": said, "rewinding": False}


def test_a_failed_promotion_bars_from_the_race_for_a_ttl() -> None:
    """So that another member gets the chance."""
    found = noted("note.promotion_failed", ended("promote", ok=False))
    assert found == {"job_seen": NOW - 0.5, "race_barred_until": NOW + 30}
    s = scene("down replica", ended("promote", ok=False))
    (report,) = checker.of(Report, RULES["note.promotion_failed"].then(s))
    assert (report.level, report.text) == ("error", "promotion failed: code 1")


@pytest.mark.parametrize(("begun", "others"), [(3, 2), (1, 0), (0, 0)])
def test_only_the_last_promotion_is_forgotten(begun: int, others: int) -> None:
    """What an earlier one may have written is not; fewer than none are never begun."""
    told = {"memory.promoting": True, "memory.promotions_begun": begun}
    found = noted("note.never_promoted", told)
    assert found == {"promotions_begun": others, "promoting": False}


def test_a_promotion_without_a_limit_has_one() -> None:
    """primary_start_timeout 0 means "fail over at once" for a crash, not for a promotion."""
    for limit, timeout in ((0.0, 300.0), (7.0, 7.0)):
        s = scene("replica", {"policy.primary_start_timeout_seconds": limit})
        (promote,) = checker.of(Promote, standby._promote(s))
        assert promote.timeout_seconds == timeout


def test_an_unknown_process_is_guarded_by_its_directory() -> None:
    """Before a start there is no process yet: neither a pid nor its start."""
    (arm,) = checker.of(ArmFence, safety.arm(scene("crashed primary", {})))
    assert (arm.pid, arm.start_ticks) == (0, 0)
    (known,) = checker.of(ArmFence, safety.arm(scene("primary", {})))
    assert (known.pid, known.start_ticks) == (4711, 1)


@pytest.mark.parametrize(("since", "left"), [(NOW - 4, 6.0), (NOW - 9.95, 0.1), (NOW - 60, 0.1)])
def test_the_loop_looks_again_when_a_stop_takes_too_long(since: float, left: float) -> None:
    """At that moment, and never in the past."""
    changes = {
        "policy.primary_stop_timeout_seconds": 10,
        "postgres": "silent primary",
        "postgres.server.since": NOW - 60,
        "job": {"kind": "stop", "since": since, "detail": "fast"},
    }
    (hold,) = checker.of(Hold, safety._let_it_stop(scene("sync primary", changes)))
    assert hold.until == pytest.approx(NOW + left)


def test_members_are_asked_for_a_moment_at_least() -> None:
    """Also when there is no time left before the fast stop."""
    for sent, timeout in ((NOW - 25, 0.1), (NOW - 19, 1.0)):
        asked = failsafe._ask(scene("cut off", {"lease.sent_at": sent}))
        (question,) = checker.of(AskFailsafe, asked)
        assert question.timeout_seconds == pytest.approx(timeout)
