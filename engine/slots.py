"""Readings about replication slots: which there must be, which may go, where they should stand.

Nothing here decides; the facts do (`engine/facts/slots.py`).  A slot that a rule of `ignore_slots`
matches, and one that PostgreSQL 17 synchronizes by itself (`failover`), is left alone everywhere.
"""

from engine import upstreams, views
from engine.facts.lease import i_own_the_lock
from engine.policy import PermanentSlot
from engine.state import Known, LeaderSlots, Member, Server, Slot, Snapshot

_XMIN_CIRCLE = 1 << 32


def here(s: Snapshot) -> tuple[Slot, ...]:
    """The slots of our server by name; none while it does not answer."""
    server = views.server(s)
    return tuple(sorted(server.slots, key=views.BY_NAME)) if server else ()


def ignored(s: Snapshot, slot: Slot) -> bool:
    """Whether the configuration, or PostgreSQL itself, looks after that slot."""
    if slot.failover:
        return True
    seen = {"name": slot.name, "type": slot.kind, "database": slot.database, "plugin": slot.plugin}
    rules = (rule for rule in s.policy.ignore_slots if rule)
    return any(all(seen.get(k) == v for k, v in r.items()) for r in rules)


def in_recovery(s: Snapshot) -> bool:
    """Whether our server answered that it is a standby."""
    server = views.server(s)
    return server is not None and server.in_recovery


# --- whose slots ----------------------------------------------------------------------------------


def followers(s: Snapshot) -> tuple[Member, ...]:
    """The members whose slots this node keeps.

    Everybody's, because it may be promoted; of a node that never leads only those of the members
    that stream from it.
    """
    members = [m for m in views.other_members(s) if not m.tags.nostream]
    if s.me.tags.never_leads:
        members = [m for m in members if m.tags.replicatefrom == s.me.name]
    return tuple(members)


def streams_from_us(s: Snapshot, member: Member) -> bool:
    """Whether that member should be connected to our server, as far as the store tells."""
    view = views.cluster(s)
    if view is None or member.name == view.leader:
        return False
    named = view.member(member.tags.replicatefrom)
    if named is not None and named.name == s.me.name:
        return True
    elsewhere = named is not None and named.name != member.name and named.state == "running"
    return view.leader == s.me.name and not elsewhere


def permanent(s: Snapshot, kind: str) -> tuple[PermanentSlot, ...]:
    """The slots of that kind that the configuration asks for in a cluster of this type."""
    if not s.policy.permanent_slots:
        return ()
    this_type = "primary" if s.policy.standby_cluster is None else "standby"
    wanted = (p for p in s.policy.permanent_slots if p.kind == kind)
    return tuple(p for p in wanted if p.cluster_type in {"", this_type})


def wanted_physical(s: Snapshot) -> set[str]:
    """The names of the physical slots that there must be here, never our own."""
    wanted = {upstreams.slot_name(m.name) for m in followers(s)}
    if not s.me.tags.never_leads:
        wanted.update(p.name for p in permanent(s, "physical"))
    wanted.discard(upstreams.slot_name(s.me.name))
    return wanted


def owner(s: Snapshot, name: str) -> str:
    """Whose slot that is, in words."""
    for member in views.other_members(s):
        if upstreams.slot_name(member.name) == name:
            return f"of member {member.name}"
    if any(p.name == name for p in s.policy.permanent_slots):
        return "permanent by the configuration"
    return "of nobody that the cluster knows"


def clashes(s: Snapshot) -> tuple[str, ...]:
    """Slot names that more than one owner maps to, with the owners."""
    view = views.cluster(s)
    members = view.members if view else ()
    owners: dict[str, list[str]] = {}
    for member in members:
        owners.setdefault(upstreams.slot_name(member.name), []).append(f"member {member.name}")
    # A permanent physical one of a member's name is meant for that member.
    for slot in s.policy.permanent_slots:
        if slot.kind == "logical":
            owners.setdefault(slot.name, []).append("a permanent slot")
    return tuple(
        f"{name} ({', '.join(sorted(owners[name]))})"
        for name in sorted(owners)
        if len(owners[name]) > 1
    )


# --- physical slots -------------------------------------------------------------------------------


def missing_physical(s: Snapshot) -> tuple[str, ...]:
    """Slots that a member or the configuration needs and that are not here."""
    server = views.server(s)
    if server is None:
        return ()
    return tuple(sorted(wanted_physical(s) - {slot.name for slot in server.slots}))


def unclaimed(s: Snapshot) -> tuple[str, ...]:
    """Inactive physical slots here that nobody claims: no member, no configuration."""
    if views.cluster(s) is None:
        return ()
    idle = [slot for slot in here(s) if slot.kind == "physical" and not slot.active]
    wanted = wanted_physical(s) if idle else set()
    return tuple(x.name for x in idle if x.name not in wanted and not ignored(s, x))


