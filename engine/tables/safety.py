"""Safety first: the fence's deadline, and whether PostgreSQL may stay writable.

Conflicts are resolved here: a rule that stops PostgreSQL ends the cycle, so nothing below can ask
for more writing.
"""

from dataclasses import replace

from engine import synchronous as sync
from engine import views
from engine.actions import Action, ArmFence, DisarmFence, Hold, Remember, StopPostgres
from engine.facts.failsafe import a_member_leads_itself, consented
from engine.facts.lease import (
    another_owns_the_lock,
    fence_can_be_armed,
    fence_deadline_differs,
    fence_is_armed,
    fence_watches_a_dead_server,
    i_own_the_lock,
    lease_could_count,
    lease_is_known,
    lease_is_void,
    lock_is_free,
    no_time_left,
    renewal_is_due,
    renewal_was_refused,
    store_answers,
    store_is_busy,
    store_is_silent_for_ttl,
    time_is_short,
)
from engine.facts.postgres import (
    a_job_runs,
    frozen_too_long,
    has_to_be_guarded,
    identity_differs,
    look_is_outdated,
    may_accept_writes,
    never_looked_at,
    still_starting,
    stop_runs,
    stopping_at_once,
)
from engine.facts.promotion import promotion_is_under_way
from engine.facts.stopping import kills_at, stop_kills_too_late
from engine.facts.sync import stop_takes_too_long
from engine.facts.work import daemon_is_stopping, paused
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot


def arm(s: Snapshot) -> tuple[Action, ...]:
    """Tell the fence the process (or the directory) and the moment; nothing without a lease."""
    return () if views.lease_ends(s) is None else (_armed(s),)


def _armed(s: Snapshot) -> ArmFence:
    postmaster = s.postgres.postmaster
    pid, ticks = (postmaster.pid, postmaster.start_ticks) if postmaster else (0, 0)
    before, grace = views.fence_before_end_seconds(s), views.fence_grace_seconds(s)
    return ArmFence(pid, ticks, before, grace, s.policy.fence_required)


def arm_ahead(s: Snapshot) -> tuple[Action, ...]:
    """What comes before a request for a lease where a server may be writable and nothing guards it.

    The answer may be lost, or find a daemon that hangs: the server must not outlive the lease then.
    A deadline that stands is only made earlier, where the former one counts on a longer `ttl`: an
    earlier request may have been granted.  Before the first look it may be of the server there.
    """
    if s.policy.pause or not s.fence.ready or not has_to_be_guarded.holds(s):
        return ()
    armed, ends = _armed(s), s.now + s.policy.ttl_seconds
    guards = views.fence_guards_the_server(s) or never_looked_at.holds(s)
    kill_at = s.fence.kill_at if guards else None
    if kill_at is not None and kill_at <= ends - armed.before_end_seconds:
        return ()
    return (replace(armed, asked_ends_at=ends),)


TRUCE = Table(
    "truce",
    "Does the fence keep still in maintenance mode, and count right after it?",
    applies=(),
    rules=(
        Rule(
            "truce.disarm",
            "Maintenance mode: no deadline",
            when=(paused, fence_is_armed),
            then=lambda _: (DisarmFence(),),
            why="In pause nothing happens by itself, and the fence must not act either: not even "
            "while a renewal waits for a slow store.",
        ),
        Rule(
            "truce.over",
            "PostgreSQL may be writable, and the fence has no deadline: give it one first of all",
            when=(~paused, may_accept_writes, ~fence_is_armed, fence_deadline_differs),
            then=arm,
            why="Until then nothing ends PostgreSQL if this daemon hangs or dies, and what has to "
            "be remembered, or renewed, may take its time.",
        ),
        Rule(
            "truce.unowned",
            "PostgreSQL may be writable, nobody leads, and the fence has no deadline: give it one",
            when=(
                may_accept_writes,
                lock_is_free,
                ~paused,
                ~fence_is_armed,
                fence_can_be_armed,
                ~still_starting,
                ~look_is_outdated,
                ~identity_differs,
            ),
            then=arm_ahead,
            why="It may be some time before it asks for the lock: a server that gives no answer "
            "does not.  If this daemon, or its machine, hangs, another member may lead by then.  "
            "One that still starts writes nothing yet, however long its recovery takes.",
        ),
        Rule(
            "truce.kept",
            "The fence is as it should be, or is moved below",
            when=(),
            then=nothing,
            why="Only what it must not do, or must do before all else, is done here.",
        ),
    ),
)

