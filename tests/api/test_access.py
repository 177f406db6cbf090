"""Who may call the unsafe methods: allowlist, members, password."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from engine.state import Known
from shell.api.access import Allowlist
from shell.api.office import POOL_THREADS
from shell.processes import now
from shell.stores.base import View
from tests.api.support import SECRET, Api, FakeStore, login, running
from tests.support import snapshots
from tests.support.wait import wait_for


def basic(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


UNSAFE = [
    ("PATCH", "/config", {"ttl": 25}),
    ("PUT", "/config", {"ttl": 25}),
    ("POST", "/restart", None),
    ("DELETE", "/restart", None),
    ("POST", "/reload", None),
    ("POST", "/reinitialize", None),
    ("POST", "/switchover", {"leader": "n1"}),
    ("DELETE", "/switchover", None),
    ("POST", "/failover", {"candidate": "n2"}),
    ("POST", "/failsafe", {"name": "n1"}),
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Api]:
    """A listener that wants a password."""
    with running(snapshots.primary(now()), authentication=login()) as api:
        yield api


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
def test_password(guarded: Api, method: str, path: str, body: Any) -> None:
    """Every unsafe call without or with a wrong password is refused, and says how to ask."""
    missing = guarded.call(method, path, body)
    assert (missing.status, missing.text) == (401, "no auth header received")
    assert missing.headers["www-authenticate"] == 'Basic realm="Patroni"'
    wrong = guarded.call(method, path, body, basic("admin", "guess"))
    assert (wrong.status, wrong.text) == (401, "not authenticated")
    assert guarded.store.entries["config"].revision == 1
    assert guarded.desk.pending() == ()


def test_refusal_reaches_a_caller_that_still_sends(guarded: Api) -> None:
    """A caller whose large body is still on the way gets the refusal, not a broken connection."""
    body = b'{"ttl": 30, "a": "' + b"x" * 4_000_000 + b'"}'
    assert guarded.call("PATCH", "/config", body).status == 401
    assert guarded.call("PATCH", "/nonsense", body).status == 501


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Bearer abc", "Basic YWRtaW4="])
def test_broken_authorization(guarded: Api, header: str) -> None:
    """An authorization header that cannot be read is a wrong one."""
    headers = {"Authorization": header}
    assert guarded.call("DELETE", "/switchover", None, headers).status == 401


def test_right_password(guarded: Api) -> None:
    """The right password is let in."""
    reply = guarded.call("DELETE", "/switchover", None, basic("admin", SECRET))
    assert reply.status == 404


def test_reading_needs_no_password(guarded: Api) -> None:
    """GET is never asked for a password."""
    for path in ("/patroni", "/cluster", "/config", "/history", "/metrics", "/failsafe"):
        assert guarded.get(path).status != 401


@pytest.mark.parametrize(
    ("allowlist", "status"),
    [
        (("127.0.0.1",), 404),
        (("127.0.0.0/8",), 404),
        (("localhost",), 404),
        (("10.9.9.9", "::1"), 403),
        (("no-such-host.invalid",), 403),
    ],
)
def test_allowlist(allowlist: tuple[str, ...], status: int) -> None:
    """With an allowlist only those listed may call; everybody may read."""
    with running(snapshots.primary(now()), allowlist=allowlist) as api:
        reply = api.call("DELETE", "/switchover")
        assert reply.status == status
        if status == 403:
            assert reply.text == "Access is denied"
        assert api.get("/cluster").status == 200


def test_allowlist_comes_before_the_password() -> None:
    """A caller who is not listed learns nothing about the password."""
    with running(snapshots.primary(now()), allowlist=("10.9.9.9",), authentication=login()) as api:
        assert api.call("DELETE", "/switchover", None, basic("admin", SECRET)).status == 403


def test_members_are_let_in() -> None:
    """With allowlist_include_members the members' addresses may call, others may not."""
    with running(allowlist_include_members=True) as api:
        api.publish(snapshots.primary(now()))
        assert api.call("DELETE", "/switchover").status == 403
        here = snapshots.member("n4", 4, api_url="http://127.0.0.1:8008/patroni")
        view = snapshots.cluster(members=(here,))
        api.publish(snapshots.primary(now(), cluster=Known(view, now())))
        assert api.call("DELETE", "/switchover").status == 404


