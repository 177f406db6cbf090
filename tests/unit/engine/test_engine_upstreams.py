"""Whom to follow, whom to copy, where our WAL ends, and what the leader told: case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import lineage, upstreams, views
from engine.actions import Upstream
from engine.state import Lease, Postmaster, Tags
from tests.support.guards import declines
from tests.support.scenes import scene, with_member
from tests.support.snapshots import LSN, NOW, standby_server


@pytest.mark.parametrize(
    ("base", "changes", "alone"),
    [
        ("replica", {}, False),
        ("replica", {"me.tags.nostream": True}, True),
        ("standby leader", {}, False),
        ("standby leader", {"policy.standby_cluster": "an archive"}, True),
        ("replica", {"policy.standby_cluster": "an archive"}, False),
        ("replica", {"policy.standby_cluster": "an archive", "cluster": "free"}, True),
        ("replica", {"policy.standby_cluster": "an archive", "cluster": "silent"}, False),
    ],
)
def test_who_reads_the_archive_alone(base: str, changes: dict[str, Any], alone: bool) -> None:
    """Whoever is tagged nostream, and who leads, or could, a standby cluster without a primary."""
    assert upstreams.follows_archive(scene(base, changes)) is alone


@pytest.mark.parametrize(
    ("remote", "slots", "slot"),
    [
        ({"host": "10.9.0.1", "slot": "theirs"}, True, "theirs"),
        ({"host": "10.9.0.1", "slot": "theirs"}, False, "theirs"),
        ({"host": "10.9.0.1"}, True, "n1"),
        ({"host": "10.9.0.1"}, False, None),
    ],
)
def test_the_slot_at_a_remote_primary(
    remote: dict[str, Any], slots: bool, slot: str | None
) -> None:
    """The configured one, else our own where slots are used."""
    at = {"@": "RemotePrimary", **remote}
    s = scene("standby leader", {"policy.standby_cluster": at, "policy.use_slots": slots})
    found = upstreams.remote(s)
    assert found is not None
    assert found.slot == slot


def test_without_slots_a_member_is_followed_without_one() -> None:
    """Neither with use_slots off nor where nothing is streamed there is a slot to use."""
    with_slot = upstreams.wanted_upstream(scene("replica", {}))
    assert with_slot == Upstream("n1", "10.0.0.1", 5432, "n2")
    without = upstreams.wanted_upstream(scene("replica", {"policy.use_slots": False}))
    assert without == Upstream("n1", "10.0.0.1", 5432, None)


def test_a_member_without_an_address_is_not_followed() -> None:
    """The leader is, in its place; and one that follows the leader itself closes no circle."""
    s = scene("replica", {"me.tags.replicatefrom": "n3"})
    assert upstreams.wanted_upstream(with_member(s, "n3", host="")) == Upstream(
        "n1", "10.0.0.1", 5432, "n2"
    )
    circle = with_member(scene("replica", {"me.tags.replicatefrom": "n1"}), "n1", host="10.0.0.1")
    circle = with_member(circle, "n1", tags=Tags(replicatefrom="n2"))
    assert upstreams.wanted_upstream(circle) == Upstream("n1", "10.0.0.1", 5432, "n2")
    assert upstreams.wanted_upstream(with_member(scene("replica", {}), "n1", host="")) is None


def test_the_leader_follows_nobody_whatever_its_tag_says() -> None:
    """So a member that streams from it closes no circle."""
    s = scene("replica", {"me.tags.replicatefrom": "n3"})
    s = with_member(s, "n3", tags=Tags(replicatefrom="n1"))
    s = with_member(s, "n1", tags=Tags(replicatefrom="n2"))
    found = upstreams.wanted_upstream(s)
    assert found is not None
    assert found.name == "n3"


@pytest.mark.parametrize(
    ("changes", "ours"),
    [
        ({"postgres.server.system_identifier": "1"}, "1"),
        ({"postgres.server.system_identifier": ""}, "2"),
        ({"postgres": "silent primary"}, "2"),
    ],
)
def test_whose_data_this_is(changes: dict[str, Any], ours: str) -> None:
    """The running server knows; else what was read from the directory counts."""
    directory = {"postgres.directory.system_identifier": "2"}
    assert views.system_identifier(scene("primary", changes | directory)) == ours


@pytest.mark.parametrize(
    ("leader", "n3", "source"),
    [
        ({}, {}, "n1"),
        ({"role": "standby_leader"}, {}, "n1"),
        ({"role": "replica"}, {}, None),
        ({"state": "starting"}, {}, None),
        ({}, {"tags": Tags(clonefrom=True)}, "n3"),
        ({}, {"tags": Tags(clonefrom=True), "state": "stopped"}, "n1"),
        ({"role": "replica"}, {"tags": Tags(clonefrom=True)}, "n3"),
        ({"role": "replica", "tags": Tags(clonefrom=True)}, {}, None),
    ],
)
def test_whom_to_copy(leader: dict[str, Any], n3: dict[str, Any], source: str | None) -> None:
    """A running member tagged clonefrom, else the running leader once it is promoted."""
    s = with_member(with_member(scene("new replica", {}), "n1", **leader), "n3", **n3)
    found = upstreams.clone_source(s)
    assert (found.name if found else None) == source


@pytest.mark.parametrize(
    ("base", "changes", "end"),
    [
        ("primary", {}, (3, LSN, False)),
        ("primary", {"postgres.server.write_lsn": None}, None),
        ("primary", {"postgres.server.timeline": None}, None),
        ("replica", {"postgres.server.replay_lsn": LSN - 8}, (3, LSN - 8, False)),
        ("replica", {"postgres.server.replay_lsn": 0}, (3, 0, False)),
        ("replica", {"postgres.server.replay_lsn": None}, None),
        ("old primary", {}, (3, LSN, True)),
        ("down replica", {}, (3, LSN, False)),
        (
            "down replica",
            {"postgres.directory.control.min_recovery_lsn": LSN + 8},
            (3, LSN + 8, False),
        ),
        ("down replica", {"postgres.directory.control.min_recovery_timeline": 4}, (4, LSN, False)),
        ("new replica", {}, None),
    ],
)
def test_where_our_wal_ends(
    base: str, changes: dict[str, Any], end: tuple[int, int, bool] | None
) -> None:
    """By the running server, else by the control file; unknown if either half is."""
    assert lineage.my_end(scene(base, changes)) == end


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ({}, True),
        ({"leader_timeline.asked_at": NOW - 10}, True),
        ({"leader_timeline.asked_at": NOW - 10.1}, False),
        ({"cluster.members.n2.timeline": None}, True),
        ({"cluster.members.n2.timeline": 5}, False),
        ({"leader_timeline.in_recovery": True}, False),
        ({"leader_timeline.in_recovery": True, "cluster.members.n2.role": "replica"}, True),
        ({"cluster": "ghost leads"}, False),
    ],
)
def test_what_the_leader_told_is_news_for_a_loop(changes: dict[str, Any], news: bool) -> None:
    """Unless its key tells of a later promotion, or somebody else leads."""
    assert (lineage.told_timeline(scene("old primary", changes)) is not None) is news


@pytest.mark.parametrize(
    ("kind", "finished", "news"),
    [
        ("clone", NOW - 0.1, False),
        ("clone", NOW - 1, False),
        ("clone", NOW - 100, True),
        ("start", NOW - 0.1, True),
    ],
)
def test_what_the_leader_told_before_a_copy_is_no_news(
    kind: str, finished: float, news: bool
) -> None:
    """The copy may be of a member that has parted from it; the answer was about other WAL."""
    ended = {
        "last_job": {"@": "JobResult", "kind": kind, "ok": True, "finished": finished, "why": ""}
    }
    told = {"leader_timeline": "n1", "leader_timeline.asked_at": NOW - 1}
    assert (lineage.told_timeline(scene("replica", told | ended)) is not None) is news


@pytest.mark.parametrize(("timeline", "news"), [(3, True), (4, True), (5, False), (None, False)])
def test_a_leader_still_to_be_promoted_may_open_our_timeline(
    timeline: int | None, news: bool
) -> None:
    """If ours is newer than what it told, or not known, it has to be asked again."""
    recovering = {"leader_timeline": "n2", "leader_timeline.in_recovery": True}
    changes = {**recovering, "cluster": "n2 leads", "cluster.members.n2.role": "replica"}
    s = scene("primary", {**changes, "postgres.server.timeline": timeline})
    assert (lineage.told_timeline(s) is not None) is news


@pytest.mark.parametrize(("in_recovery", "news"), [(False, True), (True, False)])
def test_a_leader_still_to_be_promoted_may_open_what_we_have_not_come_to(
    in_recovery: bool, news: bool
) -> None:
    """WAL of a newer timeline may be here, and not replayed yet."""
    told = {"leader_timeline": "n2", "leader_timeline.in_recovery": in_recovery}
    changes = {**told, "leader_timeline.newer_wal_here": True, "cluster": "n2 leads"}
    s = scene("primary", {**changes, "cluster.members.n2.role": "replica"})
    assert (lineage.told_timeline(s) is not None) is news


def test_the_leader_of_a_standby_cluster_opens_no_timeline() -> None:
    """It stays in recovery, so what it told is news wherever our own WAL ends."""
    told = {"leader_timeline": "n1", "leader_timeline.in_recovery": True}
    member = {"cluster": "standby cluster", "policy.standby_cluster": "far"}
    unknown = {"postgres.server.timeline": None}
    assert lineage.told_timeline(scene("replica", told | member | unknown)) is not None
    alone = told | unknown | {"cluster.members.n1.role": "replica"}
    assert lineage.told_timeline(scene("replica", alone)) is None


@pytest.mark.parametrize(("in_recovery", "twice"), [(False, True), (True, False)])
def test_a_leader_still_to_be_promoted_has_opened_no_timeline_twice(
    in_recovery: bool, twice: bool
) -> None:
    """Whoever has begun a promotion may have; but not the same as one that is a standby yet."""
    changes = {"leader_timeline": "n1", "leader_timeline.in_recovery": in_recovery}
    changes |= {"cluster.members.n1.role": "replica", "memory.promotions_begun": 1}
    assert lineage.opened_twice(scene("replica", changes)) is twice


def test_a_newer_timeline_than_the_leaders_is_divergence() -> None:
    """Whatever its history says, ours is told in numbers."""
    s = scene("old primary", {"postgres.directory.control.timeline": 5})
    assert lineage.divergence(s) == "we are on timeline 5, the leader is on 4"


@pytest.mark.parametrize(
    ("postgres", "at", "parted"),
    [
        ("silent standby", [2, 67108864], False),
        ("silent standby", [2, 67108865], True),
        ("silent standby", None, False),
        ("standby", [2, 67108865], False),
    ],
)
def test_a_standby_that_starts_parts_where_it_has_to_come_to(
    postgres: str, at: list[int] | None, parted: bool
) -> None:
    """At the fork it has all that is common; once it answers, it tells itself where it is."""
    s = scene("replica", {"postgres": postgres, "postgres.must_reach": at, "leader_timeline": "n1"})
    assert bool(lineage.divergence(s)) is parted


def test_why_the_leaders_timeline_is_not_known() -> None:
    """It gave no answer, it is somebody else's server, or it was not asked."""
    assert lineage.leader_silent_why(scene("old primary", {"leader_timeline": "silent"})) == (
        "no route to host"
    )
    assert lineage.leader_silent_why(scene("old primary", {"leader_timeline": None})) == (
        "not asked yet"
    )
    assert lineage.leader_silent_why(scene("old primary", {})) == "not asked yet"
    foreign = {"leader_timeline.system_identifier": "7409999999999999999"}
    assert "of system 7409999999999999999" in lineage.leader_silent_why(
        scene("old primary", foreign)
    )