FENCE = Table(
    "fence",
    "Does the fence know when PostgreSQL must be gone?",
    applies=(~paused,),
    rules=(
        Rule(
            "fence.move",
            "The lease is renewed in this cycle: move the fence's deadline with it",
            when=(has_to_be_guarded, i_own_the_lock, renewal_is_due, ~store_is_busy),
            then=arm,
            why="The deadline of the fence must follow every renewal, and only a renewal.  Before "
            "the first look PostgreSQL may be writable: the daemon before this one led.",
        ),
        Rule(
            "fence.arm",
            "The fence counts for another process, or to another end of the lease: arm it",
            when=(fence_is_armed, may_accept_writes, lease_is_known, fence_deadline_differs),
            then=arm,
            why="If this daemon hangs or dies, the fence ends PostgreSQL before the lease ends.",
        ),
        Rule(
            "fence.disarm",
            "PostgreSQL is not writable: no deadline",
            when=(
                fence_is_armed,
                ~may_accept_writes,
                ~fence_watches_a_dead_server,
                ~a_job_runs,
                ~look_is_outdated,
            ),
            then=lambda _: (DisarmFence(),),
            why="A standby may run without a lease.  A dead server's guard ends by itself, once "
            "the last of its processes is gone: backends may outlive their postmaster.",
        ),
        Rule(
            "fence.unchanged",
            "Nothing to tell the fence",
            when=(),
            then=nothing,
            why="The deadline is the one that it should be.",
        ),
    ),
)


def _void(s: Snapshot) -> tuple[Action, ...]:
    return (Remember({"lease_void": s.lease.sent_at}),)


LEASE = Table(
    "lease",
    "Has the store shown that our lease is over?",
    applies=(lease_could_count,),
    rules=(
        Rule(
            "lease.taken",
            "The store names another owner: our lease counts no more, whatever was left of it",
            when=(another_owns_the_lock,),
            then=_void,
            why="A store that loses its keys ends leases early, and may fall silent right after.",
        ),
        Rule(
            "lease.gone",
            "Since our last renewal the store has shown no owner: our lease counts no more",
            when=(lock_is_free,),
            then=_void,
            why="Whoever asks first may own the lock by now; only a new lease of ours says more.",
        ),
        Rule(
            "lease.unchanged",
            "Nothing speaks against our lease",
            when=(),
            then=nothing,
            why="Its end, counted from before it was asked for, is all that limits it.",
        ),
    ),
)


def stop_at_once(s: Snapshot, why: str) -> tuple[Action, ...]:
    """An immediate stop that ends in time."""
    return (StopPostgres("immediate", why, kill_at=kills_at(s)),)


def _let_it_stop(s: Snapshot) -> tuple[Action, ...]:
    left = sync.stop_seconds_left(s)
    return () if left is None else (Hold("PostgreSQL to stop", s.now + max(left, 0.1)),)


