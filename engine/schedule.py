"""When to look again: the earliest moment at which time alone could change the decision."""

from engine import views
from engine.actions import Action, Hold
from engine.state import Snapshot, Unknown

RETRY_STORE_SECONDS = 1.0


def wake_at(s: Snapshot, actions: tuple[Action, ...]) -> float:
    """The next moment (CLOCK_BOOTTIME) for a cycle if no event comes first.

    Never later than loop_wait from now; earlier for the lease's deadlines, schedules, and what a
    rule waits for.
    """
    policy = s.policy
    moments = [s.now + policy.loop_wait_seconds]
    moments += [a.until for a in actions if isinstance(a, Hold) and a.until is not None]
    ends = views.lease_ends(s)
    if ends is not None and s.postgres.postmaster is not None:
        margin = views.stop_margin_seconds(s)
        moments += [m for m in (ends - 2 * margin, ends - margin) if m > s.now]
    for done in (s.lease.sent_at if ends is not None else None, s.published_at):
        if done is not None:
            moments.append(max(done + policy.loop_wait_seconds, s.now + 0.05))
    if isinstance(s.cluster, Unknown):
        moments.append(s.now + RETRY_STORE_SECONDS)
    moments += [s.now + max(0.0, epoch - s.wall) for epoch in _schedules(s)]
    return min(moments)


def _schedules(s: Snapshot) -> list[float]:
    request, restart = views.failover_request(s), s.memory.scheduled_restart
    epochs = [
        request.scheduled_epoch if request else None,
        restart.scheduled_epoch if restart else None,
    ]
    return [epoch for epoch in epochs if epoch is not None and epoch > s.wall]
