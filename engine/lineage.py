"""Whether the WAL here is a part of the leader's: where ours ends, and what the leader told.

In a standby cluster the remote primary may stand in the leader's place.
"""

from engine import upstreams, views
from engine.actions import Upstream
from engine.state import JobKind, Known, LeaderTimeline, Snapshot, Unknown
from engine.timelines import overwritten, parted_by_number


def compares_with_remote(s: Snapshot) -> bool:
    """Whether the remote primary, not our leader, tells what our WAL must be a part of.

    In a standby cluster it does for whoever follows it, and for every server that is down: only it
    can be rewound to.
    """
    if upstreams.remote(s) is None or views.cluster(s) is None:
        return False
    return upstreams.follows_remote(s) or s.postgres.postmaster is None


def truth(s: Snapshot) -> Upstream | None:
    """The server whose WAL ours must be a part of; None while its address is unknown."""
    if compares_with_remote(s):
        return upstreams.remote(s)
    leader = views.leader_member(s)
    return upstreams.upstream_at(s, leader) if leader is not None else None


def told_timeline(s: Snapshot) -> LeaderTimeline | None:
    """What the present leader (or the remote primary) said of its timeline, if that still is news.

    Its member key may already tell of a later promotion; then it has to be asked again.  So it must
    if it was still to be promoted and our timeline is not known here, or we have WAL of one that is
    newer than its own: it may have opened that one since.  And so it must after a copy, which may
    be one of a member that has parted from it, or once our WAL is on another timeline than the one
    that was compared: another server may have opened that.  What a server of another system says
    tells nothing about our leader.
    """
    told, leader, outside = s.leader_timeline, views.leader_member(s), compares_with_remote(s)
    expected = upstreams.REMOTE if outside else views.leader_name(s)
    if not isinstance(told, Known) or told.value.leader != expected:
        return None
    if not outside and is_foreign(s, told.value):
        return None
    if leader is not None and not outside:
        promoted = told.value.in_recovery and leader.role == "primary"
        if promoted or (leader.timeline and leader.timeline != told.value.timeline):
            return None
    end = my_end(s)
    if end is not None and told.value.asked_on not in {None, end[0]}:
        return None
    unclear = end is None or told.value.newer_wal_here or end[0] > told.value.timeline
    if told.value.in_recovery and s.policy.standby_cluster is None and unclear:
        return None
    last, asked_at = s.last_job, told.value.asked_at
    if last is not None and last.kind is JobKind.CLONE and asked_at <= last.finished:
        return None
    return told.value if s.now - asked_at <= s.policy.loop_wait_seconds else None


def is_foreign(s: Snapshot, told: LeaderTimeline) -> bool:
    """Whether that server is of another system than ours; an unknown identifier counts as no."""
    ours = views.system_identifier(s)
    return bool(ours and told.system_identifier and ours != told.system_identifier)


def leader_silent_why(s: Snapshot) -> str:
    """Why the leader's timeline is not known."""
    told = s.leader_timeline
    if isinstance(told, Unknown):
        return told.why
    if told is not None and is_foreign(s, told.value):
        return f"at its address is a server of system {told.value.system_identifier}"
    return "not asked yet"


def my_end(s: Snapshot) -> tuple[int, int, bool] | None:
    """(timeline, LSN, is it the start of a shutdown checkpoint) where our own WAL ends.

    From a running standby, or from the control file of a server that is down cleanly.
    """
    here = views.server(s)
    if here is not None:
        at = here.replay_lsn if here.in_recovery else here.write_lsn
        return (here.timeline, at, False) if here.timeline and at is not None else None
    control = s.postgres.directory.control
    if control is None:
        return None
    if control.state == "shut down":
        return control.timeline, control.checkpoint_lsn, True
    return (
        max(control.timeline, control.min_recovery_timeline),
        max(control.checkpoint_lsn, control.min_recovery_lsn),
        False,
    )


def end_of_wal(s: Snapshot) -> tuple[int, int] | None:
    """(timeline, LSN) where our own WAL ends; None when unknown."""
    end = my_end(s)
    return None if end is None else end[:2]


def receiver(s: Snapshot) -> int | None:
    """The WAL receiver by which we stream; None when we do not, or when that is unknown."""
    here = views.server(s)
    return here.receiver if here is not None and here.replication_state == "streaming" else None


def connection(s: Snapshot) -> tuple[int, int] | None:
    """(WAL receiver, timeline) by which we stream; None when we do not, or that is unknown."""
    here, by = views.server(s), receiver(s)
    return (by, here.timeline) if here and here.timeline and by is not None else None


def opened_twice(s: Snapshot) -> bool:
    """Whether our WAL and the leader's part on a timeline that has the same number in both.

    Two servers that did not know of each other's promotion open the same one, which neither
    streaming nor pg_rewind notices.  The bytes tell, unless the leader's were written over ours;
    else it counts that we were the last to write.
    """
    told = told_timeline(s)
    if told is None:
        return False
    return overwritten(told, s.memory.opening) or _is_a_twin(s, told, my_end(s))


def _is_a_twin(s: Snapshot, told: LeaderTimeline, end: tuple[int, int, bool] | None) -> bool:
    """Whether it opened a timeline of a number that ours has too, as far as the WAL here tells."""
    if told.same_wal is not None or told.in_recovery:
        return told.same_wal is False
    ours = s.memory.promotions_begun > 0 or s.memory.wrote_on == told.timeline
    return ours and (end is None or end[0] == told.timeline)


def divergence(s: Snapshot) -> str:
    """Why our WAL is not a part of the leader's; empty when it is, or when nothing is known."""
    told, end = told_timeline(s), my_end(s)
    if told is None:
        return ""
    if overwritten(told, s.memory.opening):
        return "the WAL of another server was written over ours, on a timeline of the same number"
    if _is_a_twin(s, told, end):
        return f"a timeline up to the leader's {told.timeline} was opened twice, ours is the other"
    if end is None and s.postgres.must_reach is not None:
        end = (*s.postgres.must_reach, False)
    return parted_by_number(told, end) if end is not None else ""
