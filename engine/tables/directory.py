"""PostgreSQL is down and its directory holds no usable server: how it gets one."""

from engine import upstreams, views, watchdog
from engine.actions import (
    Action,
    ClaimFounding,
    Clone,
    CreateInitialize,
    DropFounder,
    Hold,
    ReleaseLock,
    Remember,
    Report,
    RunInitdb,
)
from engine.facts.failsafe import (
    a_member_may_go_on_unseen,
    all_listed_were_asked,
    consented,
)
from engine.facts.following import a_clone_source_exists
from engine.facts.keys import (
    a_lease_may_be_left,
    a_running_cluster_lost_its_keys,
    keys_were_seen_to_go,
    others_have_data,
)
from engine.facts.lease import i_own_the_lock, lock_is_free, store_answers
from engine.facts.postgres import (
    a_founder_is_named,
    a_job_runs,
    bootstrap_step_failed,
    directory_is_empty,
    directory_is_valid,
    founder_is_here,
    initialize_is_empty,
    initialize_is_missing,
    initialize_is_set,
    leader_is_unnamed,
    postmaster_runs,
    waits_to_retry,
    we_are_seen,
    we_are_the_founder,
)
from engine.facts.race import start_timeout_is_over
from engine.facts.standby_cluster import in_standby_cluster
from engine.facts.sync import i_am_synchronous
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import (
    bootstrapping,
    daemon_is_stopping,
    may_bootstrap,
    must_reinitialize,
    paused,
)
from engine.rule import Rule, Table
from engine.state import Snapshot
from engine.tables.steps import (
    WHY_WAIT_FOR_LEASES,
    WHY_WAIT_FOR_LISTED,
    ask_listed,
    leave_bootstrap,
    wait_for_leases,
    wait_for_listed,
    wait_for_primarys_keys,
)


def _clone(s: Snapshot) -> tuple[Action, ...]:
    source = upstreams.clone_source(s)
    assert source is not None
    return (Clone(source, s.memory.reinit_from_leader, remote=source.name == upstreams.REMOTE),)


def _copy_remote(s: Snapshot) -> tuple[Action, ...]:
    return (Remember({"bootstrap_copied": True}), Clone(upstreams.remote(s), remote=True))


def _founder_revision(s: Snapshot) -> int:
    view = views.cluster(s)
    assert view is not None
    return view.founder_revision


def _win_bootstrap(s: Snapshot) -> tuple[Action, ...]:
    create = CreateInitialize(founder_revision=_founder_revision(s))
    return (create, Remember({"bootstrapping": True}))


