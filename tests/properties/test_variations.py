"""The drawn snapshots leave out nothing that a decision could depend on."""

from __future__ import annotations

import dataclasses

from engine.policy import Policy
from engine.state import (
    Cluster,
    DataDirectory,
    LeaderSlots,
    LeaderTimeline,
    Memory,
    PeerAnswer,
    Postgres,
    Server,
    Snapshot,
    Tags,
)
from tests.support.variations import PLACES

RECORDS = {
    "": Snapshot,
    "memory.": Memory,
    "policy.": Policy,
    "cluster.value.": Cluster,
    "postgres.": Postgres,
    "postgres.directory.": DataDirectory,
    "postgres.server.value.": Server,
    "leader_timeline.value.": LeaderTimeline,
    "leader_slots.value.": LeaderSlots,
    "peers.n1.": PeerAnswer,
    "me.tags.": Tags,
}

# What is only shown, published or handed on; and the two clocks, which the moments vary around.
NOT_DECIDED_ON = {
    *("now", "wall"),
    *("policy.dcs_config", "policy.primary_stop_timeout_seconds"),
    *("cluster.value.leader_revision", "cluster.value.failsafe"),
    "postgres.directory.problem",
    *(
        f"postgres.server.value.{name}"
        for name in (
            *("replay_paused", "replayed_epoch", "unread_wal"),
            *("upstream", "upstream_lsn"),
        )
    ),
    *("leader_timeline.value.leader", "peers.n1.name", "peers.n1.why"),
    *(f"me.tags.{name}" for name in ("noloadbalance", "nosync", "clonefrom", "sync_priority")),
    "me.tags.other",
}


def test_every_field_that_decides_is_varied() -> None:
    """Each field of the snapshot has values to try, or is known to decide nothing."""
    fields = {
        prefix + field.name
        for prefix, record in RECORDS.items()
        for field in dataclasses.fields(record)
    }
    words = [place.split(".") for place in PLACES]
    varied = {".".join(parts[:n]) for parts in words for n in range(1, len(parts) + 1)}
    assert not fields - varied - NOT_DECIDED_ON, "give these their values in variations.py"
