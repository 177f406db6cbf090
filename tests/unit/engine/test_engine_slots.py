"""Replication slots: whose they are, what may go, and when a logical copy is safe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from engine import slots
from engine.actions import AskSlots
from engine.decide import run
from engine.policy import PermanentSlot
from engine.state import Known, Member, Slot, Snapshot, Tags, Unknown
from tests.support.guards import agrees, declines
from tests.support.scenes import CDC, CDC_SLOT, TOLD_SLOTS, scene, with_member
from tests.support.snapshots import LSN, NOW

GIVEN = [{"name": "gone"}, {"name": "n1"}, {"name": "n3"}]


def _replica(**changes: object) -> Snapshot:
    return scene("replica", dict(changes))


def test_an_unseen_server_has_no_slots_to_judge() -> None:
    """Nothing is missing, unclaimed or to be moved while PostgreSQL or the store is silent."""
    silent = _replica(**{"postgres": "silent standby", "memory.unclaimed_since": {"gone": -9e3}})
    assert not slots.given_up(silent)
    assert not slots.missing_physical(silent)
    assert not slots.missing_logical(replace(silent, policy=scene("replica with cdc", {}).policy))
    assert not slots.behind(silent)
    assert not slots.positions(silent)
    alone = scene("replica", {"cluster": "silent", "postgres.server.slots": GIVEN})
    assert not slots.unclaimed(alone)
    assert not slots.streams_from_us(alone, alone.me)
    assert slots.clashes(alone) == ()


def _with(base: str, *found: Slot, **changes: Any) -> Snapshot:
    """The base with these slots on its server."""
    s = scene(base, changes)
    assert isinstance(s.postgres.server, Known)
    server = Known(replace(s.postgres.server.value, slots=found), NOW)
    return replace(s, postgres=replace(s.postgres, server=server))


def test_one_slot_name_for_two_owners_is_told_with_both() -> None:
    """Two members may map to one name, and a logical slot to a member's; a physical one may."""
    s = scene("primary", {})
    asked = (PermanentSlot("n2", "logical"), PermanentSlot("n3", "physical"))
    assert slots.clashes(s) == ()
    s = replace(s, policy=replace(s.policy, permanent_slots=asked))
    assert slots.clashes(s) == ("n2 (a permanent slot, member n2)",)
    assert isinstance(s.cluster, Known)
    view = replace(
        s.cluster.value, members=(*s.cluster.value.members, Member("N-3"), Member("n_3"))
    )
    twins = slots.clashes(replace(s, cluster=Known(view, NOW)))
    assert twins == ("n2 (a permanent slot, member n2)", "n_3 (member N-3, member n_3)")


def test_only_inactive_physical_slots_of_nobody_are_unclaimed() -> None:
    """Active, logical, failover, ignored and members' slots are left alone."""
    s = _with(
        "primary",
        Slot("gone"),
        Slot("busy", active=True),
        Slot("decoder", kind="logical"),
        Slot("moved", failover=True),
        Slot("kept"),
        Slot("n2"),
    )
    s = replace(s, policy=replace(s.policy, ignore_slots=({"name": "kept"}, {})))
    assert slots.unclaimed(s) == ("gone",)


def test_a_slot_is_given_up_after_its_time_and_useless_without_its_wal() -> None:
    """member_slots_ttl counts from when the slot was noted."""
    s = _with("primary", Slot("gone"), Slot("new"), Slot("n2", wal_status="lost"))
    since = {"gone": NOW - 1800, "new": NOW - 1799}
    s = replace(s, memory=replace(s.memory, unclaimed_since=since))
    assert slots.given_up(s) == ("gone",)
    assert slots.useless(s) == ("n2",)
    assert slots.useless(_with("primary", Slot("n2", wal_status="lost", active=True))) == ()


