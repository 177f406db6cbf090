"""What is remembered of finished work and of what was seen."""

from engine import lineage, views
from engine.actions import Action, Remember, Report
from engine.facts.failsafe import failsafe_listing_differs
from engine.facts.following import opened_twice_unnoted, rewound_and_not_up_since, writing_is_noted
from engine.facts.former import former_upstream_is_over
from engine.facts.keys import cluster_is_noted
from engine.facts.lease import (
    another_owns_the_lock,
    i_own_the_lock,
    longer_ttl_is_over,
    store_answers,
    ttl_is_noted,
)
from engine.facts.postgres import (
    a_job_ended_well,
    a_job_failed,
    a_job_runs,
    bootstrap_step_failed,
    directory_is_standbys,
    filling_the_directory,
    identity_differs,
    initialize_is_missing,
    initialize_is_set,
    look_is_outdated,
    postmaster_runs,
    promotion_failed_now,
    receives_wal,
    rewind_failed_now,
    runs_as_primary,
    server_is_silent,
)
from engine.facts.promotion import (
    promotion_is_noted,
    promotion_is_remembered,
)
from engine.facts.race import lock_was_free_before, primary_went_down
from engine.facts.standby_cluster import runs_as_leader
from engine.facts.stream import connection_is_proven_now
from engine.facts.sync import leaving_is_over
from engine.facts.work import (
    bootstrapping,
    must_reinitialize,
    restarting,
    standing_down,
    to_be_brought_back,
)
from engine.rule import Rule, Table, nothing
from engine.state import JobKind, JobResult, Snapshot
from engine.tables.steps import NO_BOOTSTRAP
from engine.timelines import opening_of

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)


def _took_note(last: JobResult, **more: object) -> Remember:
    return Remember({"job_seen": last.finished, **more})


def _is_tried_again(s: Snapshot, last: JobResult) -> bool:
    """Whether the bootstrap goes on after that: a stop is no step of it.

    A new cluster that is whole is started until it runs: its identity may be published already.
    """
    whole = s.memory.roles_created or s.memory.bootstrap_copied
    return last.kind is JobKind.STOP or (whole and last.kind is JobKind.START)


def _note_failure(s: Snapshot) -> tuple[Action, ...]:
    last = s.last_job
    assert last is not None
    pause = RETRY_SECONDS[min(s.memory.failures, len(RETRY_SECONDS) - 1)]
    failed = s.memory.bootstrap_failed
    if s.memory.bootstrapping and not _is_tried_again(s, last):
        failed = last.why or "no reason given"
    return (
        Report("error", f"{last.kind.value} failed: {last.why}"),
        _took_note(
            last,
            failures=s.memory.failures + 1,
            retry_at=s.now + pause,
            bootstrap_failed=failed,
        ),
    )


def _note_failed_rewind(s: Snapshot) -> tuple[Action, ...]:
    last = s.last_job
    assert last is not None
    return (
        Report("error", f"pg_rewind failed: {last.why}"),
        _took_note(last, rewind_failed=last.why or "no reason given", rewinding=False),
    )


def _note_failed_promotion(s: Snapshot) -> tuple[Action, ...]:
    last = s.last_job
    assert last is not None
    return (
        Report("error", f"promotion failed: {last.why}"),
        _took_note(last, race_barred_until=s.now + s.policy.ttl_seconds),
    )


_IS_THE_CLUSTERS: dict[str, object] = {"diverged_from": 0, "needs_new_copy": False}
_MENDED = _IS_THE_CLUSTERS | {
    "rewinding": False,
    "wrote_on": None,
    "promotions_begun": 0,
    "opening": None,
}
_REPLACED = _MENDED | {"rewound_from": None, "rewind_failed": "", "beaten": ""}

# What a finished job means for the memory; a job not named here only clears the failures.
_AFTER: dict[JobKind, dict[str, object]] = {
    JobKind.CREATE_ROLES: {"roles_created": True},
    JobKind.INITDB: _REPLACED,
    JobKind.CLONE: _REPLACED | {"reinitialize": False, "reinit_from_leader": False},
    JobKind.REMOVE: _REPLACED,
    JobKind.REWIND: _MENDED,
    JobKind.PROMOTE: {"lock_free_since": None},
}


def _note_success(s: Snapshot) -> tuple[Action, ...]:
    last = s.last_job
    assert last is not None
    return (_took_note(last, failures=0, retry_at=0.0, **_AFTER.get(last.kind, {})),)


def _note_writing(s: Snapshot) -> tuple[Action, ...]:
    here = views.server(s)
    assert here is not None
    over = {"promotions_begun": 0, "promoting": False, "beaten": ""}
    return (Remember({"wrote_on": here.timeline, **over, **_IS_THE_CLUSTERS}),)


