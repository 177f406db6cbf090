"""Ending the daemon, long work under way, and a PostgreSQL that gives no answer."""

from collections.abc import Callable

from engine import views
from engine.actions import (
    Action,
    Exit,
    Follow,
    Hold,
    ReleaseLock,
    Remember,
    StopPostgres,
    WithdrawMember,
)
from engine.facts.following import (
    has_diverged,
    leader_told_its_timeline,
    upstream_differs,
    upstream_is_another,
)
from engine.facts.former import blind_for_long
from engine.facts.lease import (
    i_own_the_lock,
    lock_is_free,
    store_answers,
    store_names_me,
)
from engine.facts.postgres import (
    a_job_runs,
    directory_was_standby,
    filling_the_directory,
    look_is_outdated,
    may_accept_writes,
    postmaster_runs,
    server_is_silent,
    silent_for_a_loop,
    start_runs,
    starting_too_long,
    still_starting,
    stop_runs,
    waits_to_retry,
)
from engine.facts.standby_cluster import may_start_unasked
from engine.facts.upkeep import announced_up
from engine.facts.work import (
    bootstrapping,
    daemon_is_stopping,
    paused,
    peers_answered,
    somebody_can_take_over,
)
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot, Unknown
from engine.tables.cut_off import cut_off_rules
from engine.tables.safety import stop_at_once
from engine.tables.steps import (
    LEAVES_SYNC_FIRST,
    WHY_LEAVE_SYNC,
    ask,
    ask_leader,
    follow,
    leave_sync,
    stop_diverged,
    wait_for_the_job,
)
from engine.tables.upkeep import announce_stop


def final_lsn(s: Snapshot) -> int | None:
    """The position that a primary which was shut down leaves behind.

    A standby leaves none, nor one that crashed: its last checkpoint is not its end.  Nor does a
    founder: nobody's lag is counted from what has no identity.
    """
    control = s.postgres.directory.control
    if control is None or control.state != "shut down" or s.memory.bootstrapping:
        return None
    return control.checkpoint_lsn


def _release_and_exit(s: Snapshot) -> tuple[Action, ...]:
    return (
        ReleaseLock(final_lsn(s), "the daemon was told to end"),
        WithdrawMember(),
        Exit(0, "told to end"),
    )


def _give_up(s: Snapshot) -> tuple[Action, ...]:
    told = () if views.cluster(s) is None else (WithdrawMember(),)
    return (*told, Exit(0, "told to end"))


STOP = Table(
    "stop",
    "The daemon was told to end: how?",
    applies=(daemon_is_stopping,),
    rules=(
        Rule(
            "stop.paused",
            "Maintenance mode: leave PostgreSQL and the lock as they are",
            when=(paused,),
            then=lambda _: (Exit(0, "told to end, in maintenance mode"),),
            why="In pause operators restart the daemon without touching the database.",
            ends=True,
        ),
        Rule(
            "stop.filling",
            "The data directory is being filled: give that up",
            when=(filling_the_directory,),
            then=_give_up,
            why="A copy that is not complete is made anew at the next start.",
            ends=True,
        ),
        Rule(
            "stop.waits",
            "PostgreSQL is being stopped",
            when=(stop_runs,),
            then=lambda _: (Hold("PostgreSQL to stop"),),
            why="The lock may be released only when nothing can be written any more.",
        ),
        Rule(
            "stop.cancel",
            "PostgreSQL is being started or promoted: cut that short",
            when=(a_job_runs,),
            then=lambda s: stop_at_once(s, "the daemon was told to end"),
            why="The lock may not be released while a server is about to become writable.",
        ),
        Rule(
            "stop.unseen",
            "PostgreSQL was not looked at since the last job: look first",
            when=(look_is_outdated,),
            then=lambda s: (Hold("a look at PostgreSQL", s.now + 1.0),),
            why="The lock may be released only when it was seen that nothing runs.",
        ),
        Rule(
            "stop.leave_sync",
            "Commits wait for this standby: ask the leader to release it, and wait for that",
            when=(postmaster_runs, *LEAVES_SYNC_FIRST),
            then=leave_sync,
            why=WHY_LEAVE_SYNC,
        ),
        Rule(
            "stop.postgres",
            "Stop PostgreSQL",
            when=(postmaster_runs,),
            then=lambda _: (StopPostgres("fast", "the daemon was told to end", True),),
            why="A fast stop leaves a clean directory, and standbys receive the last record.",
        ),
        Rule(
            "stop.callback",
            "PostgreSQL is down: on_stop, before the lock is released",
            when=(announced_up,),
            then=announce_stop,
            why="Scripts that move addresses must hear of every stop, this one too.",
            ends=True,
        ),
        Rule(
            "stop.offline",
            "PostgreSQL is down and the store does not answer: end without telling it",
            when=(~store_answers,),
            then=lambda _: (Exit(0, "told to end, while the store is silent"),),
            why="The lock and the member key end with their ttl; an outage must not hold us here.",
            ends=True,
        ),
        Rule(
            "stop.release",
            "PostgreSQL is down and the lock is in our name: release it",
            when=(store_names_me,),
            then=_release_and_exit,
            why="Everything is shut down, so another member may take over at once.  That holds as "
            "well for a lock that we do not count on any more.",
            ends=True,
        ),
        Rule(
            "stop.exit",
            "PostgreSQL is down: end",
            when=(),
            then=lambda _: (WithdrawMember(), Exit(0, "told to end")),
            why="Nothing is left to be done.",
            ends=True,
        ),
    ),
)


