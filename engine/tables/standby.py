"""What a standby does while the lock has an owner, or the store is silent."""

from engine import synchronous as sync
from engine import watchdog
from engine.actions import (
    Action,
    Follow,
    Hold,
    Promote,
    ReleaseLock,
    Remember,
    StopPostgres,
)
from engine.facts.following import (
    has_diverged,
    leader_is_on_another_timeline,
    leader_told_its_timeline,
    may_come_to_follow_unasked,
    timeline_may_be_opened_twice,
    upstream_differs,
    upstream_is_known,
)
from engine.facts.lease import (
    fence_is_missing,
    i_own_the_lock,
    lock_is_free,
    store_answers,
    time_is_short,
)
from engine.facts.postgres import (
    a_job_runs,
    begins_as_primary,
    leader_is_unnamed,
    receives_wal,
    runs_as_standby,
    waits_to_retry,
)
from engine.facts.promotion import (
    promotion_is_announced,
    promotion_is_barred,
    promotion_is_under_way,
)
from engine.facts.race import barred_from_the_race
from engine.facts.standby_cluster import leads_a_standby_cluster
from engine.facts.stream import connection_is_unproven, stream_is_missing
from engine.facts.sync import (
    promotion_names_are_in_force,
    sync_key_is_as_raced_on,
    sync_key_is_claimed,
    synchronous_mode_is_on,
)
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import (
    daemon_is_stopping,
    handover_is_to_me_at_once,
    paused,
)
from engine.quorum import Promise
from engine.rule import Rule, Table
from engine.state import Snapshot
from engine.tables.cut_off import cut_off_rules
from engine.tables.safety import arm
from engine.tables.steps import ask_leader, follow, report_diverged, stop_diverged
from engine.tables.sync import write_key
from engine.tables.watchdog import activate_if_wanted

FALLBACK_PROMOTE_SECONDS = 300.0


def _promote(s: Snapshot) -> tuple[Action, ...]:
    timeout = s.policy.primary_start_timeout_seconds or FALLBACK_PROMOTE_SECONDS
    return (*arm(s), *activate_if_wanted(s), Promote(timeout))


def _promotion_begins(s: Snapshot) -> tuple[Action, ...]:
    begun = s.memory.promotions_begun + 1
    return (Remember({"promotions_begun": begun, "promoting": True}),)


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
            "standby.founding",
            "The backup that a cluster is founded with is being recovered: wait for its end",
            when=(i_own_the_lock, begins_as_primary),
            then=lambda s: (Hold("the recovery to reach its target", s.now + 1.0),),
            why="It becomes a primary by itself; promoted, it would lack what is still to come.",
        ),
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
            then=_promotion_begins,
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
        *cut_off_rules("standby", "Nothing comes from our upstream", (~receives_wal,)),
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
            "standby.unfollow",
            "Nothing comes from the configured upstream, and the leader is unasked: follow nobody",
            when=(may_come_to_follow_unasked, ~leader_told_its_timeline),
            then=lambda s: (Follow(None), *ask_leader(s)),
            why="PostgreSQL would go on to try, and stream from a server that has come back with "
            "other WAL on a timeline of our number.",
        ),
        Rule(
            "standby.unnamed",
            "Another member leads a cluster that has no identity yet: go on as we are",
            when=(leader_is_unnamed,),
            then=lambda _: (Hold("the leader to publish the cluster's identity"),),
            why="It may be founding another cluster than that of our data.",
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
            "standby.ask_before_following",
            "Configured for another upstream: ask the leader before we follow anybody",
            when=(upstream_differs, ~leader_told_its_timeline),
            then=ask_leader,
            why="PostgreSQL connects by numbers alone; where a lost leader opened the timeline of "
            "that number too, only the WAL itself tells.",
        ),
        Rule(
            "standby.ask_without_stream",
            "The leader leads, and nothing comes from whom we follow: ask the leader",
            when=(stream_is_missing, ~leader_told_its_timeline),
            then=ask_leader,
            why="It may have other WAL than ours under the same numbers, since its server was lost "
            "and replaced; PostgreSQL would try again and again.",
        ),
        Rule(
            "standby.ask_new_connection",
            "We stream by a connection that the leader was not asked about: ask it, once",
            when=(connection_is_unproven,),
            then=ask_leader,
            why="While this daemon did not look, the upstream may have been replaced by another "
            "server, under its address, with other WAL on a timeline of our number.",
        ),
        Rule(
            "standby.diverged_paused",
            "Maintenance mode: a diverged standby is only reported",
            when=(has_diverged, paused),
            then=report_diverged,
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
            when=(upstream_differs, ~has_diverged),
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
