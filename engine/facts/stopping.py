"""How long an immediate stop leaves SIGQUIT, before SIGKILL: it must be over before our lease is.

Not here: whether to stop.  That this is never too late for the lease is a promise
(`proof/promised_guards.py`).
"""

from engine import views
from engine.facts.lease import i_own_the_lock
from engine.facts.postgres import may_accept_writes
from engine.rule import fact
from engine.state import Snapshot

# The postmaster itself kills children that ignore SIGQUIT after five seconds; nobody waits longer.
QUIT_SECONDS = 5.0


def kills_at(s: Snapshot) -> float:
    """When an immediate stop that begins now sends SIGKILL to what is left.

    No later than the fence would, and without a lease after the time that the fence gives.  Only a
    standby has the whole five seconds.
    """
    latest, grace, ends = s.now + QUIT_SECONDS, views.fence_grace_seconds(s), views.lease_ends(s)
    if s.postgres.directory.standby_signal and not may_accept_writes.holds(s):
        return latest
    moments = [latest]
    if ends is not None:
        moments.append(ends - grace)
    if not i_own_the_lock.holds(s):
        moments.append(s.now + grace)
    return max(s.now, min(moments))


def _kills(s: Snapshot) -> str:
    job = s.job
    if job is None or job.kill_at is None:
        return "no immediate stop"
    return f"SIGKILL in {job.kill_at - s.now:.1f}s, due in {kills_at(s) - s.now:.1f}s"


@fact(_kills)
def stop_kills_too_late(s: Snapshot) -> bool:
    """The immediate stop under way leaves more time until SIGKILL than one that begins now."""
    job = s.job
    return job is not None and job.kill_at is not None and job.kill_at > kills_at(s) + 0.05
