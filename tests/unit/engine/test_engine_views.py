"""The arithmetic that rules share: leases, timelines, upstreams, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import agreement, asking, candidates, lineage, upstreams, views
from engine.actions import Upstream
from engine.facts.lease import i_own_the_lock, lock_is_free
from engine.facts.postgres import frozen_too_long
from engine.facts.race import a_peer_is_writable
from engine.facts.sync import votes
from engine.facts.upkeep import merged_history
from engine.state import HistoryLine, Known, Lease, Snapshot, SyncState, Tags, Unknown
from engine.timelines import lsn_text
from shell.recorder.codec import encode
from tests.support import scenes, servers
from tests.support.scenes import scene, with_member
from tests.support.snapshots import LSN, NOW, primary_server, with_server

# --- the lease ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "margin"), [(5.0, 1.0), (8.0, 1.6), (20.0, 4.0), (30.0, 5.0), (90.0, 5.0)]
)
def test_the_stop_margin_is_a_fifth_of_the_lease_within_bounds(ttl: float, margin: float) -> None:
    """A fifth of the ttl, at least a second and at most five."""
    s = scene("primary", {"policy.ttl_seconds": ttl})
    assert views.stop_margin_seconds(s) == pytest.approx(margin)


@pytest.mark.parametrize("ttl", [5.0, 8.0, 20.0, 30.0, 90.0])
def test_the_fence_acts_after_us_and_ends_before_the_lease(ttl: float) -> None:
    """Own stop, then the fence's SIGQUIT, then its SIGKILL, then the end of the lease."""
    s = replace(
        scene("primary", {"policy.ttl_seconds": ttl}), lease=Lease(NOW - 1, ttl_seconds=ttl)
    )
    ends, kills_at = views.lease_ends(s), views.fence_kills_at(s)
    assert ends is not None
    assert kills_at is not None
    own_stop = ends - views.stop_margin_seconds(s)
    assert own_stop < kills_at < kills_at + views.fence_grace_seconds(s) < ends


@pytest.mark.parametrize(
    ("lease", "cluster", "owns", "free"),
    [
        ("fresh", "healthy", True, False),
        ("fresh", "silent", True, False),
        ("over", "silent", False, False),
        ("over", "healthy", False, False),
        ("refused", "healthy", False, False),
        ("fresh", "n2 leads", False, False),
        ("none", "free", False, True),
        ("fresh", "free", False, True),
    ],
)
def test_the_lock_is_ours_only_while_lease_and_store_agree(
    lease: str, cluster: str, owns: bool, free: bool
) -> None:
    """A silent store does not take the lease away before its end; another owner does at once."""
    s = scene("primary", {"lease": lease, "cluster": cluster})
    assert i_own_the_lock.holds(s) is owns
    assert lock_is_free.holds(s) is free


def test_a_view_older_than_our_own_acquire_does_not_take_the_lock_away() -> None:
    """The store's free lock, seen before we took it, counts neither as free nor as lost."""
    s = scene("primary", {"cluster": "free", "cluster.when": NOW - 3})
    assert i_own_the_lock.holds(s)
    assert not lock_is_free.holds(s)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "slot"),
    [
        ("n1", "n1"),
        ("Node-1.example", "node_1_example"),
        ("a b", "au0032b"),
        ("ü", "u0252"),
        ("x" * 70, "x" * 63),
        ("under_score", "under_score"),
    ],
)
def test_slot_names_follow_the_contract(member: str, slot: str) -> None:
    """Lower case, `-` and `.` become `_`, others their code point, at most 63 characters."""
    assert upstreams.slot_name(member) == slot


@pytest.mark.parametrize(
    ("lsn", "text"), [(None, "unknown"), (0, "0/0"), (LSN, "0/5000000"), (1 << 32, "1/0")]
)
def test_positions_read_as_postgresql_writes_them(lsn: int | None, text: str) -> None:
    """High and low half in hexadecimal."""
    assert lsn_text(lsn) == text


# --- whom to follow -------------------------------------------------------------------------------

N1 = Upstream("n1", "10.0.0.1", 5432, "n2")
N3 = Upstream("n3", "10.0.0.3", 5432, "n2")


