"""Which copies are older than what a view was read to be."""

from __future__ import annotations

import pytest

from shell.stores.base import Entry
from shell.stores.newest import NewestRead

LEADER, CONFIG = Entry("n1", 7), Entry("{}", 3)
READ = {"leader": LEADER, "config": CONFIG}


@pytest.mark.parametrize(
    ("copy", "revision", "missed"),
    [
        ({"config": CONFIG}, 6, True),  # a key has come since
        ({"leader": Entry("n2", 5), "config": CONFIG}, 6, True),  # or another value
        ({**READ, "failover": Entry("{}", 8)}, 8, True),  # or it was deleted
        (READ, 7, False),
        (READ, 9, False),
        ({"config": CONFIG}, 12, False),  # later deleted
        ({**READ, "failover": Entry("{}", 10)}, 10, False),  # later written
        ({**READ, "leader": Entry("n2", 11)}, 11, False),
    ],
)
def test_a_copy_is_older_if_it_misses_what_was_read(
    copy: dict[str, Entry], revision: int, missed: bool
) -> None:
    """Written or deleted; what only the copy has is newer."""
    newest = NewestRead()
    newest.note(READ, 9)
    assert newest.is_missed_by(copy, revision) is missed


def test_what_a_copy_has_reached_is_asked_no_more() -> None:
    """From there on the copy only goes forward; also where the store begins anew."""
    newest = NewestRead()
    assert not newest.is_missed_by({}, 0)
    newest.note(READ, 9)
    assert not newest.is_missed_by(READ, 7)
    assert not newest.is_missed_by({}, 1)
