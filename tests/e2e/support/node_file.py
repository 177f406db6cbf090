"""The node's YAML as a DBA would write it for Patroni; hae reads the same file.

Belongs here: building that document. Must not: start anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCOPE = "batman"
PASSWORDS = {
    "postgres": "super-Secret-1",
    "replicator": "repl-Secret-2",
    "rewinder": "rew-Secret-3",
}
TIMING: dict[str, Any] = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node lives: its name, ports and folders."""

    name: str
    postgres_port: int
    api_port: int
    folder: Path

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    @property
    def file(self) -> Path:
        """The node's YAML."""
        return self.folder / "node.yml"

    @property
    def log(self) -> Path:
        """What the daemon prints."""
        return self.folder / "daemon.log"


def node_document(
    place: Place, bin_dir: Path, sockets: Path, store: Document, dynamic: Document
) -> Document:
    """Return the document of one node; `store` is its section, such as {"etcd3": {...}}."""
    return {
        "scope": SCOPE,
        "name": place.name,
        "log": {"level": "INFO"},
        "restapi": {
            "listen": f"127.0.0.1:{place.api_port}",
            "connect_address": f"127.0.0.1:{place.api_port}",
        },
        **store,
        "bootstrap": {
            "dcs": dynamic,
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"127.0.0.1:{place.postgres_port}",
            "connect_address": f"127.0.0.1:{place.postgres_port}",
            "data_dir": str(place.data_dir),
            "bin_dir": str(bin_dir),
            "pgpass": str(place.folder / "pgpass"),
            "authentication": {
                "superuser": _login("postgres"),
                "replication": _login("replicator"),
                "rewind": _login("rewinder"),
            },
            "parameters": {"unix_socket_directories": str(sockets)},
            "pg_hba": [
                "local all all scram-sha-256",
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication replicator 127.0.0.1/32 scram-sha-256",
            ],
        },
        "tags": {},
    }


def dynamic_document(changes: Document) -> Document:
    """Return the dynamic configuration for a small cluster, `changes` merged in."""
    base: Document = {
        **TIMING,
        "maximum_lag_on_failover": 1048576,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "max_connections": 50,
                "shared_buffers": "16MB",
                "wal_keep_size": "64MB",
            },
        },
    }
    return merged(base, changes)


def merged(base: Document, changes: Document) -> Document:
    """Return `base` with `changes` merged in, key by key; None removes a key."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _login(user: str) -> Document:
    return {"username": user, "password": PASSWORDS[user]}