def follower(**tags: Any) -> Snapshot:
    """n2, a replica of n1, with these tags."""
    s = scene("replica", {})
    return replace(s, me=replace(s.me, tags=Tags(**tags)))


def test_a_member_follows_the_leader_or_the_member_it_names() -> None:
    """`replicatefrom` counts while that member runs."""
    assert upstreams.wanted_upstream(follower()) == N1
    assert upstreams.wanted_upstream(follower(replicatefrom="n3")) == N3
    assert upstreams.wanted_upstream(follower(replicatefrom="gone")) == N1
    stopped = with_member(follower(replicatefrom="n3"), "n3", state="stopped")
    assert upstreams.wanted_upstream(stopped) == N1
    assert upstreams.wanted_upstream(follower(nostream=True)) == replace(N1, slot=None)


def test_a_named_member_is_followed_while_it_shows_that_it_has_the_clusters_wal() -> None:
    """It streams, or leads, or reads the archive; whoever streams from it already goes on."""
    idle = with_member(follower(replicatefrom="n3"), "n3", replication_state=None)
    assert upstreams.wanted_upstream(idle) == N1
    archive = with_member(idle, "n3", replication_state="in archive recovery")
    assert upstreams.wanted_upstream(archive) == N1
    assert upstreams.wanted_upstream(with_member(archive, "n3", tags=Tags(nostream=True))) == N3
    leads = follower(replicatefrom="n1")
    assert upstreams.wanted_upstream(with_member(leads, "n1", replication_state=None)) == N1
    of_n3 = replace(idle.postgres, configured_upstream="10.0.0.3:5432")
    assert upstreams.wanted_upstream(replace(idle, postgres=of_n3)) == N3
    here = views.server(idle)
    assert here is not None
    for server in (Known(replace(here, replication_state=None), NOW), Unknown(NOW - 1, "")):
        of_n3 = replace(of_n3, server=server)
        assert upstreams.wanted_upstream(replace(idle, postgres=of_n3)) == N1


def test_circles_of_replicatefrom_are_not_followed() -> None:
    """Members that name each other, or themselves, follow the leader."""
    circle = with_member(follower(replicatefrom="n3"), "n3", tags=Tags(replicatefrom="n2"))
    assert upstreams.wanted_upstream(circle) == N1
    assert upstreams.wanted_upstream(follower(replicatefrom="n2")) == N1
    own = with_member(follower(replicatefrom="n3"), "n3", tags=Tags(replicatefrom="n3"))
    assert upstreams.wanted_upstream(own) == N1


@pytest.mark.parametrize("cluster", ["free", "silent", "ghost leads", "no cluster", "n2 leads"])
def test_without_another_leader_with_an_address_there_is_nobody_to_follow(cluster: str) -> None:
    """Free lock, silent store, a leader without a key, or we ourselves."""
    assert upstreams.wanted_upstream(scene("replica", {"cluster": cluster})) is None


def test_a_clone_is_taken_from_a_tagged_member_unless_the_leader_was_asked_for() -> None:
    """`clonefrom` goes first; reinitialize with from_leader goes to the leader."""
    s = with_member(scene("new replica", {}), "n3", tags=Tags(clonefrom=True))
    assert upstreams.clone_source(s) == N3
    assert (
        upstreams.clone_source(replace(s, memory=replace(s.memory, reinit_from_leader=True))) == N1
    )
    starting = with_member(scene("new replica", {}), "n1", state="starting")
    assert upstreams.clone_source(starting) is None


