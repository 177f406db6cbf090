"""The mistakes: what somebody could get wrong in the engine, and what would come of it.

Belongs here: one entry for each, with the way to make it and those that must catch it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine import agreement, asking, lineage, quorum, views
from engine.actions import ReleaseLock
from engine.facts import race, sync
from engine.facts.postgres import a_job_runs
from engine.state import Known, Snapshot
from engine.tables import primary
from tests.gallery import breaking, catching
from tests.gallery.mistake import Mistake
from tests.gallery.small_worlds import (
    COMINGS,
    FAILOVER,
    PROMOTION_FAILS,
    QUORUM_COMINGS,
    STORE_SILENT,
    TOLD_TO_END,
    UNGUARDED,
)


def _late(seconds: float) -> Any:
    def wrong(right: Any) -> Any:
        def certain_until(*seen: Any) -> float | None:
            until: float | None = right(*seen)
            return None if until is None else until + seconds

        return certain_until

    return wrong


def _silence_is_a_vote(s: Snapshot) -> int:
    heard = tuple(
        a if a.reachable else replace(a, reachable=True, lsn=0, timeline=1) for a in s.peers
    )
    return _VOTES(replace(s, peers=heard))


_VOTES = sync.votes


def _only_newer_timelines_diverge(right: Any) -> Any:
    def divergence(s: Snapshot) -> str:
        told, end = lineage.told_timeline(s), lineage.my_end(s)
        if told is None or end is None or end[0] <= told.timeline:
            return ""
        return str(right(s))

    return divergence


def _anybody_agreed(right: Any) -> Any:
    def agreed_until(s: Snapshot) -> float | None:
        agreed = [a.asked_at + a.ttl_seconds for a in s.failsafe_answers if a.agreed]
        return max(agreed) if agreed and s.memory.failsafe_members else right(s)

    return agreed_until


def _from_now_on(right: Any) -> Any:
    def agreed_until(s: Snapshot) -> float | None:
        until = right(s)
        return None if until is None else s.now + agreement.promise_seconds(s)

    return agreed_until


def _whatever_is_seen(s: Snapshot) -> bool:
    return isinstance(s.cluster, Known) and s.cluster.value.leader is None


def _silent_is_standby(s: Snapshot) -> bool:
    here = views.server(s)
    return here is not None and s.postgres.postmaster is not None and not here.in_recovery


def _less_is_enough(_: Any) -> Any:
    def keeps(names: quorum.Names, promise: quorum.Promise) -> bool:
        both = promise.voters | names.members
        return not promise.voters or len(both) <= promise.quorum + names.needed + 1

    return keeps


DECIDING: tuple[Mistake, ...] = (
    # --- the lease ---
    Mistake(
        "lease-from-the-reply",
        "The lease is counted from the store's answer instead of from before the request",
        "two primaries for as long as the answer took",
        breaking.function_is(views, "certain_until", _late(2.0)),
        (catching.promises,),
    ),
    Mistake(
        "refusal-ignored",
        "A renewal that the store refused does not stop the primary",
        "two primaries until the lease ends",
        breaking.no_rule("write.refused"),
        (catching.promises, catching.search(UNGUARDED)),
    ),
    Mistake(
        "void-lease-counts",
        "What was left of a lease counts again although the store has named another owner since",
        "a standby is promoted beside that owner as soon as the store is silent",
        breaking.no_rule("lease.taken"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "lock-before-fence",
        "A running primary takes the lock, and arms the fence in its next cycle",
        "a daemon that is frozen in between leaves a primary that nobody guards",
        breaking.all_of(
            breaking.function_is(primary, "arm_ahead", lambda _: lambda s: ()),
            breaking.no_rule("truce.unowned"),
        ),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "no-check-while-promoting",
        "The end of the lease is not looked at while a job runs",
        "a promotion that takes long ends after another member has taken the lock",
        breaking.rule_also_asks("write.no_time_left", ~a_job_runs),
        (catching.promises, catching.search(STORE_SILENT)),
    ),
    Mistake(
        "no-recheck-after-promotion",
        "After a promotion the server counts as a standby until the next look says otherwise",
        "a lease that ended meanwhile leaves a writable server alone for a cycle",
        breaking.fact_is("may_accept_writes", _silent_is_standby),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "promoted-with-no-time",
        "A promotion is begun with whatever is left of the lease",
        "the standby is stopped again at once, by the rules that watch over a primary",
        breaking.no_rule("standby.too_late"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "restarted-with-no-time",
        "A crashed primary is started again with whatever is left of the lease",
        "it comes up writable after another member has taken over",
        breaking.no_rule("down.no_time"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "stale-read-believed",
        "A view of the store from before our own acquire is believed",
        "the new leader takes the lock for free and gives its work up, or races against itself",
        breaking.fact_is("lock_is_free", _whatever_is_seen),
        (catching.promises, catching.near_misses),
    ),
    # --- the fence ---
    Mistake(
        "fence-after-promotion",
        "The fence is armed after the promotion instead of before it",
        "a daemon that hangs during the promotion leaves an unguarded primary",
        breaking.rule_reverses("standby.promote"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "fence-moved-without-renewal",
        "The fence's deadline is moved in every cycle, renewed or not",
        "a deadline that no longer says that the lease was renewed",
        breaking.rule_without("fence.move", "renewal_is_due"),
        (catching.near_misses,),
    ),
    Mistake(
        "fence-forgets-backends",
        "The guard of a server that died is taken away",
        "backends that outlived their postmaster go on answering clients",
        breaking.rule_without("fence.disarm", "not fence_watches_a_dead_server"),
        (catching.promises, catching.near_misses),
    ),
    Mistake(
        "race-without-fence",
        "A member whose required fence is missing races",
        "a daemon that hangs leaves two primaries behind",
        breaking.no_rule("race.no_fence"),
        (catching.promises, catching.scenarios),
    ),
    # --- who leads ---
    Mistake(
        "lag-not-checked",
        "The lag limit is not asked in the race",
        "a failover loses more than maximum_lag_on_failover",
        breaking.no_rule("race.lagging"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "nofailover-forgotten",
        "A member tagged nofailover races",
        "the reporting server in the cellar becomes the primary",
        breaking.no_rule("race.nofailover"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "writable-peer-ignored",
        "A standby takes the lock while a member answers as primary",
        "two primaries until the old one looks at the store",
        breaking.no_rule("race.peer_writable"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "ahead-by-position-only",
        "A longer WAL wins whatever its timeline",
        "a returned old primary leads, and what was written since is lost",
        breaking.function_is(
            race,
            "_compare",
            lambda _: lambda s, a: (a.lsn or 0) - (views.position(views.server(s)) or 0),
        ),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "vanished-primary-not-asked",
        "A primary whose own key has gone with the lock is not asked",
        "two primaries where the store ended the lease early",
        breaking.function_is(
            asking,
            "peers_in_a_race",
            lambda _: asking.peers_to_ask,
        ),
        (catching.promises_of_the_race, catching.scenarios),
    ),
    Mistake(
        "old-answers-are-votes",
        "What a member said long ago counts as long as nothing newer is heard of it",
        "in quorum mode a member leads by the vote of one that has gone on since",
        breaking.function_is(asking, "answers", lambda _: lambda s: s.peers),
        (catching.near_misses,),
    ),
    Mistake(
        "old-looks-are-votes",
        "A voter that answers now votes by what it saw before the lock became free",
        "in quorum mode a member leads by the vote of one that has acknowledged more since",
        breaking.function_is(asking, "told_of", lambda _: lambda answer: answer.asked_at),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "old-answers-count",
        "Answers of peers from before the lock became free count",
        "a member leads that has less than another one",
        breaking.function_is(
            asking, "answers_since", lambda right: lambda s, _, names: right(s, 0.0, names)
        ),
        (catching.promises, catching.near_misses),
    ),
    Mistake(
        "lone-replica-founds",
        "A replica whose cluster the store does not know goes into the race",
        "a mistyped scope makes a second cluster of one member",
        breaking.no_rule("orphan.end"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "empty-store-believed",
        "A former primary that finds the store empty makes itself the cluster at once",
        "two primaries until the fence acts, where the keys were lost and a daemon is frozen",
        breaking.no_rule("down.keys_lost"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "two-founders",
        "Whoever finds no `initialize` creates the cluster, without the claim",
        "a lost answer leaves a cluster that nobody finishes, or two that differ",
        breaking.rule_without("directory.win_bootstrap", "we_are_the_founder"),
        (catching.promises, catching.near_misses),
    ),
    # --- giving the lead away ---
    Mistake(
        "released-before-the-checkpoint-arrived",
        "A switchover releases the lock before the candidate has the shutdown checkpoint",
        "acknowledged commits are lost in a planned switchover",
        breaking.rule_without("down.handover_release", "a_candidate_has_everything"),
        (catching.promises, catching.near_misses),
    ),
    Mistake(
        "released-while-writable",
        "A failed promotion releases the lock without stopping the server first",
        "the promotion ends after all, beside the next leader's",
        breaking.rule_gives(
            "standby.promotion_failed", lambda _: (ReleaseLock(None, "the promotion failed"),)
        ),
        (catching.search(PROMOTION_FAILS), catching.scenarios),
    ),
    Mistake(
        "ends-before-postgresql",
        "A daemon that is told to end releases the lock while PostgreSQL still runs",
        "two primaries during every restart of a node",
        breaking.rule_before("stop.release", "stop.postgres"),
        (catching.promises, catching.search(TOLD_TO_END)),
    ),
    # --- maintenance mode ---
    Mistake(
        "pause-ignored-in-one-branch",
        "A primary on an old timeline is stopped in maintenance mode too",
        "the server that an operator works on is shut down",
        breaking.rule_without("primary.behind", "not paused"),
        (catching.promises,),
    ),
    Mistake(
        "pause-ignored-in-the-race",
        "The race goes on in maintenance mode",
        "a failover while the operator has the primary down for work",
        breaking.no_rule("race.paused"),
        (catching.promises, catching.scenarios),
    ),
    # --- the old primary ---
    Mistake(
        "equal-timelines-look-equal",
        "WAL beyond the fork is not noticed on a timeline that the leader knows",
        "a diverged server streams, and waits for ever or serves what the cluster does not have",
        breaking.function_is(lineage, "divergence", _only_newer_timelines_diverge),
        (catching.search_to_heal(FAILOVER), catching.scenarios),
    ),
    Mistake(
        "half-rewound-started",
        "A directory in which pg_rewind was cut off is started",
        "corrupt data is served, and may lead",
        breaking.no_rule("down.rewind_cut_off"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "other-wal-may-lead",
        "Data that was found to be no part of the cluster starts, and races, while nobody leads",
        "it wins by the lost leader's numbers, and what that one acknowledged is gone",
        breaking.all_of(
            breaking.no_rule("down.needs_new_copy"), breaking.no_rule("race.needs_new_copy")
        ),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "removed-without-permission",
        "A diverged directory is emptied without asking the configuration",
        "the only copy of some commits is deleted",
        breaking.rule_without("down.remove_diverged", "may_remove_diverged"),
        (catching.promises,),
    ),
    Mistake(
        "filled-over",
        "Files that are no data directory of ours are overwritten by a copy",
        "somebody's files are gone",
        breaking.no_rule("directory.alien"),
        (catching.promises, catching.scenarios),
    ),
    # --- failsafe mode ---
    Mistake(
        "agreed-while-primary",
        "A member that was promoted agrees that another primary goes on",
        "two primaries, by each other's word",
        breaking.no_rule("consent.writable", "consent.becoming"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "one-agreement-is-enough",
        "One member's agreement prolongs the lease instead of everybody's",
        "the members that were not asked elect a second primary",
        breaking.function_is(agreement, "agreed_until", _anybody_agreed),
        (catching.promises,),
    ),
    Mistake(
        "word-counted-from-the-answer",
        "The members' word is counted from when it arrived",
        "two primaries for as long as the answer took",
        breaking.function_is(agreement, "agreed_until", _from_now_on),
        (catching.promises,),
    ),
    Mistake(
        "races-after-consent",
        "A member that agreed to another primary races when the store comes back",
        "two primaries until the other one reaches the store",
        breaking.no_rule("race.consented"),
        (catching.promises, catching.scenarios),
    ),
    # --- synchronous replication ---
    Mistake(
        "asynchronous-member-races",
        "A member that `sync` does not name races",
        "commits that were acknowledged as synchronous are lost",
        breaking.no_rule("race.not_synchronous"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "silence-is-a-vote",
        "A voter that does not answer counts as one that is behind",
        "in quorum mode a member leads that misses acknowledged commits",
        breaking.function_is(sync, "votes", lambda _: _silence_is_a_vote),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "names-before-the-store",
        "A removed synchronous standby leaves the names before the store knows",
        "it may still lead, without what was acknowledged since",
        breaking.rule_without("sync.names", "sync_names_may_follow"),
        (catching.search(COMINGS), catching.near_misses),
    ),
    Mistake(
        "named-before-it-caught-up",
        "A standby enters `sync` before it confirmed what was acknowledged earlier",
        "it may lead without those commits",
        breaking.function_is(quorum, "proven", lambda _: lambda *_seen: True),
        (catching.search(COMINGS), catching.scenarios),
    ),
    Mistake(
        "quorum-off-by-one",
        "Names and promise may miss each other by one",
        "a winner may have seen none of those that confirmed the last commit",
        breaking.function_is(quorum, "keeps", _less_is_enough),
        (catching.search(QUORUM_COMINGS), catching.scenarios),
    ),
)
