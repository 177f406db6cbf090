"""A cluster whose members reach each other, and the store, only through links that can be cut.

Belongs here: who talks to whom, and cutting it. Must not: know what a story expects. The tests
themselves talk to the nodes directly, as clients that no cut concerns.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.stories import QUICK, default_postgres
from tests.support.etcd_trio import EtcdTrio
from tests.support.tcp_proxy import Address, Proxies
from tools.node_file import Document, merged

STORE = "store"
OUTSIDE = "outside"


class DividedCluster(Cluster):
    """Three nodes on three etcd servers; every link between them goes through a proxy.

    A link is named by its two ends: the names of nodes, or STORE.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, store="embedded", postgres=default_postgres(), dynamic=QUICK)
        self.trio = EtcdTrio(self.folder / "etcd")
        self._cuts: set[frozenset[str]] = set()
        self._proxies = Proxies(self._label_of, self._is_cut)
        self._ports: dict[str, int] = {}

    # ------------------------------------------------------------ building

    def __enter__(self) -> Self:
        self._proxies.__enter__()
        for node in self.nodes:
            for kind, port in (("api", node.place.api_port), ("sql", node.place.postgres_port)):
                name = f"{kind} {node.name}"
                self._ports[name] = self._proxies.add(name, port)
            for member in self.trio.members:
                name = f"{node.name} {STORE} {member.name}"
                self._ports[name] = self._proxies.add(name, member.port)
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.trio.kill()
            self._proxies.__exit__(kind, error, trace)

    def prepare(self) -> None:
        """Write the files and start the three servers, but no daemon."""
        self.trio.start()
        super().prepare()

    def _store_section(self) -> Document:
        return {"etcd3": {"hosts": [member.host for member in self.trio.members]}}

    def write_node_file(self, node: Node, changes: Document | None = None) -> None:
        """Write the node's YAML with the proxies as the addresses of everybody."""
        hosts = [
            f"127.0.0.1:{self._ports[f'{node.name} {STORE} {member.name}']}"
            for member in self.trio.members
        ]
        through: Document = {
            # use_proxies: the addresses that the members tell are not to be used instead.
            "etcd3": {"hosts": hosts, "use_proxies": True},
            "restapi": {"connect_address": f"127.0.0.1:{self._ports[f'api {node.name}']}"},
            "postgresql": {"connect_address": f"127.0.0.1:{self._ports[f'sql {node.name}']}"},
        }
        super().write_node_file(node, merged(through, changes or {}))

    # ------------------------------------------------------------ cutting

    @contextlib.contextmanager
    def cut(self, node: Node, *others: Node | str) -> Iterator[None]:
        """Cut the links between a node and the others (or STORE), in silence, for a while."""
        names = [other if isinstance(other, str) else other.name for other in others]
        cuts = {frozenset({node.name, name}) for name in names}
        self._cuts |= cuts
        self._proxies.look_again()
        try:
            yield
        finally:
            self._cuts -= cuts
            self._proxies.look_again()

    def _is_cut(self, label: str) -> bool:
        return frozenset(label.split(" ")) in self._cuts

    def _label_of(self, name: str, client: Address) -> str:
        """Name a connection's two ends: the proxy tells one, the client's process the other."""
        first, target = name.split(" ")[:2]
        if target == STORE:
            return f"{first} {STORE}"
        return f"{self._node_behind(client)} {target}"

    def _node_behind(self, client: Address) -> str:
        """Return the node whose process has that end of a connection, else OUTSIDE."""
        inode = _socket_at(client)
        for pid in (entry for entry in os.listdir("/proc") if inode and entry.isdigit()):  # noqa: PTH208
            with contextlib.suppress(OSError):
                works_in = Path("/proc", pid, "cwd").readlink()
                owners = [node for node in self.nodes if works_in.is_relative_to(node.place.folder)]
                if owners and f"socket:[{inode}]" in _open_files(pid):
                    return owners[0].name
        return OUTSIDE


def _socket_at(address: Address) -> str:
    """Return the inode of the socket with that local address; empty when there is none."""
    host, port = address
    number = "".join(f"{int(part):02X}" for part in reversed(host.split(".")))
    wanted = f"{number}:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == wanted:
            return words[9]
    return ""


def _open_files(pid: str) -> set[str]:
    found = set()
    for descriptor in Path("/proc", pid, "fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(descriptor.readlink()))
    return found
