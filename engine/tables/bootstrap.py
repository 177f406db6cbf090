"""PostgreSQL is down while its daemon founds the cluster: the first rules of the table `down`."""

from engine import views, watchdog
from engine.actions import Action, CreateInitialize, Hold
from engine.facts.failsafe import consented
from engine.facts.keys import a_lease_may_be_left
from engine.facts.lease import (
    fence_is_missing,
    i_own_the_lock,
    lock_is_free,
    store_answers,
    time_is_short,
)
from engine.facts.postgres import (
    bootstrap_step_failed,
    initialize_is_empty,
    initialize_is_missing,
    the_founding_is_ours,
    waits_to_retry,
)
from engine.facts.standby_cluster import bootstrap_is_a_copy
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import bootstrapping
from engine.rule import Rule
from engine.state import Snapshot
from engine.tables.steps import (
    WHY_WAIT_FOR_LEASES,
    acquire_lock,
    leave_bootstrap,
    release_if_ours,
    start_primary,
    start_standby,
    wait_for_leases,
)


def _wait_for_the_guard(s: Snapshot, guard: str, trouble: str) -> tuple[Action, ...]:
    """Wait for it, and keep nobody from leading meanwhile."""
    waits = Hold(f"the {guard}: {trouble}", s.now + views.ASK_AGAIN_SECONDS)
    return (*release_if_ours(s, f"no {guard}: {trouble}"), waits)


RULES = (
    Rule(
        "down.bootstrap_failed",
        "A step of the bootstrap failed: let others try",
        when=(bootstrap_step_failed,),
        then=leave_bootstrap,
        why="The half-made directory is set aside for inspection, never deleted.",
        ends=True,
    ),
    Rule(
        "down.bootstrap_retry",
        "The new cluster was whole, and a start of it has failed a moment ago: try again soon",
        when=(bootstrapping, waits_to_retry),
        then=lambda s: (Hold("the next try", s.memory.retry_at),),
        why="Its identity may be published already, whatever the store showed last: set aside, it "
        "would be a cluster that nobody has.",
    ),
    Rule(
        "down.bootstrap_standby",
        "The remote primary is copied: start as its standby",
        when=(bootstrapping, bootstrap_is_a_copy, store_answers),
        then=start_standby,
        why="As a primary it would be a second one of the remote cluster, on its timeline.",
    ),
    Rule(
        "down.bootstrap_copied",
        "The remote primary is copied, but the store does not answer: do not start yet",
        when=(bootstrapping, bootstrap_is_a_copy),
        then=lambda _: (Hold("the store to answer"),),
        why="Only the store tells whether another member has become the leader meanwhile.",
    ),
    Rule(
        "down.bootstrap_fence",
        "initdb is done, but the fence that the configuration requires is missing",
        when=(bootstrapping, fence_is_missing),
        then=lambda s: _wait_for_the_guard(s, "fence", s.fence.why),
        why="Without the fence a hung daemon could leave two primaries behind.",
    ),
    Rule(
        "down.bootstrap_watchdog",
        "initdb is done, but the watchdog that the configuration requires can't be used",
        when=(bootstrapping, watchdog_is_missing),
        then=lambda s: _wait_for_the_guard(s, "watchdog", watchdog.trouble(s)),
        why="Without it a machine that hangs as a whole could leave two primaries behind.",
    ),
    Rule(
        "down.bootstrap_keys_lost",
        "initdb is done, but the store has lost its keys since: take no lock yet",
        when=(bootstrapping, initialize_is_missing, a_lease_may_be_left),
        then=wait_for_leases,
        why=WHY_WAIT_FOR_LEASES,
    ),
    Rule(
        "down.bootstrap_rival",
        "initdb is done, but the store has lost its keys, and another member founds the cluster",
        when=(bootstrapping, lock_is_free, initialize_is_empty, ~the_founding_is_ours),
        then=lambda _: (Hold("the bootstrap by another member"),),
        why="That one takes the lock when its data is made, and this member clones it then.",
    ),
    Rule(
        "down.bootstrap_lock",
        "initdb is done: take the lock before the first start",
        when=(bootstrapping, lock_is_free, ~consented),
        then=lambda s: (acquire_lock(s),),
        why="Whoever has older data may lead as long as the cluster has no identity: only the lock "
        "keeps it from that, and its lease ends what this founder begins.",
    ),
    Rule(
        "down.bootstrap_anew",
        "The lock is ours, but the store has lost `initialize`: create it again, still empty",
        when=(bootstrapping, i_own_the_lock, initialize_is_missing),
        then=lambda _: (CreateInitialize(),),
        why="By it the others see that what this founder leads has no identity yet.",
    ),
    Rule(
        "down.bootstrap_no_time",
        "initdb is done and the lock is ours, but too little of the lease is left to start",
        when=(bootstrapping, i_own_the_lock, time_is_short),
        then=lambda s: (Hold("the lease to be renewed", s.now + views.ASK_AGAIN_SECONDS),),
        why="A primary is started only with time to stop it before the lease ends.",
    ),
    Rule(
        "down.bootstrap",
        "initdb is done and the lock is ours: start the new cluster's first primary",
        when=(bootstrapping, i_own_the_lock),
        then=start_primary,
        why="The owner of the lock is the only one that may be writable.",
    ),
    Rule(
        "down.bootstrap_unowned",
        "initdb is done, but it can't be told that the lock is ours: do not start",
        when=(bootstrapping,),
        then=lambda _: (Hold("the leader lock"),),
        why="Only the store tells whether another member has become the leader meanwhile.",
    ),
)
