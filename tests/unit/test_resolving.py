"""Names of hosts, and how long they may take to become addresses."""

from __future__ import annotations

import socket
import threading
from typing import Any

import psycopg2
import pytest

from shell.postgres.errors import Cancelled
from shell.postgres.resolving import with_addresses
from shell.postgres.session import Session, SqlError
from shell.postgres.waiting import NEVER
from shell.processes import now

KNOWN = {"n1.example": ("fd00::1", "10.0.0.1"), "n2.example": ("10.0.0.2",)}


@pytest.fixture
def _known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that knows these names alone."""

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in KNOWN:
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in KNOWN[host]]

    monkeypatch.setattr("socket.getaddrinfo", resolve)


@pytest.mark.usefixtures("_known_hosts")
@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("n1.example", "5433", ("n1.example,n1.example", "fd00::1,10.0.0.1", "5433,5433")),
        ("n2.example,n9.example", "5433", ("n2.example", "10.0.0.2", "5433")),
        ("10.0.0.7,n2.example", "1,2", ("10.0.0.7,n2.example", ",10.0.0.2", "1,2")),
        ("10.0.0.7", "5433", ("10.0.0.7", None, "5433")),
        ("fd00::7,10.0.0.7", "5433", ("fd00::7,10.0.0.7", None, "5433")),
        ("/run/postgresql", "5433", ("/run/postgresql", None, "5433")),
    ],
)
def test_libpq_is_given_addresses(
    host: str, port: str, expected: tuple[str, str | None, str]
) -> None:
    """Each address of a name is tried, and a name that is not known spoils no other one."""
    found = with_addresses({"host": host, "port": port, "user": "x"}, now() + 20, NEVER)
    assert (found["host"], found.get("hostaddr"), found["port"]) == expected
    assert found["user"] == "x"


def test_the_default_socket_needs_no_resolver() -> None:
    """Nor does a connection without a host."""
    assert with_addresses({"user": "x"}, now() + 20, NEVER) == {"user": "x"}


@pytest.mark.usefixtures("_known_hosts")
def test_a_name_that_nobody_knows_is_told() -> None:
    """As an error of the connection, with the name in it."""
    with pytest.raises(SqlError, match=r"n9\.example is not known: Name or service not known"):
        Session({"host": "n9.example"}, now() + 20)


def test_a_name_that_hangs_leaves_time_for_the_other_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of several hosts the others are connected to, while there still is time for it."""
    let_go = threading.Event()

    def slow(host: str, *_: Any, **__: Any) -> list[Any]:
        if host == "slow.example":
            let_go.wait(60)
        return [(2, 1, 6, "", (KNOWN[host][0], 0))]

    monkeypatch.setattr("socket.getaddrinfo", slow)
    try:
        for host in ("10.0.0.7", "n2.example"):
            deadline = now() + 2
            found = with_addresses({"host": f"slow.example,{host}", "port": "1,2"}, deadline, NEVER)
            assert (found["host"], found["port"]) == (host, "2")
            assert now() < deadline
    finally:
        let_go.set()


def test_a_slow_resolver_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline holds while a name is resolved, and so does a cancellation; it is asked once.

    psycopg2 must not be called: it would keep every other thread from running until the end.
    """
    let_go, asked, cancel = threading.Event(), [], threading.Event()

    def slow(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        let_go.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", slow)
    monkeypatch.setattr(psycopg2, "connect", lambda *_, **__: pytest.fail("libpq resolves a name"))
    try:
        with pytest.raises(SqlError, match="the resolver gives no answer"):
            Session({"host": "slow.example"}, now() + 0.1)
        threading.Timer(0.1, cancel.set).start()
        with pytest.raises(Cancelled):
            Session({"host": "slow.example"}, now() + 60, cancel=cancel)
    finally:
        let_go.set()
    assert asked == ["slow.example"]
