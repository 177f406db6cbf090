"""Whom a standby asks while the store is silent: the server that it followed when that began.

Nothing here decides.  It is known by its address alone, and goes by it as by a name: what was asked
of one server never counts as the word of another one, or of the leader.
"""

from engine import lineage, upstreams
from engine.actions import Upstream
from engine.state import Known, LeaderTimeline, Snapshot
from engine.timelines import overwritten, parted_by_number

# It is asked every second, and an answer that has to do for longer is none.
ANSWER_SECONDS = 2.0


def address(s: Snapshot) -> str:
    """host:port of it; empty when nobody is known."""
    return s.postgres.configured_upstream or s.memory.former_upstream


def upstream(s: Snapshot) -> Upstream | None:
    """It, to stream from; None where it is not known, or not ours to follow."""
    at = address(s)
    host, _, port = at.rpartition(":")
    if not host or not port.isdecimal() or s.me.tags.nostream:
        return None
    slot = upstreams.slot_name(s.me.name) if s.policy.use_slots else None
    return Upstream(at, host, int(port), slot)


def told(s: Snapshot) -> LeaderTimeline | None:
    """What it said of its timeline, if that still is news."""
    said = s.leader_timeline
    if not isinstance(said, Known) or said.value.leader != (address(s) or None):
        return None
    return said.value if s.now - said.value.asked_at <= ANSWER_SECONDS else None


def objection(s: Snapshot) -> str:
    """Why our WAL is not known to be a part of that server's; empty when it is.

    As with a leader: where the bytes can't be compared, the numbers decide, and what we wrote; and
    one in recovery may yet open a timeline of the number that we have WAL of.
    """
    said, end = told(s), lineage.my_end(s)
    if said is None:
        return "it has not told its timeline"
    if lineage.is_foreign(s, said):
        return f"it is of system {said.system_identifier}"
    if end is not None and said.asked_on not in {None, end[0]}:
        return f"it was asked when our WAL was on timeline {said.asked_on}"
    if said.same_wal is False or overwritten(said, s.memory.opening):
        return f"a timeline up to its {said.timeline} was opened twice, ours is the other"
    if said.in_recovery and (end is None or said.newer_wal_here or end[0] > said.timeline):
        return f"it is in recovery on timeline {said.timeline}, and we may have a newer one"
    wrote = s.memory.promotions_begun > 0 or s.memory.wrote_on == said.timeline
    if said.same_wal is None and wrote:
        return "its WAL can't be compared with what we wrote"
    return parted_by_number(said, end) if end is not None else ""