def _turn(
    table: str,
    who: str,
    when: tuple[Fact, ...],
    waits: Callable[[Snapshot], tuple[Action, ...]] = lambda _: (),
) -> tuple[Rule, ...]:
    """How a standby that can't be asked where its WAL ends comes to follow somebody else."""
    differs = (*when, directory_was_standby, upstream_differs)
    unasked = (~leader_told_its_timeline, ~may_start_unasked)
    return (
        Rule(
            f"{table}.unfollow",
            f"{who}, and is set to another server than it should follow: follow nobody",
            when=(*differs, upstream_is_another, *unasked),
            then=lambda s: (Follow(None), *waits(s)),
            why="It would stream from a server that has come back with other WAL on a timeline of "
            "our number; and nothing may be added to what is compared with the leader's WAL.",
        ),
        Rule(
            f"{table}.ask_leader",
            f"{who}, and there is somebody else to follow: ask that one first",
            when=(*differs, *unasked),
            then=lambda s: (*ask_leader(s), *waits(s)),
            why="PostgreSQL connects by numbers alone, whatever WAL it replays here.",
        ),
        Rule(
            f"{table}.diverged",
            f"{who}, and its WAL is not a part of the leader's: stop it",
            when=(*differs, has_diverged, ~waits_to_retry, ~paused),
            then=lambda s: stop_diverged(s, "the leader"),
            why="Down it can be repaired; as it is it would wait for WAL that nobody has.",
        ),
        Rule(
            f"{table}.follow",
            f"{who}, and there is somebody else to follow: point it there",
            when=(*differs, ~has_diverged),
            then=lambda s: (*follow(s), *waits(s)),
            why="It may need WAL from there before it can answer, as after a rewind.",
        ),
    )


JOB = Table(
    "job",
    "Long work is under way: may it go on?",
    applies=(~daemon_is_stopping, a_job_runs),
    rules=(
        *_turn("job", "A standby is being started", (start_runs, still_starting), wait_for_the_job),
        *cut_off_rules(
            "job",
            "A standby is being started",
            (~i_own_the_lock, start_runs, still_starting, directory_was_standby),
            (blind_for_long,),
            wait_for_the_job,
        ),
        Rule(
            "job.runs",
            "Wait for the job",
            when=(),
            then=wait_for_the_job,
            why="One piece of long work on PostgreSQL at a time; only safety cuts it short.",
        ),
    ),
)


def _silence(s: Snapshot) -> str:
    seen = s.postgres.server
    return f" ({seen.why})" if isinstance(seen, Unknown) and seen.why else ""


def _give_the_start_up(s: Snapshot) -> tuple[Action, ...]:
    since, seen = s.memory.primary_down_since, s.postgres.server
    if since is None and isinstance(seen, Unknown):
        since = seen.since
    return (
        Remember({"primary_down_since": since}),
        *stop_at_once(s, "the primary did not start within primary_start_timeout"),
    )


# Of what is being founded nobody has a copy that could take over.
_OVERDUE = (i_own_the_lock, starting_too_long, ~paused, ~bootstrapping)

SILENT = Table(
    "silent",
    "PostgreSQL gives no answer: what now?",
    applies=(~daemon_is_stopping, ~a_job_runs, server_is_silent),
    rules=(
        Rule(
            "silent.ask_before_failover",
            "Our primary still starts after primary_start_timeout: ask who could take over",
            when=(*_OVERDUE, ~peers_answered),
            then=ask,
            why="The lock is given away only if somebody can use it.",
        ),
        Rule(
            "silent.failover",
            "Our primary still starts after primary_start_timeout, a member can take over: stop",
            when=(*_OVERDUE, somebody_can_take_over),
            then=_give_the_start_up,
            why="A recovery of an hour must not keep the cluster without a leader for an hour; "
            "the lock is released when the server is down.",
            ends=True,
        ),
        *_turn("silent", "A standby gives no answer", (~look_is_outdated,)),
        *cut_off_rules(
            "silent",
            "A standby gives no answer",
            (~i_own_the_lock, ~look_is_outdated, directory_was_standby),
            (blind_for_long,),
        ),
        Rule(
            "silent.unowned",
            "A server that may be writable has long given no answer, and nobody leads: end it",
            when=(may_accept_writes, silent_for_a_loop, lock_is_free, ~paused),
            then=lambda s: stop_at_once(s, "PostgreSQL gives no answer, and nobody leads"),
            why="It can't ask for the lock, since nobody knows what it has written, and the others "
            "wait for it: it may still be writing.",
            ends=True,
        ),
        Rule(
            "silent.starting",
            "PostgreSQL is starting up",
            when=(still_starting,),
            then=lambda s: (Hold("PostgreSQL to finish its start", s.now + 1.0),),
            why="Recovery takes as long as there is WAL to replay.",
        ),
        Rule(
            "silent.wait",
            "A postmaster runs but does not answer: look again soon",
            when=(),
            then=lambda s: (Hold(f"PostgreSQL to answer{_silence(s)}", s.now + 1.0),),
            why="A slow server is not a dead one; write.frozen ends only a frozen postmaster.",
        ),
    ),
)
