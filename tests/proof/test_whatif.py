"""`hae whatif` in the model world: small clusters of every kind, and what is said about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.policy import PermanentSlot, RemotePrimary
from engine.state import Known, Tags, Unknown
from proof.whatif import limits
from proof.whatif.answer import Answer, ask
from proof.whatif.picture import Picture, Unanswerable, look
from proof.whatif.questions import named, usual
from tests.support.pictures import KIB, RATE, picture, snapshots
from tests.support.scenes import BASES
from tests.support.snapshots import with_server

MIB = KIB * KIB
RUNS = 3
SYNC: dict[str, Any] = {"policy": {"synchronous_mode": "on"}, "synchronous": ("n3",)}
QUORUM: dict[str, Any] = {"policy": {"synchronous_mode": "quorum"}, "synchronous": ("n2", "n3")}


def answer(what: str, seen: Picture | None = None, **wanted: Any) -> Answer:
    """The answer about such a cluster; certain of itself."""
    seen = seen or picture(**wanted)
    told = ask(seen, named(what, seen), RUNS)
    assert told.doubts == ()
    return told


def leaders(told: Answer) -> set[str | None]:
    """Who leads in the end, over all runs."""
    return {ending.leader for ending in told.endings}


def held(told: Answer, name: str) -> str:
    """The rule that kept that member from leading."""
    (rule,) = {x.rule for x in told.held_back if x.name == name}
    return rule


# --- the primary is lost --------------------------------------------------------------------------


def test_either_of_two_equal_replicas_takes_over_when_the_lease_has_ended() -> None:
    """The outage is what is left of the lease, and nothing that had been sent is lost."""
    told = answer("primary-dies")
    assert leaders(told) <= {"n2", "n3"}
    for ending in told.endings:
        assert [x.rule for x in ending.by] == ["race.acquire", "standby.promote"]
        assert ending.out_worst_seconds is not None
        assert 15 < ending.out_worst_seconds < 35
        assert (ending.loss.known_bytes, ending.loss.safe_by) == (0, "")
        # maximum_lag_on_failover, and ten seconds of writing
        assert ending.loss.bound_bytes == MIB + 10 * RATE


def test_a_lagging_replica_is_held_back_by_its_lag() -> None:
    """Twelve MiB are more than maximum_lag_on_failover; what the winner lacks is told."""
    told = answer("primary-dies", lags={"n2": 12 * MIB, "n3": 500 * KIB})
    assert leaders(told) == {"n3"}
    assert told.endings[0].loss.known_bytes == 500 * KIB
    assert held(told, "n2") == "race.lagging"
    (why,) = told.held_back
    assert why.saw.startswith(f"{12 * MIB} bytes behind the last known position")


def test_nobody_takes_over_when_all_lag_too_far() -> None:
    """The cluster stays without a primary rather than lose more than is allowed."""
    told = answer("primary-dies", lags={"n2": 12 * MIB, "n3": 13 * MIB})
    assert leaders(told) == {None}
    assert told.endings[0].out_median_seconds is None
    assert (held(told, "n2"), held(told, "n3")) == ("race.lagging", "race.lagging")


def test_a_member_tagged_nofailover_never_takes_over() -> None:
    """Its tag is named, also when it is the only one left."""
    tags = {"n2": Tags(nofailover=True)}
    assert leaders(answer("primary-dies", tags=tags)) == {"n3"}
    alone = answer("primary-dies", nodes=2, tags=tags)
    assert leaders(alone) == {None}
    assert held(alone, "n2") == "race.nofailover"


def test_priority_decides_between_equals() -> None:
    """The higher failover_priority wins in every run."""
    told = answer("primary-dies", tags={"n2": Tags(failover_priority=2)})
    assert leaders(told) == {"n2"}
    assert held(told, "n3") == "race.peer_preferred"


def test_only_the_synchronous_standby_takes_over_and_nothing_is_lost() -> None:
    """In synchronous mode the winner has every acknowledged commit, whatever the others' tags."""
    told = answer("primary-dies", **SYNC)
    assert leaders(told) == {"n3"}
    assert told.endings[0].loss.safe_by == "synchronous: n3 has every acknowledged commit"
    assert held(told, "n2") == "race.not_synchronous"


def test_nobody_takes_over_when_the_synchronous_standby_is_gone_too() -> None:
    """Two of three lost, the synchronous one among them: no commit is risked."""
    told = answer("node:n1,n3", **SYNC)
    assert leaders(told) == {None}
    assert held(told, "n2") == "race.not_synchronous"


def test_quorum_mode_loses_nothing_although_one_voter_lags() -> None:
    """The voter that has the commits wins by the votes."""
    told = answer("primary-dies", lags={"n2": 700 * KIB}, **QUORUM)
    assert leaders(told) == {"n3"}
    assert told.endings[0].loss.safe_by.startswith("synchronous: n3")


