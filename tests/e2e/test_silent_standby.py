"""A standby whose PostgreSQL runs, and gives its daemon no answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg2

from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy


def test_a_standby_without_a_free_connection_follows_the_new_leader(tmp_path: Path) -> None:
    """Clients hold all of its connections, its daemon restarts, the lead moves: it comes along."""
    few = {"postgresql": {"parameters": {"max_connections": 25}}}
    with healthy(tmp_path, dynamic=few) as cluster:
        leader = cluster.leader()
        silent, candidate = cluster.replicas()
        silent.kill_daemon()
        with all_connections(silent):
            silent.start_daemon()
            cluster.wait_for(lambda: "silent.wait" in silent.log_text(), 30, "no answer")
            cluster.switchover(leader, candidate)
            cluster.wait_for(lambda: silent.name in candidate.streams_to(), 60, "the new upstream")
            assert silent.try_sql("select 1") is None
        assert cluster.wait_healthy() is candidate


@contextmanager
def all_connections(node: Node) -> Iterator[None]:
    """Hold every connection that the server of that node allows, those for superusers too."""
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(node.connect())
            except psycopg2.OperationalError:  # "sorry, too many clients already"
                break
        yield
