"""The order in which members are restarted, and why: PostgreSQL dictates it for some parameters.

The order itself is `engine.restart_order`.
"""

from collections.abc import Sequence

from ctl.cluster import ClusterView
from engine.restart_order import leader_first
from engine.state import Member
from shell import layout


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
    return leader_first(
        (name, layout.integer(change.get("old_value")), layout.integer(change.get("new_value")))
        for document in view.documents.values()
        for name, change in _reason(document.get("pending_restart_reason")).items()
        if isinstance(change, dict)
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
