"""The real stores that the conformance suite runs against, chosen by what this machine has."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shell.processes import now
from shell.stores.base import Store
from shell.stores.factory import open_store
from tests.support.etcd import EtcdServer, etcd_binaries
from tests.support.wait import wait_for

ETCD = etcd_binaries()
ETCD_KINDS = [f"{section} on {version}" for version in ETCD for section in ("etcd3", "etcd")]
KINDS = ["embedded", *ETCD_KINDS]
SHORT_TTL = 1


def soon(seconds: float = 10.0) -> float:
    """Return a deadline `seconds` from now."""
    return now() + seconds


class Servers:
    """One etcd server of each version, started when first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, EtcdServer] = {}

    def get(self, version: str) -> EtcdServer:
        """Return the running server of a version; it serves both APIs."""
        if version not in self._running:
            self._running[version] = EtcdServer(ETCD[version], enable_v2=True).start()
        return self._running[version]

    def stop(self) -> None:
        """Stop them all."""
        for server in self._running.values():
            server.stop()


@dataclass
class Backend:
    """A store that tests open as several clients of one cluster with a scope of its own."""

    kind: str
    config: dict[str, Any]
    namespace: str
    scope: str
    opened: list[Store]

    def open(self, scope: str | None = None, **overrides: Any) -> Store:
        """Return a new client, closed after the test."""
        section = next(iter(self.config))
        config = {section: {**self.config[section], **overrides}}
        store = open_store(config, namespace=self.namespace, scope=scope or self.scope)
        self.opened.append(store)
        return store


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The etcd servers of this session."""
    running = Servers()
    yield running
    running.stop()


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Backend]:
    """Each store in turn, with an empty namespace."""
    section, _, version = request.param.partition(" on ")
    settings: dict[str, Any] = (
        {"host": servers.get(version).host}
        if version
        else {"path": str(tmp_path / "folder" / "store.db")}
    )
    namespace = f"/test-{uuid.uuid4().hex[:8]}"
    made = Backend(request.param, {section: settings}, namespace, "demo", [])
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    """One client."""
    return backend.open()


@pytest.fixture
def other(backend: Backend) -> Store:
    """A second client of the same cluster."""
    return backend.open()


@pytest.fixture
def etcd_server() -> Iterator[Callable[..., EtcdServer]]:
    """Start private servers that a test may freeze and kill."""
    started: list[EtcdServer] = []

    def start(version: str = max(ETCD, default=""), **options: Any) -> EtcdServer:
        server = EtcdServer(ETCD[version], **options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


class Changes:
    """Counts what a watch told."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        """Take one call of the watch."""
        self.count += 1


def value_of(store: Store, key: str) -> str | None:
    """Return a key's value as the server has it."""
    entry = store.read(soon()).entries.get(key)
    return entry.value if entry else None


def watching(store: Store) -> Changes:
    """Start a watch, and return its counter once it is connected."""
    changes = Changes()
    store.watch(changes)
    wait_for(lambda: changes.count, 5, "the watch is connected")
    return changes
