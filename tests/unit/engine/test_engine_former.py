"""Whom a standby followed when the store fell silent, and when its word counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from engine import former
from engine.actions import Upstream
from engine.facts.former import blind_for_long, former_upstream_is_over, former_upstream_was_asked
from engine.state import HistoryLine, Known, Snapshot, Unknown
from tests.support import scenes
from tests.support.scenes import scene
from tests.support.snapshots import LSN, NOW

AT = "10.0.0.1:5432"
TOLD = replace(scenes.TOLD, leader=AT, same_wal=True)
FORKED = (HistoryLine(1, 100), HistoryLine(2, 200), HistoryLine(3, LSN - 8))


def cut_off(told: Mapping[str, Any], changes: Mapping[str, Any]) -> Snapshot:
    """n2, which streamed from n1 and has neither that stream nor the store now."""
    begun = {"cluster": "silent", "postgres.server.value.replication_state": None}
    s = scene("replica", {**begun, **changes})
    return replace(s, leader_timeline=Known(replace(TOLD, **told), NOW))


@pytest.mark.parametrize(
    ("configured", "remembered", "upstream"),
    [
        (AT, "", Upstream(AT, "10.0.0.1", 5432, "n2")),
        (AT, "10.0.0.3:5432", Upstream(AT, "10.0.0.1", 5432, "n2")),
        (None, "10.0.0.3:5433", Upstream("10.0.0.3:5433", "10.0.0.3", 5433, "n2")),
        (None, "fd00::1:5432", Upstream("fd00::1:5432", "fd00::1", 5432, "n2")),
        (None, "", None),
        ("nowhere", "", None),
        (":5432", "", None),
        ("10.0.0.1:", "", None),
    ],
)
def test_who_it_is(configured: str | None, remembered: str, upstream: Upstream | None) -> None:
    """It is whom we are set to follow, else whom we were turned away from."""
    s = cut_off(
        {}, {"postgres.configured_upstream": configured, "memory.former_upstream": remembered}
    )
    assert former.upstream(s) == upstream


def test_a_slot_is_used_only_where_slots_are() -> None:
    """As with any other upstream; and a member that reads the archive streams from nobody."""
    without = former.upstream(cut_off({}, {"policy.use_slots": False}))
    assert without == Upstream(AT, "10.0.0.1", 5432, None)
    assert former.upstream(cut_off({}, {"me.tags.nostream": True})) is None


@pytest.mark.parametrize(
    ("told", "changes", "objection"),
    [
        ({}, {}, ""),
        ({"asked_at": NOW - 2.0}, {}, ""),
        ({"asked_at": NOW - 2.1}, {}, "it has not told its timeline"),
        ({"leader": "n1"}, {}, "it has not told its timeline"),
        ({"leader": "10.0.0.3:5432"}, {}, "it has not told its timeline"),
        ({}, {"postgres.configured_upstream": None}, "it has not told its timeline"),
        ({"system_identifier": "74"}, {}, "it is of system 74"),
        ({"asked_on": 3}, {}, ""),
        ({"asked_on": 2}, {}, "it was asked when our WAL was on timeline 2"),
        ({"asked_on": 2}, {"postgres": "silent standby", "postgres.configured_upstream": AT}, ""),
        (
            {"same_wal": False},
            {},
            "a timeline up to its 3 was opened twice, ours is the other",
        ),
        ({"in_recovery": True}, {}, ""),
        (
            {"in_recovery": True, "newer_wal_here": True},
            {},
            "it is in recovery on timeline 3, and we may have a newer one",
        ),
        (
            {"in_recovery": True, "timeline": 2},
            {},
            "it is in recovery on timeline 2, and we may have a newer one",
        ),
        (
            {"in_recovery": True},
            {"postgres": "silent standby", "postgres.configured_upstream": AT},
            "it is in recovery on timeline 3, and we may have a newer one",
        ),
        ({"same_wal": None}, {}, ""),
        ({"same_wal": None}, {"memory.wrote_on": 2}, ""),
        (
            {"same_wal": None},
            {"memory.wrote_on": 3},
            "its WAL can't be compared with what we wrote",
        ),
        (
            {"same_wal": None},
            {"memory.promotions_begun": 1},
            "its WAL can't be compared with what we wrote",
        ),
        ({}, {"memory.wrote_on": 3, "memory.promotions_begun": 1}, ""),
        ({"timeline": 4, "history": (*FORKED[:2], HistoryLine(3, LSN))}, {}, ""),
        (
            {"timeline": 4, "history": FORKED},
            {},
            "timeline 3 was left at 0/4FFFFF8, our WAL ends at 0/5000000",
        ),
        (
            {"timeline": 4, "history": FORKED},
            {"postgres": "silent standby", "postgres.configured_upstream": AT},
            "",
        ),
    ],
)
def test_what_speaks_against_it(
    told: dict[str, Any], changes: dict[str, Any], objection: str
) -> None:
    """Bytes first, then numbers; what is of another server, or older, is no answer."""
    assert former.objection(cut_off(told, changes)) == objection


def test_silence_is_no_answer() -> None:
    """Nor is an answer of somebody without a name, where nobody is known."""
    assert former.told(replace(cut_off({}, {}), leader_timeline=Unknown(NOW, "refused"))) is None
    assert former.told(replace(cut_off({}, {}), leader_timeline=None)) is None
    nobody = cut_off({"leader": ""}, {"postgres.configured_upstream": None})
    assert former.told(nobody) is None


def test_it_is_asked_every_second() -> None:
    """An answer is enough for a second, whatever it says."""
    assert former_upstream_was_asked.holds(cut_off({"asked_at": NOW - 0.9, "same_wal": False}, {}))
    assert not former_upstream_was_asked.holds(cut_off({"asked_at": NOW - 1.0}, {}))


@pytest.mark.parametrize(
    ("store", "server", "long"), [(4, 3, True), (4, 2, True), (4, 1.9, False), (1.9, 3, False)]
)
def test_blindness_counts_from_when_both_are_silent(
    store: float, server: float, long: bool
) -> None:
    """The later one of the two silences gives the upstream its two seconds."""
    s = cut_off({}, {"postgres": "silent standby"})
    s = replace(
        s,
        cluster=Unknown(NOW - store, "refused"),
        postgres=replace(s.postgres, server=Unknown(NOW - server, "timed out")),
    )
    assert blind_for_long.holds(s) is long


def test_what_answers_is_not_silent() -> None:
    """An answer of the store, or of PostgreSQL, is no blindness."""
    assert not blind_for_long.holds(cut_off({}, {}))
    assert not blind_for_long.holds(scene("replica", {"postgres": "silent standby"}))


@pytest.mark.parametrize(
    ("base", "changes", "over"),
    [
        ("replica", {"memory.former_upstream": AT}, True),
        ("replica", {}, False),
        ("replica", {"memory.former_upstream": AT, "cluster": "silent"}, False),
        ("replica", {"memory.former_upstream": AT, "postgres.configured_upstream": None}, False),
        ("primary", {"memory.former_upstream": AT}, True),
        ("primary", {"memory.former_upstream": AT, "postgres": "silent primary"}, False),
    ],
)
def test_when_it_is_forgotten(base: str, changes: dict[str, Any], over: bool) -> None:
    """Once the store answers, and by its word somebody is followed, or we lead."""
    assert former_upstream_is_over.holds(scene(base, changes)) is over
