"""Facts about what is published, written, kept: member key, status, history, slots, files."""

from collections.abc import Mapping
from typing import Any

from engine import slots, views
from engine.document import checkpoint_is_missing, member_document, role_text
from engine.rule import fact
from engine.state import HistoryLine, Snapshot, Unknown

_MOVING = {"xlog_location", "receive_lsn", "replay_lsn"}


def _steady(document: Mapping[str, Any] | None) -> dict[str, Any]:
    return {k: v for k, v in (document or {}).items() if k not in _MOVING}


def _published(s: Snapshot) -> str:
    if s.published_at is None:
        return "never published"
    return f"published {s.now - s.published_at:.1f}s ago, every {s.policy.loop_wait_seconds:g}s"


@fact(_published)
def member_key_is_due(s: Snapshot) -> bool:
    """A whole loop has passed since the member key was written."""
    at = s.published_at
    return at is None or s.now - at >= views.DUE * s.policy.loop_wait_seconds


@fact(_published)
def member_key_is_outdated(s: Snapshot) -> bool:
    """Something other than a WAL position has changed since the member key was written."""
    document = member_document(s)
    return s.published != document and _steady(s.published) != _steady(document)


def _members(s: Snapshot) -> str:
    view = views.cluster(s)
    names = ", ".join(m.name for m in view.members) if view else "unknown"
    return f"members in the store: {names or 'none'}"


@fact(_members)
def member_key_is_left(s: Snapshot) -> bool:
    """The store shows a key of our name, whichever daemon wrote it; a silent one counts as yes."""
    view = views.cluster(s)
    return view is None or view.member(s.me.name) is not None


_SHOWN = ("role", "state", "timeline")


def _shown(s: Snapshot) -> tuple[object, ...] | None:
    """Our key as the store has shown it since we wrote it: empty if it is gone, None if unknown."""
    if isinstance(s.cluster, Unknown) or s.published_at is None:
        return None
    if s.cluster.when < s.published_at:
        return None
    shown = s.cluster.value.member(s.me.name)
    return () if shown is None else tuple(getattr(shown, name) for name in _SHOWN)


@fact(lambda s: f"{_published(s)}, the store shows {_shown(s)}")
def member_key_was_overwritten(s: Snapshot) -> bool:
    """The store shows no key of ours, or another role, state or timeline than we wrote last.

    Unknown counts as no.
    """
    shown, published = _shown(s), s.published
    if shown is None or published is None:
        return False
    return shown != tuple(published.get(name) for name in _SHOWN)


# --- status and history ---------------------------------------------------------------------------


@fact(lambda s: f"status written {s.now - s.memory.status_at:.1f}s ago")
def status_is_due(s: Snapshot) -> bool:
    """A whole loop has passed since `status` was written, and there is something new to write."""
    if s.now - s.memory.status_at < views.DUE * s.policy.loop_wait_seconds:
        return False
    view, position = views.cluster(s), views.position(views.server(s))
    if view is None or position is None:
        return False
    told = (view.optime, dict(view.slots), view.retain_slots)
    return told != (position, slots.positions(s), slots.retained(s))


def _history(s: Snapshot) -> str:
    view, here = views.cluster(s), views.server(s)
    return (
        f"history in the store up to timeline {views.cluster_timeline(view)}, "
        f"ours is {here.timeline if here else None}"
    )


@fact(_history)
def history_is_behind(s: Snapshot) -> bool:
    """The store's history does not end with the timeline that ours came from; unknown: no.

    The numbers say nothing: PostgreSQL leaves one out that it finds in the WAL archive.
    """
    view, here = views.cluster(s), views.server(s)
    if view is None or here is None or not here.timeline:
        return False
    if here.timeline > 1 and not here.timeline_history:
        return False
    return view.history is None or _last_end(view.history) != _last_end(here.timeline_history)


def _last_end(lines: tuple[HistoryLine, ...]) -> tuple[int, int] | None:
    return (lines[-1].timeline, lines[-1].lsn) if lines else None


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
    return tuple(lines[-s.policy.max_timelines_history :])  # 0: all of them


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
