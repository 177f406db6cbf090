"""Synchronous replication: one small step at a time between the `sync` key and the names in force.

Who may lead by the key must have every acknowledged commit, at every moment, also if this daemon
ends after any step.  So each rule changes one thing and needs only what can be seen.  Conflicts
are resolved in favour of the promise: first it is narrowed, then the names change.
"""

from engine import quorum
from engine import synchronous as sync
from engine.actions import Action, DeleteSync, Hold, Remember, Report, SetSyncNames, WriteSync
from engine.facts.lease import i_own_the_lock, store_answers, store_is_busy
from engine.facts.postgres import a_job_runs, postmaster_runs, runs_as_standby, server_is_silent
from engine.facts.standby_cluster import leads_a_standby_cluster
from engine.facts.sync import (
    names_are_being_set,
    names_are_obeyed,
    names_are_ours,
    names_are_watched,
    names_position_is_known,
    promotion_names_are_in_force,
    sync_key_is_certain,
    sync_key_is_right,
    sync_key_is_there,
    sync_key_may_follow,
    sync_key_names_me_as_leader,
    sync_key_promises_too_much,
    sync_names_are_right,
    sync_names_may_follow,
    synchronous_mode_is_on,
)
from engine.facts.work import bootstrapping, daemon_is_stopping
from engine.quorum import Promise
from engine.rule import Rule, Table, nothing
from engine.state import Known, Snapshot

LOOK_AGAIN_SECONDS = 1.0
# PostgreSQL tells nobody that a standby is gone; commits hang until we look.
VANISHED_SECONDS = 2.0


def write_key(s: Snapshot, promised: Promise) -> tuple[Action, ...]:
    """Write `sync` with us as the leader, in place of the one that the snapshot shows."""
    revision, names = sync.revision(s), sync.spelled(s, promised.voters)
    return (
        Remember({"sync_asked": revision}),
        WriteSync(s.me.name, names, promised.quorum, revision),
    )


def _promotion_names(s: Snapshot) -> tuple[Action, ...]:
    if not sync.is_on(s):
        return (SetSyncNames(None),)
    return (SetSyncNames(quorum.text_of(sync.without_standby(s))),)


def _watch(s: Snapshot) -> tuple[Action, ...]:
    seen = s.postgres.server
    assert isinstance(seen, Known)
    return (
        Remember(
            {
                "sync_names": seen.value.sync_names,
                "sync_names_since": seen.when,
                "sync_names_lsn": None,
            }
        ),
    )


def _position(s: Snapshot) -> tuple[Action, ...]:
    seen = s.postgres.server
    assert isinstance(seen, Known)
    return (Remember({"sync_names_lsn": seen.value.write_lsn}),)


def _mend(s: Snapshot) -> tuple[Action, ...]:
    said = "synchronous_standby_names is not what was set here: no standby is synchronous for now"
    return (Report("error", said), *write_key(s, Promise()))


def _narrow(s: Snapshot) -> tuple[Action, ...]:
    names, promised = sync.target(s)
    return write_key(s, quorum.narrowed(sync.promise(s), promised, names))


def _wait(s: Snapshot) -> tuple[Action, ...]:
    missing = sync.target(s)[1].voters - sync.confirmed(s)
    who = ", ".join(sync.spelled(s, missing))
    return (Hold(f"{who} to confirm every commit", s.now + LOOK_AGAIN_SECONDS),)


def _look_again(s: Snapshot) -> tuple[Action, ...]:
    voters = sync.promise(s).voters
    return (Hold("a change", s.now + VANISHED_SECONDS),) if voters else ()


