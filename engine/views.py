"""Readings of a snapshot that several facts and rules share: projections and arithmetic.

Nothing here decides.  A missing reading is None, never a made-up default.
"""

from operator import attrgetter

from engine.actions import Upstream
from engine.state import (
    Cluster,
    FailoverRequest,
    JobKind,
    Known,
    LeaderTimeline,
    Lease,
    Member,
    Memory,
    Server,
    Snapshot,
    Unknown,
)
from engine.timelines import overwritten, parted_by_number

# A renewal is due a little before a whole loop has passed, so that a loop that wakes a few
# milliseconds early does not skip it.
DUE = 0.9
ASK_AGAIN_SECONDS = 1.0
# A new observation of our own PostgreSQL takes a few milliseconds.
LOOK_AGAIN_SECONDS = 0.02
# How the primary outside of a standby cluster is called, where a member has its name.
REMOTE = "the remote primary"
BY_NAME = attrgetter("name")


def cluster(s: Snapshot) -> Cluster | None:
    """The store's view, if it is known."""
    return s.cluster.value if isinstance(s.cluster, Known) else None


def server(s: Snapshot) -> Server | None:
    """What PostgreSQL answered, if it did."""
    return s.postgres.server.value if isinstance(s.postgres.server, Known) else None


def system_identifier(s: Snapshot) -> str:
    """Of our server, else of what is in the data directory; empty when unknown."""
    here = server(s)
    return (here.system_identifier if here else "") or s.postgres.directory.system_identifier


def leader_name(s: Snapshot) -> str | None:
    """The owner of the lock according to the store; None when free or unknown."""
    view = cluster(s)
    return view.leader if view else None


def leader_member(s: Snapshot) -> Member | None:
    """The leader's own key, if it is there."""
    view = cluster(s)
    return view.member(view.leader) if view and view.leader else None


# --- the lease ------------------------------------------------------------------------------------


def stop_margin_seconds(s: Snapshot) -> float:
    """How long before the end of the lease PostgreSQL must begin an immediate stop."""
    return min(5.0, max(1.0, s.policy.ttl_seconds * 0.2))


def stored_until(lease: Lease, memory: Memory) -> float | None:
    """When the store's word ends that the lease is ours; None if it has not given it.

    A shorter lease counts from when it was asked for: it may be granted without an answer.
    """
    if lease.sent_at is None or lease.refused or memory.lease_void == lease.sent_at:
        return None
    ends = lease.sent_at + lease.ttl_seconds
    shortened = memory.shortened_lease == lease.sent_at
    return min(ends, memory.shortened_until) if shortened else ends


def certain_until(lease: Lease, memory: Memory) -> float | None:
    """When the certainty ends that nobody else may lead; None if there is none.

    The store keeps its word from before our last renewal was sent, for ttl.  The members keep
    theirs from before they were asked; that counts only together with the lease it prolonged.  A
    lease that the store has shown to be over is void for good, even if the store falls silent.
    """
    ends = stored_until(lease, memory)
    if ends is None:
        return None
    return max(ends, memory.failsafe_until) if memory.failsafe_lease == lease.sent_at else ends


def lease_ends(s: Snapshot) -> float | None:
    """When our lease ends at the earliest; all that limits or allows writing follows from it.

    Whoever agreed that another one leads, or was told by a member that it leads, has none.
    """
    if s.now < s.memory.consented_until or a_member_leads(s):
        return None
    return certain_until(s.lease, s.memory)


def a_member_leads(s: Snapshot) -> bool:
    """Whether a member told us, since our last renewal, that it is primary or leader itself."""
    sent = s.lease.sent_at
    if sent is None or not s.failsafe_answers:
        return False
    return any(a.leads and a.asked_at > sent for a in s.failsafe_answers)


def renew_every_seconds(s: Snapshot) -> float:
    """How often the lease is renewed: every loop, but so that two answers may be lost."""
    before_stop = s.policy.ttl_seconds - 2 * stop_margin_seconds(s)
    return min(s.policy.loop_wait_seconds, before_stop / 2)


def lease_left(s: Snapshot) -> float | None:
    """Seconds until our lease ends; negative when it is over."""
    ends = lease_ends(s)
    return None if ends is None else ends - s.now


