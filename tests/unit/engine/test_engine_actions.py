"""What the actions say of themselves."""

from __future__ import annotations

import pytest

from engine.actions import AcquireLock, Action, Follow, RenewLock, is_too_late


@pytest.mark.parametrize(
    ("action", "moment", "late"),
    [
        (AcquireLock(10.0, None), 10.0, False),
        (AcquireLock(10.0, None), 10.1, True),
        (RenewLock(begin_before=10.0), 10.1, True),
        (RenewLock(), 1e9, False),
        (Follow(None), 1e9, False),
    ],
)
def test_an_action_says_until_when_it_may_begin(action: Action, moment: float, late: bool) -> None:
    """Up to that moment and no longer; one that says nothing may always begin."""
    assert is_too_late(action, moment) is late
