"""A standby cluster: what its leader does (`remote`), and a node without one (`adrift`)."""

from engine import candidates, lineage, upstreams, views
from engine.actions import (
    Action,
    Hold,
    ReleaseLock,
    Report,
    StopPostgres,
    WriteInitialize,
)
from engine.facts.following import has_diverged, upstream_differs
from engine.facts.lease import lock_is_free, store_answers
from engine.facts.postgres import a_job_runs, initialize_is_set, runs_as_standby, waits_to_retry
from engine.facts.promotion import promotion_is_under_way
from engine.facts.standby_cluster import (
    in_standby_cluster,
    leads_a_standby_cluster,
    lock_was_free_for_a_loop,
    remote_is_foreign,
    remote_is_silent,
    remote_is_unasked,
    remote_stream_is_down,
)
from engine.facts.work import daemon_is_stopping, handover_is_due, paused
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot
from engine.tables.handover import request_rules
from engine.tables.steps import ask_leader, follow, report_diverged, report_foreign, stop_diverged


def _adopt(s: Snapshot) -> tuple[Action, ...]:
    here = views.server(s)
    assert here is not None
    return (WriteInitialize(here.system_identifier),)


def _hand_over(s: Snapshot) -> tuple[Action, ...]:
    names = ", ".join(a.name for a in candidates.wanted(s))
    return (ReleaseLock(None, f"hand-over to {names}"),)


def _complain(s: Snapshot) -> tuple[Action, ...]:
    source = upstreams.streams_from(s)
    assert source is not None
    slot = f"the slot {source.slot} there, " if source.slot else ""
    if remote_is_silent(s):
        why = lineage.leader_silent_why(s)
    else:
        why = f"it answers; check {slot}its pg_hba.conf, and PostgreSQL's log here"
    text = f"the standby leader does not stream from {source.address}: {why}"
    return (Report("warning", text), Hold("the remote primary", s.now + views.ASK_AGAIN_SECONDS))


_WHY_ASK = (
    "PostgreSQL connects by numbers alone; where both clusters opened the timeline of that number, "
    "only the WAL itself tells."
)

REMOTE = Table(
    "remote",
    "We lead a standby cluster: what now?",
    applies=(~daemon_is_stopping, ~a_job_runs, runs_as_standby, leads_a_standby_cluster),
    rules=(
        Rule(
            "remote.promotion",
            "The cluster has become a standby cluster while a promotion is under way: stop",
            when=(promotion_is_under_way, ~paused),
            then=lambda _: (StopPostgres("fast", "the cluster becomes a standby cluster"),),
            why="In a standby cluster nobody is writable, and a promotion cannot be taken back.",
        ),
        Rule(
            "remote.adopt",
            "The store does not know the identity of this cluster: write it",
            when=(store_answers, ~initialize_is_set),
            then=_adopt,
            why="By it the others see that they belong to this cluster.",
        ),
        *request_rules("remote"),
        Rule(
            "remote.handover",
            "A hand-over is due and a candidate is fit: release the lock",
            when=(handover_is_due, ~promotion_is_under_way),
            then=_hand_over,
            why="Nobody writes here, so there is nothing to stop and nothing to lose.",
        ),
        Rule(
            "remote.ask_before_following",
            "Configured for another upstream than the remote primary: ask that one first",
            when=(upstream_differs, remote_is_unasked),
            then=ask_leader,
            why=_WHY_ASK,
        ),
        Rule(
            "remote.follow",
            "Configured for another upstream than the remote primary: follow that one",
            when=(upstream_differs, ~has_diverged),
            then=follow,
            why="The leader streams from the remote primary, and the others from the leader.  A "
            "silent one may let us stream, and nothing more.",
        ),
        Rule(
            "remote.ask_remote",
            "Nothing comes from the remote primary: ask it for its history",
            when=(remote_stream_is_down, remote_is_unasked),
            then=ask_leader,
            why="Only the history tells whether our WAL is a part of the remote primary's.",
        ),
        Rule(
            "remote.foreign",
            "The remote primary is another database system: wait for the operator",
            when=(remote_is_foreign,),
            then=report_foreign,
            why="Nothing that this node could do would make it a standby of that system.",
        ),
        Rule(
            "remote.diverged_paused",
            "Maintenance mode: a diverged standby is only reported",
            when=(has_diverged, paused),
            then=report_diverged,
            why="In pause nothing happens by itself, and a diverged standby must not stream.",
        ),
        Rule(
            "remote.diverged",
            "Our WAL is not a part of the remote primary's: stop, so that it can be repaired",
            when=(has_diverged, ~waits_to_retry),
            then=lambda s: stop_diverged(s, "the remote primary"),
            why="A diverged standby would wait for ever, or serve what the remote does not have.",
        ),
        Rule(
            "remote.not_streaming",
            "Nothing comes from the remote primary: say what is known of it",
            when=(remote_stream_is_down,),
            then=_complain,
            why="Slots and access there are the operator's, who may not know that they are amiss.",
        ),
        Rule(
            "remote.leads",
            "The leader of a standby cluster",
            when=(),
            then=lambda _: (Hold("a change"),),
            why="It follows the remote primary, and the others follow it.",
        ),
    ),
)

ADRIFT = Table(
    "adrift",
    "Nobody leads this standby cluster: whom does this standby follow?",
    applies=(
        ~daemon_is_stopping,
        ~a_job_runs,
        runs_as_standby,
        lock_is_free,
        in_standby_cluster,
        ~paused,
    ),
    rules=(
        Rule(
            "adrift.ask_before_following",
            "Nobody has led for a loop: ask the remote primary before it is followed",
            when=(lock_was_free_for_a_loop, upstream_differs, remote_is_unasked),
            then=ask_leader,
            why=_WHY_ASK,
        ),
        Rule(
            "adrift.follow",
            "Nobody has led for a loop: follow the remote primary",
            when=(lock_was_free_for_a_loop, upstream_differs, ~has_diverged),
            then=follow,
            why="The WAL comes in also while nobody can lead.",
        ),
        Rule(
            "adrift.wait",
            "A leader is expected, or the remote primary is followed already",
            when=(),
            then=nothing,
            why="A race is usually over in a moment; to turn to the remote for it would cost more.",
        ),
    ),
)
