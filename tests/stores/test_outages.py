"""What the etcd stores do when servers die, freeze, lose answers or are replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shell.processes import now
from shell.stores.base import Store, StoreError, StoreUnavailable
from shell.stores.factory import open_store
from tests.stores.conftest import ETCD_KINDS, Changes, soon
from tests.stores.lossy_proxy import LossyProxy
from tests.support.etcd import EtcdServer
from tests.support.ports import free_port
from tests.support.wait import wait_for

Start = Callable[..., EtcdServer]


class Client:
    """Opens clients of one kind, and closes them after the test."""

    def __init__(self, kind: str) -> None:
        self.section, _, self.version = kind.partition(" on ")
        self.opened: list[Store] = []

    def open(self, *hosts: str, **settings: Any) -> Store:
        """Return a client with these endpoints."""
        config = {self.section: {"hosts": list(hosts), **settings}}
        store = open_store(config, namespace="service", scope="demo")
        self.opened.append(store)
        return store


@pytest.fixture(params=ETCD_KINDS)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Each etcd adapter on each server version."""
    made = Client(request.param)
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def server(client: Client, etcd_server: Start) -> EtcdServer:
    """A server of the client's version, of its own."""
    return etcd_server(client.version, enable_v2=True)


def watching(store: Store) -> Changes:
    """Start a watch, and return its counter once it is connected."""
    changes = Changes()
    store.watch(changes)
    wait_for(lambda: changes.count, 20, "the watch is connected")
    return changes


def works(store: Store) -> bool:
    """Return whether the store answers right now."""
    try:
        store.read(soon(1))
    except StoreUnavailable:
        return False
    return True


def needs_no_request(store: Store) -> bool:
    """Return whether a view comes from the watched copy."""
    before = store.requests_sent
    store.view(soon())
    return store.requests_sent == before


def _sees(store: Store, value: str) -> bool:
    return store.view(soon()).entries["config"].value == value


def _fails(store: Store) -> bool:
    try:
        store.view(now() + 0.3)
    except StoreUnavailable:
        return True
    return False


def test_a_killed_server_is_told_raises_and_comes_back(client: Client, server: EtcdServer) -> None:
    """A watcher is woken by the loss and by the return; in between, a view is an error."""
    store = client.open(server.host)
    changes = watching(store)
    store.put("config", "x", soon())
    wait_for(lambda: changes.count > 0 and _sees(store, "x"), 5, "the change is told")
    told = changes.count
    server.kill()
    # The put itself may be told once more; the loss is what makes a view fail.
    wait_for(lambda: changes.count > told and _fails(store), 15, "the loss is told")
    before = now()
    with pytest.raises(StoreUnavailable, match=server.host):
        store.view(soon(0.5))
    assert now() - before < 1.5
    told = changes.count
    server.start()
    wait_for(lambda: changes.count > told, 10, "the return is told")
    assert store.view(soon()).entries["config"].value == "x"


def test_a_frozen_server_makes_the_view_stale(client: Client, server: EtcdServer) -> None:
    """While the server answers nothing, no view claims to be newer than the freeze."""
    store = client.open(server.host)
    watching(store)
    assert store.acquire_leader("n1", 30, soon())
    wait_for(lambda: needs_no_request(store), 5, "the watch has brought our own change")
    server.pause()
    frozen_at = now()
    assert store.view(soon()).seen_at <= frozen_at
    with pytest.raises(StoreUnavailable):
        store.renew_leader("n1", 30, soon(1))
    with pytest.raises(StoreUnavailable):
        store.view(soon(0.5))
    server.resume()
    wait_for(lambda: works(store), 10, "the server answers again")
    assert store.renew_leader("n1", 30, soon())
    wait_for(lambda: store.view(soon()).seen_at > frozen_at, 10, "the view is fresh again")


def test_one_dead_endpoint_is_passed_over(client: Client, server: EtcdServer) -> None:
    """With one endpoint refusing connections, everything works through the other."""
    store = client.open(f"127.0.0.1:{free_port()}", server.host)
    watching(store)
    before = now()
    assert store.acquire_leader("n1", 30, soon())
    assert store.renew_leader("n1", 30, soon())
    assert store.view(soon()).entries["leader"].value == "n1"
    assert now() - before < 2


def test_one_silent_endpoint_cannot_eat_the_deadline(
    client: Client, server: EtcdServer, etcd_server: Start
) -> None:
    """With one endpoint frozen, an operation still ends in time through the other."""
    frozen = etcd_server(client.version, enable_v2=True)
    store = client.open(frozen.host, server.host, use_proxies=True)
    frozen.pause()
    store.put("config", "x", soon(6))
    assert client.open(server.host).read(soon()).entries["config"].value == "x"


def test_a_wiped_server_is_believed_again(client: Client, server: EtcdServer) -> None:
    """A store rebuilt from nothing has an older term and index, and is usable nevertheless."""
    store = client.open(server.host)
    watching(store)
    for number in range(5):
        store.put("status", str(number), soon())
    server.kill()
    server.start()
    wait_for(lambda: works(store), 10, "the server answers again")
    server.kill()
    server.wipe()
    server.start()
    wait_for(lambda: works(store), 15, "the new cluster is believed")
    wait_for(lambda: store.read(soon()).entries == {}, 10, "the new cluster is empty")
    assert store.acquire_leader("n1", 30, soon())
    assert store.view(soon()).entries.keys() == {"leader"}