DIRECTORY = Table(
    "directory",
    "The data directory holds no server of ours yet: how does it get one?",
    applies=(~daemon_is_stopping, ~a_job_runs, ~postmaster_runs, ~directory_is_valid),
    rules=(
        Rule(
            "directory.bootstrap_failed",
            "A step of the bootstrap failed: let others try",
            when=(bootstrap_step_failed,),
            then=leave_bootstrap,
            why="The half-made directory is set aside for inspection, never deleted.",
            ends=True,
        ),
        Rule(
            "directory.unusable",
            "We own the lock, but our data has been unusable for primary_start_timeout: release it",
            when=(i_own_the_lock, ~directory_is_empty, start_timeout_is_over),
            then=lambda s: (ReleaseLock(None, s.postgres.directory.problem),),
            why="A disk that does not come back must not keep others from leading.",
        ),
        Rule(
            "directory.alien",
            "Something else is there: do not touch it",
            when=(~directory_is_empty,),
            then=lambda s: (
                Report("error", f"data directory: {s.postgres.directory.problem}"),
                Hold(f"the operator: {s.postgres.directory.problem}"),
            ),
            why="Nothing deletes or overwrites files that are not certainly a copy of the cluster.",
        ),
        Rule(
            "directory.release",
            "We own the lock without any data: release it",
            when=(i_own_the_lock, ~bootstrapping),
            then=lambda _: (ReleaseLock(None, "the data directory is empty"),),
            why="A member that has nothing to serve must not keep others from leading.",
        ),
        Rule(
            "directory.store_silent",
            "The store does not answer",
            when=(~store_answers,),
            then=lambda _: (Hold("the store to answer"),),
            why="Without the store it is unknown whether a cluster exists.",
        ),
        Rule(
            "directory.paused",
            "Maintenance mode: an empty data directory is only reported",
            when=(paused, ~must_reinitialize),
            then=lambda _: (Hold("the end of the maintenance mode"),),
            why="In pause nothing happens by itself.",
        ),
        Rule(
            "directory.retry",
            "The last try failed a moment ago",
            when=(waits_to_retry,),
            then=lambda s: (Hold("the next try", s.memory.retry_at),),
            why="Trying again at once, for ever, would fill the log and the machine.",
        ),
        Rule(
            "directory.consented",
            "We agreed that a primary without the store goes on: found no cluster",
            when=(consented, ~initialize_is_set),
            then=lambda s: (Hold("the end of our consent", s.memory.consented_until),),
            why="There is a cluster, whatever the store has lost: that primary's.",
        ),
        Rule(
            "directory.copy_remote",
            "We won the right to create a standby cluster: copy the remote primary",
            when=(bootstrapping, in_standby_cluster),
            then=_copy_remote,
            why="A standby cluster has the data, and the identity, of the primary that it follows.",
        ),
        Rule(
            "directory.initdb",
            "We won the right to create the cluster: initdb",
            when=(bootstrapping,),
            then=lambda _: (Remember({"bootstrap_copied": False}), RunInitdb()),
            why="Only the creator of the `initialize` key makes a new cluster.",
        ),
        Rule(
            "directory.keys_lost",
            "We were a member of a running cluster, and its keys are gone: found no other one",
            when=(initialize_is_missing, keys_were_seen_to_go, a_running_cluster_lost_its_keys),
            then=wait_for_primarys_keys,
            why="Its primary may be alive, and writes them again once it reaches the store; a new "
            "cluster in its place would be a second one.",
        ),
        Rule(
            "directory.lease_left",
            "The store may have lost the cluster's keys less than ttl ago: found no cluster yet",
            when=(initialize_is_missing, a_lease_may_be_left),
            then=wait_for_leases,
            why=WHY_WAIT_FOR_LEASES,
        ),
        Rule(
            "directory.listed_ask",
            "The store has lost the keys of a cluster with failsafe mode: ask who was listed",
            when=(initialize_is_missing, lock_is_free, ~all_listed_were_asked),
            then=ask_listed,
            why=WHY_WAIT_FOR_LISTED,
        ),
        Rule(
            "directory.listed_wait",
            "One of them gives no answer, or may be primary without the store: found no cluster",
            when=(initialize_is_missing, lock_is_free, a_member_may_go_on_unseen),
            then=wait_for_listed,
            why=WHY_WAIT_FOR_LISTED,
        ),
        Rule(
            "directory.others_have_data",
            "No cluster exists, but a member has a server in its directory: leave it to that one",
            when=(initialize_is_missing, lock_is_free, others_have_data),
            then=lambda s: (
                Hold("a member with data to make itself the cluster", s.now + s.policy.ttl_seconds),
            ),
            why="An empty cluster in its place would shut that data out.",
        ),
        Rule(
            "directory.introduce",
            "No cluster exists, and our member key is not in the store yet: write that first",
            when=(initialize_is_missing, may_bootstrap, lock_is_free, ~we_are_seen),
            then=lambda s: (Hold("our member key in the store", s.now + views.ASK_AGAIN_SECONDS),),
            why="A claim whose owner has no member key looks like that of a member that is gone; "
            "dropped, it would leave the cluster with two founders.",
        ),
        Rule(
            "directory.no_watchdog",
            "No cluster exists, but the watchdog that is required can't be used here",
            when=(
                initialize_is_missing,
                may_bootstrap,
                lock_is_free,
                watchdog_is_missing,
                ~in_standby_cluster,
            ),
            then=lambda s: (
                Hold(f"the watchdog: {watchdog.trouble(s)}", s.now + views.ASK_AGAIN_SECONDS),
            ),
            why="A founder that may not lead would keep the cluster from everybody else.",
        ),
        Rule(
            "directory.claim",
            "No cluster exists: claim the right to found it",
            when=(initialize_is_missing, may_bootstrap, lock_is_free, ~a_founder_is_named),
            then=lambda _: (ClaimFounding(),),
            why="`initialize` is empty at first and names nobody: should its creator die, or miss "
            "the store's answer, only the claim tells who may go on.",
        ),
        Rule(
            "directory.founder_gone",
            "The founder vanished before it created anything: drop its claim",
            when=(initialize_is_missing, may_bootstrap, lock_is_free, ~founder_is_here),
            then=lambda s: (DropFounder(_founder_revision(s)),),
            why="A member that is not there must not keep the others from founding the cluster.",
        ),
        Rule(
            "directory.win_bootstrap",
            "No cluster exists, and the right to found it is ours: create it",
            when=(initialize_is_missing, may_bootstrap, lock_is_free, we_are_the_founder),
            then=_win_bootstrap,
            why="The `initialize` key is created only if it is absent, and by our claim as it is "
            "now: a request that comes late, after the claim was dropped, makes no second founder.",
        ),
        Rule(
            "directory.go_on",
            "`initialize` is there, still empty, and the founder is this member: bootstrap",
            when=(initialize_is_empty, we_are_the_founder, lock_is_free),
            then=lambda _: (Remember({"bootstrapping": True}),),
            why="We created it, but the answer came late, was lost, or we died before noting it.",
        ),
        Rule(
            "directory.synchronous",
            "`sync` names this member, whose data is gone: wait until the leader has released it",
            when=(a_clone_source_exists, i_am_synchronous),
            then=lambda _: (Hold("the leader to release this member, whose data is gone"),),
            why="It may lead by what it confirmed, and a copy of a member that lags may lack it. "
            "The leader sees within moments that it does not stream.",
        ),
        Rule(
            "directory.clone",
            "A cluster exists and a member can be copied: clone it",
            when=(a_clone_source_exists, ~initialize_is_missing, ~leader_is_unnamed),
            then=_clone,
            why="A new replica begins as a copy of a running member; but of no founder that has "
            "not published its cluster, which may lack its roles, or be set aside.",
        ),
        Rule(
            "directory.wait_for_bootstrap",
            "Another member creates the cluster",
            when=(initialize_is_empty,),
            then=lambda _: (Hold("the bootstrap by another member"),),
            why="There is nothing to copy before the first primary runs.",
        ),
        Rule(
            "directory.wait",
            "Nobody can be copied yet",
            when=(),
            then=lambda _: (Hold("a running leader to clone"),),
            why="A cluster exists but has no running leader, or none that published its address.",
        ),
    ),
)
