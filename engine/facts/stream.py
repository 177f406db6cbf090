"""Facts about a standby's connection to its upstream, and whether the leader was asked about it.

PostgreSQL connects by addresses and the numbers of timelines, also while no daemon looks.
"""

from engine import lineage, upstreams, views
from engine.rule import fact
from engine.state import Snapshot


def _connection(s: Snapshot) -> str:
    told = lineage.told_timeline(s)
    asked = f"asked about {told.receiver}" if told is not None else "not asked a moment ago"
    return f"(WAL receiver, timeline) {lineage.connection(s)}, proven {s.memory.proven}, {asked}"


@fact(_connection)
def connection_is_unproven(s: Snapshot) -> bool:
    """Whom our WAL must be a part of was not asked since this connection was made; unknown: no."""
    here, told = lineage.connection(s), lineage.told_timeline(s)
    if here is None or here == s.memory.proven:
        return False
    return told is None or told.receiver != here[0]


@fact(_connection)
def connection_is_proven_now(s: Snapshot) -> bool:
    """It was asked since, and has our WAL; that is not remembered yet."""
    here, told = lineage.connection(s), lineage.told_timeline(s)
    if here is None or here == s.memory.proven or told is None or told.receiver != here[0]:
        return False
    return not lineage.divergence(s)


def _stream(s: Snapshot) -> str:
    here, leader = views.server(s), views.leader_member(s)
    state = here.replication_state if here is not None else None
    published = leader.state if leader is not None else None
    return f"replication state {state}, proven {s.memory.proven}, the leader published {published}"


@fact(_stream)
def stream_is_missing(s: Snapshot) -> bool:
    """We have streamed, the leader says that it leads, and nothing comes; unknown counts as no."""
    here, leader = views.server(s), views.leader_member(s)
    if s.memory.proven is None or here is None or leader is None:
        return False
    if upstreams.streams_from(s) is None:
        return False
    return upstreams.leads(leader) and here.replication_state != "streaming"
