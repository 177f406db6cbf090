"""A whole life on real servers: bootstrap, clone, promote, rewind, crash."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

from engine.state import DirectoryKind, Known, Postgres, Unknown
from shell.postgres.session import SqlError
from shell.processes import now, processes_of, read_postmaster, send_signal
from tests.postgres.cluster import Cluster, server
from tests.support.freezing import freeze
from tests.support.wait import wait_for


def test_old_primary_rewinds_and_follows_the_promoted_standby(cluster: Cluster) -> None:
    """A cluster is made, cloned, fails over, and its crashed primary comes back by pg_rewind."""
    first = cluster.node("a")
    assert first.observe().directory.kind is DirectoryKind.EMPTY
    cluster.primary("a")
    cluster.sql("a", "CREATE TABLE public.t AS SELECT 1 AS n")
    second = cluster.standby("b", "a")
    found = server(second)
    assert (found.in_recovery, found.timeline) == (True, 1)
    assert found.upstream == f"127.0.0.1:{cluster.upstream('a').port}"
    assert [row.application_name for row in server(first).replication] == ["b"]

    first.stop("immediate")
    stopped = first.observe()
    assert stopped.postmaster is None
    assert isinstance(stopped.server, Unknown)
    assert stopped.directory.control is not None
    assert stopped.directory.control.state == "in production"
    assert stopped.directory.control.rewindable

    second.promote(20)
    second.checkpoint()
    promoted = server(second)
    assert (promoted.in_recovery, promoted.timeline) == (False, 2)
    assert [line.timeline for line in promoted.timeline_history] == [1]
    answer = first.leader_timeline(cluster.upstream("b"))
    assert (answer.timeline, answer.in_recovery, answer.checkpointed) == (2, False, True)
    assert answer.history == promoted.timeline_history

    first.recover_from_crash()
    recovered = first.observe().directory.control
    assert recovered is not None
    assert recovered.state == "shut down"
    cluster.sql("b", "INSERT INTO public.t VALUES (2)")
    first.rewind(cluster.upstream("b"))
    assert first.observe().directory.standby_signal
    assert first.start("standby", cluster.upstream("b"), 30)
    wait_for(lambda: server(first).replication_state == "streaming", 20, "a to stream from b")
    wait_for(lambda: len(cluster.sql("a", "SELECT n FROM public.t")) == 2, 10, "both rows on a")
    assert server(first).timeline == 2
    assert first.observe().configured_upstream == f"127.0.0.1:{cluster.upstream('b').port}"


def test_killed_postmaster_with_busy_backends_restarts_at_once(cluster: Cluster) -> None:
    """After SIGKILL to the postmaster its busy backends do not keep a new one from starting."""
    node = cluster.primary("a")
    postmaster = read_postmaster(node.data_dir)
    assert postmaster is not None

    def busy() -> None:
        with contextlib.suppress(SqlError):
            cluster.sql("a", "SELECT count(*) FROM generate_series(1, 1000000000)")

    thread = threading.Thread(target=busy)
    thread.start()
    wait_for(
        lambda: cluster.sql("a", "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT count%'"),
        10,
        "a busy backend",
    )
    send_signal(postmaster, signal.SIGKILL)
    wait_for(lambda: read_postmaster(node.data_dir) is None, 5, "the postmaster to end")
    began = time.monotonic()
    assert node.start("primary", None, 30)
    print(f"restart after SIGKILL took {time.monotonic() - began:.2f} s")
    thread.join(10)
    assert not server(node).in_recovery


def test_an_immediate_stop_ends_what_resists_it_at_its_moment(cluster: Cluster) -> None:
    """A frozen child keeps the postmaster waiting after SIGQUIT; SIGKILL comes at `kill_at`."""
    node = cluster.primary("a")
    postmaster = read_postmaster(node.data_dir)
    assert postmaster is not None
    (row,) = cluster.sql("a", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    freeze(int(row[0] or 0))
    began = now()
    node.stop("immediate", kill_at=began + 0.5)
    took = now() - began
    assert read_postmaster(node.data_dir) is None
    assert processes_of(node.data_dir) == []
    assert 0.5 <= took < 4.5  # the postmaster itself waits for five seconds


def test_frozen_postmaster_is_unknown_and_can_be_stopped(cluster: Cluster) -> None:
    """A SIGSTOPped postmaster shows as unknown within the bound, and an immediate stop ends it."""
    node = cluster.primary("a")
    assert isinstance(node.observe().server, Known)
    postmaster = read_postmaster(node.data_dir)
    assert postmaster is not None
    freeze(postmaster.pid)

    def frozen() -> Postgres | None:
        s = node.observe(3)
        return s if s.postmaster and s.postmaster.frozen else None

    seen = wait_for(frozen, 5, "frozen")
    assert isinstance(seen.server, Unknown)
    assert "SIGSTOP" in seen.server.why
    assert seen.directory.system_identifier
    again = node.observe(3).server
    assert isinstance(again, Unknown)
    assert again.since == seen.server.since
    node.stop("immediate")
    assert read_postmaster(node.data_dir) is None
    assert processes_of(node.data_dir) == []
