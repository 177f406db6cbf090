"""PostgreSQL runs and answers: what a primary does (`primary`), and what a standby (`standby`)."""

from engine import candidates, views, watchdog
from engine import synchronous as sync
from engine.actions import (
    AcquireLock,
    Action,
    CreateInitialize,
    CreateRoles,
    Hold,
    Promote,
    ReleaseLock,
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
    time_is_short,
)
from engine.facts.postgres import (
    a_job_runs,
    bootstrap_step_failed,
    initialize_is_missing,
    runs_as_primary,
    runs_as_standby,
    waits_to_retry,
)
from engine.facts.promotion import (
    promotion_is_announced,
    promotion_is_barred,
    promotion_is_under_way,
)
from engine.facts.race import (
    barred_from_the_race,
    has_diverged,
    leader_is_on_another_timeline,
    leader_told_its_timeline,
    timeline_is_behind,
    timeline_may_be_opened_twice,
    upstream_differs,
    upstream_is_known,
)
from engine.facts.standby_cluster import in_standby_cluster, leads_a_standby_cluster
from engine.facts.sync import (
    another_led_synchronously,
    promotion_names_are_in_force,
    sync_key_is_as_raced_on,
    sync_key_is_claimed,
    synchronous_mode_is_on,
)
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import (
    bootstrapping,
    daemon_is_stopping,
    handover_is_due,
    handover_is_requested,
    handover_is_to_me_at_once,
    paused,
    roles_are_created,
    standing_down,
)
from engine.quorum import Promise
from engine.rule import Rule, Table
from engine.state import Snapshot
from engine.tables import fence_loss
from engine.tables.handover import request_rules
from engine.tables.safety import arm, arm_ahead
from engine.tables.steps import ask_leader, follow, stop_diverged
from engine.tables.sync import write_key
from engine.tables.watchdog import activate_if_wanted

FALLBACK_PROMOTE_SECONDS = 300.0


def _finish_bootstrap(s: Snapshot) -> tuple[Action, ...]:
    here = views.server(s)
    assert here is not None
    return (
        WriteInitialize(here.system_identifier),
        WriteConfig(s.policy.dcs_config),
        *arm_ahead(s),
        AcquireLock(),
        Remember({"bootstrapping": False, "roles_created": False}),
    )


