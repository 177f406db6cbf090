"""Facts about the leader lock and the time that is left on our lease."""

from engine import views
from engine.rule import fact
from engine.state import Known, Snapshot, Unknown


def _lock(s: Snapshot) -> str:
    if isinstance(s.cluster, Unknown):
        return f"store unknown for {s.now - s.cluster.since:.0f}s: {s.cluster.why}"
    return f"lock_owner={s.cluster.value.leader or 'nobody'}"


def _left(s: Snapshot) -> str:
    left = views.lease_left(s)
    return "no lease" if left is None else f"{left:.1f}s left on the lease"


@fact(_lock)
def store_answers(s: Snapshot) -> bool:
    """The store's view is known."""
    return isinstance(s.cluster, Known)


@fact(_lock)
def store_is_silent_for_ttl(s: Snapshot) -> bool:
    """The store has given no answer for a whole ttl."""
    if isinstance(s.cluster, Known):
        return False
    return s.now - s.cluster.since >= s.policy.ttl_seconds


def _ttls(s: Snapshot) -> str:
    now, noted = s.policy.ttl_seconds, s.memory.ttl_seconds
    return f"ttl={now:g}s, noted: {noted:g}s, the longest: {s.memory.longest_ttl_seconds:g}s"


@fact(_ttls)
def ttl_is_noted(s: Snapshot) -> bool:
    """The ttl that the configuration has is the one that was remembered last."""
    return s.policy.ttl_seconds == s.memory.ttl_seconds


@fact(lambda s: f"{_ttls(s)}; noted {s.now - _ttl_since(s):.0f}s ago; {_configured(s)}")
def longer_ttl_is_over(s: Snapshot) -> bool:
    """The cluster's ttl has been lower for twice as long as the longest that is remembered.

    Once for whoever has not seen the lower one yet, and once for what it was given until then.
    Without the configuration in the store nobody knows what the cluster's ttl is.
    """
    longest, view = s.memory.longest_ttl_seconds, views.cluster(s)
    if view is None or not view.config_present or s.policy.ttl_seconds >= longest:
        return False
    return s.now - _ttl_since(s) >= 2 * longest


def _ttl_since(s: Snapshot) -> float:
    return max(s.memory.ttl_since, s.started_at)


def _configured(s: Snapshot) -> str:
    view = views.cluster(s)
    present = view is not None and view.config_present
    return f"the store's configuration: {'known' if present else 'unknown'}"


@fact(lambda s: f"{_lock(s)}, {_left(s)}")
def i_own_the_lock(s: Snapshot) -> bool:
    """Our lease has time left and the store does not name another owner.

    A silent store does not take the lease away before its end; an ended lease does.
    """
    left = views.lease_left(s)
    if left is None or left <= 0:
        return False
    if isinstance(s.cluster, Unknown):
        return True
    owner = s.cluster.value.leader
    if owner is None:  # the view may be older than our own acquire
        return s.lease.sent_at is not None and s.cluster.when <= s.lease.sent_at
    return owner == s.me.name


@fact(_lock)
def store_names_me(s: Snapshot) -> bool:
    """The store names us as the owner; an unknown store does not."""
    return views.leader_name(s) == s.me.name


@fact(_lock)
def another_owns_the_lock(s: Snapshot) -> bool:
    """The store names another owner; an unknown store does not."""
    owner = views.leader_name(s)
    return owner is not None and owner != s.me.name


@fact(_lock)
def lock_is_free(s: Snapshot) -> bool:
    """The store is known and names no owner, and we did not just acquire the lock."""
    if isinstance(s.cluster, Unknown) or s.cluster.value.leader is not None:
        return False
    return s.lease.refused or s.lease.sent_at is None or s.cluster.when > s.lease.sent_at


@fact(lambda s: f"refused={s.lease.refused}")
def renewal_was_refused(s: Snapshot) -> bool:
    """The store answered that the lock is not ours."""
    return s.lease.refused


def _void(s: Snapshot) -> str:
    return f"lease sent at {s.lease.sent_at}, void: the one sent at {s.memory.lease_void}"


@fact(_void)
def lease_is_void(s: Snapshot) -> bool:
    """It is remembered that the store has shown, after its last renewal, that our lease is over."""
    return s.lease.sent_at is not None and s.memory.lease_void == s.lease.sent_at


