"""What a primary does: PostgreSQL runs as primary and answers."""

from engine import candidates, views, watchdog
from engine import synchronous as sync
from engine.actions import (
    Action,
    CreateInitialize,
    CreateRoles,
    DeleteSync,
    Hold,
    Remember,
    Report,
    StopPostgres,
    WriteConfig,
    WriteInitialize,
)
from engine.facts.failsafe import consented
from engine.facts.lease import (
    another_owns_the_lock,
    fence_is_missing,
    i_own_the_lock,
    lock_is_free,
    store_answers,
    store_names_me,
)
from engine.facts.postgres import (
    a_job_runs,
    bootstrap_step_failed,
    initialize_is_empty,
    initialize_is_missing,
    runs_as_primary,
)
from engine.facts.race import timeline_is_behind
from engine.facts.standby_cluster import in_standby_cluster
from engine.facts.sync import (
    another_led_synchronously,
)
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import (
    bootstrapping,
    daemon_is_stopping,
    handover_is_due,
    handover_is_requested,
    paused,
    roles_are_created,
    standing_down,
)
from engine.rule import Rule, Table
from engine.state import Snapshot
from engine.tables import fence_loss
from engine.tables.handover import VOTE_RULES, request_rules
from engine.tables.safety import arm_ahead, stop_at_once
from engine.tables.steps import acquire_lock


def _finish_bootstrap(s: Snapshot) -> tuple[Action, ...]:
    """Publish it; a `sync` key that is there is about the commits of a cluster before this one."""
    here, promised = views.server(s), sync.revision(s)
    assert here is not None
    return (
        *([DeleteSync(promised)] if promised else []),
        WriteInitialize(here.system_identifier),
        WriteConfig(s.policy.dcs_config),
        Remember({"bootstrapping": False, "roles_created": False}),
    )


def _acquire(s: Snapshot) -> tuple[Action, ...]:
    # Whoever had the lock meanwhile may have written `sync`, without having got an answer yet.
    uncertain = () if s.memory.sync_asked is None else (Remember({"sync_asked": None}),)
    return (*arm_ahead(s), *uncertain, acquire_lock(s))


def _adopt(s: Snapshot) -> tuple[Action, ...]:
    here, view = views.server(s), views.cluster(s)
    assert here is not None
    assert view is not None
    return (CreateInitialize(here.system_identifier, leader_revision=view.leader_revision),)


def _complete(s: Snapshot) -> tuple[Action, ...]:
    here = views.server(s)
    assert here is not None
    return (WriteInitialize(here.system_identifier),)


def _stand_down(s: Snapshot) -> tuple[Action, ...]:
    names = ", ".join(a.name for a in candidates.wanted(s))
    return (
        Report("info", f"handing over to {names}"),
        Remember({"standing_down_since": s.now, "bring_back": True}),
        StopPostgres("fast", f"hand-over to {names}", checkpoint_first=True),
    )


