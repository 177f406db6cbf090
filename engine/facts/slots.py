"""Facts about replication slots, over the readings of `engine/slots.py`."""

from collections.abc import Iterable

from engine import slots, views
from engine.rule import fact
from engine.state import Snapshot, Unknown
from engine.timelines import lsn_text


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _physical(s: Snapshot) -> str:
    have = _names(slot.name for slot in slots.here(s))
    return f"slots: {have}; unclaimed: {_names(slots.unclaimed(s))}"


@fact(lambda s: f"use_slots={s.policy.use_slots}")
def slots_are_used(s: Snapshot) -> bool:
    """use_slots is on."""
    return s.policy.use_slots


@fact(_physical)
def a_slot_is_missing(s: Snapshot) -> bool:
    """A member or the configuration needs a physical slot that is not here."""
    return bool(slots.missing_physical(s))


@fact(_physical)
def unclaimed_slots_are_noted(s: Snapshot) -> bool:
    """It is remembered since when each unclaimed slot is unclaimed."""
    return set(s.memory.unclaimed_since) == set(slots.unclaimed(s))


def _given_up(s: Snapshot) -> str:
    view = views.cluster(s)
    kept = _names(view.retain_slots) if view else "unknown"
    return (
        f"{_physical(s)}; the leader keeps: {kept}; unwanted: {_names(slots.unwanted_logical(s))}"
    )


@fact(_given_up)
def a_slot_can_go(s: Snapshot) -> bool:
    """A slot was unclaimed for member_slots_ttl, or the configuration took a logical one back."""
    return bool(slots.given_up(s) or slots.unwanted_logical(s))


@fact(lambda s: f"useless: {_names(slots.useless(s))}")
def a_slot_is_useless(s: Snapshot) -> bool:
    """A slot of ours lost its WAL, or holds rows for a member that streams from elsewhere."""
    return bool(slots.useless(s))


@fact(lambda s: f"behind their owners: {_names(slots.behind(s))}")
def a_slot_lags(s: Snapshot) -> bool:
    """An inactive slot here is behind what its owner has, as the leader or that member tells."""
    return bool(slots.behind(s))


# --- logical slots --------------------------------------------------------------------------------


def _logical(s: Snapshot) -> str:
    missing = _names(p.name for p in slots.missing_logical(s))
    return f"logical slots of ours: {_names(slots.ours(s))}; missing: {missing}"


@fact(_logical)
def a_logical_slot_is_missing(s: Snapshot) -> bool:
    """The configuration asks for a logical slot that is not here."""
    return bool(slots.missing_logical(s))


@fact(_logical)
def logical_slots_are_noted(s: Snapshot) -> bool:
    """It is remembered which logical slots here are ours to drop one day."""
    return s.memory.logical_slots == slots.ours(s)


def _told(s: Snapshot) -> str:
    answer = slots.told(s)
    if answer is None:
        why = s.leader_slots.why if isinstance(s.leader_slots, Unknown) else "not asked of late"
        return f"the leader's logical slots are unknown: {why}"
    have = _names(slot.name for slot in answer.slots)
    oldest = lsn_text(answer.oldest_lsn_here)
    return f"the leader has: {have}, keeps rows from {answer.feedback_xmin}; WAL here from {oldest}"


@fact(_told)
def leader_told_its_slots(s: Snapshot) -> bool:
    """The leader was asked about its logical slots a moment ago, and answered."""
    return slots.told(s) is not None


@fact(_told)
def a_logical_slot_can_be_copied(s: Snapshot) -> bool:
    """The leader has a slot that is missing here, and its WAL is here; unknown counts as no."""
    return bool(slots.to_copy(s))


def _cover(s: Snapshot) -> str:
    by = s.memory.covered_by or "nobody"
    return f"covered by {by}, open: {_names(slots.uncovered(s))}; {_told(s)}"


@fact(_cover)
def a_logical_slot_is_uncovered(s: Snapshot) -> bool:
    """The leader is not known to keep the rows that a logical slot here needs."""
    return bool(slots.uncovered(s))


@fact(_cover)
def the_leader_covers_another_slot(s: Snapshot) -> bool:
    """The leader has our feedback, and that is not remembered for one of our logical slots."""
    return bool(slots.newly_covered(s))


@fact(lambda s: f"replication state {getattr(views.server(s), 'replication_state', None)}")
def streams_now(s: Snapshot) -> bool:
    """Our WAL receiver streams; unknown counts as no."""
    server = views.server(s)
    return server is not None and server.replication_state == "streaming"


# --- what only an operator can mend ---------------------------------------------------------------


@fact(lambda s: f"slot names with two owners: {_names(slots.clashes(s))}")
def slot_names_clash(s: Snapshot) -> bool:
    """Two members, or a member and a logical slot, map to one slot name."""
    return bool(slots.clashes(s))


@fact(lambda s: f"over the budget: {_names(slots.over_budget(s))}")
def a_slot_holds_too_much(s: Snapshot) -> bool:
    """A slot holds more WAL than slot_wal_budget or max_slot_wal_keep_size allow."""
    return bool(slots.over_budget(s))


@fact(lambda s: f"unsafe after a promotion: {_names(slots.unsafe(s))}")
def a_logical_slot_is_unsafe(s: Snapshot) -> bool:
    """A logical slot of this standby could miss catalog rows if it were promoted now."""
    return bool(slots.unsafe(s))
