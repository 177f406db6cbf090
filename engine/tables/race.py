"""The lock is free: which standby may take it."""

from engine import asking, views, watchdog
from engine import synchronous as sync
from engine.actions import AcquireLock, Action, AskPeers, Hold, Remember, StopPostgres
from engine.facts.failsafe import (
    a_listed_member_may_go_on,
    consent_is_asked,
    consented,
    former_word_over_at,
    not_listed_for_failsafe,
    started_lately,
)
from engine.facts.following import needs_new_copy
from engine.facts.keys import a_lease_may_be_left
from engine.facts.lease import fence_is_missing, lock_is_free, store_is_busy
from engine.facts.postgres import (
    a_job_runs,
    begins_as_primary,
    initialize_is_missing,
    runs_as_standby,
)
from engine.facts.race import (
    a_peer_has_not_looked,
    a_peer_is_ahead,
    a_peer_is_preferred,
    a_peer_is_writable,
    barred_from_the_race,
    lags_too_far,
    lock_is_free_for_ttl,
    lock_was_free_before,
    may_miss_synchronous_commits,
    own_position_is_fresh,
    peers_were_asked,
    somebody_else_can_lead,
    tagged_nofailover,
    the_named_candidate_can_lead,
    the_named_candidate_had_its_time,
    the_old_primary_sent_a_moment_ago,
    the_old_primary_still_sends,
    timeline_is_behind,
    timeline_is_checked,
)
from engine.facts.standby_cluster import in_standby_cluster
from engine.facts.sync import (
    i_led_synchronously,
    named_candidate_gets_votes,
    promotion_names_are_in_force,
    synchronous_mode_is_on,
    too_few_votes,
)
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import (
    daemon_is_stopping,
    failover_by_hand_is_to_me,
    handover_is_due,
    handover_is_from_me,
    handover_is_to_another,
    handover_is_to_me,
    handover_is_to_me_at_once,
    paused,
)
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot
from engine.tables.safety import arm_ahead
from engine.tables.steps import (
    ONLY_A_NEW_COPY_HELPS,
    WHY_WAIT_FOR_LEASES,
    acquire_lock,
    wait_for_leases,
)


def _soon(s: Snapshot, waiting_for: str) -> tuple[Action, ...]:
    return (Hold(waiting_for, s.now + views.ASK_AGAIN_SECONDS),)


def _ask(s: Snapshot) -> tuple[Action, ...]:
    return (
        AskPeers(asking.peers_in_a_race(s), asking.PEER_TIMEOUT_SECONDS),
        Hold("the peers' answers", s.now + views.ASK_AGAIN_SECONDS),
    )


def _acquire(s: Snapshot) -> tuple[Action, ...]:
    view = views.cluster(s)
    assert view is not None
    acquire = AcquireLock(asking.race_ends_at(s), view.initialize)
    return (Remember({"raced_on": sync.revision(s)}), acquire) if sync.is_on(s) else (acquire,)


