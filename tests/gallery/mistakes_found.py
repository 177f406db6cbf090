"""Mistakes that hae has made: found by the simulator, and kept as stories in `tests/scenarios/`.

Belongs here: one entry for each whose story must catch it.
"""

from __future__ import annotations

from engine import agreement, asking, candidates, lineage, vanished, views
from engine.actions import Action, CreateInitialize
from engine.facts import race, sync
from engine.facts.failsafe import failsafe_is_on
from engine.facts.postgres import may_accept_writes
from engine.state import JobKind, JobResult, PeerAnswer, Snapshot
from engine.tables import note
from engine.tables.steps import start_primary
from tests.gallery import breaking, catching
from tests.gallery.mistake import Mistake


def _laggards_too(s: Snapshot) -> list[PeerAnswer]:
    return [a for a in asking.answers(s) if race._may_lead(s, a) and sync.gets_votes(s, a)]


def _by_bytes_alone(s: Snapshot, _: str, lag: int | None) -> bool:
    return lag is not None and lag > s.policy.maximum_lag_on_failover_bytes


def _only_stops(_: Snapshot, last: JobResult) -> bool:
    return last.kind is JobKind.STOP


def _adopts(s: Snapshot) -> tuple[Action, ...]:
    return (CreateInitialize(views.system_identifier(s)),)


def _others_were_listed(s: Snapshot) -> bool:
    return bool(asking.listed_before(s))


def _a_list_was_seen(s: Snapshot) -> bool:
    return bool(s.memory.failsafe_listed)


def _present_ttl(s: Snapshot) -> float:
    return s.policy.ttl_seconds


