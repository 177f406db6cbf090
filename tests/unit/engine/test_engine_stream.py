"""Whether the leader is asked about the connection by which a standby streams, or misses one."""

from __future__ import annotations

from typing import Any

import pytest

from engine.facts.stream import (
    connection_is_proven_now,
    connection_is_unproven,
    stream_is_missing,
)
from tests.support.scenes import scene

LOST = {"postgres.server.replication_state": None, "memory.proven": [4801, 3]}
STREAMS = {"postgres.server.receiver": 4801}
SHOWN = {"leader_timeline": "n1, same WAL", "leader_timeline.receiver": 4801}


@pytest.mark.parametrize(
    ("changes", "unproven", "proven_now"),
    [
        ({}, False, False),  # its number is not known
        (STREAMS, True, False),
        ({**STREAMS, "postgres.server.replication_state": None}, False, False),
        ({**STREAMS, "postgres.server.timeline": None}, False, False),
        ({**STREAMS, "memory.proven": [4801, 3]}, False, False),
        ({**STREAMS, "memory.proven": [4801, 2]}, True, False),  # another timeline came by it
        ({**STREAMS, **SHOWN}, False, True),
        ({**STREAMS, **SHOWN, "memory.proven": [4801, 3]}, False, False),
        ({**SHOWN, "memory.proven": [4801, 3]}, False, False),  # it is not there any more
        ({**STREAMS, **SHOWN, "leader_timeline.receiver": 4800}, True, False),
        ({**STREAMS, **SHOWN, "leader_timeline.receiver": None}, True, False),
        ({**STREAMS, **SHOWN, "leader_timeline.same_wal": False}, False, False),
        ({**STREAMS, "leader_timeline": "silent"}, True, False),
    ],
)
def test_a_connection_is_proven_by_a_question_that_came_after_it(
    changes: dict[str, Any], unproven: bool, proven_now: bool
) -> None:
    """What was asked about another connection, or before there was one, does not count."""
    s = scene("replica", changes)
    assert connection_is_unproven.holds(s) is unproven
    assert connection_is_proven_now.holds(s) is proven_now


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, False),
        ({**LOST}, True),
        ({**LOST, "postgres.server.replication_state": "in archive recovery"}, True),
        ({**LOST, "memory.proven": None}, False),
        ({"postgres": "silent standby", "memory.proven": [4801, 3]}, False),
        ({**LOST, "cluster": "free, n1 gone"}, False),
        ({**LOST, "cluster": "free", "policy.standby_cluster": "far"}, False),
        ({**LOST, "me.tags.nostream": True}, False),
        (
            {**LOST, "cluster.members.n1.state": "stopped"},
            False,
        ),
    ],
)
def test_a_stream_is_missed_only_from_a_leader_that_leads(
    changes: dict[str, Any], missing: bool
) -> None:
    """Nothing can come from one that is down, and nobody waits for what he does not ask for."""
    assert stream_is_missing.holds(scene("replica", changes)) is missing
