"""What a founder's server is, whose the founding is, and who gives the lock back."""

from __future__ import annotations

from typing import Any

import pytest

from engine.actions import ReleaseLock
from engine.facts.lease import store_names_me
from engine.facts.postgres import begins_as_primary, may_accept_writes, the_founding_is_ours
from engine.facts.watchdog import nothing_can_write
from engine.tables import steps
from tests.support.scenes import scene
from tests.support.snapshots import NOW

RECOVERS = {"memory.bootstrapping": True, "postgres": "recovering backup"}


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, True),
        ({"memory.bootstrapping": False}, False),
        ({"memory.bootstrap_copied": True}, False),
        ({"policy.standby_cluster": "far"}, False),
        ({"postgres.directory.standby_signal": True}, False),
    ],
)
def test_a_backup_that_a_cluster_is_founded_with_becomes_writable_by_itself(
    changes: dict[str, Any], begins: bool
) -> None:
    """So it counts as writable before it says so, but a copy of a remote primary does not."""
    s = scene("new cluster", RECOVERS | changes)
    assert begins_as_primary.holds(s) is begins
    assert may_accept_writes.holds(s) is begins
    assert nothing_can_write.holds(s) is not begins


@pytest.mark.parametrize(
    ("changes", "ours"),
    [
        ({}, True),
        ({"cluster.founder": "n1"}, True),
        ({"cluster.founder": "n2"}, False),
        ({"cluster": "silent"}, False),
    ],
)
def test_the_founding_is_ours_unless_another_has_claimed_it(
    changes: dict[str, Any], ours: bool
) -> None:
    """A store that is silent tells of no founding."""
    s = scene("new cluster", {"cluster": "bootstrapping"} | changes)
    assert the_founding_is_ours.holds(s) is ours


@pytest.mark.parametrize(
    ("changes", "released"),
    [
        ({"cluster.leader": "n1"}, True),
        ({"cluster": "silent", "lease": "fresh"}, True),
        ({"cluster.leader": "n2", "lease": "fresh"}, False),
        ({}, False),
    ],
)
def test_a_founder_gives_back_a_lock_that_may_be_its_own(
    changes: dict[str, Any], released: bool
) -> None:
    """By the store's word, or by a lease that the store has not shown yet."""
    s = scene("new cluster", {"cluster": "bootstrapping"} | changes)
    given = (ReleaseLock(None, "why"),) if released else ()
    assert steps.release_if_ours(s, "why") == given
    unseen = scene("new cluster", {"lease": {"@": "Lease", "sent_at": NOW}})
    assert not store_names_me.holds(unseen)
    assert steps.release_if_ours(unseen, "why") == (ReleaseLock(None, "why"),)