def test_two_voters_gone_leave_no_quorum() -> None:
    """One voter of two, without the primary, can't know that it has every commit."""
    told = answer("node:n1,n2", **QUORUM)
    assert leaders(told) == {None}
    assert held(told, "n3") == "race.no_quorum"


def test_two_members_are_enough() -> None:
    """Without a third member the only replica takes over."""
    assert leaders(answer("primary-dies", nodes=2)) == {"n2"}


def test_in_maintenance_mode_nobody_takes_over() -> None:
    """The rule that says so is named, for everybody."""
    told = answer("primary-dies", policy={"pause": True})
    assert leaders(told) == {None}
    assert (held(told, "n2"), held(told, "n3")) == ("race.paused", "race.paused")
    goes_on = answer("daemon-dies", policy={"pause": True})
    assert leaders(goes_on) == {"n1"}


def test_a_killed_postmaster_is_started_again_where_it_was() -> None:
    """No failover: the lock is kept, and the restart is quicker."""
    told = answer("postgres-dies")
    assert leaders(told) == {"n1"}
    assert "down.restart_in_place" in {x.rule for x in told.endings[0].by}
    assert told.endings[0].out_worst_seconds is not None
    assert told.endings[0].out_worst_seconds < 5


# --- it is cut off --------------------------------------------------------------------------------


def test_an_isolated_primary_stops_by_itself_before_another_leads() -> None:
    """What it acknowledges until then is lost, and is told at the present rate."""
    told = answer("primary-isolated")
    assert leaders(told) <= {"n2", "n3"}
    assert "write.time_is_short" in told.old_primary
    for ending in told.endings:
        assert 5 < ending.loss.seconds < 25
        assert ending.loss.bytes_then == round(RATE * ending.loss.seconds)


def test_an_isolated_synchronous_primary_acknowledges_nothing_that_is_lost() -> None:
    """Its commits wait for a standby that does not answer."""
    told = answer("primary-isolated", **SYNC)
    assert leaders(told) == {"n3"}
    assert told.endings[0].loss.seconds == 0


def test_a_primary_without_the_store_sends_all_before_it_stops() -> None:
    """An orderly stop lets the standbys receive everything, so nothing is lost."""
    told = answer("primary-no-store", lags={"n2": 400, "n3": 600})
    assert leaders(told) <= {"n2", "n3"}
    assert {ending.loss.known_bytes for ending in told.endings} == {0}


def test_a_lost_store_stops_writes_unless_the_members_agree() -> None:
    """Without failsafe mode the primary stops; with it the members let it go on."""
    told = answer("store-gone")
    assert leaders(told) == {None}
    assert [x.rule for x in told.endings[0].by] == ["write.time_is_short"]
    failsafe = answer("store-gone", policy={"failsafe_mode": True})
    assert leaders(failsafe) == {"n1"}
    assert [x.rule for x in failsafe.endings[0].by] == ["failsafe.ask"]
    assert failsafe.endings[0].out_worst_seconds == 0


def test_the_fence_ends_a_primary_whose_daemon_is_gone() -> None:
    """Nobody renews the lease, so the fence acts, and then another member leads."""
    told = answer("daemon-dies", lags={"n2": 500 * KIB, "n3": 500 * KIB})
    assert leaders(told) <= {"n2", "n3"}
    assert "the fence ends PostgreSQL" in told.old_primary
    assert {ending.loss.known_bytes for ending in told.endings} == {500 * KIB}


# --- a replica is lost ----------------------------------------------------------------------------


def test_a_lost_asynchronous_replica_changes_nothing() -> None:
    """The primary goes on, without an interruption."""
    told = answer("node:n2")
    assert leaders(told) == {"n1"}
    assert told.endings[0].out_worst_seconds == 0


def test_a_lost_synchronous_standby_holds_writes_up_until_another_is_named() -> None:
    """Commits wait until the names are changed; the rules that do it are told."""
    told = answer("node:n3", **SYNC)
    assert leaders(told) == {"n1"}
    assert told.endings[0].out_worst_seconds
    assert told.endings[0].by[0].rule.startswith("sync.")


def test_every_usual_question_is_answered() -> None:
    """The list has each fault of the primary and the store, and each replica."""
    seen = picture()
    assert [q.name for q in usual(seen)] == [
        *("primary-dies", "primary-killed", "postgres-dies", "daemon-dies"),
        *("primary-isolated", "primary-no-store", "store-gone", "node:n2", "node:n3"),
    ]


def test_who_is_ahead_by_what_is_in_flight_is_chance() -> None:
    """Some bytes between two replicas that stream say nothing about the next moment."""
    seen = picture(lags={"n2": 20_000, "n3": 0})
    told = ask(seen, named("primary-dies", seen), 12)
    assert leaders(told) == {"n2", "n3"}
    assert max(ending.loss.known_bytes or 0 for ending in told.endings) <= 20_000


# --- what is known and what is not ----------------------------------------------------------------


