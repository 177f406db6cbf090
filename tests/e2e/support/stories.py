"""How the stories of the end-to-end tests begin and end.

Belongs here: the quick timing, a cluster that starts healthy and leaves no gigabytes behind, and
the search for secrets. Must not: contain a story.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.node_file import PASSWORDS
from tests.e2e.support.processes import own_processes, send
from tests.support.freezing import freeze
from tools.node_file import Document, merged
from tools.servers import PostgresInstall, find_postgres

# The lowest supported lease, so that no test waits for half a minute.
QUICK: Document = {"hae": {"low_ttl": True}, "ttl": 8, "loop_wait": 1, "retry_timeout": 2}


def default_postgres() -> PostgresInstall:
    """Return PostgreSQL 16 when it is there, because it starts fastest; else the newest."""
    installs = {install.version: install for install in find_postgres()}
    return installs.get(16) or installs[max(installs)]


@contextlib.contextmanager
def prepared(folder: Path, **options: Any) -> Iterator[Cluster]:
    """Give a quick cluster, its files written and its store started, but no daemon.

    `options` are those of Cluster. At the end PostgreSQL's files go; logs and records stay.
    """
    options["dynamic"] = merged(QUICK, options.get("dynamic") or {})
    options = {"store": "embedded", "postgres": default_postgres(), **options}
    cluster = Cluster(folder, **options)
    try:
        with cluster:
            cluster.prepare()
            yield cluster
    finally:
        for node in cluster.nodes:
            shutil.rmtree(node.place.data_dir, ignore_errors=True)


@contextlib.contextmanager
def healthy(folder: Path, **options: Any) -> Iterator[Cluster]:
    """Give a quick cluster whose members all stream from one leader."""
    with prepared(folder, **options) as cluster:
        for node in cluster.nodes:
            node.start_daemon()
        cluster.wait_for(lambda: _is_healthy(cluster), 90, "one leader and all others streaming")
        yield cluster


def _is_healthy(cluster: Cluster) -> bool:
    """Whether it is; AssertionError at once when a daemon has ended."""
    ended = [node.name for node in cluster.nodes if not node.daemon_runs()]
    assert not ended, f"the daemons of {', '.join(ended)} have ended"
    return cluster.is_healthy()


def lose_leader_ahead(cluster: Cluster) -> Node:
    """Let the host of the leader die with a table, `diverged`, that no other node has received."""
    lost = cluster.leader()
    others = sorted(node.name for node in cluster.nodes if node is not lost)
    # Whoever was just cloned has a WAL sender more, which may end before it is stopped.
    cluster.wait_for(lambda: lost.streams_to() == others, 30, "the end of every pg_basebackup")
    streaming = lost.sql("select pid from pg_stat_replication where state = 'streaming'")
    senders = [int(pid) for (pid,) in streaming]
    for pid in senders:
        freeze(pid)
    lost.sql("create table diverged (id int)")
    lost.kill_daemon()
    lost.kill_postmaster()
    for pid in senders:
        send(pid, signal.SIGKILL)
    return lost


def loops_pass(cluster: Cluster, count: int, without: Node | None = None) -> None:
    """Wait until every daemon has decided `count` times more: enough to do what it would do."""
    before = {node: loop_count(node) for node in cluster.nodes if node is not without}
    cluster.wait_for(
        lambda: all(loop_count(node) >= old + count for node, old in before.items()),
        60,
        f"{count} more loops of every daemon",
    )


def loop_count(node: Node) -> int:
    """Return how many cycles the daemon has run; 0 when it does not answer."""
    answer = node.get("/metrics")
    text = answer.document.get("text", "") if answer else ""
    found = [line for line in text.splitlines() if line.startswith("hae_loops{")]
    return int(float(found[0].split()[-1])) if found else 0


def sees_the_store(node: Node) -> bool:
    """Whether the store's view was known to the node's last decision."""
    answer = node.get("/hae/snapshot")
    assert answer is not None, f"{node.name} does not answer"
    return "why" not in answer.document["cluster"]


def rules(node: Node) -> list[str]:
    """The rules that fired in the node's last decision."""
    answer = node.get("/hae/explain")
    return [str(name) for name in answer.document.get("rules", [])] if answer else []


def written_to(leader: Node) -> int:
    """Return how far the primary has written, in bytes."""
    ((lsn,),) = leader.sql("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    return int(lsn)


def slot_position(node: Node, of: Node) -> int:
    """Return from where on a node keeps WAL for another; 0 without a slot."""
    rows = node.try_sql(
        "select pg_wal_lsn_diff(restart_lsn, '0/0')::bigint from pg_replication_slots"
        f" where slot_name = '{of.name}'"
    )
    return int(rows[0][0] or 0) if rows else 0


def records_folder(node: Node) -> Path:
    """Return where the node's flight recorder writes by default."""
    found = sorted(node.place.folder.glob("**/*.jsonl*"))
    assert found, f"{node.name} recorded nothing below {node.place.folder}"
    return found[-1].parent


def leaks(cluster: Cluster) -> list[str]:
    """Return where a password of the cluster can be read by others than its account.

    Looks into every file that the daemons wrote (PostgreSQL's own data, the node files and the
    password files excepted), the arguments of every process, and what the REST APIs answer.
    """
    found = [f"{place} shows it" for place in _texts_with_secrets(cluster)]
    return [*found, *_arguments_with_secrets(cluster), *_answers_with_secrets(cluster)]


def _secret_in(text: bytes) -> bool:
    return any(password.encode() in text for password in PASSWORDS.values())


def _texts_with_secrets(cluster: Cluster) -> Iterator[Path]:
    for node in cluster.nodes:
        private = {node.place.file, node.place.folder / "pgpass"}
        for path in node.place.folder.rglob("*"):
            if path in private or not path.is_file() or path.is_relative_to(node.place.data_dir):
                continue
            text = path.read_bytes()
            if _secret_in(gzip.decompress(text) if path.suffix == ".gz" else text):
                yield path


def _arguments_with_secrets(cluster: Cluster) -> Iterator[str]:
    for pid in own_processes(cluster.mark, cluster.folder):
        with contextlib.suppress(OSError):
            if _secret_in(Path(f"/proc/{pid}/cmdline").read_bytes()):
                yield f"the arguments of process {pid}"


def _answers_with_secrets(cluster: Cluster) -> Iterator[str]:
    for node in cluster.nodes:
        for path in ("/patroni", "/cluster", "/history", "/config", "/metrics", "/hae/explain"):
            answer = node.get(path)
            if answer is not None and _secret_in(str(answer.document).encode()):
                yield f"{node.name} GET {path}"