def fence_before_end_seconds(s: Snapshot) -> float:
    """How long before the end of the lease the fence acts: later than we should have."""
    return 0.7 * stop_margin_seconds(s)


def fence_kills_at(s: Snapshot) -> float | None:
    """When the fence must begin to end PostgreSQL, as the lease is now."""
    ends = lease_ends(s)
    return None if ends is None else ends - fence_before_end_seconds(s)


def fence_grace_seconds(s: Snapshot) -> float:
    """How long the fence waits between SIGQUIT and SIGKILL."""
    return 0.35 * stop_margin_seconds(s)


def fence_guards_the_server(s: Snapshot) -> bool:
    """Whether a deadline stands for the postmaster, or for whatever the directory holds."""
    postmaster, armed = s.postgres.postmaster, s.fence.armed_pid
    if s.fence.kill_at is None:
        return False
    return armed is None or (postmaster is not None and armed == postmaster.pid)


# --- positions and timelines ----------------------------------------------------------------------


def position(of: Server | None) -> int | None:
    """How much WAL a server has: a standby's received or replayed, a primary's written."""
    if of is None:
        return None
    if not of.in_recovery:
        return of.write_lsn
    known = [lsn for lsn in (of.receive_lsn, of.replay_lsn) if lsn is not None]
    return max(known) if known else None


def cluster_timeline(view: Cluster | None) -> int | None:
    """The cluster's current timeline by its history; None when unknown."""
    if view is None or view.history is None:
        return None
    return view.history[-1].timeline + 1 if view.history else 1


def lag_bytes(s: Snapshot) -> int | None:
    """How far we are behind the last position the leader published; None when unknown."""
    view, here = cluster(s), position(server(s))
    if view is None or view.optime is None or here is None:
        return None
    return max(0, view.optime - here)


# --- peers ----------------------------------------------------------------------------------------


def other_members(s: Snapshot) -> tuple[Member, ...]:
    """Everybody with a member key but us."""
    view, me = cluster(s), s.me.name
    others = [m for m in view.members if m.name != me] if view else []
    return tuple(sorted(others, key=BY_NAME))


# --- hand-over by hand ----------------------------------------------------------------------------


def failover_request(s: Snapshot) -> FailoverRequest | None:
    """The `failover` key, if there is one."""
    view = cluster(s)
    return view.failover if view else None


# --- whom to follow -------------------------------------------------------------------------------


def slot_name(member: str) -> str:
    """The replication slot of a member: the reference's rule, at most 63 characters."""
    name = member.lower().replace("-", "_").replace(".", "_")
    if name.isascii() and name.isidentifier():  # the usual case
        return name[:63]
    kept = (c if c == "_" or (c.isascii() and c.isalnum()) else f"u{ord(c):04d}" for c in name)
    return "".join(kept)[:63]


def upstream_at(s: Snapshot, member: Member) -> Upstream:
    """That member as a source to stream from, with our slot there."""
    slot = slot_name(s.me.name) if s.policy.use_slots and not s.me.tags.nostream else None
    return Upstream(member.name, member.host, member.port, slot)


def remote(s: Snapshot) -> Upstream | None:
    """The primary that a standby cluster streams from; None if there is none but an archive."""
    at = s.policy.standby_cluster
    if at is None or not at.host:
        return None
    own = slot_name(s.me.name) if s.policy.use_slots else None
    return Upstream(REMOTE, at.host, at.port, at.slot or own)


def follows_remote(s: Snapshot) -> bool:
    """Whether, of a standby cluster, it is this node that follows the remote primary.

    The leader does, and everybody while nobody leads.  An unknown store counts as no.
    """
    view = cluster(s)
    led = view is None or view.leader not in {None, s.me.name}
    return s.policy.standby_cluster is not None and not led


def streams_from(s: Snapshot) -> Upstream | None:
    """The server in primary_conninfo: whom we should follow, unless we only read the archive."""
    return None if s.me.tags.nostream else wanted_upstream(s)


def follows_archive(s: Snapshot) -> bool:
    """Whether our WAL comes from the archive alone: tagged nostream, or such a standby cluster."""
    return s.me.tags.nostream or (follows_remote(s) and remote(s) is None)


