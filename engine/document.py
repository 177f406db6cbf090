"""The member document: what this node publishes about itself (reference 2.2), as plain values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine import views
from engine.facts.lease import i_own_the_lock
from engine.facts.postgres import crashed_as_primary, may_accept_writes, never_looked_at
from engine.state import DirectoryKind, JobKind, Snapshot, Tags

UNTAGGED = Tags()
_JOB_STATES = {
    JobKind.INITDB: "initializing new cluster",
    JobKind.CLONE: "creating replica",
    JobKind.START: "starting",
    JobKind.STOP: "stopping",
    JobKind.COPY_SLOTS: "restarting",
}
_FAILED_STATES = {
    JobKind.INITDB: "initdb failed",
    JobKind.START: "start failed",
    JobKind.STOP: "stop failed",
}


def state_text(s: Snapshot) -> str:
    """The PostgreSQL state in the words of the reference, section 1."""
    if s.job is not None and s.job.kind in _JOB_STATES:
        restarting = s.memory.restarting_since is not None
        return "restarting" if restarting else _JOB_STATES[s.job.kind]
    if views.server(s) is not None:
        return "running"
    if never_looked_at.holds(s):
        return "unknown"
    if s.postgres.postmaster is not None:
        return "starting" if s.postgres.starting else "running"
    last = s.last_job
    if last is not None and not last.ok and last.kind in _FAILED_STATES:
        return _FAILED_STATES[last.kind]
    if crashed_as_primary.holds(s):
        return "crashed"
    return "stopped"


def role_text(s: Snapshot) -> str:
    """The PostgreSQL role in the words of the reference, section 1."""
    here = views.server(s)
    if here is not None and not here.in_recovery:
        return "primary"
    if here is not None:
        leads = s.policy.standby_cluster is not None and i_own_the_lock.holds(s)
        return "standby_leader" if leads else "replica"
    if s.postgres.directory.kind is not DirectoryKind.VALID:
        return "uninitialized"
    leads = i_own_the_lock.holds(s) and s.policy.standby_cluster is None
    # What may be writable and gives no answer must keep others from leading.
    return "primary" if leads or may_accept_writes.holds(s) else "replica"


def _positions(s: Snapshot) -> dict[str, Any]:
    here = views.server(s)
    if here is None:
        return {}
    out: dict[str, Any] = {"xlog_location": views.position(here)}
    if here.in_recovery:
        out["receive_lsn"] = here.receive_lsn
        out["replay_lsn"] = here.replay_lsn
        out["replication_state"] = here.replication_state
    out["timeline"] = here.timeline
    return out if None not in out.values() else {k: v for k, v in out.items() if v is not None}


def tags_document(s: Snapshot) -> dict[str, Any]:
    """Our tags as published: false ones and defaults are left out."""
    tags = s.me.tags
    if s.memory.leaving_since is not None:
        tags = replace(tags, nosync=True)
    if tags == UNTAGGED:
        return {}
    out: dict[str, Any] = dict(tags.other)
    for name in ("nofailover", "noloadbalance", "nosync", "clonefrom", "nostream"):
        if getattr(tags, name):
            out[name] = True
    if tags.replicatefrom:
        out["replicatefrom"] = tags.replicatefrom
    for name in ("failover_priority", "sync_priority"):
        if getattr(tags, name) != 1:
            out[name] = getattr(tags, name)
    return out


def checkpoint_is_missing(s: Snapshot) -> bool:
    """A primary whose last checkpoint is from before its promotion: not to be rewound to yet."""
    here = views.server(s)
    if here is None or here.in_recovery or not here.timeline or not here.checkpoint_timeline:
        return False
    return here.checkpoint_timeline < here.timeline


def member_document(s: Snapshot) -> Mapping[str, Any]:
    """Everything but the addresses, which the shell knows as text and adds (`conn_url`, ...)."""
    here = views.server(s)
    out: dict[str, Any] = {"state": state_text(s), "role": role_text(s), "version": s.me.version}
    out.update(_positions(s))
    if tags := tags_document(s):
        out["tags"] = tags
    if here is not None and here.pending:
        out["pending_restart"] = True
        out["pending_restart_reason"] = {
            p.name: {"old_value": p.old_value, "new_value": p.new_value} for p in here.pending
        }
    scheduled = s.memory.scheduled_restart
    if scheduled is not None:
        out["scheduled_restart"] = {
            "schedule_epoch": scheduled.scheduled_epoch,
            "role": scheduled.role,
            "postgres_version": scheduled.below_version,
            "restart_pending": scheduled.pending_only or None,
        }
    if s.policy.pause:
        out["pause"] = True
    if checkpoint_is_missing(s):
        out["checkpoint_after_promote"] = False
    return out