def test_positions_and_timelines_by_hand() -> None:
    """The larger of received and replayed; a cluster without history is on its first timeline."""
    assert views.position(standby_server(receive_lsn=5, replay_lsn=9)) == 9
    assert views.position(standby_server(receive_lsn=9, replay_lsn=5)) == 9
    assert views.position(standby_server(receive_lsn=None, replay_lsn=5)) == 5
    assert views.position(standby_server(receive_lsn=None, replay_lsn=None)) is None
    assert views.position(None) is None
    assert views.cluster_timeline(None) is None
    for history, timeline in (([], 1), (None, None)):
        view = views.cluster(scene("replica", {"cluster.history": history}))
        assert views.cluster_timeline(view) == timeline
    assert views.lag_bytes(scene("replica", {"cluster.optime": LSN + 1}), LSN) == 1
    assert views.lag_bytes(scene("replica", {}), LSN) == 0
    assert views.lag_bytes(scene("replica", {"cluster.optime": LSN - 1}), LSN) == 0
    assert views.lag_bytes(scene("replica", {"cluster.optime": None}), LSN) is None
    assert views.lag_bytes(scene("replica", {}), None) is None
    assert views.lag_bytes(scene("replica", {"cluster": "silent"}), LSN) is None


@pytest.mark.parametrize(
    ("member", "slot"),
    [
        ("n_1", "n_1"),
        ("_", "_"),
        ("ü_1", "u0252_1"),
        ("ü" + "x" * 70, "u0252" + "x" * 58),
        ("9a", "9a"),
    ],
)
def test_slot_names_of_odd_members(member: str, slot: str) -> None:
    """Letters, digits and underscores stay as they are, also beside others."""
    assert upstreams.slot_name(member) == slot