# --- divergence -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "diverged"),
    [
        ({"state": "shut down", "checkpoint_lsn": scenes.FORK - 1}, False),
        ({"state": "shut down", "checkpoint_lsn": scenes.FORK}, True),
        ({"state": "shut down", "checkpoint_lsn": scenes.FORK + 1}, True),
        ({"state": "shut down in recovery", "checkpoint_lsn": scenes.FORK}, False),
        ({"state": "shut down in recovery", "min_recovery_lsn": scenes.FORK + 8}, True),
        ({"state": "in archive recovery", "min_recovery_lsn": scenes.FORK}, False),
        ({"state": "shut down", "timeline": 4}, False),
        ({"state": "shut down", "timeline": 5}, True),
        ({"state": "shut down", "timeline": 9}, True),
    ],
)
def test_divergence_of_a_server_that_is_down(control: dict[str, Any], diverged: bool) -> None:
    """A shutdown checkpoint that begins at the fork is ours alone; a standby's end is the fork."""
    s = scene("old primary", {})
    values = {"checkpoint_lsn": LSN, "timeline": 3, **control}
    found = servers.directory(control=servers.control(values.pop("state"), **values))
    s = replace(s, postgres=replace(s.postgres, directory=found))
    assert bool(lineage.divergence(s)) is diverged


def test_a_timeline_that_the_leader_never_had_is_divergence() -> None:
    """Our timeline is not named in the leader's history."""
    s = scene("old primary", {"leader_timeline.history": [{"timeline": 1, "lsn": 1}]})
    assert "does not name our timeline 3" in lineage.divergence(s)


@pytest.mark.parametrize(
    "changes",
    [
        {"leader_timeline": "untold"},
        {"leader_timeline": "silent"},
        {"leader_timeline": "n3"},
        {"leader_timeline.asked_at": NOW - 11},
        {"cluster.members.n2.timeline": 5},
        {"leader_timeline.in_recovery": True},
        {"postgres": "unreadable"},
    ],
)
def test_without_news_of_the_present_leader_no_divergence_is_known(changes: dict[str, Any]) -> None:
    """Old news, another leader's news, or news from before its promotion prove nothing."""
    given = {"postgres.directory.control.checkpoint_lsn": LSN + 999, **changes}
    assert lineage.divergence(scene("old primary", given)) == ""


# --- peers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"reachable": False, "why": "timed out"}, "does not answer (timed out)"),
        ({"nofailover": True}, "tagged nofailover"),
        ({"failover_priority": 0}, "tagged nofailover"),
        ({"watchdog_failed": True}, "watchdog"),
        ({"stale": True}, "position is unknown"),
        ({"lsn": None}, "position is unknown"),
        ({"lsn": LSN - 1048577}, "1048577 bytes behind, 1048576 allowed"),
        ({"lsn": LSN - 1048576}, ""),
        ({}, ""),
    ],
)
def test_a_refused_candidate_is_told_why(fields: dict[str, Any], words: str) -> None:
    """Every reason names the member and what speaks against it."""
    said = candidates.refusal(scene("primary", {}), scenes.peer("n2", **fields))
    assert said == "" if not words else said.startswith("n2: ") and words in said


def test_in_synchronous_mode_only_a_synchronous_standby_is_fit() -> None:
    """A member that `sync` does not name may miss what was acknowledged."""
    sync = encode(SyncState("n1", ("n3",), 0, 1))
    s = scene("primary", {"policy.synchronous_mode": "on", "cluster.sync": sync})
    assert candidates.refusal(s, scenes.peer("n3")) == ""
    assert candidates.refusal(s, scenes.peer("n2")) == "n2: not a synchronous standby"


def test_an_old_timeline_is_refused_only_where_it_is_checked() -> None:
    """`check_timeline` decides whether a candidate's timeline counts."""
    old = scenes.peer("n2", timeline=2)
    assert candidates.refusal(scene("primary", {}), old) == ""
    assert "on timeline 2" in candidates.refusal(
        scene("primary", {"policy.check_timeline": True}), old
    )


@pytest.mark.parametrize(
    ("mode", "leader", "refused"),
    [("on", "n2", False), ("quorum", "n2", False), ("on", "n1", True), ("off", "n2", True)],
)
def test_the_leader_that_sync_names_may_be_on_an_old_timeline(
    mode: str, leader: str, refused: bool
) -> None:
    """An operator may have chosen it, and nobody else may lead then; an old key says nothing."""
    checked = {"policy.check_timeline": True, "policy.synchronous_mode": mode}
    s = scene("primary", {**checked, "cluster.sync": encode(SyncState(leader, ("n2",), 0, 1))})
    said = candidates.refusal(s, scenes.peer("n2", timeline=2))
    assert said.startswith("n2: on timeline 2") if refused else not said