def retained(s: Snapshot) -> tuple[str, ...]:
    """On the leader: the slots that every member must keep; what `status` tells them.

    Those of the members, and the unclaimed ones until member_slots_ttl is over.
    """
    since, ttl = s.memory.unclaimed_since, s.policy.member_slots_ttl_seconds
    members = {upstreams.slot_name(m.name) for m in views.other_members(s) if not m.tags.nostream}
    kept = {n for n in unclaimed(s) if s.now - since.get(n, s.now) < ttl}
    return tuple(sorted(members | kept))


def given_up(s: Snapshot) -> tuple[str, ...]:
    """Unclaimed slots that may go.

    The leader, and a node that never leads, count member_slots_ttl themselves.  The others keep a
    slot as long as the leader does: its word is in `status`, and survives it.
    """
    since, ttl = s.memory.unclaimed_since, s.policy.member_slots_ttl_seconds
    age = {n: s.now - since[n] for n in unclaimed(s) if n in since} if since else {}
    if not age:
        return ()
    view = views.cluster(s)
    if not in_recovery(s) or i_own_the_lock.holds(s) or s.me.tags.never_leads:
        return tuple(n for n in age if age[n] >= ttl)
    if view is None or view.leader is None or view.optime is None:
        return ()
    settled = min(ttl, s.policy.ttl_seconds)  # the leader writes `status` once in a loop
    return tuple(n for n in age if age[n] >= settled and n not in view.retain_slots)


def useless(s: Snapshot) -> tuple[str, ...]:
    """Slots of ours that keep nothing for their owner any more, or keep what nobody needs.

    Their WAL is lost; or they hold rows for a member that streams from somewhere else.  A logical
    slot is useless only as a copy: on the primary its loss is its consumer's to notice.
    """
    failing = [slot for slot in here(s) if slot.wal_status == "lost" or slot.has_xmin]
    idle = [slot for slot in failing if not slot.active and not ignored(s, slot)]
    if not idle:
        return ()
    wanted = wanted_physical(s)
    elsewhere = {
        upstreams.slot_name(m.name) for m in views.other_members(s) if not streams_from_us(s, m)
    } - {p.name for p in s.policy.permanent_slots}
    found = []
    for slot in idle:
        lost = slot.wal_status == "lost"
        if slot.kind == "logical":
            copy = in_recovery(s) and slot.name in s.memory.logical_slots
            if copy and lost:
                found.append(slot.name)
        elif slot.name in wanted and (lost or slot.name in elsewhere):
            found.append(slot.name)
    return tuple(found)


# --- logical slots --------------------------------------------------------------------------------


def wanted_logical(s: Snapshot) -> tuple[PermanentSlot, ...]:
    """The logical slots that there must be here: on the primary, and on who may follow it up."""
    if s.policy.standby_cluster is not None:
        return ()
    if in_recovery(s) and (s.me.tags.never_leads or s.me.tags.nostream):
        return ()
    return permanent(s, "logical")


def missing_logical(s: Snapshot) -> tuple[PermanentSlot, ...]:
    """Those of them that are not here."""
    wanted = wanted_logical(s)
    if views.server(s) is None:
        return ()
    names = {slot.name for slot in here(s)}
    return tuple(p for p in wanted if p.name not in names)


def ours(s: Snapshot) -> tuple[str, ...]:
    """The logical slots here that the configuration asks for, or asked for since they are here."""
    logical = [slot.name for slot in here(s) if slot.kind == "logical"]
    if not logical:
        return ()
    known = {p.name for p in wanted_logical(s)} | set(s.memory.logical_slots)
    return tuple(name for name in logical if name in known)


def unwanted_logical(s: Snapshot) -> tuple[str, ...]:
    """Inactive logical slots that the configuration asked for once, and does not any more."""
    if not s.memory.logical_slots:
        return ()
    wanted = {p.name for p in wanted_logical(s)}
    return tuple(
        slot.name
        for slot in here(s)
        if slot.kind == "logical"
        and slot.name in s.memory.logical_slots
        and slot.name not in wanted
        and not slot.active
        and not ignored(s, slot)
    )


def told(s: Snapshot) -> LeaderSlots | None:
    """What the present leader said about logical slots, if that is not old."""
    answer = s.leader_slots
    if not isinstance(answer, Known) or answer.value.leader != views.leader_name(s):
        return None
    fresh = s.now - answer.value.asked_at <= s.policy.loop_wait_seconds
    return answer.value if fresh else None


def to_copy(s: Snapshot) -> tuple[str, ...]:
    """Missing logical slots that the leader has, and for which this standby still has the WAL."""
    answer = told(s)
    if answer is None or answer.oldest_lsn_here is None or not in_recovery(s):
        return ()
    missing = {p.name for p in missing_logical(s)}
    return tuple(
        sorted(
            slot.name
            for slot in answer.slots
            if slot.name in missing
            and slot.restart_lsn is not None
            and slot.restart_lsn >= answer.oldest_lsn_here
        )
    )


