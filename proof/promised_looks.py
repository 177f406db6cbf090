"""What holds while a server was not looked at yet: one's own, or that of another member.

A part of the promises (`proof/promises.py`); they read the snapshot by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.actions import AcquireLock, Action, ArmFence, PublishMember, RenewLock
from engine.state import Known, Snapshot
from proof import checker
from proof.about import about


def _is_unseen(s: Snapshot) -> bool:
    return s.postgres.outdated and s.last_job is None


@about(AcquireLock)
def a_standby_does_not_race_before_others_have_looked(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """No standby takes a lock that is free for less than ttl beside a daemon that has not looked.

    Who founds a cluster asks nobody: what it has was there nowhere before.
    """
    if s.memory.bootstrapping or checker.runs_as_primary(s):
        return
    since = s.memory.lock_free_since
    waited = since is not None and s.now - since >= s.policy.ttl_seconds
    if checker.of(AcquireLock, actions) and not waited:
        said = [a for a in checker.answers(s) if a.reachable and not a.stale]
        assert not [a for a in said if (a.state, a.role) == ("unknown", "uninitialized")]


@about(PublishMember)
def a_member_key_is_left_until_the_first_look(s: Snapshot, actions: Sequence[Action]) -> None:
    """Before its first look a daemon publishes its member only where the store shows no key."""
    if checker.of(PublishMember, actions) and _is_unseen(s):
        assert isinstance(s.cluster, Known)
        assert s.cluster.value.member(s.me.name) is None


@about(RenewLock)
def an_unseen_server_is_guarded_before_its_lease_is_taken_up(
    s: Snapshot, actions: Sequence[Action]
) -> None:
    """Before the first look ArmFence comes before a lease is taken up, if no deadline stands."""
    asks = [n for n, x in enumerate(actions) if isinstance(x, RenewLock) and not x.create]
    stands = s.fence.kill_at is not None
    if asks and _is_unseen(s) and s.fence.ready and not s.policy.pause and not stands:
        assert any(isinstance(x, ArmFence) for x in actions[: asks[0]])


LOOK_PROMISES = (
    a_standby_does_not_race_before_others_have_looked,
    a_member_key_is_left_until_the_first_look,
    an_unseen_server_is_guarded_before_its_lease_is_taken_up,
)
