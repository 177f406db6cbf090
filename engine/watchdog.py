"""The watchdog: why it can't be used, and whether that keeps this node from leading."""

from engine import views
from engine.state import Snapshot


def trouble(s: Snapshot) -> str:
    """Why the watchdog can't be used; empty when it can."""
    timeout, every = s.policy.watchdog_timeout_seconds, views.renew_every_seconds(s)
    if timeout < every:
        return f"ttl leaves it {timeout:g}s, but the lease is renewed every {every:g}s"
    if not s.watchdog.present:
        return s.watchdog.why or "not looked at yet"
    if s.watchdog.failed_at is not None and s.now - s.watchdog.failed_at < s.policy.ttl_seconds:
        return s.watchdog.failed_why
    return ""


def is_missing(s: Snapshot) -> bool:
    """Whether the configuration requires a watchdog, and there is none that could be used."""
    return s.policy.watchdog_mode == "required" and bool(trouble(s))