def test_a_standby_never_moves_a_slot_past_what_it_has_replayed() -> None:
    """Slots follow the leader's, but not further than our own replay, and never backwards."""
    s = _with("replica", Slot("n1", restart_lsn=LSN - 50), Slot("n3", restart_lsn=LSN - 50))
    assert isinstance(s.cluster, Known)
    told = {"n1": LSN + 500, "n3": LSN - 80}
    s = replace(s, cluster=Known(replace(s.cluster.value, slots=told), NOW))
    assert slots.behind(s) == {"n1": LSN}


def test_a_member_streams_from_whom_its_tag_names_while_that_one_runs() -> None:
    """Only then is its slot on the leader expected to be idle."""
    primary = scene("primary", {})
    cascading = with_member(primary, "n3", tags=Tags(replicatefrom="n2"))
    view = cascading.cluster
    assert isinstance(view, Known)
    n3 = view.value.member("n3")
    assert n3 is not None
    assert not slots.streams_from_us(cascading, n3)
    stopped = with_member(cascading, "n2", state="stopped")
    assert slots.streams_from_us(stopped, n3)
    on_n2 = with_member(_replica(), "n3", tags=Tags(replicatefrom="n2"))
    assert slots.streams_from_us(on_n2, n3)
    assert slots.streams_from_us(primary, replace(n3, tags=Tags(replicatefrom="n3")))
    leader = with_member(_replica(), "n1", tags=Tags(replicatefrom="n2"))
    assert isinstance(leader.cluster, Known)
    assert not slots.streams_from_us(leader, leader.cluster.value.members[0])


def test_a_node_that_never_leads_counts_for_itself() -> None:
    """It keeps slots for those only that stream from it, whatever the leader keeps."""
    s = _replica(**{"me.tags.nofailover": True, "postgres.server.slots": GIVEN})
    assert slots.wanted_physical(s) == set()
    assert slots.unclaimed(s) == ("gone", "n1", "n3")
    old = replace(s, memory=replace(s.memory, unclaimed_since={"gone": -9000.0, "n1": NOW}))
    assert slots.given_up(old) == ("gone",)
    with_cdc = replace(old, policy=replace(old.policy, permanent_slots=(CDC,)))
    assert not slots.wanted_logical(with_cdc)
    leads = scene("primary", {"me.tags.nofailover": True, "policy.permanent_slots": "cdc"})
    assert slots.wanted_logical(leads) == (CDC,)


def test_a_standby_waits_for_the_word_of_a_leader_that_wrote_its_status() -> None:
    """Neither a missing leader nor a missing `status` is an order to drop."""
    changes = {"postgres.server.slots": GIVEN, "memory.unclaimed_since": {"gone": 0.0}}
    assert slots.given_up(_replica(**changes)) == ("gone",)
    assert slots.given_up(_replica(**changes, **{"cluster.optime": None})) == ()
    assert slots.given_up(_replica(**{**changes, "memory.unclaimed_since": {"gone": NOW}})) == ()
    noted = {**changes, "memory.unclaimed_since": {"gone": NOW - 1800}, "cluster.optime": None}
    assert slots.given_up(scene("standby leader", noted)) == ("gone",)


def test_the_owner_of_a_slot_is_told_in_words() -> None:
    """A member, the configuration, or nobody."""
    s = scene("primary", {})
    asked = (PermanentSlot("barman"), PermanentSlot("kept"))
    s = replace(s, policy=replace(s.policy, permanent_slots=asked))
    told = [slots.owner(s, name) for name in ("n2", "barman", "gone")]
    assert told == [
        "of member n2",
        "permanent by the configuration",
        "of nobody that the cluster knows",
    ]


@pytest.mark.parametrize(
    ("one", "other", "before"),
    [
        (700, 700, False),
        (700, 701, True),
        (701, 700, False),
        (2**32 - 5, 3, True),
        (3, 2**32 - 5, False),
    ],
)
def test_transaction_ids_go_round(one: int, other: int, before: bool) -> None:
    """Older means less than half a circle behind."""
    assert slots.xmin_before(one, other) is before