RACE = Table(
    "race",
    "The lock is free: may this standby take it?",
    applies=(~daemon_is_stopping, ~a_job_runs, runs_as_standby, lock_is_free),
    rules=(
        Rule(
            "race.founding",
            "The backup that a cluster is founded with is being recovered: take the lock",
            when=(begins_as_primary, ~consented, ~fence_is_missing, ~watchdog_is_missing),
            then=lambda s: (*arm_ahead(s), acquire_lock(s)),
            why="It becomes a primary by itself, and must not without the lock.",
        ),
        Rule(
            "race.unknown",
            "The store does not know the cluster: no race",
            when=(initialize_is_missing, ~paused),
            then=nothing,
            why="A race without its keys could not know whether a primary still runs; the table "
            "`orphan` says what this standby waits for.",
        ),
        Rule(
            "race.begin",
            "The lock has become free: remember when, and ask everybody at once",
            when=(~lock_was_free_before,),
            then=lambda s: (Remember({"lock_free_since": s.now}), *_ask(s)),
            why="Positions count only if they were seen after the old primary lost the lock.",
        ),
        Rule(
            "race.paused",
            "Maintenance mode: only the named candidate of a failover may lead",
            when=(paused, ~handover_is_to_me_at_once),
            then=lambda _: (Hold("the end of the maintenance mode, or a failover by hand"),),
            why="In pause nothing happens by itself.",
        ),
        Rule(
            "race.needs_new_copy",
            "This data was found to be no part of the cluster: stop, since others compare with it",
            when=(needs_new_copy, ~failover_by_hand_is_to_me),
            then=lambda _: (
                StopPostgres("fast", "found to be no part of the cluster"),
                Hold(ONLY_A_NEW_COPY_HELPS),
            ),
            why="Its WAL has the numbers of the lost leader's and other bytes: who has less of it "
            "would wait for this server, and what that leader acknowledged would be gone.",
        ),
        Rule(
            "race.nofailover",
            "Our tags forbid that we lead",
            when=(tagged_nofailover,),
            then=lambda _: (Hold("another member to lead: tagged nofailover"),),
            why="The operator chose that this member never leads.",
        ),
        Rule(
            "race.barred",
            "A promotion failed here a moment ago",
            when=(barred_from_the_race,),
            then=lambda s: (Hold("another member to lead", s.memory.race_barred_until),),
            why="Another member should get the chance that this one could not use.",
        ),
        Rule(
            "race.keys_lost",
            "The store lost the cluster's keys less than ttl ago, and a new one is being founded",
            when=(a_lease_may_be_left,),
            then=wait_for_leases,
            why=WHY_WAIT_FOR_LEASES,
        ),
        Rule(
            "race.consented",
            "We agreed that a primary without the store goes on: do not race",
            when=(consented,),
            then=lambda s: (Hold("the end of our consent", s.memory.consented_until),),
            why="That primary counts on our word for one ttl, even if we reach the store.",
        ),
        Rule(
            "race.asked",
            "A primary without the store asks, in this very cycle, that we let it go on",
            when=(consent_is_asked,),
            then=lambda s: _soon(s, "the primary to be told whether it may go on"),
            why="Whoever agrees and takes the lock in one breath makes two primaries.",
        ),
        Rule(
            "race.not_listed",
            "The `failsafe` key does not name us",
            when=(not_listed_for_failsafe,),
            then=lambda _: (Hold("a member that `failsafe` names to lead"),),
            why="A primary without the store asks only those that it names: it may still run.",
        ),
        Rule(
            "race.no_fence",
            "The fence that the configuration requires is missing",
            when=(fence_is_missing, ~in_standby_cluster),
            then=lambda s: _soon(s, f"the fence: {s.fence.why}"),
            why="Without the fence a hung daemon could leave two primaries behind.",
        ),
        Rule(
            "race.no_watchdog",
            "The watchdog that the configuration requires can't be used",
            when=(watchdog_is_missing, ~in_standby_cluster),
            then=lambda s: _soon(s, f"the watchdog: {watchdog.trouble(s)}"),
            why="Without it a machine that hangs as a whole could leave two primaries behind.",
        ),
        Rule(
            "race.not_synchronous",
            "Synchronous mode is on and we may miss acknowledged commits",
            when=(may_miss_synchronous_commits, ~failover_by_hand_is_to_me),
            then=lambda _: (Hold("a synchronous standby to lead"),),
            why="Only the members that `sync` names have every acknowledged commit.",
        ),
        Rule(
            "race.sync_names",
            "Synchronous mode is on and this standby is not yet configured for its promotion",
            when=(synchronous_mode_is_on, ~promotion_names_are_in_force),
            then=lambda s: _soon(s, "synchronous_standby_names to be in force"),
            why="Its first commits must already wait for whom they should.",
        ),
        Rule(
            "race.store_busy",
            "An earlier request to the store has not ended",
            when=(store_is_busy,),
            then=lambda s: _soon(s, "the store"),
            why="Requests to the store go one after another.",
        ),
        Rule(
            "race.ask",
            "Ask everybody for role and position",
            when=(~peers_were_asked,),
            then=_ask,
            why="Only the member with the most WAL may lead.",
        ),
        Rule(
            "race.look",
            "Our own position is from before the lock became free: look again",
            when=(~own_position_is_fresh,),
            then=lambda s: (Hold("our own position", s.now + views.LOOK_AGAIN_SECONDS),),
            why="A comparison with an old position of ours could let the wrong member win.",
        ),
        Rule(
            "race.peer_writable",
            "A reachable member still runs as primary",
            when=(a_peer_is_writable,),
            then=lambda s: _soon(s, "the old primary to stop or to take the lock"),
            why="Two primaries would diverge.",
        ),
        Rule(
            "race.peer_unseen",
            "A member's daemon has started, and has not looked at its PostgreSQL: wait one ttl",
            when=(a_peer_has_not_looked, ~lock_is_free_for_ttl),
            then=lambda s: _soon(s, "a member's daemon to look at its PostgreSQL"),
            why="It may be a primary that was left running without a daemon in maintenance mode: "
            "nothing ends it before that daemon has seen it.",
        ),
        Rule(
            "race.just_started",
            "This daemon is young, and a member that `failsafe` names may go on: wait one ttl",
            when=(started_lately, a_listed_member_may_go_on),
            then=lambda s: (
                Hold("the end of what a former daemon agreed to", former_word_over_at(s)),
            ),
            why="The daemon before this one may have let that member go on without the store; it "
            "does not see there that an operator has turned failsafe mode off since.",
        ),
        Rule(
            "race.no_quorum",
            "Synchronous mode is on and too few voters were seen not ahead of us",
            when=(too_few_votes, ~failover_by_hand_is_to_me),
            then=lambda s: _soon(s, "more of the voters to answer, or to lead"),
            why="An acknowledged commit is on some of the voters; only whoever has seen enough of "
            "them is sure to have it.",
        ),
        Rule(
            "race.named",
            "A failover by hand names us: take the lock",
            when=(handover_is_to_me, handover_is_due),
            then=_acquire,
            why="The operator chose this member, with its lag.",
        ),
        Rule(
            "race.give_way_to_named",
            "A failover by hand names another member that can lead: give way",
            when=(
                handover_is_to_another,
                handover_is_due,
                the_named_candidate_can_lead,
                named_candidate_gets_votes,
                ~the_named_candidate_had_its_time,
            ),
            then=lambda s: _soon(s, "the named candidate to take the lock"),
            why="The operator chose that member.  A scheduled switchover counts for one ttl: a "
            "candidate whose clock is slow waits for who has more WAL, and both would wait long.",
        ),
        Rule(
            "race.give_way_after_handover",
            "We were asked to hand over, and somebody can lead: give way",
            when=(handover_is_from_me, handover_is_due, somebody_else_can_lead),
            then=lambda s: _soon(s, "another member to take the lock"),
            why="The former leader takes the lock back only if nobody else can; who has less WAL "
            "waits for it, so it must not wait for them.",
        ),
        Rule(
            "race.lagging",
            "We are too far behind the last known position",
            when=(lags_too_far,),
            then=lambda s: _soon(s, "a member within maximum_lag_on_failover"),
            why="maximum_lag_on_failover bounds what a failover may lose.  The leader that `sync` "
            "names is not held back: it has all that was acknowledged, and where it has just "
            "claimed the key, nobody else may lead.",
        ),
        Rule(
            "race.old_timeline",
            "We are on an older timeline than the cluster",
            when=(
                timeline_is_checked,
                timeline_is_behind,
                ~i_led_synchronously,
                ~in_standby_cluster,
            ),
            then=lambda s: _soon(s, "a member on the cluster's timeline"),
            why="check_timeline is on: commits of the newer timeline would be lost.  The leader "
            "that `sync` names, whom a failover by hand may have chosen, is not held back here "
            "either.",
        ),
        Rule(
            "race.peer_ahead",
            "A member has more WAL",
            when=(a_peer_is_ahead,),
            then=lambda s: _soon(s, "the member that is ahead to take the lock"),
            why="The member with the most WAL loses least.",
        ),
        Rule(
            "race.peer_preferred",
            "A member at the same position has a higher failover_priority",
            when=(a_peer_is_preferred,),
            then=lambda s: _soon(s, "the preferred member to take the lock"),
            why="The operator chose the order.",
        ),
        Rule(
            "race.old_primary_sends",
            "The old primary still sends WAL: remember how far, and give it time",
            when=(the_old_primary_still_sends,),
            then=lambda s: (
                Remember(
                    {"race_position": views.position(views.server(s)), "race_moved_at": s.now}
                ),
                Hold("the old primary to renew its lock", s.now + views.ASK_AGAIN_SECONDS),
            ),
            why="A frozen daemon, or a lost session, is no dead primary (primary_race_backoff).",
        ),
        Rule(
            "race.old_primary_sent",
            "The old primary sent WAL a moment ago: see whether it goes on",
            when=(the_old_primary_sent_a_moment_ago,),
            then=lambda s: (
                Hold(
                    "the old primary to renew its lock",
                    s.memory.race_moved_at + views.ASK_AGAIN_SECONDS,
                ),
            ),
            why="Only a stream that has come to rest says that nobody writes any more.",
        ),
        Rule(
            "race.acquire",
            "Nobody is ahead: take the lock",
            when=(),
            then=_acquire,
            why="The leader key is created only if it is absent, so exactly one member wins.",
        ),
    ),
)
