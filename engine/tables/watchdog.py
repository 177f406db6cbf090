"""The watchdog: it resets a machine that hangs as a whole, where the fence could not act."""

from engine import watchdog
from engine.actions import Action, ActivateWatchdog, CloseWatchdog, FeedWatchdog, Report
from engine.facts.lease import i_own_the_lock, renewal_is_due, store_is_busy
from engine.facts.postgres import may_accept_writes
from engine.facts.watchdog import (
    lease_outlasts_the_watchdog,
    nothing_can_write,
    watchdog_is_active,
    watchdog_is_hungry,
    watchdog_is_usable,
    watchdog_is_wanted,
    watchdog_timeout_differs,
    watchdog_was_refused,
)
from engine.facts.work import paused
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot


def _activate(s: Snapshot) -> tuple[Action, ...]:
    required = s.policy.watchdog_mode == "required"
    return (ActivateWatchdog(s.policy.watchdog_timeout_seconds, required),)


def activate_if_wanted(s: Snapshot) -> tuple[Action, ...]:
    """Let the device count before anything becomes writable; nothing where it can't be used."""
    wanted = s.policy.watchdog_mode != "off" and not watchdog.trouble(s)
    return () if not wanted or s.watchdog.active or s.policy.pause else _activate(s)


WATCHDOG = Table(
    "watchdog",
    "Does the watchdog count, and is it fed?",
    applies=(),
    rules=(
        Rule(
            "watchdog.paused",
            "Maintenance mode: close the device",
            when=(watchdog_is_active, paused),
            then=lambda _: (CloseWatchdog(),),
            why="In pause nothing happens by itself, and no machine is reset.",
        ),
        Rule(
            "watchdog.off",
            "The configuration wants no watchdog any more: close the device",
            when=(watchdog_is_active, ~watchdog_is_wanted),
            then=lambda _: (CloseWatchdog(),),
            why="Nobody would feed it.",
        ),
        Rule(
            "watchdog.close",
            "Nothing can write here any more: close the device",
            when=(watchdog_is_active, nothing_can_write),
            then=lambda _: (CloseWatchdog(),),
            why="It must count until PostgreSQL is provably gone, or a standby, and no longer.",
        ),
        Rule(
            "watchdog.retime",
            "ttl or safety_margin has changed: set the timeout anew",
            when=(watchdog_is_active, watchdog_timeout_differs, lease_outlasts_the_watchdog),
            then=_activate,
            why="It began with what was left of the lease, which one late renewal would outlast.",
        ),
        Rule(
            "watchdog.retime_renewed",
            "The lease is renewed in this cycle, and the timeout is not the wanted one: set both",
            when=(
                watchdog_is_active,
                watchdog_timeout_differs,
                i_own_the_lock,
                renewal_is_due,
                ~store_is_busy,
            ),
            then=_activate,
            why="Right after a renewal the lease is at its longest; a later cycle may find less.",
        ),
        Rule(
            "watchdog.renew",
            "The lease is renewed in this cycle: feed the device with it",
            when=(watchdog_is_active, i_own_the_lock, renewal_is_due, ~store_is_busy),
            then=lambda _: (FeedWatchdog(),),
            why="The next cycle may come too late; a renewal that fails leaves too little time on "
            "the lease, and feeds nothing.",
        ),
        Rule(
            "watchdog.feed",
            "The lease was prolonged: feed the device",
            when=(watchdog_is_active, watchdog_is_hungry),
            then=lambda _: (FeedWatchdog(),),
            why="Fed only with more time on the lease than its timeout, it resets a machine that "
            "hangs before the lease ends.",
        ),
        Rule(
            "watchdog.activate",
            "A primary with the lock, and the device does not count: activate it",
            when=(
                watchdog_is_wanted,
                ~watchdog_is_active,
                watchdog_is_usable,
                may_accept_writes,
                i_own_the_lock,
                ~paused,
            ),
            then=_activate,
            why="If the whole machine hangs, neither daemon nor fence can end PostgreSQL.",
        ),
        Rule(
            "watchdog.refused",
            "The device is there, but it was refused: go on without, and say so",
            when=(watchdog_is_wanted, watchdog_was_refused),
            then=lambda s: (Report("warning", f"watchdog: {s.watchdog.failed_why}"),),
            why="`automatic` goes on without; with `required` the tables below do not.",
        ),
        Rule(
            "watchdog.nothing",
            "Nothing to do",
            when=(),
            then=nothing,
            why="It counts and was fed, or is not needed.",
        ),
    ),
)