def test_only_a_fresh_answer_of_the_present_leader_counts() -> None:
    """An old one, one of another leader, and silence are no answer."""
    s = scene("replica with cdc", {"leader_slots": "cdc"})
    assert slots.told(s) == TOLD_SLOTS
    assert slots.told(replace(s, leader_slots=Known(replace(TOLD_SLOTS, leader="n3"), NOW))) is None
    old = replace(TOLD_SLOTS, asked_at=NOW - 60)
    assert slots.told(replace(s, leader_slots=Known(old, NOW))) is None
    assert slots.told(replace(s, leader_slots=Unknown(NOW, "timed out"))) is None


def test_a_copy_older_than_what_the_leader_keeps_is_not_covered() -> None:
    """Feedback that is newer than the copy's own rows proves nothing."""
    fresh = scene("replica with cdc", {"leader_slots": "cdc", "memory.covered_by": ""})
    assert slots.newly_covered(fresh) == {"cdc": 700}
    newer = Known(replace(TOLD_SLOTS, feedback_xmin=705), NOW)
    assert slots.newly_covered(replace(fresh, leader_slots=newer)) == {}
    nothing = Known(replace(TOLD_SLOTS, slots=(replace(CDC_SLOT, catalog_xmin=None),)), NOW)
    assert slots.newly_covered(replace(fresh, leader_slots=nothing)) == {}
    assert slots.newly_covered(replace(fresh, leader_slots=None)) == {}
    unseen = _with("replica with cdc", replace(CDC_SLOT, catalog_xmin=None))
    assert slots.unsafe(unseen) == ("cdc",)
    unseen = replace(unseen, memory=fresh.memory, leader_slots=fresh.leader_slots)
    assert slots.newly_covered(unseen) == {}


def test_the_primary_tells_where_consumers_are() -> None:
    """Physical slots by what they keep, logical ones of ours by what was confirmed."""
    s = scene("primary", {"postgres.server.slots": "with cdc"})
    assert "cdc" not in slots.positions(s)
    ours = replace(s, memory=replace(s.memory, logical_slots=("cdc",)))
    assert slots.positions(ours)["cdc"] == CDC_SLOT.confirmed_lsn
    assert slots.positions(scene("primary", {"postgres.server.slots": []})) == {}
    unseen = slots.positions(scene("primary", {"postgres.server.write_lsn": None}))
    assert unseen == {"n2": LSN, "n3": LSN}
    assert slots.to_copy(replace(ours, leader_slots=Known(TOLD_SLOTS, NOW))) == ()
    assert slots.unsafe(ours) == ()


def test_a_leader_without_an_address_is_not_asked_about_slots() -> None:
    """A leader without a member key cannot be reached: the question waits for its key."""
    s = scene("replica with cdc", {"cluster": "ghost leads", "leader_slots": None})
    s = replace(s, memory=replace(s.memory, covered_by="", covered_from={}))

    assert "slots.ask_cover" in run(s).fired
    assert not [x for x in run(s).actions if isinstance(x, AskSlots)]


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("since", "kept"), [(NOW - 1799, True), (NOW - 1800, False)])
def test_the_leader_keeps_an_unclaimed_slot_for_its_time(since: float, kept: bool) -> None:
    """member_slots_ttl after it was noted; one that was not noted yet is kept."""
    s = _with("primary", Slot("gone"), Slot("n2"))
    noted = replace(s, memory=replace(s.memory, unclaimed_since={"gone": since}))
    assert ("gone" in slots.retained(noted)) is kept
    assert slots.retained(s) == ("gone", "n2", "n3")


@pytest.mark.parametrize(("since", "gone"), [(NOW - 30, ("gone",)), (NOW - 29.9, ())])
def test_a_standby_waits_a_ttl_for_the_leaders_word(since: float, gone: tuple[str, ...]) -> None:
    """By then the leader has written which slots all must keep; who leads counts for itself."""
    s = _with("replica", Slot("gone"))
    s = replace(s, memory=replace(s.memory, unclaimed_since={"gone": since}))
    assert slots.given_up(s) == gone
    blind = replace(s, cluster=Unknown(NOW, "timed out"))
    assert slots.given_up(blind) == ()