SYNC = Table(
    "sync",
    "Has whoever may lead by `sync` every acknowledged commit?",
    applies=(
        ~daemon_is_stopping,
        ~a_job_runs,
        store_answers,
        postmaster_runs,
        ~server_is_silent,
        ~bootstrapping,
    ),
    rules=(
        Rule(
            "sync.remote",
            "The leader of a standby cluster finds the key: delete it",
            when=(leads_a_standby_cluster, sync_key_is_there),
            then=lambda s: (DeleteSync(sync.revision(s)),),
            why="Nobody writes here, so nobody has to be named when the cluster is promoted.",
        ),
        Rule(
            "sync.promotion_names",
            "A standby is not configured for its promotion: set the names",
            when=(runs_as_standby, ~promotion_names_are_in_force),
            then=_promotion_names,
            why="The first commit after a promotion must already wait for whom it should.",
        ),
        Rule(
            "sync.standby",
            "A standby: the leader decides who is synchronous",
            when=(runs_as_standby,),
            then=nothing,
            why="Only the leader sees who confirms its commits.",
        ),
        Rule(
            "sync.not_leading",
            "A primary without the lock changes nothing",
            when=(~i_own_the_lock,),
            then=nothing,
            why="Only the owner of the lock may say who leads after it.",
        ),
        Rule(
            "sync.store_busy",
            "An earlier request to the store has not ended",
            when=(store_is_busy,),
            then=nothing,
            why="What the key says is certain only when that request has ended.",
        ),
        Rule(
            "sync.being_set",
            "Names that were decided on before are on their way",
            when=(names_are_being_set,),
            then=lambda s: (
                Hold("synchronous_standby_names to be set", s.now + LOOK_AGAIN_SECONDS),
            ),
            why="They may come into force at any moment, so nothing may be built on those before.",
        ),
        Rule(
            "sync.off_key",
            "Synchronous mode is off, and the key is still there: delete it",
            when=(~synchronous_mode_is_on, sync_key_is_there),
            then=lambda s: (
                Remember({"sync_asked": sync.revision(s)}),
                DeleteSync(sync.revision(s)),
            ),
            why="First nobody relies on it any more, then the names change.",
        ),
        Rule(
            "sync.off_names",
            "Synchronous mode is off: leave synchronous_standby_names to the operator again",
            when=(~synchronous_mode_is_on, names_are_ours),
            then=lambda _: (SetSyncNames(None),),
            why="Without the mode the setting is the operator's own.",
        ),
        Rule(
            "sync.off",
            "Synchronous mode is off",
            when=(~synchronous_mode_is_on,),
            then=nothing,
            why="Commits wait for nobody.",
        ),
        Rule(
            "sync.watch",
            "Other names are in force than before: remember since when",
            when=(~names_are_watched,),
            then=_watch,
            why="What was acknowledged before them may be missing on the standbys that they name.",
        ),
        Rule(
            "sync.position",
            "All of PostgreSQL obeys the names by now: remember the position",
            when=(~names_position_is_known, names_are_obeyed),
            then=_position,
            why="Who has flushed up to here has every commit from before, and the names see to "
            "those that follow.",
        ),
        Rule(
            "sync.take_over",
            "We lead, and the key does not say so: write it, with no standby",
            when=(~sync_key_names_me_as_leader,),
            then=lambda s: write_key(s, Promise()),
            why="Until a standby is confirmed only this primary has every commit.",
        ),
        Rule(
            "sync.mend",
            "The names do not keep what the key promises: take the promise back",
            when=(sync_key_promises_too_much,),
            then=_mend,
            why="Whoever led by that promise could miss acknowledged commits.",
        ),
        Rule(
            "sync.key",
            "The names keep what the key should promise: write it",
            when=(~sync_key_is_right, sync_key_may_follow),
            then=lambda s: write_key(s, sync.target(s)[1]),
            why="A standby that goes leaves the key before the names, one that comes enters it "
            "after it was confirmed.",
        ),
        Rule(
            "sync.touch",
            "A write from before may still replace, or delete, the key: write it again",
            when=(~sync_key_is_certain,),
            then=lambda s: write_key(s, sync.promise(s)),
            why="It comes from an earlier daemon, or leader, and would promise what was not kept "
            "since.  Written again, the key has a revision for which the late one was not meant.",
        ),
        Rule(
            "sync.names",
            "Other names should be in force, and they keep what the key promises: set them",
            when=(~sync_names_are_right, sync_names_may_follow),
            then=lambda s: (SetSyncNames(quorum.text_of(sync.target(s)[0])),),
            why="Commits wait for those who are, or shall become, synchronous.",
        ),
        Rule(
            "sync.narrow",
            "Other names should be in force, but the key promises too much for them: narrow it",
            when=(~sync_names_are_right,),
            then=_narrow,
            why="First the key stops to promise what the next names cannot keep.",
        ),
        Rule(
            "sync.wait",
            "The names are in force: wait until the standbys have confirmed",
            when=(~sync_key_is_right,),
            then=_wait,
            why="The key may name a standby only when it has every acknowledged commit.",
        ),
        Rule(
            "sync.kept",
            "Key, names and standbys agree",
            when=(),
            then=_look_again,
            why="Everybody who may lead by the key has every acknowledged commit.",
        ),
    ),
)