@pytest.mark.parametrize(
    ("sync", "may"),
    [
        (None, True),
        (SyncState("", (), 0, 1), True),
        (SyncState("N1", ("N2",), 0, 1), True),
        (SyncState("n1", ("n3",), 0, 1), False),
    ],
)
def test_in_synchronous_mode_only_named_members_may_lead(sync: SyncState | None, may: bool) -> None:
    """Names are compared without regard to case; an empty leader means "never enabled"."""
    s = scene("replica", {"policy.synchronous_mode": "on"})
    assert isinstance(s.cluster, Known)
    s = replace(s, cluster=Known(replace(s.cluster.value, sync=sync), NOW))
    assert candidates.may_lead_in_sync_mode(s, "n2") is may


def test_answers_count_only_if_everybody_was_asked_since() -> None:
    """One member that was not asked, or asked too early, or too long ago, is one too many."""
    s, others = scene("primary", {"peers": "others"}), ("n2", "n3")
    assert asking.peers_to_ask(s) == others
    assert asking.answers_since(s, NOW - 1, others)
    assert not asking.answers_since(s, NOW - 0.2, others)
    assert not asking.answers_since(replace(s, peers=s.peers[:1]), NOW - 1, others)
    for age, good in ((3.0, True), (3.1, False)):
        old = tuple(replace(a, asked_at=NOW - age) for a in s.peers)
        assert asking.answers_since(replace(s, peers=old), NOW - 9, others) is good
    unnamed = with_member(with_member(s, "n2", api_url=""), "n3", api_url="")
    assert asking.peers_to_ask(unnamed) == ()


# --- history and slots ----------------------------------------------------------------------------


def test_the_merged_history_keeps_what_the_store_tells_of_old_timelines() -> None:
    """Timestamps and names come from the store; the newest line names us, or whom it names."""
    told = (HistoryLine(1, 10, "told", "2026-01-01", "n3"), HistoryLine(2, 99, "other", "", "n3"))
    mine = (HistoryLine(1, 10, "mine"), HistoryLine(2, 20, "mine"))
    s = scene("primary", {})
    assert isinstance(s.cluster, Known)
    assert isinstance(s.postgres.server, Known)
    server = Known(replace(s.postgres.server.value, timeline_history=mine), NOW)
    s = replace(
        s,
        cluster=Known(replace(s.cluster.value, history=told), NOW),
        postgres=replace(s.postgres, server=server),
    )
    assert merged_history(s) == (told[0], HistoryLine(2, 20, "mine", "", "n1"))
    shorter = replace(s, policy=replace(s.policy, max_timelines_history=1))
    assert merged_history(shorter) == (HistoryLine(2, 20, "mine", "", "n1"),)
    server = Known(replace(server.value, timeline_history=mine[:1]), NOW)
    known = replace(s, postgres=replace(s.postgres, server=server))
    assert merged_history(known) == told[:1]
    server = Known(replace(server.value, timeline_history=()), NOW)
    assert merged_history(replace(s, postgres=replace(s.postgres, server=server))) == ()


def test_the_newest_lines_of_a_long_history_are_kept() -> None:
    """As many as max_timelines_history says; the newest is the one that names us."""
    lines = tuple(HistoryLine(n, 10 * n, "mine") for n in (1, 2, 3, 4))
    newest = HistoryLine(4, 40, "mine", "", "n1")
    s = scene("primary", {"cluster.history": []})
    assert isinstance(s.postgres.server, Known)
    server = Known(replace(s.postgres.server.value, timeline_history=lines), NOW)
    s = replace(s, postgres=replace(s.postgres, server=server))
    assert merged_history(s) == (*lines[:3], newest)
    shorter = replace(s, policy=replace(s.policy, max_timelines_history=3))
    assert merged_history(shorter) == (*lines[1:3], newest)


def test_without_a_view_there_is_no_history_to_write() -> None:
    """While PostgreSQL or the store is silent, nothing is merged."""
    deaf, blind = scene("primary", {"postgres": "silent primary"}), scene("replica", {})
    for s in (deaf, replace(blind, cluster=scenes.STORES["silent"])):
        assert merged_history(s) == ()


