"""Facts about the watchdog: the device that resets the machine when nobody feeds it."""

from engine import views, watchdog
from engine.facts.postgres import begins_as_primary
from engine.rule import fact
from engine.state import Snapshot


def _device(s: Snapshot) -> str:
    device, mode = s.watchdog, s.policy.watchdog_mode
    if device.active:
        fed = "never" if device.fed_at is None else f"{s.now - device.fed_at:.1f}s ago"
        return f"watchdog {mode}, active with {device.timeout_seconds:g}s, fed {fed}"
    return f"watchdog {mode}, {watchdog.trouble(s) or 'ready'}"


@fact(lambda s: f"watchdog.mode={s.policy.watchdog_mode}")
def watchdog_is_wanted(s: Snapshot) -> bool:
    """The configuration wants a watchdog, if there is one or in any case."""
    return s.policy.watchdog_mode != "off"


@fact(_device)
def watchdog_is_usable(s: Snapshot) -> bool:
    """The device is there, may be opened, was not refused lately, and its timeout is sensible."""
    return not watchdog.trouble(s)


@fact(_device)
def watchdog_is_active(s: Snapshot) -> bool:
    """The device counts: fed no more, it resets the machine."""
    return s.watchdog.active


@fact(_device)
def watchdog_is_missing(s: Snapshot) -> bool:
    """The configuration requires a watchdog, and there is none that could be used."""
    return watchdog.is_missing(s)


@fact(lambda s: f"{_device(s)}, {s.policy.watchdog_timeout_seconds:g}s wanted")
def watchdog_timeout_differs(s: Snapshot) -> bool:
    """The device counts from another timeout than the configuration gives."""
    return s.watchdog.timeout_seconds != s.policy.watchdog_timeout_seconds


def _hunger(s: Snapshot) -> str:
    left = views.lease_left(s)
    return f"{_device(s)}, {'no lease' if left is None else f'{left:.1f}s left on the lease'}"


@fact(_hunger)
def lease_outlasts_the_watchdog(s: Snapshot) -> bool:
    """More time is left on our lease than the timeout that the configuration gives."""
    left = views.lease_left(s)
    return left is not None and left > s.policy.watchdog_timeout_seconds


@fact(_hunger)
def watchdog_is_hungry(s: Snapshot) -> bool:
    """The lease was prolonged since the last feeding, and outlasts the device's timeout."""
    ends = views.lease_ends(s)
    if ends is None or ends - s.now < s.watchdog.timeout_seconds:
        return False
    return s.watchdog.fed_at is None or s.watchdog.fed_at < ends - s.lease.ttl_seconds


@fact(lambda s: f"refused: {s.watchdog.failed_why or 'no'}")
def watchdog_was_refused(s: Snapshot) -> bool:
    """The device could not be opened, or set, the last time."""
    return s.watchdog.failed_at is not None


def _gone(s: Snapshot) -> str:
    control = s.postgres.directory.control
    return f"control file: {control.state if control else 'unread'}, fence: {s.fence.kill_at}"


@fact(_gone)
def nothing_can_write(s: Snapshot) -> bool:
    """PostgreSQL is a standby that is not being promoted, or gone: shut down, or no process left.

    Backends may outlive a postmaster that was killed; the fence's guard ends with the last one.
    """
    if s.postgres.outdated or s.job is not None:
        return False
    if s.postgres.postmaster is not None:
        here, becomes = views.server(s), s.memory.promoting or begins_as_primary.holds(s)
        return here is not None and here.in_recovery and not becomes
    control = s.postgres.directory.control
    clean = control is not None and control.state in {"shut down", "shut down in recovery"}
    return clean or (s.fence.ready and s.fence.kill_at is None)