@pytest.fixture
def proxy(server: EtcdServer) -> Iterator[LossyProxy]:
    """A way to the server that can lose answers."""
    with LossyProxy(server.port) as running:
        yield running


def test_a_lost_answer_of_acquire_is_found_out(client: Client, proxy: LossyProxy) -> None:
    """When the key was created and the answer lost, the repeated request says that it is ours."""
    store = client.open(proxy.host, use_proxies=True)
    store.publish_member("n1", "x", 30, soon())
    proxy.lose("leader")
    assert store.acquire_leader("n1", 30, soon())
    assert proxy.lost == 1
    assert store.read(soon()).entries["leader"].value == "n1"


def test_a_lost_answer_of_create_is_never_a_guess(client: Client, proxy: LossyProxy) -> None:
    """Two nodes may write the same text to `initialize`: an unclear outcome is an error."""
    store = client.open(proxy.host, use_proxies=True)
    store.put("marker", "x", soon())
    proxy.lose("initialize")
    with pytest.raises(StoreUnavailable, match="initialize"):
        store.create("initialize", "", soon())
    assert proxy.lost == 1
    assert store.read(soon()).entries["initialize"].value == ""


def test_lost_answers_of_conditional_changes_are_found_out(
    client: Client, proxy: LossyProxy
) -> None:
    """A change or a deletion that was carried out without an answer counts as done."""
    store = client.open(proxy.host, use_proxies=True)
    store.put("sync", "one", soon())
    revision = store.read(soon()).entries["sync"].revision
    proxy.lose("sync")
    assert store.replace("sync", "two", revision, soon())
    revision = store.read(soon()).entries["sync"].revision
    proxy.lose("sync")
    assert store.delete("sync", soon(), revision=revision)
    assert store.acquire_leader("n1", 30, soon())
    proxy.lose("leader")
    assert store.release_leader("n1", soon())
    assert proxy.lost == 3
    assert store.read(soon()).entries == {}


def keep_deletes(store: Any, monkeypatch: pytest.MonkeyPatch, *, send: bool) -> list[Any]:
    """Every request that deletes a key from now on, as it may come to the store late.

    Without `send` none of them gets there, and the store does not answer.
    """
    transport, kept = type(store._transport), []
    call = transport.call

    def keep(self: Any, *request: Any) -> Any:
        if request[0] == "DELETE" or "request_delete_range" in str(request):
            kept.append(request[:-1])
            if not send:
                raise StoreUnavailable("no answer in time")
        return call(self, *request)

    monkeypatch.setattr(transport, "call", keep)
    return kept


def carry_out_late(store: Any, request: Any) -> None:
    """Let the store have a request that was kept; it may refuse it."""
    with contextlib.suppress(StoreError):
        store._transport.call(*request, soon())


def test_a_release_that_comes_late_does_not_touch_a_renewed_key(
    client: Client, proxy: LossyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon gave the request up and leads again; then the store carries it out after all."""
    store = client.open(proxy.host, use_proxies=True)
    assert store.acquire_leader("n1", 30, soon())
    held_up = keep_deletes(store, monkeypatch, send=False)
    with pytest.raises(StoreUnavailable):
        store.release_leader("n1", soon())
    assert store.renew_leader("n1", 30, soon(), create=False)
    monkeypatch.undo()
    carry_out_late(store, held_up[0])
    assert store.read(soon()).entries["leader"].value == "n1"
    assert store.release_leader("n1", soon())
    assert store.read(soon()).entries == {}


def test_a_release_that_was_repeated_does_not_end_the_next_leadership(
    client: Client, proxy: LossyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first try had no answer, and may come to the store after this member leads again."""
    store = client.open(proxy.host, use_proxies=True)
    assert store.acquire_leader("n1", 30, soon())
    sent = keep_deletes(store, monkeypatch, send=True)
    proxy.lose("leader")
    assert store.release_leader("n1", soon())
    monkeypatch.undo()
    assert proxy.lost == 1
    assert store.acquire_leader("n1", 30, soon())
    carry_out_late(store, sent[0])
    assert store.read(soon()).entries["leader"].value == "n1"


def test_an_answer_that_is_not_etcds_is_an_error(client: Client, proxy: LossyProxy) -> None:
    """A web server under the store's address is named as such, and nothing else breaks."""
    store = client.open(proxy.host, use_proxies=True)
    for body in (b"<html>hello</html>", b"[]", b'"x"', b"{", b'{"node":5,"kvs":{}}'):
        proxy.answer_always(body)
        try:
            store.put("config", "x", soon(0.5))
            store.read(soon(0.5))
        except StoreUnavailable as error:
            assert proxy.host in str(error)  # noqa: PT017 - some of them look like success
    proxy.answer_always(None)
    assert store.read(soon()).entries == {}
