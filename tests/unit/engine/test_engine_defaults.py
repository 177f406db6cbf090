"""What holds where nobody said anything: a new memory is empty, and nothing is on."""

from __future__ import annotations

import dataclasses

from engine.policy import Policy
from engine.state import Memory

# A revision that no key can have.
NEVER = {"failsafe_sent_over": -1}
NO_LIMIT = {"maximum_lag_on_syncnode_bytes": -1}
OFF = (
    *("pause", "check_timeline", "failsafe_mode", "synchronous_mode_strict", "use_pg_rewind"),
    *("remove_on_rewind_failure", "remove_on_diverged", "may_bootstrap", "fence_required"),
    *("primary_stop_timeout_seconds", "primary_race_backoff_seconds", "max_timelines_history"),
    *("standby_cluster", "slot_wal_budget_bytes"),
)


def test_a_new_daemon_remembers_nothing() -> None:
    """No moment, no name, nothing begun: what is remembered was remembered by a rule."""
    memory = Memory()
    for field in dataclasses.fields(Memory):
        value = getattr(memory, field.name)
        assert not value or value == NEVER.get(field.name), field.name


def test_what_nobody_configured_is_off() -> None:
    """Nothing is removed, rewound, founded or required without a word of the configuration."""
    policy = Policy()
    assert [name for name in OFF if getattr(policy, name)] == []
    for name, value in NO_LIMIT.items():
        assert getattr(policy, name) == value
