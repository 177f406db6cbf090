"""A permanent logical slot under test: what its consumer gets, and how far its copies are.

Belongs here: questions that several stories ask. Must not: contain what a test expects.
"""

from __future__ import annotations

from tests.e2e.support.node import Node
from tools.servers import PostgresInstall, find_postgres

CDC = {"type": "logical", "database": "postgres", "plugin": "test_decoding"}


def with_test_decoding() -> PostgresInstall:
    """Debian's PostgreSQL has the plugin; the one from PyPI has not."""
    installs = {install.version: install for install in find_postgres()}
    assert 15 in installs, "no PostgreSQL 15 with test_decoding: `make servers` adds it"
    return installs[15]


def changes(node: Node) -> list[int]:
    """The numbers that a consumer of the slot gets now, and confirms."""
    rows = node.sql("select data from pg_logical_slot_get_changes('cdc', null, null)", seconds=20)
    return [int(row[0].rpartition(":")[2]) for row in rows if "INSERT" in row[0]]


def confirmed(node: Node) -> int | None:
    """How far the consumer had confirmed, as a byte position; None where there is no slot."""
    rows = node.try_sql(
        "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots "
        "where slot_name = 'cdc'"
    )
    return int(rows[0][0]) if rows and rows[0][0] is not None else None


def is_covered(node: Node, slot: str) -> bool:
    """Whether the node knows that its leader keeps what its copy of the slot needs."""
    answer = node.get("/hae/snapshot")
    return answer is not None and slot in answer.document["memory"].get("covered_from", {})
