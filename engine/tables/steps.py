"""Small action lists that several tables use."""

from collections.abc import Callable

from engine import asking, lineage, upstreams, views
from engine import synchronous as sync
from engine.actions import (
    AcquireLock,
    Action,
    AskLeader,
    AskPeers,
    ClearFailover,
    DeleteInitialize,
    Exit,
    Follow,
    Hold,
    MoveDataDirectory,
    ReleaseLock,
    Remember,
    RemoveDataDirectory,
    Report,
    Rewind,
    StartPostgres,
    StopPostgres,
    WithdrawMember,
)
from engine.facts.failsafe import may_go_on_unseen
from engine.facts.keys import leases_over_at
from engine.facts.lease import another_owns_the_lock, i_own_the_lock, store_names_me
from engine.facts.postgres import initialize_is_empty, the_founding_is_ours
from engine.facts.sync import i_am_synchronous, leaving_takes_too_long
from engine.state import Snapshot
from engine.tables.safety import arm, stop_at_once
from engine.tables.watchdog import activate_if_wanted

FALLBACK_START_SECONDS = 300.0
# When a synchronous standby that is to stop first asks the leader to go on without it.
LEAVES_SYNC_FIRST = (i_am_synchronous, another_owns_the_lock, ~leaving_takes_too_long)
WHY_LEAVE_SYNC = "Clients must not wait until the leader has noticed that this standby is gone."
# What is remembered of a bootstrap once it is over.
NO_BOOTSTRAP: dict[str, object] = {
    "bootstrapping": False,
    "bootstrap_copied": False,
    "bootstrap_failed": "",
    "roles_created": False,
}
# Why nothing is made of an empty store while a lease from before may be left.
WHY_WAIT_FOR_LEASES = (
    "Whoever led before is writable until its lease ends, and writes the keys again if it can."
)
# Why nothing is made of an empty store while a primary may go on in failsafe mode.
WHY_WAIT_FOR_LISTED = (
    "In failsafe mode a primary that does not reach the store goes on by the word of the members "
    "that it knew, for as long as they give it; we may not have been one of them."
)
# Why a replica whose cluster's keys are lost waits for them, instead of ending.
WHY_STAY_TO_ANSWER = (
    "Whoever may make itself the cluster waits for this member's answer, and the list that it goes "
    "by may name more than ours."
)

# What a member waits for whose data is no part of the cluster's.
ONLY_A_NEW_COPY_HELPS = "an operator, or a leader: only a new copy of the data helps"


def _soon(s: Snapshot) -> float:
    return s.now + views.ASK_AGAIN_SECONDS


def leave_sync(s: Snapshot) -> tuple[Action, ...]:
    """Publish `nosync` (the member document has it from the next cycle on), and wait."""
    since = s.now if s.memory.leaving_since is None else s.memory.leaving_since
    noted = () if since == s.memory.leaving_since else (Remember({"leaving_since": since}),)
    until = since + sync.leaving_seconds(s)
    return (*noted, Hold("the leader to release this synchronous standby", until))


def ask_peers(s: Snapshot) -> AskPeers:
    """Ask every peer."""
    return AskPeers(asking.peers_to_ask(s), asking.PEER_TIMEOUT_SECONDS)


def ask(s: Snapshot) -> tuple[Action, ...]:
    """Ask every peer, and look again when the answers are there."""
    return (ask_peers(s), Hold("the peers' answers"))


def ask_leader(s: Snapshot) -> tuple[Action, ...]:
    """Ask the leader (or the remote primary) for its timeline; if it is silent, soon again."""
    leader = lineage.truth(s)
    if leader is None:
        return (Hold("the leader's member key", s.now + views.ASK_AGAIN_SECONDS),)
    who = upstreams.REMOTE if leader.name == upstreams.REMOTE else "the leader"
    return (
        AskLeader(leader, lineage.end_of_wal(s), lineage.receiver(s)),
        Hold(f"{who} to tell its timeline", s.now + views.ASK_AGAIN_SECONDS),
    )


