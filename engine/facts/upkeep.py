"""Facts about what is published, written, kept: member key, status, history, slots, files."""

from collections.abc import Mapping
from typing import Any

from engine import views
from engine.document import checkpoint_is_missing, member_document, role_text
from engine.rule import fact
from engine.state import HistoryLine, Slot, Snapshot

_MOVING = {"xlog_location", "receive_lsn", "replay_lsn"}


def _steady(document: Mapping[str, Any] | None) -> dict[str, Any]:
    return {k: v for k, v in (document or {}).items() if k not in _MOVING}


def _published(s: Snapshot) -> str:
    if s.published_at is None:
        return "never published"
    return f"published {s.now - s.published_at:.1f}s ago, every {s.policy.loop_wait_seconds:g}s"


@fact(_published)
def published_before(s: Snapshot) -> bool:
    """This daemon has written its member key since it started."""
    return s.published_at is not None


@fact(_published)
def member_key_is_due(s: Snapshot) -> bool:
    """A whole loop has passed since the member key was written."""
    at = s.published_at
    return at is None or s.now - at >= views.DUE * s.policy.loop_wait_seconds


@fact(_published)
def member_key_is_outdated(s: Snapshot) -> bool:
    """Something other than a WAL position has changed since the member key was written."""
    return _steady(s.published) != _steady(member_document(s))


# --- status and history ---------------------------------------------------------------------------


def slot_positions(s: Snapshot) -> dict[str, int]:
    """Positions of the physical slots here, and our own under our slot's name."""
    here = views.server(s)
    if here is None:
        return {}
    kept = {x.name: x.restart_lsn for x in here.slots if x.kind == "physical" and x.restart_lsn}
    position = views.position(here)
    own = {views.slot_name(s.me.name): position} if position else {}
    return {**kept, **own} if kept else {}


@fact(lambda s: f"status written {s.now - s.memory.status_at:.1f}s ago")
def status_is_due(s: Snapshot) -> bool:
    """A whole loop has passed since `status` was written, and there is something new to write."""
    if s.now - s.memory.status_at < views.DUE * s.policy.loop_wait_seconds:
        return False
    view, position = views.cluster(s), views.position(views.server(s))
    if view is None or position is None:
        return False
    return view.optime != position or dict(view.slots) != slot_positions(s)


def _history(s: Snapshot) -> str:
    view, here = views.cluster(s), views.server(s)
    return (
        f"history in the store up to timeline {views.cluster_timeline(view)}, "
        f"ours is {here.timeline if here else None}"
    )


@fact(_history)
def history_is_behind(s: Snapshot) -> bool:
    """The store's history does not lead to our timeline; unknown counts as no."""
    view, here = views.cluster(s), views.server(s)
    if view is None or here is None or not here.timeline:
        return False
    if here.timeline > 1 and not here.timeline_history:
        return False
    return views.cluster_timeline(view) != here.timeline


def merged_history(s: Snapshot) -> tuple[HistoryLine, ...]:
    """Our server's history, with what the store says about the same timelines."""
    view, here = views.cluster(s), views.server(s)
    if view is None or here is None:
        return ()
    told = {(line.timeline, line.lsn): line for line in view.history or ()}
    lines = []
    for line in here.timeline_history:
        mine = HistoryLine(line.timeline, line.lsn, line.reason, "", "")
        lines.append(told.get((line.timeline, line.lsn), mine))
    if lines and not lines[-1].new_leader:
        last = lines[-1]
        lines[-1] = HistoryLine(last.timeline, last.lsn, last.reason, "", s.me.name)
    keep = s.policy.max_timelines_history
    return tuple(lines[-keep:] if keep > 0 else lines)


# --- files, checkpoint, callbacks -----------------------------------------------------------------


@fact(lambda s: f"wanted {s.postgres.wanted_config[:8]}, applied {s.postgres.applied_config[:8]}")
def configuration_differs(s: Snapshot) -> bool:
    """The configuration that should be in force is not the one that was loaded last."""
    return s.postgres.wanted_config != s.postgres.applied_config


@fact(lambda s: f"config key present: {getattr(views.cluster(s), 'config_present', 'unknown')}")
def config_key_is_missing(s: Snapshot) -> bool:
    """The store is known and has no `config` key."""
    view = views.cluster(s)
    return view is not None and not view.config_present


@fact(lambda s: f"checkpoint on the new timeline missing: {checkpoint_is_missing(s)}")
def first_checkpoint_is_missing(s: Snapshot) -> bool:
    """This primary has not checkpointed since its promotion."""
    return checkpoint_is_missing(s)


@fact(lambda s: f"checkpointing={s.postgres.checkpointing}")
def checkpoint_runs(s: Snapshot) -> bool:
    """A checkpoint that we asked for is under way."""
    return s.postgres.checkpointing