def _note_connection(s: Snapshot) -> tuple[Action, ...]:
    """What was proven, and how the newest timeline begins here; that never changes in one copy."""
    told, before = lineage.told_timeline(s), s.memory.opening
    assert told is not None
    opening = opening_of(told, told.asked_on)
    newer = opening is not None and (
        before is None or before.copy != opening.copy or before.timeline < opening.timeline
    )
    learned: dict[str, object] = {"opening": opening} if newer else {}
    if told.same_wal is True and s.memory.needs_new_copy:
        learned |= _IS_THE_CLUSTERS
    return (Remember({"proven": lineage.connection(s), **learned}),)


def _note_ttl(s: Snapshot) -> tuple[Action, ...]:
    noted = {"ttl_seconds": s.policy.ttl_seconds, "ttl_since": s.now}
    return (Remember({**noted, "longest_ttl_seconds": views.longest_ttl_seconds(s)}),)


def _note_listed(s: Snapshot) -> tuple[Action, ...]:
    view = views.cluster(s)
    assert view is not None
    return (Remember({"failsafe_listed": view.failsafe or {}}),)


def _forget_the_last_promotion(s: Snapshot) -> tuple[Action, ...]:
    others = max(0, s.memory.promotions_begun - 1)
    return (Remember({"promotions_begun": others, "promoting": False}),)


def _bootstrap_is_over(s: Snapshot) -> tuple[Action, ...]:
    """Forget it; what it made is of use only where it is, or may become, this cluster's data."""
    is_ours = initialize_is_set.holds(s) and not identity_differs.holds(s)
    return (Remember({**NO_BOOTSTRAP, "beaten": "" if is_ours else views.system_identifier(s)}),)