def uncovered(s: Snapshot) -> tuple[str, ...]:
    """Copies for which the present leader is not known to keep the catalog rows they need."""
    if not in_recovery(s):
        return ()
    by = s.memory.covered_by == views.leader_name(s)
    return tuple(n for n in ours(s) if not by or n not in s.memory.covered_from)


def newly_covered(s: Snapshot) -> dict[str, int]:
    """Copies for which the leader keeps rows now, each with the xmin from which on it is safe.

    The leader has our feedback, so from now on it removes nothing that a copy needs.  Until now it
    kept what its own slot needs: the copy is safe once it has come to where that slot stands.
    """
    answer = told(s)
    if answer is None or answer.feedback_xmin is None:
        return {}
    local = {slot.name: slot.catalog_xmin for slot in here(s)}
    theirs = {slot.name: slot.catalog_xmin for slot in answer.slots}
    found = {}
    for name in uncovered(s):
        mine, at = local.get(name), theirs.get(name)
        if mine is not None and at is not None and not xmin_before(mine, answer.feedback_xmin):
            found[name] = at
    return found


def xmin_before(one: int, other: int) -> bool:
    """Whether a transaction id is older than another one; they go round in a circle."""
    return one != other and (other - one) % _XMIN_CIRCLE < _XMIN_CIRCLE // 2


def unsafe(s: Snapshot) -> tuple[str, ...]:
    """Logical copies that could miss catalog rows if this standby were promoted now."""
    copies = ours(s) if in_recovery(s) else ()
    if not copies:
        return ()
    open_ones, at = set(uncovered(s)), {slot.name: slot.catalog_xmin for slot in here(s)}
    found = []
    for name in copies:
        mine = at.get(name)
        if name in open_ones or mine is None or xmin_before(mine, s.memory.covered_from[name]):
            found.append(name)
    return tuple(found)


# --- positions ------------------------------------------------------------------------------------


def positions(s: Snapshot) -> dict[str, int]:
    """What `status` tells of the slots here, and of us under our own slot's name.

    A physical slot stands where WAL is kept from, a logical one where its consumer confirmed.
    """
    found = {x.name: x.restart_lsn for x in here(s) if x.kind == "physical"}
    mine = ours(s)
    found |= {x.name: x.confirmed_lsn for x in here(s) if x.name in mine}
    kept = {name: lsn for name, lsn in found.items() if lsn}
    own = views.position(views.server(s))
    return {**kept, upstreams.slot_name(s.me.name): own} if kept and own else kept


def behind(s: Snapshot) -> dict[str, int]:
    """Our inactive slots whose owners are further, and how far they go.

    The leader goes by the members themselves: whoever streams from another member never moves its
    slot here.  All others go by the leader's slots.
    """
    server, idle = views.server(s), [slot for slot in here(s) if not slot.active]
    if server is None or not idle:
        return {}
    reached = server.replay_lsn if server.in_recovery else server.write_lsn
    leads = not server.in_recovery or i_own_the_lock.holds(s)
    told = _told_by_members(s, server) if leads else _told_by_the_leader(s)
    if reached is None or not told:
        return {}
    mine, found = set(ours(s)), {}
    for slot in idle:
        to = told.get(slot.name)
        at = slot.confirmed_lsn if slot.kind == "logical" else slot.restart_lsn
        if to is None or at is None or ignored(s, slot):
            continue
        if slot.kind == "logical" and (leads or slot.name not in mine):
            continue
        if at < (target := min(to, reached)):
            found[slot.name] = target
    return found


def _told_by_members(s: Snapshot, server: Server) -> dict[str, int]:
    """What members on our timeline have by their keys, or said when they agreed without the store.

    One that should stream from us is left out: it moves its slot itself as soon as it is back.
    """
    has = {
        m.name: m.xlog_location or 0
        for m in views.other_members(s)
        if m.timeline == server.timeline and not streams_from_us(s, m)
    }
    for answer in s.failsafe_answers:
        if answer.agreed and answer.lsn is not None:
            has[answer.name] = max(has.get(answer.name, 0), answer.lsn)
    told: dict[str, int] = {}
    for name, lsn in has.items():  # where two names give one slot, it waits for both
        slot = upstreams.slot_name(name)
        told[slot] = min(lsn, told.get(slot, lsn))
    return told


def _told_by_the_leader(s: Snapshot) -> dict[str, int]:
    """Where the leader's slots are, by the store, or by its own word while it is without it."""
    view = views.cluster(s)
    told = dict(view.slots) if view is not None else {}
    for call in s.failsafe_calls:
        told |= call.slots
    return told


def over_budget(s: Snapshot) -> tuple[str, ...]:
    """Slots that hold more WAL than one may, with their owners, in whole budgets."""
    budget, at = s.policy.slot_wal_budget_bytes, views.position(views.server(s))
    if not budget or at is None:
        return ()
    found = []
    for slot in here(s):
        held = at - (at if slot.restart_lsn is None else slot.restart_lsn)
        if held > budget:
            times = held // budget
            found.append(f"{slot.name} {owner(s, slot.name)}: more than {times} x {budget} bytes")
    return tuple(found)
