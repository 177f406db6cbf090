"""What a publication says about this node, worked out once and good until stated instants.

Here belong readings that several answers share.  Pure: no clock, no I/O.  An instant is
CLOCK_BOOTTIME seconds; a fact "until" an instant is false from then on, whatever the publication
says, so that a hung main loop cannot keep an old answer alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine import agreement, views
from engine.document import role_text, state_text, tags_document
from engine.state import (
    Cluster,
    Known,
    Server,
    Snapshot,
    SyncState,
    Unknown,
)
from shell.desk import Publication

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Facts:
    """The inputs of health checks and documents, for one publication."""

    published_at: float
    ttl_seconds: float
    state: str
    role: str
    paused: bool
    primary_until: float
    standby_leader_until: float
    replica_until: float  # running as a replica, apart from tags and lag
    running_until: float
    is_running_primary: bool
    standby_cluster: bool
    noloadbalance: bool
    tags: Mapping[str, Any]
    tag_texts: Mapping[str, str]
    replication_state: str | None
    received_lsn: int | None
    replayed_lsn: int | None
    leading_lsn: int | None
    maximum_lag_bytes: int
    view_until: float  # the store's view is current
    is_sync: bool
    is_quorum: bool
    cluster_unlocked: bool
    failsafe_until: float
    server: Server | None
    observed_at: float | None
    lease_ends: float | None


def facts_of(publication: Publication) -> Facts:
    """Return the facts of a publication."""
    s = publication.snapshot
    server, cluster = views.server(s), views.cluster(s)
    standby = standby_cluster_configured(publication.dynamic_config)
    state, role = state_and_role(s, standby_cluster=standby)
    ttl, tags = s.policy.ttl_seconds, tags_document(s)
    observed_at = s.postgres.server.when if isinstance(s.postgres.server, Known) else None
    failsafe_until = agreement.active_until(s)
    leads_until = _leads_until(s)
    fresh_until = NEVER if observed_at is None or state != "running" else observed_at + ttl
    alive_until = NEVER if observed_at is None or state != "running" else observed_at + 2 * ttl
    replica = role == "replica"
    view_until = _view_seen(s) + ttl if cluster is not None else NEVER
    sync_now = cluster.sync if cluster is not None else None
    mode, named = s.policy.synchronous_mode, _named_in_sync(sync_now, s.me.name)
    return Facts(
        published_at=publication.published_at,
        ttl_seconds=ttl,
        state=state,
        role=role,
        paused=s.policy.pause,
        primary_until=_primary_until(s, min(leads_until, fresh_until), role, standby, fresh_until),
        standby_leader_until=(
            min(leads_until, alive_until)
            if standby and role in {"replica", "standby_leader"}
            else NEVER
        ),
        replica_until=alive_until if replica else NEVER,
        running_until=alive_until,
        is_running_primary=state == "running" and role == "primary",
        standby_cluster=standby,
        noloadbalance=s.me.tags.noloadbalance,
        tags=tags,
        tag_texts=_tag_texts(tags),
        replication_state=server.replication_state if server else None,
        received_lsn=_received(server),
        replayed_lsn=server.replay_lsn if server else None,
        leading_lsn=_leading(cluster, server),
        maximum_lag_bytes=s.policy.maximum_lag_on_failover_bytes,
        view_until=view_until,
        is_sync=named and mode == "on" and not standby,
        is_quorum=named and mode == "quorum" and not standby,
        cluster_unlocked=cluster is not None and cluster.leader is None,
        failsafe_until=failsafe_until,
        server=server,
        observed_at=observed_at,
        lease_ends=views.lease_ends(s),
    )


def _leads_until(s: Snapshot) -> float:
    """When our ownership of the lock ends to be certain.

    A view newer than our last renewal that names somebody else is believed; so is one that names
    nobody, unless the members let us go on without the store.
    """
    ends, cluster = views.lease_ends(s), views.cluster(s)
    if ends is None:
        return NEVER
    assert s.lease.sent_at is not None
    if cluster is not None and cluster.leader != s.me.name and _view_seen(s) > s.lease.sent_at:
        nobody_could = cluster.leader is None and agreement.prolonged_until(s) >= ends
        return ends if nobody_could else NEVER
    return ends


def _primary_until(
    s: Snapshot, certain_until: float, role: str, standby: bool, fresh_until: float
) -> float:
    """When `primary` ends to be true; in pause without the store, the role alone says it.

    What is being founded may yet be set aside, and must not be written to.

    `fresh_until` is already past in every state but `running`, so also while it is being stopped.
    """
    postmaster = s.postgres.postmaster
    if role != "primary" or standby or postmaster is None or postmaster.frozen:
        return NEVER
    if s.memory.bootstrapping:
        return NEVER
    view_lost = s.now - _view_seen(s) > s.policy.ttl_seconds
    return fresh_until if s.policy.pause and view_lost else certain_until


def _view_seen(s: Snapshot) -> float:
    return s.cluster.since if isinstance(s.cluster, Unknown) else s.cluster.when


def state_and_role(s: Snapshot, *, standby_cluster: bool) -> tuple[str, str]:
    """Return the words of the reference; a server that does not answer is in no known state."""
    state, role = state_text(s), role_text(s)
    silent = views.server(s) is None or s.postgres.postmaster is None
    if state == "running" and silent:
        state = "unknown" if s.postgres.postmaster is not None else "stopped"
    if role == "replica" and standby_cluster and views.leader_name(s) == s.me.name:
        role = "standby_leader"
    return state, role


def standby_cluster_configured(dynamic: Mapping[str, Any] | None) -> bool:
    """Whether the dynamic configuration makes this a standby cluster."""
    section = (dynamic or {}).get("standby_cluster")
    if not isinstance(section, Mapping):
        return False
    return any(section.get(key) for key in ("host", "port", "restore_command"))


def _tag_texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else str(value).lower()
        for name, value in tags.items()
    }


def _named_in_sync(sync: SyncState | None, name: str) -> bool:
    return sync is not None and name.lower() in {standby.lower() for standby in sync.standbys}


def _received(server: Server | None) -> int | None:
    if server is None:
        return None
    return server.receive_lsn if server.receive_lsn is not None else server.replay_lsn


def _leading(cluster: Cluster | None, server: Server | None) -> int | None:
    """The furthest position that the leader is known to have reached."""
    known = [cluster.optime if cluster else None, server.upstream_lsn if server else None]
    return max((lsn for lsn in known if lsn is not None), default=None)