def acquire_lock(s: Snapshot) -> AcquireLock:
    """Take the lock without asking anybody; what was seen counts as long as answers would."""
    view = views.cluster(s)
    assert view is not None
    return AcquireLock(s.now + asking.ANSWER_SECONDS, view.initialize)


def follow(s: Snapshot) -> tuple[Action, ...]:
    """Point the running standby at whom it should follow."""
    return (Follow(upstreams.streams_from(s)),)


def start_timeout_seconds(s: Snapshot) -> float:
    """How long a start may take: `primary_start_timeout`, or five minutes where that is 0."""
    return s.policy.primary_start_timeout_seconds or FALLBACK_START_SECONDS


def start_standby(s: Snapshot) -> tuple[Action, ...]:
    """Start as a standby of whom we should follow, or of nobody."""
    return (StartPostgres("standby", upstreams.streams_from(s), start_timeout_seconds(s)),)


def start_alone(s: Snapshot) -> tuple[Action, ...]:
    """Start as a standby that follows nobody."""
    return (StartPostgres("standby", None, start_timeout_seconds(s)),)


def start_primary(s: Snapshot) -> tuple[Action, ...]:
    """Start as primary, for no longer than is left of primary_start_timeout.

    The server begins before it would have to be stopped at once, or not at all.
    """
    timeout = start_timeout_seconds(s)
    since = s.memory.primary_down_since
    left = timeout if since is None else timeout - (s.now - since)
    ends = views.lease_ends(s)
    begin_before = None if ends is None else ends - views.stop_margin_seconds(s)
    guards = (*arm(s), *activate_if_wanted(s))
    return (*guards, StartPostgres("primary", None, max(left, 10.0), begin_before))


def release_if_ours(s: Snapshot, why: str) -> tuple[Action, ...]:
    """Give the lock back if the store names us, or may, since the lease is ours."""
    ours = store_names_me.holds(s) or i_own_the_lock.holds(s)
    return (ReleaseLock(None, why),) if ours else ()


def leave_bootstrap(s: Snapshot) -> tuple[Action, ...]:
    """Give the bootstrap up: set the directory aside, let others try, and end.

    An `initialize` that holds a value, or has another founder, stays.  The lock goes after it: as
    long as that is ours nobody races for, or founds, what is half undone.  What is remembered of
    the bootstrap goes last: the next daemon must neither give it up again nor go on with it.
    """
    view = views.cluster(s)
    if view is None:
        return (Hold("the store to answer"),)
    ours = initialize_is_empty.holds(s) and the_founding_is_ours.holds(s)
    others_may_try = (DeleteInitialize(view.initialize_revision),) if ours else ()
    return (
        WithdrawMember(),
        MoveDataDirectory(),
        *others_may_try,
        *release_if_ours(s, "the bootstrap failed"),
        Remember(NO_BOOTSTRAP),
        Exit(1, f"the bootstrap failed: {s.memory.bootstrap_failed}"),
    )


def wait_for_keys(waiting_for: str) -> Callable[[Snapshot], tuple[Action, ...]]:
    """Say that the keys are lost, and wait: at most until no lease from before is left."""

    def actions(s: Snapshot) -> tuple[Action, ...]:
        over_at = leases_over_at(s) or 0.0
        until = over_at if over_at > s.now else _soon(s)
        return (
            Report("warning", "the store has lost the cluster's keys"),
            Hold(waiting_for, until),
        )

    return actions


wait_for_leases = wait_for_keys("every lease to end from before the keys were lost")
wait_for_primarys_keys = wait_for_keys("a primary to write the cluster's keys again")


def end_without_cluster(_: Snapshot) -> tuple[Action, ...]:
    """End a replica's daemon: the store knows no cluster, and a replica must not make one."""
    return (
        Exit(
            1,
            "this is a replica, but the store has no `initialize` key for the scope: "
            "check scope and namespace, or start the former primary first",
        ),
    )


