"""The order of restarts, and what a standby is started with."""

from __future__ import annotations

import pytest

from engine.restart_order import STANDBY_NEEDS_AS_MUCH, at_least, leader_first
from shell.postgres.controldata import GUARDED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("max_connections", 200, 100)], True),
        ([("max_connections", 100, 200)], False),
        ([("max_connections", 200, 100), ("max_wal_senders", 10, 20)], False),
        ([("max_connections", 200, 100), ("shared_buffers", 10, 20)], True),
        ([("max_connections", None, 100)], False),
        ([("max_connections", 100, None)], False),
        ([("max_connections", 100, 100)], False),
        ([("shared_buffers", 20, 10)], False),
        ([], False),
    ],
)
def test_the_leader_comes_first_only_to_lower(
    changes: list[tuple[str, int | None, int | None]], expected: bool
) -> None:
    """Raised, mixed or unknown values reach the standbys first; others bind nobody."""
    assert leader_first(changes) is expected


def test_a_standby_never_gets_less_than_its_control_file_asks_for() -> None:
    """Less is raised, more is kept, and other parameters are left alone."""
    configured = {"max_connections": "50", "max_wal_senders": "20", "wal_level": "replica"}
    configured |= {"max_prepared_transactions": "0"}  # which the control file does not tell of
    needed = {"max_connections": 100, "max_wal_senders": 10, "max_worker_processes": 8}
    assert at_least(configured, needed) == {**configured, "max_connections": "100"}


def test_the_control_file_tells_of_each_of_them() -> None:
    """What PostgreSQL checks at a standby's start is read from its control file."""
    assert set(GUARDED.values()) == set(STANDBY_NEEDS_AS_MUCH)
