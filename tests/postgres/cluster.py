"""Servers for the tests: node files like a user's, an Instance for each, and SQL for checking.

Belongs here: making them and cleaning up.  Must not: assert.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from engine.actions import Upstream
from engine.state import Known, Server
from shell.config import effective, load_local
from shell.config.settings import Settings
from shell.postgres import plans
from shell.postgres.instance import Instance
from shell.postgres.session import Row, Session
from shell.processes import kill_all, now
from tests.support.ports import free_port
from tests.support.wait import wait_for
from tools.servers import PostgresInstall

PASSWORDS = {"superuser": "sup'er:se\\cret", "replication": "repl:i\\ca'te", "rewind": "re wi:nd"}


class Cluster:
    """Nodes of one cluster, made on demand."""

    def __init__(self, install: PostgresInstall, folder: Path) -> None:
        """Nodes live below `folder`."""
        self.install = install
        self.folder = folder
        self._nodes: dict[str, Instance] = {}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes.values():
            node.close()
            kill_all(node.data_dir)

    def settings(
        self,
        name: str,
        dynamic: Mapping[str, Any] | None = None,
        bootstrap: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Settings:
        """Settings from a node file; `changes` go into its `postgresql` section."""
        path = self.folder / f"{name}.yml"
        document = self.document(name, dict(changes))
        document["bootstrap"].update(bootstrap or {})
        path.write_text(yaml.safe_dump(document))
        return effective(load_local(path, {}), dynamic)[0]

    def document(self, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        """The node file as a user would write it."""
        port = self._ports.setdefault(name, free_port())
        users = {"superuser": "postgres", "replication": "replicator", "rewind": "rewinder"}
        return {
            "scope": "demo",
            "name": name,
            "namespace": "/service",
            "etcd3": {"hosts": "127.0.0.1:2379"},
            "restapi": {"listen": "127.0.0.1:8008", "connect_address": "127.0.0.1:8008"},
            "bootstrap": {
                "initdb": [
                    {"encoding": "UTF8"},
                    {"locale": "C"},
                    {"wal-segsize": 1},
                    "data-checksums",
                    "no-sync",
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{port}",
                "connect_address": f"127.0.0.1:{port}",
                "data_dir": str(self.folder / name),
                "bin_dir": str(self.install.bin_dir),
                "pgpass": str(self.folder / f"{name}.pgpass"),
                "use_pg_rewind": True,
                "authentication": {
                    user: {"username": users[user], "password": PASSWORDS[user]} for user in users
                },
                "parameters": {
                    "unix_socket_directories": str(self.folder),
                    "shared_buffers": "16MB",
                    "fsync": "off",
                    "log_statement": "all",
                    **changes.pop("parameters", {}),
                },
                "pg_hba": [
                    "local all all scram-sha-256",
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication replicator 127.0.0.1/32 scram-sha-256",
                ],
                **changes,
            },
        }

    def node(self, name: str, **changes: Any) -> Instance:
        """The node of that name."""
        if name not in self._nodes:
            self._nodes[name] = Instance(self.settings(name, **changes))
        return self._nodes[name]

    def upstream(self, name: str, slot: str | None = None) -> Upstream:
        """Where others reach that node."""
        postgresql = self.settings_of(name).postgresql
        return Upstream(name, postgresql.connect_host, postgresql.connect_port, slot)

    def settings_of(self, name: str) -> Settings:
        """The settings in use on that node."""
        return self._nodes[name]._settings

    def primary(self, name: str, **changes: Any) -> Instance:
        """A new cluster's primary, running, with its roles."""
        node = self.node(name, **changes)
        node.initdb()
        assert node.start("primary", None, 30)
        node.create_roles()
        return node

    def standby(self, name: str, of: str, **changes: Any) -> Instance:
        """A clone of a running node, streaming from it."""
        node = self.node(name, **changes)
        node.clone(self.upstream(of))
        assert node.start("standby", self.upstream(of), 30)
        wait_for(lambda: server(node).replication_state == "streaming", 20, f"{name} to stream")
        return node

    def sql(self, name: str, statement: str) -> list[Row]:
        """Run a statement on that node as its superuser."""
        parameters = plans.local_superuser(self.settings_of(name).postgresql, 10_000)
        with Session(parameters, now() + 5) as session:
            return session.execute(statement, deadline=now() + 10)


def server(node: Instance) -> Server:
    """What the server answered; AssertionError when it did not."""
    seen = node.observe().server
    assert isinstance(seen, Known), seen
    return seen.value