PRIMARY = Table(
    "primary",
    "PostgreSQL runs as primary: what now?",
    applies=(~daemon_is_stopping, ~a_job_runs, runs_as_primary),
    rules=(
        Rule(
            "primary.bootstrap_failed",
            "A step of the bootstrap failed: stop, then set the directory aside",
            when=(bootstrap_step_failed,),
            then=lambda s: stop_at_once(s, "the bootstrap failed"),
            why="A cluster without its roles can't be used.",
        ),
        Rule(
            "primary.bootstrap_anew",
            "The new cluster runs, but the store has lost `initialize`: create it again, empty",
            when=(bootstrapping, i_own_the_lock, initialize_is_missing),
            then=lambda _: (CreateInitialize(),),
            why="By it the others see that what this founder leads has no identity yet.",
        ),
        Rule(
            "primary.create_roles",
            "The new cluster runs: create its roles",
            when=(bootstrapping, i_own_the_lock, ~roles_are_created),
            then=lambda _: (CreateRoles(),),
            why="Replicas need the replication role before they can be cloned.",
        ),
        Rule(
            "primary.finish_bootstrap",
            "The new cluster is ready: publish its identity and configuration",
            when=(bootstrapping, i_own_the_lock),
            then=_finish_bootstrap,
            why="From here on it is a cluster like any other, which clients may be led to, and the "
            "others clone.",
        ),
        Rule(
            "primary.bootstrap_unproven",
            "The new cluster runs, and its daemon takes the lease up again: wait for that",
            when=(bootstrapping, store_names_me),
            then=lambda s: (Hold("the lease to be renewed", s.now + views.ASK_AGAIN_SECONDS),),
            why="What is done for the new cluster is done while nobody else may lead.",
        ),
        Rule(
            "primary.demote",
            "The cluster has become a standby cluster: checkpoint, then stop",
            when=(in_standby_cluster, ~paused),
            then=lambda _: (
                StopPostgres(
                    "fast", "the cluster becomes a standby cluster", True, archive_last=True
                ),
            ),
            why="In a standby cluster nobody is writable; after a clean stop this node follows the "
            "remote primary, without a rewind if that one has everything.",
            ends=True,
        ),
        Rule(
            "primary.behind",
            "The lock is free, but the cluster has moved on to a newer timeline: stop at once",
            when=(lock_is_free, timeline_is_behind, ~paused),
            then=lambda s: stop_at_once(s, "the cluster is on a newer timeline"),
            why="Another primary has written since; leading again would lose its commits.",
            ends=True,
        ),
        Rule(
            "primary.not_synchronous",
            "The lock is free, but another member has led in synchronous mode since: stop at once",
            when=(lock_is_free, another_led_synchronously, ~paused),
            then=lambda s: stop_at_once(s, "`sync` names another leader"),
            why="Commits that the other one acknowledged would be lost.",
            ends=True,
        ),
        Rule(
            "primary.no_fence",
            "The lock is free, but the fence that the configuration requires is missing: stop",
            when=(lock_is_free, fence_is_missing, ~paused),
            then=lambda s: (StopPostgres("fast", f"no fence: {s.fence.why}"),),
            why="Without the fence a hung daemon could leave two primaries behind.",
            ends=True,
        ),
        Rule(
            "primary.no_watchdog",
            "The watchdog that the configuration requires can't be used: stop at once",
            when=(watchdog_is_missing, ~paused),
            then=lambda s: stop_at_once(s, f"no watchdog: {watchdog.trouble(s)}"),
            why="Without it a machine that hangs as a whole could leave two primaries behind.",
            ends=True,
        ),
        Rule(
            "primary.promised",
            "Maintenance mode, and we agreed that a primary without the store goes on: wait",
            when=(lock_is_free, consented),
            then=lambda s: (Hold("the end of our consent", s.memory.consented_until),),
            why="That primary counts on our word for one ttl.",
        ),
        Rule(
            "primary.acquire",
            "The lock is free and PostgreSQL is writable: take the lock",
            when=(lock_is_free,),
            then=_acquire,
            why="A running primary has every commit, so it need not ask anybody.",
        ),
        Rule(
            "primary.adopt",
            "The leader, and no cluster in the store: make this primary the cluster",
            when=(store_names_me, initialize_is_missing),
            then=_adopt,
            why="An existing server becomes the first member of its cluster, without a restart. "
            "Only while the lock is ours in the store: whoever sees a cluster that nobody leads "
            "may race.",
        ),
        Rule(
            "primary.complete",
            "The leader, while `initialize` is still empty: write our identity",
            when=(store_names_me, initialize_is_empty),
            then=_complete,
            why="Whoever began to found a cluster beside us must learn which one there is; nobody "
            "else ends that.",
        ),
        Rule(
            "primary.second",
            "Maintenance mode, and another member owns the lock: only a warning",
            when=(another_owns_the_lock, paused),
            then=lambda s: (
                Report("warning", f"PostgreSQL runs as primary while {views.leader_name(s)} leads"),
                Hold("the operator"),
            ),
            why="In pause nothing happens by itself; at its end this node is stopped.",
        ),
        Rule(
            "primary.store_silent",
            "The store does not answer: the lease decides how long this may last",
            when=(~store_answers,),
            then=lambda s: (Hold("the store to answer", s.now + 1.0),),
            why="The table `write` stops PostgreSQL before the lease ends.",
        ),
        *request_rules("primary", i_own_the_lock),
        *VOTE_RULES,
        Rule(
            "primary.handover",
            "A hand-over is due and a candidate is fit: checkpoint, then stop",
            when=(i_own_the_lock, handover_is_due),
            then=_stand_down,
            why="After a clean stop the candidate has everything and no rewind is needed.",
        ),
        Rule(
            "primary.handover_over",
            "We stood down, took the lead again, and the request is gone",
            when=(i_own_the_lock, standing_down, ~handover_is_requested),
            then=lambda _: (Remember({"standing_down_since": None}),),
            why="The next hand-over begins anew.",
        ),
        *fence_loss.RULES,
        Rule(
            "primary.leads",
            "The leader, with the lock",
            when=(),
            then=lambda _: (Hold("a change"),),
            why="Nothing is asked of this primary but to serve.",
        ),
    ),
)
