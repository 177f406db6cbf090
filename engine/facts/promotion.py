"""Facts about a promotion: remembered before it begins, under way, kept from going on."""

from engine import watchdog
from engine.facts.lease import fence_is_missing
from engine.facts.sync import sync_key_is_as_raced_on, sync_key_is_claimed, synchronous_mode_is_on
from engine.facts.watchdog import watchdog_is_missing
from engine.rule import fact
from engine.state import Snapshot


def _memory(s: Snapshot) -> str:
    return f"promotions_begun={s.memory.promotions_begun}, promoting={s.memory.promoting}"


@fact(_memory)
def promotion_is_noted(s: Snapshot) -> bool:
    """It is remembered that we have begun a promotion, and are to write a timeline of its own."""
    return s.memory.promotions_begun > 0


@fact(_memory)
def promotion_is_remembered(s: Snapshot) -> bool:
    """It is remembered that the server that runs, or ran last, was told to become primary."""
    return s.memory.promoting


@fact(_memory)
def promotion_is_announced(s: Snapshot) -> bool:
    """What must be remembered before a promotion begins is remembered."""
    return s.memory.promotions_begun > 0 and s.memory.promoting


@fact(lambda s: f"{_memory(s)}, postmaster {s.postgres.postmaster}")
def promotion_is_under_way(s: Snapshot) -> bool:
    """The server that runs was told to become primary, by whichever daemon; it may be any moment.

    Nothing tells that it will not: a server that has much WAL to replay first takes its time.
    """
    return s.memory.promoting and s.postgres.postmaster is not None


@fact(lambda s: f"fence ready: {s.fence.ready}, watchdog: {watchdog.trouble(s) or 'fine'}")
def promotion_is_barred(s: Snapshot) -> bool:
    """The fence or the watchdog that is required is missing, or `sync` has changed since our race.

    A silent store tells of no `sync`, and so of no change.
    """
    if fence_is_missing.holds(s) or watchdog_is_missing.holds(s):
        return True
    ours = sync_key_is_as_raced_on.holds(s) or sync_key_is_claimed.holds(s)
    return synchronous_mode_is_on.holds(s) and not ours