WRITE = Table(
    "write",
    "May PostgreSQL stay writable?",
    applies=(may_accept_writes, ~paused),
    rules=(
        Rule(
            "write.stopping_too_slowly",
            "An immediate stop is under way, and less time is left than when it began: hurry",
            when=(stop_kills_too_late,),
            then=lambda s: stop_at_once(s, "less time is left than when it began"),
            why="Processes that SIGQUIT does not end may acknowledge writes until SIGKILL.",
            ends=True,
        ),
        Rule(
            "write.stopping_at_once",
            "An immediate stop is under way",
            when=(stopping_at_once,),
            then=lambda _: (Hold("the immediate stop to end"),),
            why="Nothing is more urgent than the end of that stop.",
            ends=True,
        ),
        Rule(
            "write.refused",
            "The store says that the lock is no longer ours: stop at once",
            when=(renewal_was_refused, ~i_own_the_lock),
            then=lambda s: stop_at_once(s, "the renewal of the leader lock was refused"),
            why="Another node may be promoted already; every further commit here would be lost.",
            ends=True,
        ),
        Rule(
            "write.lock_taken",
            "Another member owns the lock: stop at once",
            when=(another_owns_the_lock,),
            then=lambda s: stop_at_once(s, f"{views.leader_name(s)} owns the leader lock"),
            why="Two primaries would diverge; the one without the lock gives way.",
            ends=True,
        ),
        Rule(
            "write.lease_void",
            "The store has shown that our lease is over, and is silent since: stop at once",
            when=(lease_is_void, ~store_answers),
            then=lambda s: stop_at_once(s, "the leader lock was gone when the store answered last"),
            why="Another member may own the lock by now.",
            ends=True,
        ),
        Rule(
            "write.promotion_unowned",
            "A promotion is under way, and nobody owns the lock: stop at once",
            when=(promotion_is_under_way, lock_is_free),
            then=lambda s: stop_at_once(s, "a promotion is under way, and the leader lock is free"),
            why="It ends at some moment, whoever leads by then.",
            ends=True,
        ),
        Rule(
            "write.member_leads",
            "Asked to let us go on without the store, a member said that it leads: stop at once",
            when=(a_member_leads_itself,),
            then=lambda s: stop_at_once(s, "another member is primary, or leader, by its own word"),
            why="Two primaries would diverge, and the one without the store knows less.",
            ends=True,
        ),
        Rule(
            "write.promised",
            "This server may be writable although we agreed that another goes on: stop at once",
            when=(consented,),
            then=lambda s: stop_at_once(s, f"promised to {s.memory.consented_to} not to lead"),
            why="That primary, which has lost the store, counts on our word.",
            ends=True,
        ),
        Rule(
            "write.no_time_left",
            "No time left on the lease: stop at once",
            when=(no_time_left,),
            then=lambda s: stop_at_once(s, "the lease is about to end"),
            why="When the lease ends another node may promote; we must be down before that.",
            ends=True,
        ),
        Rule(
            "write.stop_takes_too_long",
            "Synchronous mode is on and a stop exceeds primary_stop_timeout: stop at once",
            when=(stop_takes_too_long,),
            then=lambda s: stop_at_once(s, "the stop exceeded primary_stop_timeout"),
            why="A synchronous standby has every acknowledged commit, so nothing is lost, and the "
            "lock is free sooner; it is released only when PostgreSQL is down.",
            ends=True,
        ),
        Rule(
            "write.stopping",
            "A stop is under way and there is time for it",
            when=(stop_runs,),
            then=_let_it_stop,
            why="The stop that runs is the orderly one; the rules above cut it short in need.",
        ),
        Rule(
            "write.time_is_short",
            "The lease could not be renewed for long: stop while an orderly stop is possible",
            when=(time_is_short, ~a_job_runs),
            then=lambda _: (StopPostgres("fast", "the leader lock could not be renewed"),),
            why="A fast stop keeps every commit and lets this node return without a rewind.",
            ends=True,
        ),
        Rule(
            "write.frozen",
            "The postmaster is frozen by a signal: end it, then restart or fail over",
            when=(frozen_too_long,),
            then=lambda s: stop_at_once(s, "the postmaster is frozen"),
            why="No client can connect to a frozen postmaster, while its lease keeps others out.",
            ends=True,
        ),
        Rule(
            "write.never_proven",
            "No lease of ours, and the store has been silent for a whole ttl: stop",
            when=(~lease_is_known, store_is_silent_for_ttl, ~a_job_runs),
            then=lambda _: (StopPostgres("fast", "the leader lock could not be proven"),),
            why="Whatever lease a former daemon had is over by now, and another member may lead.",
            ends=True,
        ),
        Rule(
            "write.unproven",
            "The store does not answer and this daemon never held the lease: wait for the store",
            when=(~store_answers, ~lease_is_known, ~daemon_is_stopping),
            then=lambda _: (Hold("the store to answer"),),
            why="A daemon that has just started knows nothing yet; the fence of the former daemon "
            "keeps the old deadline.",
            ends=True,
        ),
        Rule(
            "write.allowed",
            "The lease is certain, or is about to be",
            when=(),
            then=nothing,
            why="No other node can own the lock at this moment.",
        ),
    ),
)
