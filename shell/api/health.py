"""Which status code a health check gets: the table of the contract, as data.

Here belongs the meaning of the paths and of their parameters.  Pure: facts, a path, its query and
the instant of the request go in, a status code comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shell.api.facts import Facts
from shell.config.units import parse_bytes

Query = Mapping[str, str]
Test = Callable[[Facts, Query, float], bool]


def is_primary(f: Facts, _q: Query, now: float) -> bool:
    """P: certain of the lease and of a writable PostgreSQL at this instant."""
    return now < f.primary_until


def is_standby_leader(f: Facts, _q: Query, now: float) -> bool:
    """SL: certain of the lease in a standby cluster."""
    return now < f.standby_leader_until


def is_leader(f: Facts, q: Query, now: float) -> bool:
    """P or SL."""
    return is_primary(f, q, now) or is_standby_leader(f, q, now)


def is_replica(f: Facts, q: Query, now: float) -> bool:
    """R: a running replica that takes read traffic and lags no more than asked."""
    return now < f.replica_until and not f.noloadbalance and _near(f, q) and _replicates(f, q)


def is_sync(f: Facts, q: Query, now: float) -> bool:
    """R, and named as a synchronous standby."""
    return f.is_sync and is_replica(f, q, now)


def is_quorum(f: Facts, q: Query, now: float) -> bool:
    """R, and named as a member of the quorum."""
    return f.is_quorum and is_replica(f, q, now)


def is_async(f: Facts, q: Query, now: float) -> bool:
    """R, and named as neither."""
    return not f.is_sync and not f.is_quorum and is_replica(f, q, now)


def is_running(f: Facts, _q: Query, now: float) -> bool:
    """PostgreSQL runs, in whatever role."""
    return now < f.running_until


def _any(*tests: Test) -> Test:
    return lambda f, q, now: any(test(f, q, now) for test in tests)


def _near(f: Facts, q: Query) -> bool:
    allowed = parse_bytes(q["lag"]) if "lag" in q else None
    if allowed is None:
        return True
    return f.replayed_lsn is not None and (f.leading_lsn or 0) <= f.replayed_lsn + allowed


def _replicates(f: Facts, q: Query) -> bool:
    return "replication_state" not in q or q["replication_state"] == f.replication_state


def _tags_match(f: Facts, q: Query) -> bool:
    return all(
        f.tag_texts.get(name.removeprefix("tag_")) == wanted
        for name, wanted in q.items()
        if name.startswith("tag_")
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One family of paths: matched by a part of the path, or by the whole of it."""

    test: Test
    parts: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tags: bool = False
    needs_view: bool = False

    def matches(self, path: str) -> bool:
        """Whether the path belongs to this family."""
        if path in self.whole:
            return True
        return any(part in path for part in self.parts) and not any(w in path for w in self.without)

    def holds(self, f: Facts, query: Query, now: float) -> bool:
        """Whether the check passes at that instant."""
        if self.needs_view and now >= f.view_until:
            return False
        return self.test(f, query, now) and (not self.tags or _tags_match(f, query))


# The first row that matches the path answers.
ROWS = (
    Row(is_standby_leader, parts=("standby_leader", "standby-leader")),
    Row(is_leader, parts=("leader",)),
    Row(is_primary, parts=("master", "primary", "read-write"), whole=("/",)),
    Row(is_replica, parts=("replica",), tags=True),
    Row(_any(is_leader, is_replica), parts=("read-only",), without=("sync", "quorum"), tags=True),
    Row(is_running, parts=("health",), tags=True),
    Row(is_sync, whole=("/sync", "/synchronous"), tags=True, needs_view=True),
    Row(is_quorum, whole=("/quorum",), tags=True, needs_view=True),
    Row(is_async, whole=("/async", "/asynchronous"), tags=True, needs_view=True),
    Row(_any(is_leader, is_quorum), whole=("/read-only-quorum",), tags=True, needs_view=True),
    Row(
        _any(is_leader, is_sync),
        whole=("/read-only-sync", "/read-only-synchronous"),
        tags=True,
        needs_view=True,
    ),
)

ONLY_PATH: Query = {}


def row_of(path: str) -> Row | None:
    """Return the row that answers for a path, None when the path is unknown."""
    return next((row for row in ROWS if row.matches(path)), None)


def liveness(f: Facts, now: float) -> int:
    """200 while the main loop keeps turning: within ttl on a primary, 2 x ttl elsewhere."""
    allowed = f.ttl_seconds * (1 if f.is_running_primary else 2)
    return 200 if f.paused or now - f.published_at < allowed else 503


def readiness(f: Facts, query: Query, now: float) -> int:
    """200 for a leader, and for a replica that streams and is near enough."""
    if is_leader(f, query, now):
        return 200
    streams = now < f.running_until and f.replication_state == "streaming"
    if not streams:
        return 503
    if f.leading_lsn is None:
        return 200 if now < f.view_until or now < f.failsafe_until else 503
    asked = parse_bytes(query["lag"]) if "lag" in query else None
    allowed = f.maximum_lag_bytes if asked is None else asked
    here = f.received_lsn if query.get("mode") == "write" else f.replayed_lsn
    return 200 if here is not None and f.leading_lsn <= here + allowed else 503


def verdict(f: Facts, path: str, query: Query, now: float) -> int:
    """Return the status of a check; unknown paths and a missing publication get 503."""
    first = path.strip("/").split("/", 1)[0]
    if first == "liveness":
        return liveness(f, now)
    if first == "readiness":
        return readiness(f, query, now)
    if first == "patroni":
        return 200
    row = row_of(path)
    return 200 if row is not None and row.holds(f, query, now) else 503
