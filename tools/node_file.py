"""A node's YAML on this machine, as a DBA would write it: for the demo and for the tests.

Belongs here: where a node lives, and the parts of its file that both write alike. Must not: start
anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node lives: its name, ports and folder."""

    name: str
    postgres_port: int
    api_port: int
    folder: Path

    @property
    def file(self) -> Path:
        """The node's YAML."""
        return self.folder.with_suffix(".yml")

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    @property
    def records(self) -> Path:
        """The flight recorder's folder."""
        return self.folder / "records"

    @property
    def log(self) -> Path:
        """What the daemon prints."""
        return self.folder / "daemon.log"


@dataclass(frozen=True, slots=True)
class Shared:
    """What the nodes of a cluster have in common.

    `store` is its section, such as {"etcd3": {...}}; `dynamic` the first dynamic configuration;
    `logins` gives user and password by role, such as {"superuser": ("postgres", "...")}.
    """

    scope: str
    bin_dir: Path
    sockets: str
    store: Document
    dynamic: Document
    logins: dict[str, tuple[str, str]]


def node_document(place: Place, shared: Shared) -> Document:
    """Return the document of one node."""
    api, postgres = f"127.0.0.1:{place.api_port}", f"127.0.0.1:{place.postgres_port}"
    replication_user = shared.logins["replication"][0]
    return {
        "scope": shared.scope,
        "name": place.name,
        **shared.store,
        "restapi": {"listen": api, "connect_address": api},
        "bootstrap": {
            "dcs": shared.dynamic,
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
        },
        "postgresql": {
            "listen": postgres,
            "connect_address": postgres,
            "data_dir": str(place.data_dir),
            "bin_dir": str(shared.bin_dir),
            "pgpass": str(place.folder / "pgpass"),
            "authentication": {
                role: {"username": user, "password": password}
                for role, (user, password) in shared.logins.items()
            },
            "parameters": {"unix_socket_directories": shared.sockets},
            "pg_hba": [
                "local all all scram-sha-256",
                "host all all 127.0.0.1/32 scram-sha-256",
                f"host replication {replication_user} 127.0.0.1/32 scram-sha-256",
            ],
        },
    }


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