def test_failsafe_is_open_to_unlisted_members() -> None:
    """`POST /failsafe` honours the allowlist, not allowlist_include_members."""
    s = snapshots.replica(now())
    s = replace(s, policy=replace(s.policy, failsafe_mode=True))
    with running(s, allowlist_include_members=True) as api:
        assert api.call("POST", "/failsafe", {}).status == 400
    with running(s, allowlist=("10.9.9.9",)) as api:
        assert api.call("POST", "/failsafe", {"name": "n1"}).status == 403


ASKS_TO_GO_ON = b'POST /failsafe HTTP/1.1\r\nHost: n1\r\nContent-Length: 14\r\n\r\n{"name": "n2"}'


class _HangingStore(FakeStore):
    """A store that gives no answer until it is let go."""

    def __init__(self) -> None:
        super().__init__({})
        self.let_go = threading.Event()

    def read(self, deadline: float) -> View:
        """Hang."""
        self.requests_sent += 1
        self.let_go.wait(60)
        return View({}, now())


def test_callers_that_wait_for_the_store_hold_up_no_primary_without_it() -> None:
    """Whether it may call is known although everybody who asks for the cluster hangs."""
    store = _HangingStore()
    with running(store=store, allowlist=("127.0.0.1",)) as api:
        waiting = [
            threading.Thread(target=api.get, args=("/cluster",)) for _ in range(POOL_THREADS)
        ]
        try:
            for thread in waiting:
                thread.start()
            wait_for(lambda: store.requests_sent == POOL_THREADS, 20, "all to wait for the store")
            answer = api.raw(ASKS_TO_GO_ON, 10)
        finally:
            store.let_go.set()
            for thread in waiting:
                thread.join()
    assert answer.startswith(b"HTTP/1.1 503")  # there was no first cycle yet


def test_callers_that_wait_for_the_resolver_hold_up_no_listed_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Strangers whose address has to be compared with names that resolve slowly wait alone."""
    let_go, resolve, resolved = threading.Event(), socket.getaddrinfo, []

    def slow(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "slow.example":
            return resolve(host, *arguments, **named)
        resolved.append(host)
        let_go.wait(60)
        raise socket.gaierror("no answer")

    monkeypatch.setattr("socket.getaddrinfo", slow)
    with (
        running(allowlist=("127.0.0.1", "slow.example")) as api,
        ExitStack() as strangers,
    ):
        strangers.callback(let_go.set)
        for _ in range(POOL_THREADS):
            place, source = ("127.0.0.1", api.port), ("127.0.0.2", 0)
            stranger = socket.create_connection(place, 10, source_address=source)
            strangers.enter_context(stranger).sendall(ASKS_TO_GO_ON)
        wait_for(lambda: len(resolved) == POOL_THREADS, 20, "all to wait for the resolver")
        assert api.raw(ASKS_TO_GO_ON, 10).startswith(
            b"HTTP/1.1 503"
        )  # there was no first cycle yet


def test_ipv6_and_mapped_addresses() -> None:
    """Networks of both families match, an IPv4 address inside IPv6 counts as IPv4."""
    allowlist = Allowlist(("10.0.0.0/8", "[fd00::1]", "fd01::/16"))
    allowed = ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd01::5"]
    assert [allowlist.permits(address) for address in allowed] == [True] * 4
    refused = ["11.1.2.3", "fd00::2", "not-an-address", ""]
    assert [allowlist.permits(address) for address in refused] == [False] * 4