def _adopt(s: Snapshot) -> tuple[Action, ...]:
    here = views.server(s)
    assert here is not None
    return (CreateInitialize(here.system_identifier),)


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
            then=lambda _: (StopPostgres("immediate", "the bootstrap failed"),),
            why="A cluster without its roles can't be used.",
        ),
        Rule(
            "primary.create_roles",
            "The new cluster runs: create its roles",
            when=(bootstrapping, ~roles_are_created),
            then=lambda _: (CreateRoles(),),
            why="Replicas need the replication role before they can be cloned.",
        ),
        Rule(
            "primary.bootstrap_fence",
            "The new cluster is ready, but the fence that the configuration requires is missing",
            when=(bootstrapping, fence_is_missing),
            then=lambda s: (Hold(f"the fence: {s.fence.why}", s.now + views.ASK_AGAIN_SECONDS),),
            why="Without the fence a hung daemon could leave two primaries behind.",
        ),
        Rule(
            "primary.bootstrap_watchdog",
            "The new cluster is ready, but the watchdog that the configuration requires is not",
            when=(bootstrapping, watchdog_is_missing),
            then=lambda s: (
                Hold(f"the watchdog: {watchdog.trouble(s)}", s.now + views.ASK_AGAIN_SECONDS),
            ),
            why="Without it a machine that hangs as a whole could leave two primaries behind.",
        ),
        Rule(
            "primary.finish_bootstrap",
            "The new cluster is ready: publish its identity and configuration, take the lock",
            when=(bootstrapping, ~another_owns_the_lock),
            then=_finish_bootstrap,
            why="From here on the others may clone it.",
        ),
        Rule(
            "primary.adopt",
            "A running primary and no cluster in the store: make it this cluster",
            when=(initialize_is_missing,),
            then=_adopt,
            why="An existing server becomes the first member of its cluster, without a restart.",
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
            then=lambda _: (StopPostgres("immediate", "the cluster is on a newer timeline"),),
            why="Another primary has written since; leading again would lose its commits.",
            ends=True,
        ),
        Rule(
            "primary.not_synchronous",
            "The lock is free, but another member has led in synchronous mode since: stop at once",
            when=(lock_is_free, another_led_synchronously, ~paused),
            then=lambda _: (StopPostgres("immediate", "`sync` names another leader"),),
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
            then=lambda s: (StopPostgres("immediate", f"no watchdog: {watchdog.trouble(s)}"),),
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
            then=lambda s: (*arm_ahead(s), AcquireLock()),
            why="A running primary has every commit, so it need not ask anybody.",
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


def _promote(s: Snapshot) -> tuple[Action, ...]:
    timeout = s.policy.primary_start_timeout_seconds or FALLBACK_PROMOTE_SECONDS
    return (*arm(s), *activate_if_wanted(s), Promote(timeout))


def _claim(s: Snapshot) -> tuple[Action, ...]:
    return (Remember({"raced_on": sync.revision(s)}), *write_key(s, Promise()))


STANDBY = Table(
    "standby",
    "PostgreSQL runs as standby and the lock has an owner, or the store is silent: what now?",
    applies=(
        ~daemon_is_stopping,
        ~a_job_runs,
        runs_as_standby,
        ~lock_is_free,
        ~leads_a_standby_cluster,
    ),
    rules=(
        Rule(
            "standby.paused_promotion",
            "Maintenance mode, we own the lock, and a promotion is under way: wait for its end",
            when=(paused, i_own_the_lock, promotion_is_under_way, ~handover_is_to_me_at_once),
            then=lambda _: (Hold("the promotion to end, or an operator"),),
            why="The lock is given away only by a server that can't become writable.",
        ),
        Rule(
            "standby.paused_lock",
            "Maintenance mode, and we own the lock as a standby: release it",
            when=(paused, i_own_the_lock, ~handover_is_to_me_at_once),
            then=lambda _: (ReleaseLock(None, "a standby in maintenance mode"),),
            why="In pause the lock follows the primary that the operator runs.",
        ),
        Rule(
            "standby.promotion_barred",
            "A promotion is under way, and what it needs is missing: stop, then release the lock",
            when=(i_own_the_lock, promotion_is_under_way, promotion_is_barred),
            then=lambda _: (StopPostgres("fast", "the promotion may not go on"),),
            why="A promotion cannot be taken back: released now, the lock would let another member "
            "lead while this server still becomes writable.",
        ),
        Rule(
            "standby.no_fence",
            "We own the lock, but the fence that the configuration requires is missing: release it",
            when=(i_own_the_lock, fence_is_missing),
            then=lambda s: (ReleaseLock(None, f"no fence: {s.fence.why}"),),
            why="Without the fence a hung daemon could leave two primaries behind.",
        ),
        Rule(
            "standby.no_watchdog",
            "We own the lock, but the watchdog that the configuration requires can't be used",
            when=(i_own_the_lock, watchdog_is_missing),
            then=lambda s: (ReleaseLock(None, f"no watchdog: {watchdog.trouble(s)}"),),
            why="Without it a machine that hangs as a whole could leave two primaries behind.",
        ),
        Rule(
            "standby.promotion_failed",
            "We own the lock, but our promotion failed: stop, then release it",
            when=(i_own_the_lock, barred_from_the_race),
            then=lambda _: (StopPostgres("fast", "the promotion failed"),),
            why="A promotion cannot be taken back: released now, the lock would let another member "
            "lead while this server still becomes writable.",
        ),
        Rule(
            "standby.too_late",
            "We own the lock, but too little of the lease is left to promote",
            when=(i_own_the_lock, time_is_short),
            then=lambda s: (Hold("the lease to be renewed", s.now + 1.0),),
            why="A promotion is begun only with time to undo it before the lease ends.",
        ),
        Rule(
            "standby.sync_unseen",
            "We own the lock, but the store does not show what `sync` says: do not promote yet",
            when=(i_own_the_lock, synchronous_mode_is_on, ~store_answers),
            then=lambda s: (Hold("the store to answer", s.now + 1.0),),
            why="Another member may have changed the key, and have commits that we miss.",
        ),
        Rule(
            "standby.sync_changed",
            "We own the lock, but `sync` is no longer the one that we raced on: release the lock",
            when=(
                i_own_the_lock,
                synchronous_mode_is_on,
                ~sync_key_is_as_raced_on,
                ~sync_key_is_claimed,
            ),
            then=lambda _: (ReleaseLock(None, "`sync` has changed since our race"),),
            why="By what it says now another member may have the commits that we miss.",
        ),
        Rule(
            "standby.sync_names",
            "We own the lock, but our first commits would not wait for whom they should",
            when=(i_own_the_lock, synchronous_mode_is_on, ~promotion_names_are_in_force),
            then=lambda s: (Hold("synchronous_standby_names to be in force", s.now + 1.0),),
            why="PostgreSQL takes them over before the promotion, not after it.",
        ),
        Rule(
            "standby.sync_claim",
            "We own the lock: write ourselves into `sync` before the promotion",
            when=(i_own_the_lock, synchronous_mode_is_on, ~sync_key_is_claimed),
            then=_claim,
            why="If anybody has changed the key since our race this fails, and nobody is promoted.",
        ),
        Rule(
            "standby.promotion_begins",
            "We own the lock: remember that we are about to write",
            when=(i_own_the_lock, ~promotion_is_announced),
            then=lambda _: (Remember({"promotion_begun": True, "promoting": True}),),
            why="A daemon that takes over must know that this server becomes writable by itself; "
            "and should it crash then, nothing else tells that the timeline that it opened is not "
            "the one that the next leader opens under the same number.",
            ends=True,
        ),
        Rule(
            "standby.promote",
            "We own the lock: promote",
            when=(i_own_the_lock,),
            then=_promote,
            why="The owner of the lock is the only one that may be writable.",
        ),
        Rule(
            "standby.store_silent",
            "The store does not answer: go on as we are",
            when=(~store_answers,),
            then=lambda s: (Hold("the store to answer", s.now + 1.0),),
            why="A standby does no harm, and may go on serving reads.",
        ),
        Rule(
            "standby.no_address",
            "The leader has no member key: nobody to follow yet",
            when=(~upstream_is_known,),
            then=lambda _: (Hold("the leader's member key"),),
            why="The address of the leader is in its member key.",
        ),
        Rule(
            "standby.ask_same_timeline",
            "The leader may have opened the timeline that we wrote a second time: ask it first",
            when=(timeline_may_be_opened_twice, ~leader_told_its_timeline),
            then=ask_leader,
            why="Both may have opened a timeline of one number; PostgreSQL would not notice.",
        ),
        Rule(
            "standby.ask_leader",
            "The leader is on another timeline: ask for its history",
            when=(leader_is_on_another_timeline, ~leader_told_its_timeline),
            then=ask_leader,
            why="Only the history tells whether our WAL is a part of the leader's.",
        ),
        Rule(
            "standby.diverged_paused",
            "Maintenance mode: a diverged standby is only reported",
            when=(has_diverged, paused),
            then=lambda s: (
                Report("warning", f"diverged: {views.divergence(s)}"),
                Hold("the end of the maintenance mode"),
            ),
            why="In pause nothing happens by itself, and a diverged standby must not stream.",
        ),
        Rule(
            "standby.diverged",
            "Our WAL is not a part of the leader's: stop, so that it can be repaired",
            when=(has_diverged, ~waits_to_retry),
            then=lambda s: stop_diverged(s, "the leader"),
            why="A diverged standby would wait for ever, or serve what the cluster does not have.",
        ),
        Rule(
            "standby.follow",
            "Configured for another upstream: follow the right one",
            when=(upstream_differs,),
            then=follow,
            why="Everybody streams from the leader, or from the member that replicatefrom names.",
        ),
        Rule(
            "standby.follows",
            "A replica of the leader",
            when=(),
            then=lambda _: (Hold("a change"),),
            why="Nothing is asked of this standby but to follow.",
        ),
    ),
)
