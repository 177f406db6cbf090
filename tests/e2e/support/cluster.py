"""A whole cluster under test: a store, and nodes of hae or of Patroni, on real PostgreSQL.

Belongs here: building it from node files, asking about all of it, and ending everything that it
started. Must not: contain what a test expects.

    with Cluster(tmp_path, postgres=install) as cluster:
        cluster.start()
        cluster.wait_healthy()
        cluster.leader().kill_postmaster()
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml

from shell.stores.base import Store
from shell.stores.factory import open_store
from tests.e2e.support.etcd import EtcdServer
from tests.e2e.support.node import Node
from tests.e2e.support.node_file import (
    SCOPE,
    document_of,
    dynamic_document,
)
from tests.e2e.support.processes import end_all, own_processes, send
from tests.support.ports import free_port
from tests.support.wait import wait_for
from tools.node_file import Document, Place, merged
from tools.servers import EtcdInstall, PostgresInstall, find_postgres

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[3]


def daemon_command(implementation: str) -> list[str]:
    """Return how to start a daemon of `hae` or `patroni` (PATRONI_VENV, or build/patroni)."""
    if implementation == "hae":
        return [str(Path(sys.executable).with_name("hae-daemon"))]
    venv = Path(os.environ.get("PATRONI_VENV", CHECKOUT / "build" / "patroni"))
    program = venv / "bin" / "patroni"
    assert program.exists(), f"no Patroni at {program}: run `make bench-setup`"
    return [str(program)]


class Cluster:
    """Nodes n1, n2, ... with their store; everything below one folder.

    `store` is "etcd3" or "etcd" (a private etcd server, spoken to by its v3 or v2 API), or
    "embedded" (a file, hae only). `dynamic` is merged into the dynamic configuration,
    `node_changes` into every node's file. A mixed cluster gets its nodes' implementations as a
    list.  `beside` names a cluster whose etcd this one shares, under another `scope`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 3,
        postgres: PostgresInstall | None = None,
        store: str = "etcd3",
        dynamic: Document | None = None,
        node_changes: Document | None = None,
        implementation: str | list[str] = "hae",
        etcd: EtcdInstall | None = None,
        scope: str = SCOPE,
        beside: Cluster | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.postgres = postgres or find_postgres()[0]
        self.mark = secrets.token_hex(8)
        # Not below `folder`: the path of a Unix socket has room for 107 bytes only.
        self.sockets = Path(f"/tmp/hae-{self.mark}")
        self.scope = scope
        self._owns_store = beside is None
        self._store_kind: str = store if beside is None else beside._store_kind
        self.store: EtcdServer | None = None if beside is None else beside.store
        if beside is None and store != "embedded":
            self.store = EtcdServer(self.folder / "etcd", etcd)
        self.dynamic = dynamic_document(dynamic or {})
        self._node_changes = node_changes or {}
        kinds = [implementation] * nodes if isinstance(implementation, str) else implementation
        self.nodes = [self._make_node(f"n{i}", kind) for i, kind in enumerate(kinds, start=1)]

    def _make_node(self, name: str, implementation: str) -> Node:
        place = Place(name, free_port(), free_port(), self.folder / name)
        command = daemon_command(implementation)
        return Node(place, command, self.mark)

    def write_node_file(self, node: Node, changes: Document | None = None) -> None:
        """(Re)write the node's YAML with `changes` merged in."""
        bin_dir = self.postgres.bin_dir
        document = document_of(
            node.place, bin_dir, self.sockets, self._store_section(), self.dynamic
        )
        document = merged(
            merged(document, {"scope": self.scope, **self._node_changes}), changes or {}
        )
        node.place.folder.mkdir(parents=True, exist_ok=True)
        node.place.file.write_text(yaml.safe_dump(document, sort_keys=False))
        node.place.file.chmod(0o600)

    def _store_section(self) -> Document:
        if self.store is None:
            return {"embedded": {"path": str(self.folder / "store.db")}}
        return {self._store_kind: {"hosts": self.store.host}}

    @contextlib.contextmanager
    def keys(self) -> Iterator[Store]:
        """Open the cluster's keys in the store, as another program would."""
        store = open_store(self._store_section(), namespace="service", scope=self.scope)
        with contextlib.closing(store):
            yield store

    # ------------------------------------------------------------ start and end

    def start(self, nodes: Iterable[Node] | None = None) -> None:
        """Write the files, start the store and the daemons of `nodes` (all)."""
        self.prepare()
        for node in self.nodes if nodes is None else nodes:
            node.start_daemon()

    def prepare(self) -> None:
        """Write the files and start the store, but no daemon."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        for node in self.nodes:
            self.write_node_file(node)
        if self.store is not None and self._owns_store:
            self.store.start()

    def close(self) -> None:
        """End everything that was started; never raises for what is already gone."""
        for node in self.nodes:
            node.kill_daemon()
        for pid in own_processes(self.mark, self.folder):
            send(pid, signal.SIGCONT)
        self._quit_postgres()
        end_all(self.mark, self.folder)
        if self.store is not None and self._owns_store:
            self.store.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _quit_postgres(self) -> None:
        """Let the servers give back their shared memory, which a SIGKILL leaves behind for ever."""
        for node in self.nodes:
            pid = node.postmaster_pid()
            if pid is not None:
                send(pid, signal.SIGQUIT)
        with contextlib.suppress(AssertionError):  # whatever hangs is killed
            wait_for(lambda: not any(n.postmaster_pid() for n in self.nodes), 5, "servers to quit")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            with contextlib.suppress(OSError):
                error.add_note(self.logs())
        self.close()

    # ------------------------------------------------------------ looking

    def node(self, name: str) -> Node:
        """Return a node by name."""
        return next(node for node in self.nodes if node.name == name)

    def find_leader(self) -> Node | None:
        """Return the one node that answers GET /primary with 200; None when none or several."""
        answers = [(node, node.get("/primary")) for node in self.nodes]
        leaders = [node for node, answer in answers if answer and answer.status == 200]
        return leaders[0] if len(leaders) == 1 else None

    def leader(self, timeout_seconds: float = 60) -> Node:
        """Return the leader, waiting for there to be one."""
        return self.wait_for(self.find_leader, timeout_seconds, "a leader")

    def replicas(self) -> list[Node]:
        """Return the nodes other than the present leader."""
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def streaming_from(self, leader: Node) -> set[str]:
        """Return the names of the members that stream from the leader, as both sides see it."""
        names = leader.streams_to()
        return {node.name for node in self.nodes if node.name in names and node.is_streaming()}

    def is_healthy(self) -> bool:
        """Whether one leader is writable and every other node streams from it."""
        leader = self.find_leader()
        if leader is None or not leader.is_writable():
            return False
        others = {node.name for node in self.nodes if node is not leader}
        return others <= self.streaming_from(leader)

    def wait_healthy(self, timeout_seconds: float = 90) -> Node:
        """Wait until all stream, and return the leader."""
        self.wait_for(self.is_healthy, timeout_seconds, "one leader and all others streaming")
        return self.leader()

    def wait_for(
        self,
        condition: Callable[[], T | None],
        timeout_seconds: float,
        what: str,
        poll_seconds: float = 0.05,
    ) -> T:
        """Wait for a condition; the failure carries the end of every log."""
        return wait_for(condition, timeout_seconds, what, poll_seconds)

    def dsn(self, session: str = "read-write", **more: object) -> str:
        """Return a libpq multi-host string over all nodes."""
        count = len(self.nodes)
        values: dict[str, Any] = {
            "host": ",".join(["127.0.0.1"] * count),
            "port": ",".join(str(node.place.postgres_port) for node in self.nodes),
            "user": "postgres",
            "dbname": "postgres",
            "target_session_attrs": session,
            "connect_timeout": 2,
            **more,
        }
        return " ".join(f"{key}={value}" for key, value in values.items())

    def switchover(self, leader: Node, candidate: Node | None = None) -> float:
        """Ask the leader's REST API for a switchover; return the seconds that the call took."""
        body: Document = {"leader": leader.name}
        if candidate is not None:
            body["candidate"] = candidate.name
        started = time.monotonic()
        answer = leader.call("POST", "/switchover", body, timeout_seconds=90)
        assert answer is not None, "switchover: no answer within 90 s"
        assert answer.status == 200, f"switchover answered {answer}"
        return time.monotonic() - started

    def logs(self) -> str:
        """Return the ends of all daemons' logs, for a failing test."""
        parts = [f"--- {node.name} ({node.place.log})\n{node.log_text()}" for node in self.nodes]
        return f"cluster {self.scope} in {self.folder}\n" + "\n".join(parts)
