"""Readings of a snapshot that several facts and rules share: projections and arithmetic.

Nothing here decides.  A missing reading is None, never a made-up default.
"""

from operator import attrgetter

from engine.state import (
    Cluster,
    FailoverRequest,
    Known,
    Lease,
    Member,
    Memory,
    Server,
    Snapshot,
)

# A renewal is due a little before a whole loop has passed, so that a loop that wakes a few
# milliseconds early does not skip it.
DUE = 0.9
ASK_AGAIN_SECONDS = 1.0
# A new observation of our own PostgreSQL takes a few milliseconds.
LOOK_AGAIN_SECONDS = 0.02
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


def has_data_of_the_cluster(s: Snapshot) -> bool:
    """Whether the data directory is known to hold data of the cluster that the store holds."""
    view, ours = cluster(s), system_identifier(s)
    return view is not None and bool(ours) and view.initialize == ours


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


def longest_ttl_seconds(s: Snapshot) -> float:
    """The longest that a lease, or a word of ours, from before may last: ttl may be lower now."""
    return max(s.policy.ttl_seconds, s.memory.longest_ttl_seconds)


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


def lag_bytes(s: Snapshot, lsn: int | None) -> int | None:
    """How far that is behind the last position which a leader published; None when unknown."""
    view = cluster(s)
    if view is None or view.optime is None or lsn is None:
        return None
    return max(0, view.optime - lsn)


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
