"""The listener over real connections: methods, limits, silent and broken clients, its life."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from shell.api import messages, protocol
from shell.api.sockets import ListenError
from shell.processes import now
from tests.api.support import SECRET, Api, changed, login, running
from tests.api.test_health import TABLE
from tests.support import snapshots
from tests.support.wait import wait_for


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Api]]:
    """Listeners of the three nodes of the contract's table."""
    with contextlib.ExitStack() as stack:
        moment = now()
        made = [
            snapshots.primary(moment),
            snapshots.replica(moment, "n2"),
            snapshots.replica(moment, "n3"),
        ]
        yield [stack.enter_context(running(snapshot)) for snapshot in made]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", TABLE)
def test_every_method_gives_the_status(nodes: list[Api], path: str, method: str) -> None:
    """GET, HEAD and OPTIONS give the same status; only GET has a body."""
    for api, snapshot in zip(nodes, ("n1", "n2", "n3"), strict=True):
        moment = now()
        node = (
            snapshots.primary(moment) if snapshot == "n1" else snapshots.replica(moment, snapshot)
        )
        api.publish(node)
    replies = [api.call(method, path) for api in nodes]
    assert tuple(reply.status for reply in replies) == TABLE[path]
    if method != "GET":
        assert all(reply.body == b"" for reply in replies)


def test_unknown_paths(nodes: list[Api]) -> None:
    """An unknown GET gives 503 with the status document, an unknown unsafe call 501."""
    reply = nodes[0].get("/nonsense")
    assert reply.status == 503
    assert reply.json()["patroni"] == {"version": "4.1.5", "scope": "demo", "name": "n1"}
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE"):
        reply = nodes[0].call(method, "/nonsense", {} if method != "TRACE" else None)
        assert reply.status == 501
        assert "Server does not support this operation" in reply.text
        assert "Unsupported method" in reply.text


def test_before_the_first_cycle() -> None:
    """Before anything was published checks say 503 and nothing breaks."""
    with running() as api:
        for path in ("/", "/primary", "/patroni", "/liveness", "/readiness", "/hae/explain"):
            assert api.get(path).status == 503
        assert api.get("/metrics").status == 200
        assert api.call("POST", "/restart").status == 503
        assert api.call("POST", "/switchover", {"leader": "n1"}).status == 503


def test_health_does_not_need_the_store(nodes: list[Api]) -> None:
    """Health checks and the status document are answered while the store is down."""
    api = nodes[0]
    api.publish(snapshots.primary(now()))
    api.store.down = True
    try:
        assert api.get("/primary").status == 200
        assert api.get("/patroni").status == 200
        assert api.get("/cluster").status == 503
    finally:
        api.store.down = False


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /primary HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000,
        b"OPTIONS * HTTP/1.1\r\nHost: n1\r\n\r\n",
        b"GET http://n1 HTTP/1.1\r\nHost: n1\r\n\r\n",
    ],
)
def test_broken_requests(nodes: list[Api], request_bytes: bytes) -> None:
    """What is no HTTP is answered with 400 or 503 and the listener goes on."""
    received = nodes[0].raw(request_bytes)
    assert received[9:12] in {b"400", b"503", b""}
    assert nodes[0].get("/patroni").status == 200


def test_old_clients(nodes: list[Api]) -> None:
    """A bare HTTP/1.0 request, as load balancers send it, is answered."""
    nodes[0].publish(snapshots.primary(now()))
    for head in (b"OPTIONS / HTTP/1.0\r\n\r\n", b"GET /primary HTTP/1.0\r\n\r\n"):
        assert nodes[0].raw(head).startswith(b"HTTP/1.1 200 OK\r\n")