@pytest.mark.parametrize(
    ("rules", "ignored"),
    [
        ((), False),
        (({},), False),
        (({"name": "cdc"},), True),
        (({"name": "other"},), False),
        (({"name": "other"}, {"type": "logical"}), True),
        (({"name": "cdc", "type": "physical"},), False),
        (({"database": "app"},), True),
        (({"database": "other"},), False),
        (({"plugin": "pgoutput"},), True),
        (({"plugin": "other"},), False),
    ],
)
def test_a_slot_is_ignored_by_a_rule_that_fits_in_all_it_names(
    rules: tuple[dict[str, str], ...], ignored: bool
) -> None:
    """One rule is enough; an empty one fits nothing."""
    s = scene("primary", {})
    s = replace(s, policy=replace(s.policy, ignore_slots=rules))
    assert slots.ignored(s, replace(CDC_SLOT, plugin="pgoutput")) is ignored
    assert slots.ignored(s, replace(CDC_SLOT, failover=True))


@pytest.mark.parametrize(
    ("slot", "to", "moved"),
    [
        (Slot("n1", restart_lsn=LSN - 50), LSN, True),
        (Slot("n1", restart_lsn=LSN), LSN, False),
        (Slot("n1", restart_lsn=LSN - 50, active=True), LSN, False),
        (Slot("n1"), LSN, False),
        (Slot("n1", restart_lsn=LSN - 50), None, False),
    ],
)
def test_only_idle_slots_that_were_overtaken_move(slot: Slot, to: int | None, moved: bool) -> None:
    """And the one behind a slot that stays is not forgotten."""
    s = _with("replica", slot, Slot("n3", restart_lsn=LSN - 9))
    assert isinstance(s.cluster, Known)
    told = {"n3": LSN} | ({} if to is None else {"n1": to})
    s = replace(s, cluster=Known(replace(s.cluster.value, slots=told), NOW))
    assert slots.behind(s) == ({"n1": LSN} if moved else {}) | {"n3": LSN}


def test_a_logical_slot_of_somebody_else_keeps_no_other_slot_from_moving() -> None:
    """It is left where it is, and those after it follow."""
    s = _with("replica", CDC_SLOT, Slot("n3", restart_lsn=LSN - 9))
    assert isinstance(s.cluster, Known)
    told = {"cdc": LSN, "n3": LSN}
    s = replace(s, cluster=Known(replace(s.cluster.value, slots=told), NOW))
    assert slots.behind(s) == {"n3": LSN}


def test_a_leader_goes_by_the_members_that_stream_from_elsewhere() -> None:
    """By the newest that is known of each, no further than it has written, and never back."""
    s = _with("primary", Slot("n2", restart_lsn=LSN - 9), Slot("n3", restart_lsn=LSN - 9))
    assert slots.behind(s) == {}
    for at, to in ((LSN - 5, LSN - 5), (LSN + 5, LSN), (LSN - 20, None), (None, None)):
        cascade = with_member(s, "n3", tags=Tags(replicatefrom="n2"), xlog_location=at)
        assert slots.behind(cascade) == ({} if to is None else {"n3": to})
    cascade = with_member(s, "n3", tags=Tags(replicatefrom="n2"), xlog_location=LSN - 5)
    for answer, to in (
        (agrees("n3", lsn=LSN - 3), LSN - 3),
        (agrees("n3", lsn=LSN - 8), LSN - 5),
        (agrees("n3"), LSN - 5),
        (declines("n3", lsn=LSN - 3), LSN - 5),
    ):
        assert slots.behind(replace(cascade, failsafe_answers=(answer,))) == {"n3": to}


def test_whoever_leads_goes_by_the_members() -> None:
    """A primary without the lock, and a standby leader; nobody moves a consumer."""
    old = (Slot("n2", restart_lsn=LSN - 9), Slot("n3", restart_lsn=LSN - 9))
    for base, changes in (("primary", {"lease": "none"}), ("standby leader", {})):
        s = with_member(_with(base, *old, **changes), "n3", tags=Tags(replicatefrom="n2"))
        assert slots.behind(s) == {"n3": LSN}
    s = _with("primary", CDC_SLOT, **{"memory.logical_slots": ["cdc"]})
    assert slots.behind(replace(s, failsafe_answers=(agrees("cdc", lsn=LSN),))) == {}