@pytest.mark.parametrize(
    ("lease", "consent", "until"),
    [
        (Lease(NOW - 20), 0.0, NOW + 9 - 10),
        (Lease(NOW - 20), NOW + 12, NOW + 12),
        (Lease(NOW - 20, refused=True), 0.0, 0.0),
        (Lease(NOW - 2), 0.0, 0.0),
        (Lease(), NOW + 12, NOW + 12),
    ],
)
def test_the_word_of_members_counts_only_for_the_lease_that_it_prolonged(
    lease: Lease, consent: float, until: float
) -> None:
    """A lease that was renewed or refused since stands for itself; our own word holds meanwhile."""
    word = {"memory.failsafe_until": NOW + 9, "memory.failsafe_lease": NOW - 20}
    unnamed = word | {"memory.failsafe_lease": None}
    assert agreement.active_until(replace(scene("primary", unnamed), lease=Lease())) == 0.0
    s = replace(scene("primary", word | {"memory.consented_until": consent}), lease=lease)
    assert agreement.active_until(s) == until


def test_a_frozen_postmaster_that_has_just_answered_is_left_alone() -> None:
    """Stopped by a signal a moment ago: only silence for retry_timeout makes it frozen."""
    s = scene("primary", {"postgres": "frozen"})
    assert frozen_too_long.holds(s)
    assert not frozen_too_long.holds(with_server(s, Known(primary_server(), NOW - 60)))
    assert not frozen_too_long.holds(with_server(s, Unknown(NOW - 2, "timed out")))


def test_an_old_answer_of_a_member_that_is_not_asked_any_more_counts_for_nothing() -> None:
    """It is no vote, and keeps nobody from leading: only what was said in this race counts."""
    primary = replace(scene("race", {}).peers[1], name="n1", role="primary", lsn=0)
    said = {age: replace(primary, asked_at=NOW - age) for age in (0.5, 2.0, 58.0)}
    s = {age: replace(scene("sync race", {}), peers=(answer,)) for age, answer in said.items()}
    assert [age for age in s if a_peer_is_writable.holds(s[age])] == [0.5]
    assert [votes(s[age]) for age in s] == [1, 0, 0]


def test_members_that_vanished_with_us_are_asked_for_one_ttl() -> None:
    """A store that lost every key must not make a replica believe that it is alone."""
    alone = scene("race", {"cluster.members": [], "peers": []})
    lost = replace(alone, vanished=scenes.VANISHED["all"])
    assert asking.peers_to_ask(alone) == ()
    assert asking.peers_to_ask(lost) == ("n1", "n3")
    seen = lost.vanished[0].at
    for age, asked in ((lost.policy.ttl_seconds, ("n1", "n3")), (lost.policy.ttl_seconds + 1, ())):
        assert asking.peers_to_ask(replace(lost, now=seen + age)) == asked


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ("n1", "n3")),
        ({"role": "replica"}, ("n3",)),
        ({"api_url": ""}, ("n3",)),
    ],
)
def test_a_primary_whose_key_is_gone_is_asked_in_a_race(
    fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    """Others without a key, and those without an address, are not."""
    s = scene("race", {"cluster": "free, n1 gone", "vanished": "n1"})
    (gone,) = s.vanished
    gone = replace(gone, member=replace(gone.member, **fields))
    assert asking.peers_in_a_race(replace(s, vanished=(gone,))) == names


@pytest.mark.parametrize(
    ("changes", "is_so"),
    [
        ({}, True),
        ({"cluster.initialize": "7409999999999999999"}, False),
        ({"cluster": "silent"}, False),
        ({"postgres": "empty"}, False),
        ({"postgres": "empty", "cluster.initialize": ""}, False),
    ],
)
def test_data_is_of_the_cluster_only_where_both_are_known(
    changes: dict[str, Any], is_so: bool
) -> None:
    """In the directory of another cluster a daemon leaves no trace."""
    assert views.has_data_of_the_cluster(scene("primary", changes)) is is_so
