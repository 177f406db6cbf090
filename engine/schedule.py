"""When to look again: the earliest moment at which time alone could change the decision."""

from engine import agreement, views
from engine.actions import Action, Hold, PublishMember, RenewLock
from engine.facts.lease import i_own_the_lock
from engine.facts.postgres import postmaster_runs
from engine.state import Snapshot, Unknown

RETRY_STORE_SECONDS = 1.0
OVERDUE_SECONDS = 1.0  # what is overdue and was not done now is held up by something else


def wake_at(s: Snapshot, actions: tuple[Action, ...]) -> float:
    """The next moment (CLOCK_BOOTTIME) for a cycle if no event comes first.

    Never later than loop_wait from now; earlier for the lease's deadlines, schedules, and what a
    rule waits for.
    """
    moments = [s.now + s.policy.loop_wait_seconds]
    moments += [a.until for a in actions if isinstance(a, Hold) and a.until is not None]
    ends = views.lease_ends(s)
    if ends is not None and (postmaster_runs.holds(s) or s.job is not None):
        margin = views.stop_margin_seconds(s)
        moments += [m for m in (ends - 2 * margin, ends - margin) if m > s.now]
    overdue = agreement.proof_overdue_at(s) if s.policy.failsafe_mode else None
    if overdue is not None and overdue > s.now:
        moments.append(overdue)
    if s.store_busy_since is None:  # else the end of that request wakes the loop
        moments += [max(due, s.now + OVERDUE_SECONDS) for due in _prolonged(s, actions)]
    if isinstance(s.cluster, Unknown):
        moments.append(s.now + RETRY_STORE_SECONDS)
    moments += [s.now + (epoch - s.wall) for epoch in _schedules(s)]
    return min(moments)


def _prolonged(s: Snapshot, actions: tuple[Action, ...]) -> list[float]:
    """When what must be prolonged is due: our lease, our member key.

    What these actions prolong now is due a whole loop from now, and needs no moment of its own.
    """
    now_done = {*map(type, actions)}
    moments = []
    sent = s.lease.sent_at
    if sent is not None and RenewLock not in now_done and i_own_the_lock.holds(s):
        moments.append(sent + views.renew_every_seconds(s))
    if s.published_at is not None and PublishMember not in now_done:
        moments.append(s.published_at + s.policy.loop_wait_seconds)
    return moments


def _schedules(s: Snapshot) -> list[float]:
    request, restart = views.failover_request(s), s.memory.scheduled_restart
    epochs = [
        request.scheduled_epoch if request else None,
        restart.scheduled_epoch if restart else None,
    ]
    return [epoch for epoch in epochs if epoch is not None and epoch > s.wall]
