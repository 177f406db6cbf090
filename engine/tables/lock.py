"""Keeping the leader lock: when the lease is renewed, taken up again, or given back."""

from engine import views
from engine.actions import ReleaseLock, Remember, RenewLock
from engine.facts.failsafe import consented
from engine.facts.lease import (
    i_own_the_lock,
    lease_outlasts_ttl,
    renewal_is_due,
    store_answers,
    store_is_busy,
    store_names_me,
)
from engine.facts.postgres import (
    identity_differs,
    identity_is_unreadable,
    may_accept_writes,
    runs_as_standby,
)
from engine.facts.standby_cluster import in_standby_cluster
from engine.facts.work import daemon_is_stopping
from engine.rule import Rule, Table, fact, nothing
from engine.state import Snapshot
from engine.tables.safety import arm_ahead


@fact(lambda s: f"promoting={s.memory.promoting}, standby_cluster={s.policy.standby_cluster}")
def lock_came_late(s: Snapshot) -> bool:
    """A lock of ours would be that of a standby that is not being promoted: nobody leads by it."""
    if in_standby_cluster.holds(s) or daemon_is_stopping.holds(s):
        return False
    return runs_as_standby.holds(s) and not may_accept_writes.holds(s)


LOCK = Table(
    "lock",
    "Must the lease be renewed?",
    applies=(),
    rules=(
        Rule(
            "lock.store_busy",
            "An earlier request to the store has not ended",
            when=(store_is_busy,),
            then=nothing,
            why="Requests to the store go one after another, so that their order is certain.",
        ),
        Rule(
            "lock.leaving",
            "The daemon was told to end and the store does not answer: renew no more",
            when=(daemon_is_stopping, ~store_answers),
            then=nothing,
            why="A request that fails would hold up the stop of PostgreSQL and the end.",
        ),
        Rule(
            "lock.foreign",
            "The cluster is another one than our data's: let the lease end",
            when=(identity_differs, ~identity_is_unreadable),
            then=nothing,
            why="This daemon ends.  Renewed whenever it is started again, the lease would shut out "
            "whoever has the cluster's data.",
        ),
        Rule(
            "lock.shorten",
            "`ttl` was lowered: count on no more than that before the lease is renewed by it",
            when=(i_own_the_lock, renewal_is_due, lease_outlasts_ttl),
            then=lambda s: (
                Remember(
                    {
                        "shortened_lease": s.lease.sent_at,
                        "shortened_until": s.now + s.policy.ttl_seconds,
                    }
                ),
            ),
            why="The store may shorten the lease and the answer be lost, or this daemon die; what "
            "was longer before must not keep the server, or its fence, waiting then.",
        ),
        Rule(
            "lock.renew",
            "We own the lock and a loop has passed: renew the lease",
            when=(i_own_the_lock, renewal_is_due),
            then=lambda s: (RenewLock(begin_before=views.lease_ends(s)),),
            why="A lease that is renewed every loop survives two slow or lost answers.",
        ),
        Rule(
            "lock.late",
            "The lock came after we had given up asking, or before a restart: race again",
            when=(store_names_me, ~i_own_the_lock, lock_came_late),
            then=lambda _: (ReleaseLock(None, "it came too late for the race that asked for it"),),
            why="Whoever had the most WAL in that race may not have it now: another may have led, "
            "and handed over, before the store carried the request out.",
        ),
        Rule(
            "lock.resume",
            "The store still names us, from before this daemon started or lost touch: renew",
            when=(store_names_me, ~i_own_the_lock, ~consented),
            then=lambda s: (*arm_ahead(s), RenewLock(create=False)),
            why="A restarted daemon takes its lease up again instead of causing a failover. A key "
            "that is gone is not created: another may have led since, so there must be a race.",
        ),
        Rule(
            "lock.nothing",
            "No lease to renew now",
            when=(),
            then=nothing,
            why="Either the lock is not ours, or it was renewed a moment ago.",
        ),
    ),
)