def ask_listed(s: Snapshot) -> tuple[Action, ...]:
    """Ask those that `failsafe` named before the store lost the keys."""
    question = AskPeers(asking.listed_before(s), asking.PEER_TIMEOUT_SECONDS)
    return (question, Hold("the answers of the members that `failsafe` named"))


def wait_for_listed(s: Snapshot) -> tuple[Action, ...]:
    """Say who may be a primary that the store does not show, and wait for its word."""
    names, ours = ", ".join(may_go_on_unseen(s)), s.postgres.directory.system_identifier
    if_gone = f"; if it is gone for good, write {ours} to the `initialize` key" if ours else ""
    lost = "the store has lost the cluster's keys"
    return (
        Report("warning", f"{lost}; {names} may be primary: lead it back to the store{if_gone}"),
        Hold(f"{names} to write the keys, or to tell that it is no primary", _soon(s)),
    )


def report_foreign(s: Snapshot) -> tuple[Action, ...]:
    """Say that the remote primary of this standby cluster has another system identifier."""
    source, told = lineage.truth(s), lineage.told_timeline(s)
    assert source is not None
    assert told is not None
    text = (
        f"standby_cluster: {source.address} has system identifier "
        f"{told.system_identifier}, this cluster has another one: check host and port"
    )
    return (Report("error", text), Hold("the operator: standby_cluster names another system"))


def why_diverged(s: Snapshot) -> str:
    """Why our WAL is not a part of the leader's: what is seen, else what was found before."""
    return (
        lineage.divergence(s)
        or f"found to part from timeline {s.memory.diverged_from} while it ran"
    )


def report_diverged(s: Snapshot) -> tuple[Action, ...]:
    """Say that our WAL is not a part of the other's, and leave it at that until the pause ends."""
    return (
        Report("warning", f"diverged: {why_diverged(s)}"),
        Hold("the end of the maintenance mode"),
    )


def stop_diverged(s: Snapshot, whom: str) -> tuple[Action, ...]:
    """Stop a standby whose WAL is not a part of `whom`'s, and remember its timeline.

    One that is still being started has no clients, and waits for no orderly end.
    """
    told = lineage.told_timeline(s)
    why = f"diverged from {whom}"
    return (
        Report("warning", f"diverged: {why_diverged(s)}"),
        Remember({"diverged_from": told.timeline if told else 0}),
        *(stop_at_once(s, why) if s.postgres.starting else (StopPostgres("fast", why),)),
    )


def rewind(s: Snapshot) -> tuple[Action, ...]:
    """Rewind to whom our WAL must be a part of."""
    source = lineage.truth(s)
    assert source is not None
    why = lineage.divergence(s) or "diverged, or an earlier rewind was cut off"
    return (Report("warning", f"rewinding to {source.name}: {why}"), Rewind(source))


def remove_after_failed_rewind(s: Snapshot) -> tuple[Action, ...]:
    """Empty the directory that pg_rewind left half-made, as the configuration allows."""
    allowed = f"remove_data_directory_on_rewind_failure, after: {s.memory.rewind_failed}"
    return (RemoveDataDirectory(allowed),)


def give_handover_up(s: Snapshot) -> tuple[Action, ...]:
    """End a hand-over that no candidate could take, and its `failover` key with it."""
    why = "no candidate received our last record"
    request = views.failover_request(s)
    clear = (ClearFailover(request.revision, why),) if request is not None else ()
    said = Report("error", f"hand-over given up: {why}")
    return (said, *clear, Remember({"standing_down_since": None}))


def wait_for_the_job(s: Snapshot) -> tuple[Action, ...]:
    """Wait for the long work under way to end."""
    return (Hold(f"the {s.job.kind.value} to end" if s.job else "a job to end"),)