@pytest.mark.parametrize(
    ("consented", "answers", "ends"),
    [
        (NOW + 1, (), None),
        (NOW, (), NOW + 28),
        (0.0, (declines("n3", leads=True, asked_at=NOW - 1),), None),
        (0.0, (declines("n3", leads=True, asked_at=NOW - 2),), NOW + 28),
        (0.0, (declines("n3", asked_at=NOW - 1),), NOW + 28),
        (0.0, (declines("n3", leads=True, asked_at=NOW - 3),), NOW + 28),
    ],
)
def test_whoever_agreed_or_was_told_of_a_leader_has_no_lease(
    consented: float, answers: tuple[Any, ...], ends: float | None
) -> None:
    """Since the last renewal was sent; what a member said before is over with it."""
    s = scene("primary", {"memory.consented_until": consented})
    s = replace(s, failsafe_answers=answers, lease=Lease(NOW - 2))
    assert views.lease_ends(s) == ends


def test_the_margins_of_the_fence() -> None:
    """A third of the own margin between SIGQUIT and SIGKILL, and seven tenths before the end."""
    s = scene("primary", {"policy.ttl_seconds": 10.0})
    assert views.stop_margin_seconds(s) == pytest.approx(2.0)
    assert views.fence_grace_seconds(s) == pytest.approx(0.7)
    assert views.fence_before_end_seconds(s) == pytest.approx(1.4)
    assert views.stop_margin_seconds(scene("primary", {"policy.ttl_seconds": 4.0})) == 1.0


def test_a_fence_that_guards_another_process_does_not_guard_this_server() -> None:
    """Armed for the directory, or for the postmaster that runs."""
    s = scene("primary", {})
    assert views.fence_guards_the_server(s)
    other = replace(s, postgres=replace(s.postgres, postmaster=Postmaster(9, 9)))
    assert not views.fence_guards_the_server(other)
    none = replace(s, postgres=replace(s.postgres, postmaster=None))
    assert not views.fence_guards_the_server(none)
    by_directory = replace(none, fence=replace(s.fence, armed_pid=None))
    assert views.fence_guards_the_server(by_directory)
    idle = replace(s, fence=replace(s.fence, kill_at=None))
    assert not views.fence_guards_the_server(idle)
