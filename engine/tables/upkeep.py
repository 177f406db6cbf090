"""What is kept in order beside the role: files, slots, callbacks, and what the store is told."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from engine import agreement, slots, views
from engine.actions import (
    Action,
    ApplyConfiguration,
    PublishMember,
    Remember,
    RunCallback,
    RunCheckpoint,
    WriteConfig,
    WriteFailsafe,
    WriteHistory,
    WriteStatus,
)
from engine.document import member_document, role_text
from engine.facts.failsafe import failsafe_key_differs
from engine.facts.lease import i_own_the_lock, store_answers, store_is_busy
from engine.facts.postgres import (
    a_job_runs,
    never_looked_at,
    postmaster_runs,
    runs_as_primary,
    server_is_silent,
)
from engine.facts.standby_cluster import runs_as_leader
from engine.facts.upkeep import (
    announced_role_differs,
    announced_up,
    checkpoint_runs,
    config_key_is_missing,
    configuration_differs,
    first_checkpoint_is_missing,
    history_is_behind,
    member_key_is_due,
    member_key_is_left,
    member_key_is_outdated,
    member_key_was_overwritten,
    merged_history,
    role_was_announced,
    status_is_due,
)
from engine.facts.work import bootstrapping, restarting
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot

Callback: TypeAlias = Literal["on_start", "on_stop", "on_restart", "on_reload", "on_role_change"]


def callback(s: Snapshot, name: Callback, role: str = "") -> tuple[Action, ...]:
    """Run that callback if the configuration has it."""
    return (RunCallback(name, role or role_text(s)),) if name in s.policy.callbacks else ()


def _apply(s: Snapshot) -> tuple[Action, ...]:
    return (ApplyConfiguration(s.postgres.wanted_config), *callback(s, "on_reload"))


FILES = Table(
    "files",
    "Is the configuration in force the one that should be?",
    applies=(postmaster_runs, ~server_is_silent, ~a_job_runs),
    rules=(
        Rule(
            "files.apply",
            "The configuration has changed: write it and reload",
            when=(configuration_differs, ~bootstrapping),
            then=_apply,
            why="What can change without a restart takes effect at once.",
        ),
        Rule(
            "files.checkpoint",
            "Promoted, but not checkpointed yet: checkpoint in the background",
            when=(runs_as_primary, first_checkpoint_is_missing, ~checkpoint_runs),
            then=lambda _: (RunCheckpoint(),),
            why="The former primary can be rewound only to a leader that has checkpointed.",
        ),
        Rule(
            "files.same",
            "The configuration is in force",
            when=(),
            then=nothing,
            why="There is nothing to write.",
        ),
    ),
)


def _announce(name: Callback) -> Callable[[Snapshot], tuple[Action, ...]]:
    def actions(s: Snapshot) -> tuple[Action, ...]:
        told = Remember({"announced_role": role_text(s), "announced_up": True})
        return (*callback(s, name), told)

    return actions


def announce_stop(s: Snapshot) -> tuple[Action, ...]:
    """Run on_stop with the role that PostgreSQL had, and remember that it was told."""
    return (
        *callback(s, "on_stop", s.memory.announced_role),
        Remember({"announced_up": False}),
    )


CALLBACKS = Table(
    "callback",
    "What must the operator's callbacks be told?",
    applies=(~bootstrapping, ~restarting),
    rules=(
        Rule(
            "callback.stop",
            "PostgreSQL is down: on_stop",
            when=(announced_up, ~postmaster_runs),
            then=announce_stop,
            why="Scripts that move addresses must hear of every stop.",
        ),
        Rule(
            "callback.silent",
            "PostgreSQL is down, or its role is unknown: nothing to announce",
            when=(~postmaster_runs,),
            then=nothing,
            why="Only a server that answers has a role.",
        ),
        Rule(
            "callback.unknown",
            "PostgreSQL does not answer: nothing to announce",
            when=(server_is_silent,),
            then=nothing,
            why="Only a server that answers has a role.",
        ),
        Rule(
            "callback.role_change",
            "The role has changed: on_role_change",
            when=(role_was_announced, announced_role_differs),
            then=_announce("on_role_change"),
            why="It takes the place of on_start when the role changed.",
        ),
        Rule(
            "callback.start",
            "PostgreSQL runs: on_start",
            when=(~announced_up,),
            then=_announce("on_start"),
            why="Scripts that move addresses must hear of every start.",
        ),
        Rule(
            "callback.told",
            "The callbacks know",
            when=(),
            then=nothing,
            why="Nothing has changed.",
        ),
    ),
)


def _publish(s: Snapshot) -> tuple[Action, ...]:
    return (PublishMember(member_document(s)),)


PUBLISH = Table(
    "publish",
    "Does the store know this member as it is?",
    applies=(~store_is_busy,),
    rules=(
        Rule(
            "publish.unseen",
            "PostgreSQL was not looked at yet: leave the member key of the daemon before this one",
            when=(never_looked_at, member_key_is_left),
            then=nothing,
            why="What that one published is nearer to the truth than nothing.  Without such a key "
            "others would not ask this member, and its state `unknown` is published.",
        ),
        Rule(
            "publish.changed",
            "Something about this member has changed: publish it",
            when=(member_key_is_outdated,),
            then=_publish,
            why="Others decide by what this member publishes.",
        ),
        Rule(
            "publish.overwritten",
            "The store shows no member key of ours, or another than we wrote: publish it again",
            when=(member_key_was_overwritten,),
            then=_publish,
            why="A write that we had given up came late, after the newer one; or the store has "
            "lost it, and nobody else sees that there is data here.",
        ),
        Rule(
            "publish.due",
            "A loop has passed: publish the positions and prolong the member key",
            when=(member_key_is_due,),
            then=_publish,
            why="A member key that is not prolonged vanishes after ttl.",
        ),
        Rule(
            "publish.same",
            "The member key is up to date",
            when=(),
            then=nothing,
            why="A request less for the store.",
        ),
    ),
)


def _status(s: Snapshot) -> tuple[Action, ...]:
    position = views.position(views.server(s))
    assert position is not None
    return (
        WriteStatus(position, slots.positions(s), slots.retained(s)),
        Remember({"status_at": s.now}),
    )


def _failsafe(s: Snapshot) -> tuple[Action, ...]:
    view = views.cluster(s)
    assert view is not None
    members = agreement.wanted_key(s) if s.policy.failsafe_mode else {}
    note = {"failsafe_sent": members, "failsafe_sent_over": view.failsafe_revision}
    noted = all(getattr(s.memory, name) == value for name, value in note.items())
    write = WriteFailsafe(members, view.failsafe_revision)
    return (write,) if noted else (Remember(note), write)


LEADER = Table(
    "leader",
    "Does the store know what only the leader can tell?",
    applies=(
        ~store_is_busy,
        store_answers,
        i_own_the_lock,
        runs_as_leader,
        ~a_job_runs,
        ~bootstrapping,
    ),
    rules=(
        Rule(
            "leader.config",
            "The dynamic configuration is missing: write it again",
            when=(config_key_is_missing,),
            then=lambda s: (WriteConfig(s.policy.dcs_config),),
            why="The leader keeps a copy of the last one.",
        ),
        Rule(
            "leader.failsafe",
            "The `failsafe` key does not name the members as they are, or may change: write it",
            when=(failsafe_key_differs,),
            then=_failsafe,
            why="It says who must agree before a primary goes on without the store, and who may "
            "race while one might.  A late write of a former leader, or life of this daemon, does "
            "not replace one that was written in our time.",
        ),
        Rule(
            "leader.history",
            "The history does not lead to our timeline: write it",
            when=(history_is_behind,),
            then=lambda s: (WriteHistory(merged_history(s), s.wall),),
            why="Members compare their timeline with it before they race.",
        ),
        Rule(
            "leader.status",
            "A loop has passed: write our position and those of the slots",
            when=(status_is_due,),
            then=_status,
            why="After our death, lag is counted from this position.",
        ),
        Rule(
            "leader.told",
            "The store knows",
            when=(),
            then=nothing,
            why="A request less for the store.",
        ),
    ),
)