def test_wish_for_another_protocol(nodes: list[Api]) -> None:
    """A wish for WebSocket or HTTP/2 is ignored, and CONNECT is refused."""
    nodes[0].publish(snapshots.primary(now()))
    for protocol_name in (b"websocket", b"h2c"):
        head = b"GET /primary HTTP/1.1\r\nHost: n1\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
        assert nodes[0].raw(head % protocol_name).startswith(b"HTTP/1.1 200 ")
    refused = nodes[0].raw(b"CONNECT n1:80 HTTP/1.1\r\nHost: n1\r\n\r\n")
    assert refused[9:12] in {b"400", b"501"}


def test_two_requests_in_one_packet(nodes: list[Api]) -> None:
    """Only the first request of a connection is answered; a second one changes nothing."""
    nodes[0].publish(snapshots.primary(now()))
    first = b"GET /primary HTTP/1.1\r\nHost: n1\r\n\r\n"
    second = b'PUT /config HTTP/1.1\r\nHost: n1\r\nContent-Length: 9\r\n\r\n{"ttl":9}'
    received = nodes[0].raw(first + second)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert nodes[0].get("/config").json()["ttl"] == 30


def test_silent_connections_do_not_matter(nodes: list[Api]) -> None:
    """500 connections that say nothing leave health checks as they are."""
    api = nodes[1]
    api.publish(snapshots.replica(now()))
    with contextlib.ExitStack() as stack:
        for number in range(500):
            silent = socket.create_connection(("127.0.0.1", api.port), 5)
            stack.enter_context(silent)
            if number % 2:
                silent.sendall(b"GET /replica HTTP/1.1\r\nHost: ")
        assert api.get("/replica").status == 200


@pytest.mark.parametrize("said", [b"", b"GET /primary HTTP/1.1\r\nHo", b"\r\n"])
def test_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """A connection without a whole request is closed after the time for one."""
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    with running() as api:
        assert api.raw(said) == b""


def test_too_many_connections_replace_the_oldest_silent_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over the cap the oldest silent connection is closed, and callers are still answered."""
    monkeypatch.setattr("shell.api.server.raise_file_limit", lambda: 10)
    with running(snapshots.primary(now())) as api, contextlib.ExitStack() as stack:
        opened = [socket.create_connection(("127.0.0.1", api.port), 5) for _n in range(30)]
        for connection in opened:
            stack.enter_context(connection)
        assert api.get("/primary").status == 200
        with contextlib.suppress(ConnectionResetError):
            assert opened[0].recv(1) == b""


def test_half_sent_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in full is refused after its time, and nothing is done."""
    monkeypatch.setattr(messages, "BODY_SECONDS", 0.2)
    with running(snapshots.primary(now())) as api:
        head = b"PATCH /config HTTP/1.1\r\nHost: n1\r\nContent-Length: 100\r\n\r\n"
        assert api.raw(head + b'{"ttl": 20').startswith(b"HTTP/1.1 408 ")
        assert api.get("/config").json()["ttl"] == 30


def test_caller_that_leaves_in_the_middle(nodes: list[Api]) -> None:
    """A caller that goes away before its body has come leaves nothing behind."""
    with socket.create_connection(("127.0.0.1", nodes[0].port), 5) as connection:
        connection.sendall(b'PATCH /config HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"ttl"')
    assert nodes[0].get("/config").json()["ttl"] == 30


@pytest.mark.parametrize("chunked", [False, True])
def test_large_body(nodes: list[Api], chunked: bool) -> None:
    """A body over 1 MiB gets 413, announced or not."""
    body = b'{"a": "' + b"x" * (messages.MOST_BODY_BYTES + 1) + b'"}'
    headers = {}
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        reply = nodes[0].call("POST", "/restart", body, headers)
    else:
        reply = nodes[0].call("PATCH", "/config", body)
    assert reply.status == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[1]", 400), (b'"text"', 400), (b"{}", 400), (b"", 400), (b"\xff\xfe", 400)],
)
def test_bodies_that_are_no_objects(nodes: list[Api], body: Any, status: int) -> None:
    """Invalid JSON, no object and an empty object are refused where a body is required."""
    assert nodes[0].call("PATCH", "/config", body).status == status


