"""What a standby remembers of how its timelines begin, and what it concludes when that changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import former, lineage
from engine.actions import Remember
from engine.decide import RULES, decide
from engine.facts.following import has_diverged, may_rewind
from engine.facts.stream import connection_is_proven_now
from engine.memory import after_restart
from engine.state import Known, Memory, Opening
from proof import checker
from tests.support.scenarios import all_scenarios
from tests.support.scenes import scene

SAME = Opening(7, 3, 11)
STREAMS = {"postgres.server.receiver": 4801}
TOLD = {
    "leader_timeline": "n1, opening 11",
    "leader_timeline.receiver": 4801,
    "leader_timeline.asked_on": 3,
}


def opening(copy: int, timeline: int, checksum: int) -> dict[str, Any]:
    """What is remembered, as a scene takes it."""
    return {"memory.opening": {"copy": copy, "timeline": timeline, "checksum": checksum}}


@pytest.mark.parametrize(
    ("before", "written_over"),
    [
        ({}, False),
        (opening(7, 3, 11), False),
        (opening(7, 3, 12), True),
        (opening(8, 3, 12), False),  # of another copy of the data
        (opening(7, 2, 12), False),  # its first record is not here any more
        (opening(7, 4, 11), False),
    ],
)
def test_wal_that_begins_otherwise_than_it_did_is_another_servers(
    before: dict[str, Any], written_over: bool
) -> None:
    """Though it is the leader's by now: what was replayed is not, and pg_rewind sees no fork."""
    s = scene("replica", {**STREAMS, **TOLD, **before})
    assert lineage.opened_twice(s) is written_over
    assert has_diverged.holds(s) is written_over
    assert ("written over ours" in lineage.divergence(s)) is written_over
    assert connection_is_proven_now.holds(s) is not written_over
    down = scene("down replica", {**TOLD, **before, "policy.use_pg_rewind": True})
    assert (has_diverged.holds(down), may_rewind.holds(down)) == (written_over, not written_over)


@pytest.mark.parametrize("same_wal", [None, True])
def test_a_former_upstream_is_not_followed_either(same_wal: bool | None) -> None:
    """It shows its WAL, and the standby knows that this is not what it had."""
    asked = {"leader_timeline.leader": "10.0.0.1:5432", "leader_timeline.asked_at": 999.8}
    changes = {**TOLD, **asked, "leader_timeline.same_wal": same_wal, "cluster": "silent"}
    assert not former.objection(scene("replica", {**changes, **opening(7, 3, 11)}))
    assert former.objection(scene("replica", {**changes, **opening(7, 3, 12)}))


@pytest.mark.parametrize(
    ("changes", "remembered"),
    [
        ({}, SAME),
        (opening(7, 2, 12), SAME),
        (opening(8, 5, 12), SAME),
        (opening(7, 3, 11), None),
        (opening(7, 4, 12), None),
        ({"leader_timeline.openings": []}, None),
        ({"leader_timeline.asked_on": None}, None),
    ],
)
def test_the_newest_proven_timeline_of_this_copy_is_remembered(
    changes: dict[str, Any], remembered: Opening | None
) -> None:
    """Never another one of the number, or one that the question was not about."""
    s = scene("replica", {**STREAMS, **TOLD, **changes})
    (memory,) = checker.of(Remember, RULES["note.connection"].then(s))
    assert memory.changes.get("opening") == remembered


@pytest.mark.parametrize(
    ("same_wal", "needed", "forgotten"),
    [
        (True, True, {"diverged_from": 0, "needs_new_copy": False}),
        (None, True, {}),
        (True, False, {}),
    ],
)
def test_only_wal_that_was_compared_makes_a_new_copy_needless(
    same_wal: bool | None, needed: bool, forgotten: dict[str, Any]
) -> None:
    """A leader that could not compare it may have other WAL under the same numbers."""
    told = {"leader_timeline.same_wal": same_wal, "memory.needs_new_copy": needed}
    s = scene("replica", {**STREAMS, **TOLD, **told})
    (memory,) = checker.of(Remember, RULES["note.connection"].then(s))
    assert memory.changes == {"proven": (4801, 3), "opening": SAME, **forgotten}


def test_an_opening_that_is_as_it_was_changes_no_decision() -> None:
    """In no recorded scenario does it matter that our WAL is as it was."""
    seen = 0
    for s in (scenario.snapshot for scenario in all_scenarios()):
        told = s.leader_timeline
        if not isinstance(told, Known) or told.value.openings or s.memory.opening:
            continue
        seen += 1
        as_it_was = replace(
            s,
            leader_timeline=replace(told, value=replace(told.value, openings=(SAME,))),
            memory=replace(s.memory, opening=SAME),
        )
        assert decide(as_it_was) == decide(s)
    assert seen > 50


def test_it_outlives_the_daemon() -> None:
    """A standby that goes down while nobody looks is compared before it starts."""
    assert after_restart(Memory(opening=SAME)).opening == SAME