def test_a_slot_of_two_members_waits_for_the_one_behind() -> None:
    """Their names clash, which is reported; until it is mended nobody may lose WAL."""
    s = _with("primary", Slot("n_3", restart_lsn=LSN - 9))
    said = (agrees("n-3", lsn=LSN - 2), agrees("n.3", lsn=LSN - 4))
    assert slots.behind(replace(s, failsafe_answers=said)) == {"n_3": LSN - 4}
    assert slots.behind(replace(s, failsafe_answers=said[::-1])) == {"n_3": LSN - 4}


@pytest.mark.parametrize(("held", "times"), [(1000, 0), (1001, 1), (2000, 2)])
def test_a_slot_is_over_its_budget_by_more_than_all_of_it(held: int, times: int) -> None:
    """Told in whole budgets; one that keeps nothing holds nothing."""
    s = _with("primary", Slot("n2", restart_lsn=LSN - held), Slot("n3"))
    s = replace(s, policy=replace(s.policy, slot_wal_budget_bytes=1000))
    told = (f"n2 of member n2: more than {times} x 1000 bytes",) if times else ()
    assert slots.over_budget(s) == told


def test_a_copy_is_made_while_the_wal_for_it_is_here() -> None:
    """From the oldest position that is here; a slot without a position cannot be copied."""
    lacks = scene("replica with cdc", {"leader_slots": "cdc", "postgres.server.slots": []})
    at = CDC_SLOT.restart_lsn
    assert at is not None
    for oldest, copied in ((at - 1, ("cdc",)), (at, ("cdc",)), (at + 1, ())):
        told = Known(replace(TOLD_SLOTS, oldest_lsn_here=oldest), NOW)
        assert slots.to_copy(replace(lacks, leader_slots=told)) == copied
    nothing = Known(replace(TOLD_SLOTS, slots=(replace(CDC_SLOT, restart_lsn=None),)), NOW)
    assert slots.to_copy(replace(lacks, leader_slots=nothing)) == ()


@pytest.mark.parametrize(
    ("cluster_type", "wanted"), [("", True), ("primary", True), ("standby", False)]
)
def test_permanent_slots_are_for_one_type_of_cluster(
    cluster_type: Literal["", "primary", "standby"], wanted: bool
) -> None:
    """Or for both, when they name none."""
    s = scene("primary", {})
    slot = PermanentSlot("barman", cluster_type=cluster_type)
    s = replace(s, policy=replace(s.policy, permanent_slots=(slot,)))
    assert bool(slots.permanent(s, "physical")) is wanted


def test_half_a_circle_is_neither_before_nor_after() -> None:
    """The last transaction id that counts as newer is one less than half a circle away."""
    assert slots.xmin_before(0, 2**31 - 1)
    assert not slots.xmin_before(0, 2**31)


def test_an_active_logical_slot_is_not_unwanted() -> None:
    """Neither is one that was never ours, a wanted one, a physical or an ignored one."""
    s = _with("primary", CDC_SLOT)
    s = replace(s, memory=replace(s.memory, logical_slots=("cdc",)))
    assert slots.unwanted_logical(s) == ("cdc",)
    assert slots.unwanted_logical(replace(s, memory=replace(s.memory, logical_slots=("x",)))) == ()
    wanted = replace(s, policy=replace(s.policy, permanent_slots=(CDC,)))
    assert slots.unwanted_logical(wanted) == ()
    ignored = replace(s, policy=replace(s.policy, ignore_slots=({"name": "cdc"},)))
    assert slots.unwanted_logical(ignored) == ()
    for other in (replace(CDC_SLOT, active=True), Slot("cdc")):
        changed = _with("primary", other)
        changed = replace(changed, memory=replace(changed.memory, logical_slots=("cdc",)))
        assert slots.unwanted_logical(changed) == ()
