"""Another cluster's data in our directory, or what we were founding while another was founded."""

from engine import views
from engine.actions import Action, Exit, Hold, MoveDataDirectory, ReleaseLock, Remember, Report
from engine.facts.lease import another_owns_the_lock, i_own_the_lock
from engine.facts.postgres import (
    a_job_runs,
    identity_differs,
    identity_is_unreadable,
    postmaster_runs,
    was_only_founded,
)
from engine.facts.work import daemon_is_stopping, paused
from engine.rule import Rule, Table
from engine.state import Snapshot
from engine.tables.safety import stop_at_once
from engine.tables.steps import NO_BOOTSTRAP, wait_for_the_job


def _foreign(s: Snapshot) -> str:
    view = views.cluster(s)
    return (
        f"the data directory has system identifier {views.system_identifier(s)}, the cluster has "
        f"{view.initialize if view else 'another one'}: this is another cluster's data. "
        "Point postgresql.data_dir at the right directory, or empty it to clone the leader"
    )


def _unreadable(s: Snapshot) -> str:
    view = views.cluster(s)
    return (
        f"the key `initialize` holds {(view.initialize or '')[:40] if view else ''!r}, which is no "
        "system identifier: delete the key, and the leader writes it again"
    )


def _set_aside(s: Snapshot) -> tuple[Action, ...]:
    what = (
        f"what this member was founding gives way to the cluster that {views.leader_name(s)} leads"
    )
    return (Report("warning", what), MoveDataDirectory(), Remember({**NO_BOOTSTRAP, "beaten": ""}))


IDENTITY = Table(
    "identity",
    "Does this data directory belong to the cluster?",
    applies=(~daemon_is_stopping, identity_differs),
    rules=(
        Rule(
            "identity.unreadable_down",
            "Something else is under `initialize`, and our PostgreSQL is down: leave it down",
            when=(identity_is_unreadable, ~i_own_the_lock, ~postmaster_runs),
            then=lambda s: (Report("error", _unreadable(s)), Hold("the operator")),
            why="Whether this data belongs to the cluster cannot be told.",
            ends=True,
        ),
        Rule(
            "identity.unreadable",
            "Something else is under `initialize`: say so and go on",
            when=(identity_is_unreadable,),
            then=lambda s: (Report("error", _unreadable(s)),),
            why="A slip of another program in the store must not end a running cluster.",
        ),
        Rule(
            "identity.paused_release",
            "Maintenance mode, and we own the lock with a foreign data directory: release it",
            when=(paused, i_own_the_lock),
            then=lambda s: (
                Report("warning", _foreign(s)),
                ReleaseLock(None, "the data directory belongs to another cluster"),
            ),
            why="Whoever has this cluster's data must be able to lead it.",
            ends=True,
        ),
        Rule(
            "identity.paused",
            "Maintenance mode: a foreign data directory is only reported",
            when=(paused,),
            then=lambda s: (Report("warning", _foreign(s)), Hold("the operator")),
            why="In pause nothing happens by itself.",
            ends=True,
        ),
        Rule(
            "identity.beaten_busy",
            "What we were founding is another cluster than the one that there is: let the job end",
            when=(was_only_founded, a_job_runs),
            then=wait_for_the_job,
            why="One piece of long work on PostgreSQL at a time; only safety cuts it short.",
            ends=True,
        ),
        Rule(
            "identity.beaten_runs",
            "What we were founding is another cluster than the one that there is: stop it",
            when=(was_only_founded, postmaster_runs),
            then=lambda s: stop_at_once(s, "another cluster has been named"),
            why="Nobody has led with it, and nobody ever will.",
            ends=True,
        ),
        Rule(
            "identity.beaten",
            "The cluster that there is has a leader: set what we were founding aside",
            when=(was_only_founded, another_owns_the_lock),
            then=_set_aside,
            why="Our own bootstrap made it and nobody has led with it; the leader is cloned "
            "instead, and nothing is deleted.",
            ends=True,
        ),
        Rule(
            "identity.beaten_early",
            "What we were founding is another cluster than the one that there is, without a leader",
            when=(was_only_founded,),
            then=lambda _: (Hold("a leader, to clone it in place of what this member founded"),),
            why="Before it can be copied, what we made may be all the data that there is.",
            ends=True,
        ),
        Rule(
            "identity.foreign",
            "A foreign data directory: end without touching it",
            when=(),
            then=lambda s: (Exit(1, _foreign(s)),),
            why="Following or leading with another cluster's data would destroy one of the two.",
            ends=True,
        ),
    ),
)