@fact(lambda s: f"announced {s.memory.announced_role or 'nothing'}, role {role_text(s)}")
def role_was_announced(s: Snapshot) -> bool:
    """The callbacks were told a role before."""
    return bool(s.memory.announced_role)


@fact(lambda s: f"announced {s.memory.announced_role or 'nothing'}, role {role_text(s)}")
def announced_role_differs(s: Snapshot) -> bool:
    """The callbacks were told another role than PostgreSQL has now."""
    return s.memory.announced_role != role_text(s)


@fact(lambda s: f"announced as running: {s.memory.announced_up}")
def announced_up(s: Snapshot) -> bool:
    """The callbacks were told that PostgreSQL runs."""
    return s.memory.announced_up


# --- slots ----------------------------------------------------------------------------------------


def _wanted_slots(s: Snapshot) -> set[str]:
    own = views.slot_name(s.me.name)
    leads_back = s.me.tags.nofailover
    wanted = {
        views.slot_name(m.name)
        for m in views.other_members(s)
        if not m.tags.nostream and (not leads_back or m.tags.replicatefrom == s.me.name)
    }
    if not s.me.tags.nofailover:
        wanted |= {p.name for p in s.policy.permanent_slots if p.kind == "physical"}
    return wanted - {own}


def _ignored(s: Snapshot, slot: Slot) -> bool:
    seen = {"name": slot.name, "type": slot.kind, "database": slot.database, "plugin": slot.plugin}
    return any(
        bool(rule) and all(seen.get(k) == v for k, v in rule.items())
        for rule in s.policy.ignore_slots
    )


def missing_slots(s: Snapshot) -> tuple[str, ...]:
    """Slots that a member or the configuration needs and that are not here."""
    here = views.server(s)
    if here is None:
        return ()
    return tuple(sorted(_wanted_slots(s) - {x.name for x in here.slots}))


def unclaimed_slots(s: Snapshot) -> tuple[str, ...]:
    """Inactive physical slots here that nobody claims: no member, no configuration."""
    here, view = views.server(s), views.cluster(s)
    if here is None or view is None:
        return ()
    wanted = _wanted_slots(s)
    return tuple(
        sorted(
            slot.name
            for slot in here.slots
            if slot.kind == "physical"
            and not slot.active
            and not slot.failover
            and slot.name not in wanted
            and not _ignored(s, slot)
        )
    )


def slots_to_drop(s: Snapshot) -> tuple[str, ...]:
    """Unclaimed slots older than member_slots_ttl, and slots whose WAL is lost."""
    here = views.server(s)
    ttl = s.policy.member_slots_ttl_seconds
    since = s.memory.unclaimed_since
    old = {n for n in unclaimed_slots(s) if n in since and s.now - since[n] >= ttl}
    lost = (
        {x.name for x in here.slots if x.wal_status == "lost" and not x.active} if here else set()
    )
    return tuple(sorted(old | (lost & _wanted_slots(s))))


def slots_to_advance(s: Snapshot) -> dict[str, int]:
    """On a standby: member slots that the leader's have overtaken."""
    here, view = views.server(s), views.cluster(s)
    if here is None or view is None or not here.in_recovery or here.replay_lsn is None:
        return {}
    out = {}
    for slot in here.slots:
        told = view.slots.get(slot.name)
        if slot.kind != "physical" or slot.active or told is None or slot.restart_lsn is None:
            continue
        if slot.restart_lsn < (target := min(told, here.replay_lsn)):
            out[slot.name] = target
    return out


def _slots(s: Snapshot) -> str:
    here = views.server(s)
    have = ", ".join(x.name for x in here.slots) if here else "unknown"
    return f"slots: {have or 'none'}; unclaimed: {', '.join(unclaimed_slots(s)) or 'none'}"


@fact(_slots)
def slots_are_used(s: Snapshot) -> bool:
    """use_slots is on."""
    return s.policy.use_slots


@fact(_slots)
def a_slot_is_missing(s: Snapshot) -> bool:
    """A member or the configuration needs a slot that is not here."""
    return bool(missing_slots(s))


@fact(_slots)
def unclaimed_slots_are_noted(s: Snapshot) -> bool:
    """It is remembered since when each unclaimed slot is unclaimed."""
    return set(s.memory.unclaimed_since) == set(unclaimed_slots(s))


@fact(_slots)
def a_slot_can_go(s: Snapshot) -> bool:
    """A slot was unclaimed for member_slots_ttl, or lost its WAL."""
    return bool(slots_to_drop(s))


@fact(_slots)
def a_slot_lags(s: Snapshot) -> bool:
    """A member's slot on this standby is behind the leader's."""
    return bool(slots_to_advance(s))