def wanted_upstream(s: Snapshot) -> Upstream | None:
    """Whom we should follow: `replicatefrom` while it may be followed and no loop, else the leader.

    The leader of a standby cluster follows the remote primary.  None while there is no leader with
    an address: then there is nobody to follow.
    """
    if follows_remote(s):
        return remote(s)
    view, leader = cluster(s), leader_member(s)
    if view is None or leader is None or not leader.host or leader.name == s.me.name:
        return None
    named = view.member(s.me.tags.replicatefrom)
    if named and _may_be_followed(s, view, named) and not _leads_back(s, view, named):
        return upstream_at(s, named)
    return upstream_at(s, leader)


def _may_be_followed(s: Snapshot, view: Cluster, member: Member) -> bool:
    """Whether that member runs, and shows that its WAL is the cluster's.

    It leads, or streams itself, which it does only after it has asked the leader; one that reads
    the archive shows nothing else.  Whoever streams from it already goes on.
    """
    if not member.host or member.state != "running":
        return False
    if member.name == view.leader or member.replication_state == "streaming":
        return True
    here, at = server(s), f"{member.host}:{member.port}"
    streams = here is not None and here.replication_state == "streaming"
    return member.tags.nostream or (streams and s.postgres.configured_upstream == at)


def _leads_back(s: Snapshot, view: Cluster, member: Member) -> bool:
    """Whether following `member` would close a circle of replicatefrom tags."""
    seen, at = {s.me.name}, member
    while True:
        if at.name in seen:
            return True
        seen.add(at.name)
        following = view.member(at.tags.replicatefrom)
        if following is None or at.name == view.leader:
            return False
        at = following


def clone_source(s: Snapshot) -> Upstream | None:
    """Whom to clone: a running member tagged clonefrom, else the running leader.

    For a standby cluster that nobody leads it is the remote primary.
    """
    if follows_remote(s):
        return remote(s)
    view, leader = cluster(s), leader_member(s)
    if view is None or leader is None or leader.name == s.me.name:
        return None
    if not s.memory.reinit_from_leader:
        for member in other_members(s):
            tagged = member.tags.clonefrom and member.name != view.leader
            if tagged and member.state == "running":
                return upstream_at(s, member)
    return upstream_at(s, leader) if leads(leader) else None


def leads(leader: Member) -> bool:
    """Whether the owner of the lock says that it is promoted, or follows the remote primary."""
    return leader.state == "running" and leader.role in {"primary", "master", "standby_leader"}


def compares_with_remote(s: Snapshot) -> bool:
    """Whether the remote primary, not our leader, tells what our WAL must be a part of.

    In a standby cluster it does for whoever follows it, and for every server that is down: only it
    can be rewound to.
    """
    if remote(s) is None or cluster(s) is None:
        return False
    return follows_remote(s) or s.postgres.postmaster is None


def truth(s: Snapshot) -> Upstream | None:
    """The server whose WAL ours must be a part of; None while its address is unknown."""
    if compares_with_remote(s):
        return remote(s)
    leader = leader_member(s)
    return upstream_at(s, leader) if leader is not None else None


def told_timeline(s: Snapshot) -> LeaderTimeline | None:
    """What the present leader (or the remote primary) said of its timeline, if that still is news.

    Its member key may already tell of a later promotion; then it has to be asked again.  So it must
    if it was still to be promoted and our timeline is not known here, or we have WAL of one that is
    newer than its own: it may have opened that one since.  And so it must after a copy, which may
    be one of a member that has parted from it, or once our WAL is on another timeline than the one
    that was compared: another server may have opened that.  What a server of another system says
    tells nothing about our leader.
    """
    told, leader, outside = s.leader_timeline, leader_member(s), compares_with_remote(s)
    expected = REMOTE if outside else leader_name(s)
    if not isinstance(told, Known) or told.value.leader != expected:
        return None
    if not outside and is_foreign(s, told.value):
        return None
    if leader is not None and not outside:
        promoted = told.value.in_recovery and leader.role in {"primary", "master"}
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
    ours = system_identifier(s)
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
    here = server(s)
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
    here = server(s)
    return here.receiver if here is not None and here.replication_state == "streaming" else None


def connection(s: Snapshot) -> tuple[int, int] | None:
    """(WAL receiver, timeline) by which we stream; None when we do not, or that is unknown."""
    here, by = server(s), receiver(s)
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