FOUND: tuple[Mistake, ...] = (
    Mistake(
        "unguarded-after-the-pause",
        "After maintenance mode a server without the lock has no deadline until it asks for one",
        "its machine hangs, another member leads, and it wakes up writable",
        breaking.no_rule("truce.unowned"),
        (
            catching.story("a-silent-primary-without-the-lock-is-guarded-after-a-pause"),
            catching.scenarios,
        ),
    ),
    Mistake(
        "emptied-while-synchronous",
        "An operator's reinitialize empties a synchronous standby at once",
        "the leader is lost, and the new copy leads without what the old one had confirmed",
        breaking.all_of(
            breaking.no_rule("request.reinit_leave_sync", "request.reinit_synchronous"),
            breaking.no_rule("down.reinitialize_synchronous"),
            breaking.no_rule("directory.synchronous"),
        ),
        (catching.story("a-synchronous-standby-is-released-before-it-is-emptied"),),
    ),
    Mistake(
        "copied-while-synchronous",
        "A synchronous standby that has lost its disk is copied while `sync` still names it",
        "its leader, cut off, is lost before it noticed; the copy of a laggard leads",
        breaking.no_rule("directory.synchronous"),
        (catching.story("a-synchronous-standby-without-its-disk-waits-to-be-released"),),
    ),
    Mistake(
        "waits-for-a-laggard",
        "Who is on a newer timeline is waited for, though it lags too far to lead",
        "after a leader on an older timeline, which check_timeline allows, nobody leads",
        breaking.function_is(race, "_rivals", lambda _: _laggards_too),
        (catching.story("nobody-waits-for-a-member-that-lags-on-a-newer-timeline"),),
    ),
    Mistake(
        "held-back-by-a-late-status",
        "A member that has claimed `sync` is measured by maximum_lag_on_failover like any other",
        "it dies before its promotion, the old leader's last status comes late: nobody leads",
        breaking.function_is(candidates, "lags_too_far", lambda _: _by_bytes_alone),
        (
            catching.story("the-leader-that-sync-names-leads-however-far-it-lags"),
            catching.story("a-lowered-limit-keeps-nobody-back-who-has-claimed-sync"),
        ),
    ),
    Mistake(
        "held-back-by-its-timeline",
        "A member that has claimed `sync` is held to check_timeline like any other",
        "its promotion, on the older timeline that an operator chose, fails: nobody leads",
        breaking.fact_is("i_led_synchronously", lambda _: False),
        (catching.story("the-leader-that-sync-names-leads-on-an-old-timeline"),),
    ),
    Mistake(
        "waits-for-a-loser",
        "Who is preferred, or ahead, is waited for though it can't get the votes",
        "in quorum mode nobody leads after a hand-over between two changes of the voters",
        breaking.all_of(
            breaking.function_is(race, "gets_votes", lambda _: lambda *_seen: True),
            breaking.fact_is("a_wanted_candidate_can_get_the_votes", lambda _: True),
        ),
        (catching.story("the-former-leader-takes-the-lead-back-where-nobody-gets-the-votes"),),
    ),
    Mistake(
        "down-means-gone",
        "A daemon that has just started races although a former primary is only down",
        "that one starts again, by what the daemon before had agreed to: two primaries",
        breaking.fact_is("a_listed_member_may_go_on", lambda _: False),
        (catching.story("a-young-daemon-waits-for-a-former-primary-that-is-down"),),
    ),
    Mistake(
        "founding-is-given-up-late",
        "A new cluster is set aside after a failed start although it has its roles",
        "its identity is published by a request whose answer was lost: nobody can ever lead",
        breaking.function_is(note, "_is_tried_again", lambda _: _only_stops),
        (catching.story("a-new-cluster-is-not-set-aside-once-it-may-be-published"),),
    ),
    Mistake(
        "connections-are-trusted",
        "A standby does not ask about a connection that was made while its daemon hung",
        "it streams from another server's timeline of the same number",
        breaking.all_of(
            breaking.no_rule("standby.ask_new_connection"),
            breaking.no_rule("standby.ask_without_stream"),
        ),
        (catching.story("a-standby-finds-out-that-its-upstream-was-replaced"),),
    ),
    Mistake(
        "openings-are-forgotten",
        "Nobody remembers how a timeline began here before another's WAL was written over it",
        "a standby whose data and WAL are of two servers goes on",
        breaking.function_is(lineage, "overwritten", lambda _: lambda *_seen: False),
        (catching.story("a-standby-over-whose-wal-another-was-written-is-copied-anew"),),
    ),
    Mistake(
        "rewound-without-an-answer",
        "A directory is rewound to a second server before it was consistent with the first",
        "pages of a primary that was lost stay among those of the other",
        breaking.fact_is("rewound_and_not_up_since", lambda _: False),
        (catching.story("a-directory-that-needs-lost-wal-is-not-rewound-again"),),
    ),
    Mistake(
        "founds-without-the-lock",
        "The founder of a cluster takes no lock before it has published it",
        "cut off from the store it stays writable, and who has older data leads: two primaries",
        breaking.all_of(
            breaking.rule_gives("down.bootstrap_lock", start_primary),
            breaking.rule_without("primary.create_roles", "i_own_the_lock"),
            breaking.rule_without("primary.finish_bootstrap", "i_own_the_lock"),
            breaking.no_rule("truce.unowned"),
            breaking.no_rule("write.never_proven"),
        ),
        (
            catching.story("a-founder-that-is-cut-off-stops-before-its-lease-ends"),
            catching.promises,
        ),
    ),
    Mistake(
        "losses-are-missed",
        "A second loss of all keys is missed while the store gives no answer",
        "a lease that was given between the two is not waited for: two primaries",
        breaking.function_is(vanished, "was_unwatched", lambda _: lambda *_seen: False),
        (
            catching.story("a-lease-given-while-a-former-primary-was-blind"),
            catching.story("a-lease-given-while-an-empty-member-was-blind"),
        ),
    ),
    Mistake(
        "old-leases-by-the-new-ttl",
        "What was given before ttl was lowered, or went back to the file's, is waited for by that",
        "a primary that counts on the longer one still writes: two primaries",
        breaking.function_is(views, "longest_ttl_seconds", lambda _: _present_ttl),
        (
            catching.story("a-young-daemon-waits-by-the-ttl-that-its-predecessor-agreed-by"),
            catching.story("a-longer-lease-is-waited-for-after-ttl-was-lowered"),
            catching.story("the-wait-after-a-loss-goes-by-the-clusters-ttl"),
        ),
    ),
    Mistake(
        "agrees-and-founds",
        "A founder takes the lock, and starts its server, although it lets a primary go on",
        "the store has lost its keys, that primary is cut off from it: two primaries",
        breaking.rule_without("down.bootstrap_lock", "not consented"),
        (catching.promises,),
    ),
    Mistake(
        "adopts-beside-a-primary-in-failsafe-mode",
        "A former primary makes itself the cluster whose keys are lost, without asking anybody",
        "another one goes on without the store, by the word of members that came after it",
        breaking.fact_is("a_member_may_go_on_unseen", lambda _: False),
        (
            catching.story(
                "a-former-primary-asks-whom-failsafe-named-before-it-makes-itself-the-cluster"
            ),
            catching.story(
                "nobody-makes-itself-the-cluster-while-a-member-that-failsafe-named-is-silent"
            ),
        ),
    ),
    Mistake(
        "a-lost-member-key-waits",
        "A member key that the store has lost is written again when it is due",
        "until then a new disk sees no data anywhere, and founds another cluster",
        breaking.fact_is("member_key_was_overwritten", lambda _: False),
        (catching.story("a-member-key-that-the-store-has-lost-is-written-at-once"),),
    ),
    Mistake(
        "adopts-by-a-lock-that-is-gone",
        "A primary writes `initialize` by a lock that it had when it looked",
        "all keys are lost meanwhile: a member sees a cluster without a leader, and leads as well",
        breaking.rule_gives("primary.adopt", _adopts),
        (
            catching.promises,
            catching.story("initialize-is-written-only-while-the-lock-is-ours"),
        ),
    ),
    Mistake(
        "restarts-to-stream",
        "A restart by hand in maintenance mode points a standby at the leader unasked",
        "a standby that is known to have diverged streams from it",
        breaking.rule_without(
            "down.restart_standby", "leader_told_its_timeline", "not has_diverged"
        ),
        (
            catching.story(
                "a-diverged-standby-that-is-restarted-in-maintenance-mode-streams-from-nobody"
            ),
        ),
    ),
    Mistake(
        "ends-without-an-answer",
        "A replica whose list for failsafe mode has itself alone ends once all keys are lost",
        "a former primary knows an older list, and waits for its answer for ever",
        breaking.fact_is("others_may_know_a_list", _others_were_listed),
        (
            catching.story("a-replica-whom-alone-failsafe-named-waits-for-its-clusters-keys"),
            catching.scenarios,
        ),
    ),
    Mistake(
        "ends-before-it-saw-the-list",
        "A replica that has seen no list for failsafe mode yet ends once all keys are lost",
        "one that names it was written since: a former primary waits for its answer for ever",
        breaking.fact_is("others_may_know_a_list", _a_list_was_seen),
        (
            catching.story(
                "a-copy-that-ends-while-its-daemon-hangs-stays-to-answer-once-all-keys-are-lost"
            ),
            catching.scenarios,
        ),
    ),
    Mistake(
        "does-not-ask-twice",
        "A member races although another's daemon answers that it has not seen its server yet",
        "that one is a primary, left running without a daemon in maintenance mode",
        breaking.no_rule("race.peer_unseen"),
        (catching.promises_of_the_race, catching.scenarios),
    ),
    Mistake(
        "tells-what-it-has-not-seen",
        "A daemon that has just started publishes its member before it has looked",
        "a primary that was left running is told to the others as no server at all",
        breaking.no_rule("publish.unseen"),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "guards-only-what-it-has-seen",
        "A daemon that has just started renews its lease before it has looked, and guards nothing",
        "it hangs, another member leads, and a primary that was left running in pause goes on",
        breaking.fact_is("has_to_be_guarded", may_accept_writes.holds),
        (catching.promises, catching.scenarios),
    ),
    Mistake(
        "young-and-sure",
        "A daemon that has just started races at once where failsafe mode is off",
        "an operator has turned it off, which a primary that goes on by its word can't know",
        breaking.rule_also_asks("race.just_started", failsafe_is_on),
        (catching.story("a-young-daemon-waits-though-failsafe-mode-was-turned-off"),),
    ),
    Mistake(
        "trusts-the-failsafe-key-it-found",
        "A leader counts on a `failsafe` key that was written before its time",
        "a late write replaces or deletes it, and a member leads that was never asked",
        breaking.function_is(agreement, "key_may_change", lambda _: lambda _s: False),
        (
            catching.story("the-failsafe-key-is-not-deleted-late"),
            catching.story("the-failsafe-key-is-not-replaced-late"),
        ),
    ),
    Mistake(
        "trusts-the-sync-key-it-found",
        "A leader counts on a `sync` key that was written before its time, if it is right",
        "a late write replaces or deletes it, and a member leads without acknowledged commits",
        breaking.fact_is("sync_key_is_certain", lambda _: True),
        (
            catching.story("the-sync-key-is-not-deleted-late"),
            catching.story("a-late-claim-does-not-replace-what-a-primary-promised"),
        ),
    ),
    Mistake(
        "votes-for-a-loser",
        "Members give way to a named candidate whether or not it can get the votes",
        "in quorum mode nobody leads after a switchover whose leader died",
        breaking.fact_is("named_candidate_gets_votes", lambda _: True),
        (catching.story("nobody-waits-for-a-named-candidate-without-votes"),),
    ),
)