NOTE = Table(
    "note",
    "What of the last cycles must be remembered?",
    applies=(),
    rules=(
        Rule(
            "note.rewind_failed",
            "A rewind failed: remember why",
            when=(a_job_failed, rewind_failed_now),
            then=_note_failed_rewind,
            why="After a failed pg_rewind the directory may be half-made; it must not be started.",
            ends=True,
        ),
        Rule(
            "note.promotion_failed",
            "A promotion failed: stay out of the race for one ttl",
            when=(a_job_failed, promotion_failed_now),
            then=_note_failed_promotion,
            why="Another member should get the chance that this one could not use.",
            ends=True,
        ),
        Rule(
            "note.job_failed",
            "A job failed: remember it and wait a little before the next try",
            when=(a_job_failed,),
            then=_note_failure,
            why="Trying again at once, for ever, would fill the log and the machine.",
            ends=True,
        ),
        Rule(
            "note.job_ended",
            "A job ended well: remember it",
            when=(a_job_ended_well,),
            then=_note_success,
            why="What is done need not be done again.",
            ends=True,
        ),
        Rule(
            "note.bootstrap_beaten",
            "We were creating the cluster, but another member leads it: forget the bootstrap",
            when=(
                bootstrapping,
                another_owns_the_lock,
                ~filling_the_directory,
                ~bootstrap_step_failed,
            ),
            then=_bootstrap_is_over,
            why="A server that another has taken over from may never start without the lock.",
            ends=True,
        ),
        Rule(
            "note.bootstrap_done",
            "We were creating the cluster and went down, but it has its identity: it exists",
            when=(
                bootstrapping,
                initialize_is_set,
                ~filling_the_directory,
                ~postmaster_runs,
                ~bootstrap_step_failed,
            ),
            then=_bootstrap_is_over,
            why="Others may have led it since, so this node races for the lock like any other.",
            ends=True,
        ),
        Rule(
            "note.failsafe_listed",
            "The cluster is in the store, and `failsafe` names others: remember whom",
            when=(initialize_is_set, ~identity_differs, failsafe_listing_differs),
            then=_note_listed,
            why="Should the store lose its keys, one of them may go on as primary without it.",
            ends=True,
        ),
        Rule(
            "note.cluster",
            "The cluster is in the store, or is being founded: remember that there is one",
            when=(store_answers, ~initialize_is_missing, ~cluster_is_noted),
            then=lambda _: (Remember({"knows_cluster": True}),),
            why="Whoever finds the store empty later must know that keys were lost.",
            ends=True,
        ),
        Rule(
            "note.primary_down",
            "Our primary went down while we own the lock: remember since when",
            when=(
                i_own_the_lock,
                ~postmaster_runs,
                ~primary_went_down,
                ~standing_down,
                ~restarting,
                ~bootstrapping,
            ),
            then=lambda s: (Remember({"primary_down_since": s.now}),),
            why="primary_start_timeout counts from here.",
            ends=True,
        ),
        Rule(
            "note.primary_is_back",
            "Our leading server runs again: forget that it was down",
            when=(primary_went_down, runs_as_leader),
            then=lambda _: (Remember({"primary_down_since": None}),),
            why="The next crash gets the whole primary_start_timeout again.",
            ends=True,
        ),
        Rule(
            "note.rewound",
            "The server whose directory was rewound answers: forget the rewind",
            when=(rewound_and_not_up_since, postmaster_runs, ~server_is_silent, ~look_is_outdated),
            then=lambda _: (Remember({"rewound_from": None}),),
            why="It is consistent: its WAL goes as far as its pages, which pg_rewind counts on.",
            ends=True,
        ),
        Rule(
            "note.writes",
            "PostgreSQL runs as primary: remember the timeline that we write",
            when=(runs_as_primary, ~writing_is_noted, ~bootstrapping),
            then=_note_writing,
            why="A leader that writes a timeline of this number may have opened one of its own.",
            ends=True,
        ),
        Rule(
            "note.receives",
            "A promotion was begun here, but another member leads and we stream: forget it",
            when=(promotion_is_noted, receives_wal, another_owns_the_lock),
            then=lambda _: (Remember({"promotions_begun": 0}),),
            why="What it has now is what the other server has.",
            ends=True,
        ),
        Rule(
            "note.never_promoted",
            "The server that was to become primary is gone, as a standby: forget its promotion",
            when=(promotion_is_remembered, directory_is_standbys, ~postmaster_runs),
            then=_forget_the_last_promotion,
            why="PostgreSQL removes standby.signal before it writes. What an earlier promotion may "
            "have written is not forgotten: since then the server was started as a standby.",
            ends=True,
        ),
        Rule(
            "note.promotion_over",
            "The server that was to become primary is gone: forget that it may",
            when=(promotion_is_remembered, ~postmaster_runs),
            then=lambda _: (Remember({"promoting": False}),),
            why="The next one begins as what it is started as.",
            ends=True,
        ),
        Rule(
            "note.lock_lost_while_down",
            "Another member took over while our primary was down: forget that it was down",
            when=(primary_went_down, another_owns_the_lock),
            then=lambda _: (Remember({"primary_down_since": None}),),
            why="From here on this node is a replica like any other.",
            ends=True,
        ),
        Rule(
            "note.handed_over",
            "The hand-over is done: another member owns the lock",
            when=(standing_down, another_owns_the_lock),
            then=lambda _: (Remember({"standing_down_since": None}),),
            why="From here on this node is a replica like any other.",
            ends=True,
        ),
        Rule(
            "note.upstream_found",
            "The store answers, and we follow somebody by what it says: forget whom we did before",
            when=(former_upstream_is_over,),
            then=lambda _: (Remember({"former_upstream": ""}),),
            why="It was asked only because nobody could tell who leads.",
            ends=True,
        ),
        Rule(
            "note.lock_taken",
            "The lock has an owner again: the race is over",
            when=(lock_was_free_before, another_owns_the_lock),
            then=lambda _: (Remember({"lock_free_since": None}),),
            why="Answers of peers count from the moment that the lock became free.",
            ends=True,
        ),
        Rule(
            "note.reinitialize_dropped",
            "There is no leader to copy any more: forget the wish to reinitialize",
            when=(must_reinitialize, store_answers, ~another_owns_the_lock),
            then=lambda _: (
                Report("warning", "reinitialize given up: there is no other leader to copy"),
                Remember({"reinitialize": False, "reinit_from_leader": False}),
            ),
            why="This copy may be the best one that is left.",
            ends=True,
        ),
        Rule(
            "note.ttl",
            "The configuration has another ttl than before: remember it, and the longest",
            when=(~ttl_is_noted,),
            then=_note_ttl,
            why="Leases, and words given in failsafe mode, outlive a change of ttl, and a daemon.",
        ),
        Rule(
            "note.ttl_over",
            "ttl has been lower for so long that nothing is left of the longer one: forget it",
            when=(longer_ttl_is_over,),
            then=lambda s: (Remember({"longest_ttl_seconds": s.policy.ttl_seconds}),),
            why="Whoever waits for what was given before need not wait any longer than that.",
        ),
        Rule(
            "note.leaving_over",
            "The stop for which we asked to be synchronous no more is over, or not due any more",
            when=(leaving_is_over,),
            then=lambda _: (Remember({"leaving_since": None}),),
            why="From here on this standby may be synchronous again.",
        ),
        Rule(
            "note.brought_back",
            "PostgreSQL runs again after what an operator asked for",
            when=(to_be_brought_back, postmaster_runs, ~server_is_silent, ~a_job_runs),
            then=lambda _: (Remember({"bring_back": False}),),
            why="From here on a stop is what somebody else did.",
        ),
        Rule(
            "note.opened_twice",
            "The WAL here and the leader's part on a timeline of one number: remember it",
            when=(opened_twice_unnoted,),
            then=lambda _: (Remember({"needs_new_copy": True}),),
            why="pg_rewind sees no difference, and once that leader is gone nothing tells of it.",
        ),
        Rule(
            "note.connection",
            "Since we are connected, whom our WAL must be a part of has shown it: remember that",
            when=(connection_is_proven_now,),
            then=_note_connection,
            why="One answer is enough for each connection, and each timeline that comes by it.",
        ),
        Rule(
            "note.nothing",
            "Nothing new to remember",
            when=(),
            then=nothing,
            why="The memory is up to date.",
        ),
    ),
)
