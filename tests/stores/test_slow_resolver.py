"""Etcd by the names of its hosts, where the resolver is slow."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from shell.processes import now
from shell.stores.base import Store, StoreUnavailable
from shell.stores.endpoints import EtcdSection
from shell.stores.etcd2 import Etcd2Store
from shell.stores.etcd3 import Etcd3Store


def _opened(kind: str, *urls: str) -> Store:
    section = EtcdSection(kind, urls, discover=False)
    made = Etcd3Store if kind == "etcd3" else Etcd2Store
    return made(section, namespace="/test", scope="demo")


@pytest.mark.parametrize("kind", ["etcd3", "etcd"])
def test_a_slow_resolver_takes_no_more_than_the_time_there_is(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member whose name is not resolved keeps no request from the next one."""
    let_go, resolve = threading.Event(), socket.getaddrinfo

    def slow(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "slow.example":
            return resolve(host, *arguments, **named)
        let_go.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", slow)
    with socket.create_server(("127.0.0.1", 0)) as second:
        second.settimeout(20)
        place = f"http://127.0.0.1:{second.getsockname()[1]}"
        store, began = _opened(kind, "http://slow.example:2379", place), now()
        try:
            with pytest.raises(StoreUnavailable, match=r"no answer of the resolver for slow\.ex"):
                store.renew_leader("n1", 30, now() + 1)
            assert now() - began < 20
            second.accept()[0].close()
        finally:
            let_go.set()
            store.close()


@pytest.mark.parametrize("kind", ["etcd3", "etcd"])
def test_each_address_of_a_name_is_tried(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the resolver, as before."""
    resolve = socket.getaddrinfo

    def two(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "etcd.example":
            return resolve(host, *arguments, **named)
        return [(2, 1, 6, "", (address, 0)) for address in ("127.0.0.99", "127.0.0.1")]

    monkeypatch.setattr("socket.getaddrinfo", two)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        store = _opened(kind, f"http://etcd.example:{server.getsockname()[1]}")
        try:
            asking = threading.Thread(target=_try_to_read, args=(store,))
            asking.start()
            connection, _ = server.accept()
            asked = connection.recv(65536)
            connection.close()
        finally:
            store.close()
            asking.join()
    assert b"\r\nHost: etcd.example:" in asked


def _try_to_read(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        store.read(now() + 2)
