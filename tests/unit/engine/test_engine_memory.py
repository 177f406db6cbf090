"""The memory from one cycle to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.memory import after_restart, nothing_kept, with_changes
from engine.state import Memory


def test_what_is_not_named_stays() -> None:
    """A `Remember` changes what it names and nothing else."""
    before = Memory(bootstrapping=True, failures=2, wrote_on=3)
    changes = {"failures": 0, "wrote_on": None}
    assert with_changes(before, changes) == replace(before, failures=0, wrote_on=None)
    assert with_changes(before, {}) == before


def test_how_long_a_lease_may_be_outlives_the_daemon() -> None:
    """The longest ttl is kept; since when it is lower is told by another clock after a reboot."""
    before = Memory(ttl_seconds=20.0, ttl_since=990.0, longest_ttl_seconds=60.0)
    assert after_restart(before) == replace(before, ttl_since=0.0)


def test_who_never_ran_here_has_no_ttl_to_wait_by() -> None:
    """A new member waits for no lease from before it knew of any cluster."""
    nothing = replace(Memory(), knows_cluster=False, ttl_seconds=0.0, longest_ttl_seconds=0.0)
    assert nothing_kept() == nothing


def test_what_the_memory_does_not_have_is_refused() -> None:
    """A misspelt name is a mistake, and no new part of the memory."""
    with pytest.raises(TypeError):
        with_changes(Memory(), {"failurs": 1})
