"""The latest snapshots of small real clusters, as their members would give them.

Belongs here: a healthy cluster, with what a test wants otherwise.  n1 leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.policy import Policy
from engine.quorum import all_of, some_of, text_of
from engine.state import (
    Cluster,
    Known,
    Lease,
    Member,
    Memory,
    ReplicationRow,
    Server,
    Slot,
    Snapshot,
    SyncState,
    Tags,
)
from proof.whatif.picture import Picture, look
from tests.support.snapshots import LSN, cluster, member, primary_server, snapshot, standby_server

KIB = 1024
RATE = 50 * KIB  # bytes a second that n1 writes


def snapshots(
    nodes: int = 3,
    *,
    policy: Mapping[str, Any] | None = None,
    lags: Mapping[str, int] | None = None,
    tags: Mapping[str, Tags] | None = None,
    synchronous: tuple[str, ...] = (),
) -> list[Snapshot]:
    """What n1 (the primary), n2, ... knew last; `synchronous` are those that `sync` names."""
    rules, behind = Policy(**(policy or {})), lags or {}
    names = [f"n{number}" for number in range(1, nodes + 1)]
    keys = tuple(_key(name, behind.get(name, 0), (tags or {}).get(name, Tags())) for name in names)
    view = _view(keys, rules, synchronous)
    found = [_snapshot(key, view, rules, behind.get(key.name, 0)) for key in keys]
    found[0] = _leading(found[0], names, behind, rules, synchronous)
    return found


def picture(nodes: int = 3, silent: Mapping[str, str] | None = None, **wanted: Any) -> Picture:
    """The picture that these snapshots give, without those of the silent members."""
    quiet = silent or {}
    return look([s for s in snapshots(nodes, **wanted) if s.me.name not in quiet], quiet)


def _key(name: str, lag: int, tags: Tags) -> Member:
    number, lsn = int(name[1:]), LSN - lag
    if number == 1:
        return member(name, number, role="primary", tags=tags)
    told = {"xlog_location": lsn, "receive_lsn": lsn, "replay_lsn": lsn}
    return member(name, number, replication_state="streaming", tags=tags, **told)


def _view(keys: tuple[Member, ...], rules: Policy, synchronous: tuple[str, ...]) -> Cluster:
    sync = None
    if rules.synchronous_mode == "on":
        sync = SyncState("n1", tuple(sorted(synchronous)), 0, 7)
    elif rules.synchronous_mode == "quorum":
        sync = SyncState("n1", tuple(sorted(synchronous)), max(0, len(synchronous) - 1), 7)
    urls = {key.name: key.api_url for key in keys} if rules.failsafe_mode else None
    return cluster(
        members=keys,
        sync=sync,
        optime=LSN - 10 * RATE,
        failsafe=urls,
        failsafe_revision=5 if urls else 0,
    )


def _snapshot(key: Member, view: Cluster, rules: Policy, lag: int) -> Snapshot:
    now = 1000.0 * int(key.name[1:])  # every machine has its own
    lsn = LSN - lag
    server = standby_server(receive_lsn=lsn, replay_lsn=lsn)
    s = snapshot("n1", now, server, policy=rules, cluster=Known(view, now))
    return replace(s, me=key)


def _leading(
    s: Snapshot, names: list[str], lags: Mapping[str, int], rules: Policy, sync: tuple[str, ...]
) -> Snapshot:
    voters = frozenset(sync)
    wanted = some_of(voters, 1) if rules.synchronous_mode == "quorum" else all_of(voters)
    text = text_of(wanted[0]) if rules.synchronous_mode != "off" else ""
    state = {"on": "sync", "quorum": "quorum"}.get(rules.synchronous_mode, "async")
    rows, slots = [], []
    for number, name in enumerate(names[1:], 2):
        at = LSN - lags.get(name, 0)
        shown = state if name in voters else "async"
        rows.append(
            ReplicationRow(name, "streaming", shown, flush_lsn=at, write_lsn=at, pid=number)
        )
        slots.append(Slot(name, active=True, active_pid=number, restart_lsn=at))
    server: Server = primary_server(
        replication=tuple(rows),
        slots=tuple(slots),
        sync_names=text,
        checkpointer_listens=True,
        timeline_history=cluster().history,
    )
    memory = Memory(
        wrote_on=3,
        status_at=s.now - 10.0,
        sync_names=text if rules.synchronous_mode != "off" else None,
        sync_names_since=s.now - 100.0,
        sync_names_lsn=LSN - 20 * RATE if rules.synchronous_mode != "off" else None,
        failsafe_members=dict(_urls(s)) if rules.failsafe_mode else {},
        failsafe_listed=dict(_urls(s)) if rules.failsafe_mode else {},
    )
    postgres = replace(
        s.postgres,
        server=Known(server, s.now),
        written_sync_names=text if rules.synchronous_mode != "off" else None,
    )
    return replace(s, postgres=postgres, memory=memory, lease=Lease(sent_at=s.now - 3.0))


def _urls(s: Snapshot) -> Mapping[str, str]:
    assert isinstance(s.cluster, Known)
    return s.cluster.value.failsafe or {}
