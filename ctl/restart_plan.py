"""The order in which members are restarted, and why: PostgreSQL dictates it for some parameters.

A standby needs at least the primary's value of the parameters below.  So raised values reach the
standbys first, and lowered ones the primary first; without either, the leader comes last, because
its restart is the one that clients notice.
"""

from collections.abc import Sequence

from ctl.cluster import ClusterView
from engine.state import Member
from shell import layout

STANDBY_NEEDS_AS_MUCH = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)


def in_order(view: ClusterView, members: Sequence[Member]) -> list[Member]:
    """The members in the order of their restart."""
    leader_first = _only_lowered(view)
    return sorted(members, key=lambda m: ((m.name == view.leader_name) != leader_first, m.name))


def plan_lines(view: ClusterView, members: Sequence[Member]) -> list[str]:
    """The plan in words: the order, what it follows from, and why each restart is pending."""
    lines = []
    for number, member in enumerate(in_order(view, members), 1):
        reasons = ", ".join(_reasons(view, member)) or "no restart is pending"
        lines.append(f"{number}. {member.name} ({view.role(member)}): {reasons}")
    if _only_lowered(view):
        why = "the leader first, because a standby must not have less than its primary"
    else:
        why = "the leader last: standbys must have raised values first, and clients notice it"
    return [*lines, f"Order: {why}"]


def _only_lowered(view: ClusterView) -> bool:
    """Whether every pending change that binds standbys lowers its value."""
    changes = [
        (change.get("old_value"), change.get("new_value"))
        for document in view.documents.values()
        for name, change in _reason(document.get("pending_restart_reason")).items()
        if name in STANDBY_NEEDS_AS_MUCH and isinstance(change, dict)
    ]
    numbers = [(layout.integer(old), layout.integer(new)) for old, new in changes]
    return bool(numbers) and all(
        old is not None and new is not None and new < old for old, new in numbers
    )


def _reasons(view: ClusterView, member: Member) -> list[str]:
    reason = _reason(view.documents.get(member.name, {}).get("pending_restart_reason"))
    return [
        f"{name} {change.get('old_value')} -> {change.get('new_value')}"
        for name, change in sorted(reason.items())
        if isinstance(change, dict)
    ]


def _reason(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
