"""Whom a member streams from, whom it is copied from, and its slot there."""

from engine import views
from engine.actions import Upstream
from engine.state import Cluster, Member, Snapshot

# How the primary outside of a standby cluster is called, where a member has its name.
REMOTE = "the remote primary"


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
    view = views.cluster(s)
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
    view, leader = views.cluster(s), views.leader_member(s)
    if view is None or leader is None or not leader.host or leader.name == s.me.name:
        return None
    named = view.member(s.me.tags.replicatefrom)
    if named and _may_be_followed(s, named) and not _leads_back(s, view, named):
        return upstream_at(s, named)
    return upstream_at(s, leader)


def _may_be_followed(s: Snapshot, member: Member) -> bool:
    """Whether that member runs, and shows that its WAL is the cluster's.

    It streams itself, which it does only after it has asked the leader; one that reads the archive
    shows nothing else.  Whoever streams from it already goes on.
    """
    if not member.host or member.state != "running":
        return False
    if member.replication_state == "streaming":
        return True
    here, at = views.server(s), f"{member.host}:{member.port}"
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
    view, leader = views.cluster(s), views.leader_member(s)
    if view is None or leader is None or leader.name == s.me.name:
        return None
    if not s.memory.reinit_from_leader:
        for member in views.other_members(s):
            tagged = member.tags.clonefrom and member.name != view.leader
            if tagged and member.state == "running":
                return upstream_at(s, member)
    return upstream_at(s, leader) if leads(leader) else None


def leads(leader: Member) -> bool:
    """Whether the owner of the lock says that it is promoted, or follows the remote primary."""
    return leader.state == "running" and leader.role in {"primary", "standby_leader"}