def test_deeply_nested_body(nodes: list[Api]) -> None:
    """JSON too deep to parse is refused."""
    assert nodes[0].call("PATCH", "/config", b"[" * 100_000).status == 400


def test_body_without_length(nodes: list[Api]) -> None:
    """A required body without Content-Length gets 411."""
    head = b"PATCH /config HTTP/1.1\r\nHost: n1\r\n\r\n"
    assert nodes[0].raw(head).startswith(b"HTTP/1.1 411 ")


def test_query_with_many_fields(nodes: list[Api]) -> None:
    """A query with more fields than a person could mean gets 400."""
    assert nodes[0].get("/replica?" + "a=1&" * 101).status == 400


def test_headers() -> None:
    """Extra headers and the chosen Server header are on every answer."""
    extra = {"X-Frame-Options": "DENY"}
    with running(snapshots.primary(now()), http_extra_headers=extra) as api:
        for path in ("/", "/primary", "/cluster", "/liveness", "/nonsense"):
            headers = api.get(path).headers
            assert headers["x-frame-options"] == "DENY"
            assert headers["server"].startswith("hae/0.1.0 Python/")
        for tokens, expected in (("productonly", "hae"), ("minimal", "hae/0.1.0")):
            api.server.reload(changed(api.options, server_tokens=tokens))
            shown = partial(_shows, api, expected)
            wait_for(shown, 5, "the Server header")


def _shows(api: Api, server: str) -> bool:
    return api.get("/").headers["server"] == server


def test_reload_changes_the_rules() -> None:
    """A reload takes over a new password without closing the socket."""
    with running(snapshots.primary(now())) as api:
        before = api.port
        assert api.call("POST", "/nonsense", {}).status == 501
        api.server.reload(changed(api.options, authentication=login()))
        wait_for(lambda: api.call("DELETE", "/switchover").status == 401, 5, "the password")
        assert api.port == before


def test_reload_can_move_the_listener() -> None:
    """A changed address is listened on; one that cannot be had leaves the old one in use."""
    with running(snapshots.primary(now())) as api:
        port = api.port
        api.server.reload(changed(api.options, listen_hosts=("",), listen_port=port))
        assert api.get("/primary").status == 200
        with socket.create_server(("127.0.0.2", 0)) as taken:
            elsewhere = changed(
                api.options, listen_hosts=("127.0.0.2",), listen_port=taken.getsockname()[1]
            )
            with pytest.raises(ListenError, match=r"restapi\.listen: 127\.0\.0\.2"):
                api.server.reload(elsewhere)
        assert api.get("/primary").status == 200


def test_taken_address() -> None:
    """An address that is in use is named in the error, with the mend."""
    with (
        running() as api,
        pytest.raises(ListenError, match=rf"127\.0\.0\.1:{api.port}.*another one"),
        running(listen_port=api.port),
    ):
        pass


def test_probe_and_restart() -> None:
    """The probe tells a listener that answers from one that hangs; a restart mends it."""
    with running(snapshots.primary(now())) as api:
        assert api.server.probe()
        port, release = api.port, threading.Event()
        listener = api.server._listener
        assert listener is not None
        listener.call(release.wait, 30)
        assert not api.server.probe(0.3)
        api.server.restart()
        assert api.port == port
        assert wait_for(lambda: api.server.probe(2), 10, "the new listener")
        assert api.get("/primary").status == 200
        release.set()
        wait_for(lambda: not listener.thread.is_alive(), 10, "the stuck thread")
        assert api.get("/primary").status == 200
    assert not api.server.probe(0.3)


def test_no_secret_in_any_answer() -> None:
    """The password appears in no answer, whatever is asked."""
    with running(snapshots.primary(now()), authentication=login()) as api:
        for path in (*TABLE, "/metrics", "/cluster", "/config", "/hae/snapshot", "/hae/explain"):
            assert SECRET not in api.get(path).text
        assert SECRET not in api.call("PATCH", "/config", {"a": 1}).text
        assert SECRET not in repr(api.options)
