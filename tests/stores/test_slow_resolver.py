"""Etcd by the names of its hosts, where the resolver is slow."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shell.processes import now
from shell.stores.base import Store, StoreMisconfigured, StoreUnavailable
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


@contextmanager
def _silent(host: str, port: int) -> Iterator[int]:
    """A place that takes no connection and refuses none, as of a host that is gone: its port."""
    with ExitStack() as opened:
        full = opened.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.mark.parametrize("kind", ["etcd3", "etcd"])
def test_a_name_with_many_silent_addresses_takes_no_more_time_than_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout is for all of them together, so that the next member is asked in time."""
    resolve, hosts = socket.getaddrinfo, [f"127.0.0.{number}" for number in range(91, 96)]

    def many(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "gone.example":
            return resolve(host, *arguments, **named)
        return [(2, 1, 6, "", (address, 0)) for address in hosts]

    monkeypatch.setattr("socket.getaddrinfo", many)
    with ExitStack() as opened:
        second = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = 0
        for host in hosts:
            port = opened.enter_context(_silent(host, port))
        place = f"http://127.0.0.1:{second.getsockname()[1]}"
        store = _opened(kind, f"http://gone.example:{port}", place)
        opened.callback(store.close)
        with pytest.raises(StoreUnavailable):
            store.renew_leader("n1", 30, now() + 3)
        second.settimeout(0)
        second.accept()[0].close()


@pytest.mark.parametrize("certified", ["etcd.example", "other.example"])
@pytest.mark.parametrize("kind", ["etcd3", "etcd"])
def test_the_name_counts_for_tls(
    kind: str, certified: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for, and a certificate of another name is not accepted."""
    cert, key = tmp_path / "etcd.crt", tmp_path / "etcd.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=etcd", "-addext", f"subjectAltName=DNS:{certified}"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True, timeout=60)
    context, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(cert, key)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    resolve = socket.getaddrinfo

    def local(host: Any, *arguments: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if host == "etcd.example" else host, *arguments, **named)

    monkeypatch.setattr("socket.getaddrinfo", local)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        url = f"https://etcd.example:{server.getsockname()[1]}"
        section = EtcdSection(kind, (url,), cacert=str(cert), discover=False)
        made = Etcd3Store if kind == "etcd3" else Etcd2Store
        store, got = made(section, namespace="/test", scope="demo"), b""
        asking = threading.Thread(target=_try_to_read, args=(store,))
        asking.start()
        try:
            connection, _ = server.accept()
            connection.settimeout(20)
            with context.wrap_socket(connection, server_side=True) as secure:
                got = secure.recv(65536)
        except ssl.SSLError:
            pass
        finally:
            store.close()
            asking.join()
    assert asked == ["etcd.example"]
    assert (b"\r\nHost: etcd.example:" in got) is (certified == "etcd.example")


def _try_to_read(store: Store) -> None:
    with pytest.raises((StoreUnavailable, StoreMisconfigured)):
        store.read(now() + 2)