def test_a_silent_member_that_nobody_sees_is_taken_as_down() -> None:
    """It does not take over, and that is said."""
    found = snapshots()
    rows = [row for row in _primary_server(found).replication if row.application_name != "n3"]
    server = replace(_primary_server(found), replication=tuple(rows))
    found[0] = with_server(found[0], Known(server, found[0].now))
    seen = look(found[:2], {"n3": "no answer: refused"})
    assert any("n3 gives no snapshot (no answer: refused); taken as down" in n for n in seen.notes)
    told = answer("primary-dies", seen)
    assert leaders(told) == {"n2"}
    assert [(x.name, x.title) for x in told.held_back] == [("n3", "it is down")]
    assert "node:n3" not in {q.name for q in usual(seen)}


def test_a_silent_member_that_streams_is_known_from_the_primary() -> None:
    """Its API may be out of reach from here alone; the primary sees it stream."""
    seen = picture(silent={"n3": "no answer: timed out"}, tags={"n2": Tags(nofailover=True)})
    assert any("n3 is known only from its key" in note for note in seen.notes)
    assert leaders(answer("primary-dies", seen)) == {"n3"}


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_one_members_record_is_enough(name: str) -> None:
    """The others are inferred from the store's view in it, and that is said."""
    (own,) = [s for s in snapshots(lags={"n3": 12 * MIB}) if s.me.name == name]
    seen = look([own], {})
    assert sum("is known only from its key" in note for note in seen.notes) == 2
    told = answer("primary-dies", seen)
    assert leaders(told) == {"n2"}
    assert held(told, "n3") == "race.lagging"


def test_a_standby_whose_postgresql_is_silent_is_not_counted_on() -> None:
    """It is told, and it does not take over."""
    found = snapshots()
    found[1] = with_server(found[1], Unknown(found[1].now, "timed out after 3s"))
    seen = look(found, {})
    assert any("n2: PostgreSQL does not answer (timed out after 3s)" in n for n in seen.notes)
    assert leaders(answer("primary-dies", seen)) == {"n3"}


def test_what_the_model_leaves_out_is_said() -> None:
    """Watchdogs, logical slots, cascading, a missing fence, and WAL that is not replayed yet."""
    cdc = PermanentSlot("cdc", "logical", "app", "test_decoding")
    found = snapshots(
        policy={"watchdog_mode": "required", "permanent_slots": (cdc,)},
        tags={"n3": Tags(replicatefrom="n2"), "n2": Tags(nostream=True)},
    )
    found[0] = replace(
        found[0], fence=replace(found[0].fence, ready=False, why="fence.mode is off")
    )
    server = found[2].postgres.server
    assert isinstance(server, Known)
    behind = replace(server.value, replay_lsn=(server.value.receive_lsn or 0) - 64 * MIB)
    found[2] = with_server(found[2], Known(behind, found[2].now))
    seen = limits.noted(look(found, {}))
    for part in (
        *("watchdog devices are left out", "logical slots are left out"),
        *("n3 streams from n2 (replicatefrom)", "n2 is tagged nostream"),
        *("n1 has no fence (fence.mode is off)", "n3 has 64 MiB to replay"),
    ):
        assert any(part in note for note in seen.notes), part
    assert leaders(answer("primary-dies", seen))


def test_what_can_not_be_answered_is_refused() -> None:
    """No leader, no store, a primary that does not run, a standby cluster, an unknown question."""
    found = snapshots()
    view = found[0].cluster
    assert isinstance(view, Known)
    nobody = Known(replace(view.value, leader=None), 1.0)
    with pytest.raises(Unanswerable, match="nobody owns the leader lock"):
        look([replace(s, cluster=nobody) for s in found], {})
    with pytest.raises(Unanswerable, match="sees the store"):
        look([replace(s, cluster=Unknown(1.0, "no answer")) for s in found], {})
    with pytest.raises(Unanswerable, match="its PostgreSQL does not answer"):
        look([with_server(found[0], Unknown(1.0, "down")), *found[1:]], {})
    with pytest.raises(Unanswerable, match="standby cluster"):
        limits.check(picture(policy={"standby_cluster": RemotePrimary("10.9.0.1")}))
    with pytest.raises(Unanswerable, match="known are primary-dies"):
        named("earthquake", picture())
    with pytest.raises(Unanswerable, match="n9 is no member"):
        named("node:n9", picture())


@pytest.mark.parametrize("base", sorted(BASES))
def test_every_state_is_answered_or_refused(base: str) -> None:
    """Whatever a member's last snapshot says, there is an answer or a reason why there is none."""
    try:
        seen = look([BASES[base]()], {})
        limits.check(seen)
    except Unanswerable:
        return
    told = ask(seen, named("primary-dies", seen), 1)
    assert sum(ending.runs for ending in told.endings) == 1
    assert not [doubt for doubt in told.doubts if "invariant" in doubt]


def test_equal_questions_get_equal_answers() -> None:
    """All chance is drawn from the number of the run."""
    assert answer("primary-isolated") == answer("primary-isolated")


def _primary_server(found: list[Any]) -> Any:
    server = found[0].postgres.server
    assert isinstance(server, Known)
    return server.value