@fact(_void)
def lease_could_count(s: Snapshot) -> bool:
    """The store has confirmed a lease of ours, and nothing was seen that ended it."""
    return s.lease.sent_at is not None and not s.lease.refused and not lease_is_void.holds(s)


@fact(_left)
def lease_is_known(s: Snapshot) -> bool:
    """This daemon holds, or held, a lease of which it knows the end."""
    return views.lease_ends(s) is not None


@fact(lambda s: f"{_left(s)}, an immediate stop begins {views.stop_margin_seconds(s):.1f}s before")
def no_time_left(s: Snapshot) -> bool:
    """An immediate stop must begin now to end before the lease does."""
    left = views.lease_left(s)
    return left is not None and left <= views.stop_margin_seconds(s)


@fact(lambda s: f"{_left(s)}, a fast stop begins {2 * views.stop_margin_seconds(s):.1f}s before")
def time_is_short(s: Snapshot) -> bool:
    """A fast stop must begin now to have a chance before the immediate one."""
    left = views.lease_left(s)
    return left is not None and left <= 2 * views.stop_margin_seconds(s)


@fact(lambda s: f"store busy since {s.store_busy_since}")
def store_is_busy(s: Snapshot) -> bool:
    """An earlier request to the store has not ended yet."""
    return s.store_busy_since is not None


def _renewal(s: Snapshot) -> str:
    if s.lease.sent_at is None:
        return "never renewed"
    return f"renewed {s.now - s.lease.sent_at:.1f}s ago, every {views.renew_every_seconds(s):g}s"


@fact(_renewal)
def renewal_is_due(s: Snapshot) -> bool:
    """A loop has passed since the lease was renewed, or it never was by this daemon."""
    sent = s.lease.sent_at
    return sent is None or s.now - sent >= views.DUE * views.renew_every_seconds(s)


@fact(lambda s: f"{_left(s)}, ttl {s.policy.ttl_seconds:g}s")
def lease_outlasts_ttl(s: Snapshot) -> bool:
    """The store's word for our lease goes further than one that is asked for now by `ttl`."""
    ends = views.stored_until(s.lease, s.memory)
    return ends is not None and ends > s.now + s.policy.ttl_seconds


# --- the fence ------------------------------------------------------------------------------------


def _fence(s: Snapshot) -> str:
    if not s.fence.ready:
        return f"fence not ready: {s.fence.why}"
    if s.fence.kill_at is None:
        return "fence ready, not armed"
    return f"fence armed for process {s.fence.armed_pid}, {s.fence.kill_at - s.now:.1f}s from now"


@fact(_fence)
def fence_is_armed(s: Snapshot) -> bool:
    """A deadline stands."""
    return s.fence.ready and s.fence.kill_at is not None


@fact(_fence)
def fence_watches_a_dead_server(s: Snapshot) -> bool:
    """The fence was armed for a postmaster, and none runs now."""
    return s.fence.armed_pid is not None and s.postgres.postmaster is None


@fact(_fence)
def fence_deadline_differs(s: Snapshot) -> bool:
    """The fence waits for another process or another moment than it should."""
    wanted, postmaster = views.fence_kills_at(s), s.postgres.postmaster
    if wanted is None or postmaster is None or not s.fence.ready:
        return False
    if s.fence.kill_at is None or s.fence.armed_pid != postmaster.pid:
        return True
    return abs(s.fence.kill_at - wanted) > 0.05


@fact(_fence)
def fence_can_be_armed(s: Snapshot) -> bool:
    """The fence answers, and is not ending PostgreSQL just now."""
    return s.fence.ready


@fact(_fence)
def fence_is_missing(s: Snapshot) -> bool:
    """The configuration requires a fence and there is none."""
    return s.policy.fence_required and not s.fence.ready


def _loss(s: Snapshot) -> str:
    since = s.memory.fence_missing_since
    gone = "not noted" if since is None else f"gone for {s.now - since:.1f}s"
    return f"{_fence(s)}; {gone}, ttl={s.policy.ttl_seconds:g}s"


@fact(_loss)
def fence_loss_is_noted(s: Snapshot) -> bool:
    """It is remembered since when the required fence is missing."""
    return s.memory.fence_missing_since is not None


@fact(_loss)
def fence_missing_for_ttl(s: Snapshot) -> bool:
    """The required fence is missing, and has been for a whole ttl."""
    since = s.memory.fence_missing_since
    missing = s.policy.fence_required and not s.fence.ready
    return missing and since is not None and s.now - since >= s.policy.ttl_seconds
