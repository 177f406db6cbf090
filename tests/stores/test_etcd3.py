"""What is particular to etcd v3: one lease, few requests, logins, TLS, raft terms."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shell.processes import now
from shell.stores import etcd3
from shell.stores.base import Store, StoreMisconfigured, StoreUnavailable
from shell.stores.etcd3_terms import TermMemory
from shell.stores.factory import open_store
from tests.stores.conftest import ETCD, Changes, Servers, soon
from tests.support.certificates import Authority
from tests.support.etcd import EtcdServer, require_login
from tests.support.wait import wait_for

Start = Callable[..., EtcdServer]
Open = Callable[..., Store]


@pytest.fixture
def open_client() -> Iterator[Open]:
    """Open clients of section etcd3, closed after the test."""
    opened: list[Store] = []

    def opening(host: str, *, section: str = "etcd3", **settings: Any) -> Store:
        config = {section: {"host": host, **settings}}
        opened.append(open_store(config, namespace="service", scope="demo"))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture(params=list(ETCD))
def server(request: pytest.FixtureRequest, etcd_server: Start) -> EtcdServer:
    """A private server of each version, which serves no v2 API."""
    return etcd_server(request.param)


def raw(server: EtcdServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a request past our adapter."""
    data = json.dumps(body).encode()
    with urllib.request.urlopen(f"{server.url}/v3/{path}", data, timeout=10) as answer:
        return dict(json.loads(answer.read()))


def encoded(text: str) -> str:
    """Return base64 of a text."""
    return b64encode(text.encode()).decode()


def watched(store: Store) -> Store:
    """Start the store's watch and wait until it is connected."""
    changes = Changes()
    store.watch(changes)
    wait_for(lambda: changes.count, 20, "the watch is connected")
    return store


def test_a_steady_cycle_costs_one_request(server: EtcdServer, open_client: Open) -> None:
    """A primary's view, renewal and unchanged publication are one keep-alive; a replica's too."""
    store = watched(open_client(server.host))
    assert store.acquire_leader("n1", 30, soon())
    store.publish_member("n1", "x", 30, soon())
    store.view(soon())
    before = store.requests_sent
    for _ in range(3):
        store.view(soon())
        assert store.renew_leader("n1", 30, soon())
        store.publish_member("n1", "x", 30, soon())
    assert store.requests_sent - before == 3


def test_a_server_that_stands_alone_need_not_prove_that_it_leads(
    server: EtcdServer, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal stays one keep-alive, however long ago a transaction was answered."""
    monkeypatch.setattr(etcd3, "PROOF_SHARE", 0.0)
    store = watched(open_client(server.host))
    assert store.acquire_leader("n1", 30, soon())
    store.view(soon())
    before = store.requests_sent
    assert store.renew_leader("n1", 30, soon())
    assert store.requests_sent - before == 1


def test_a_lost_lease_is_replaced(server: EtcdServer, open_client: Open) -> None:
    """After the server dropped our lease, both keys come back on a new one."""
    store = watched(open_client(server.host))
    assert store.acquire_leader("n1", 30, soon())
    store.publish_member("n1", "x", 30, soon())
    for lease in raw(server, "lease/leases", {})["leases"]:
        raw(server, "lease/revoke", lease)
    assert store.renew_leader("n1", 30, soon())
    store.publish_member("n1", "x", 30, soon())
    assert set(store.read(soon()).entries) == {"leader", "members/n1"}
    for lease in raw(server, "lease/leases", {})["leases"]:
        raw(server, "lease/revoke", lease)
    assert store.acquire_leader("n1", 30, soon())

    def both_are_back() -> bool:
        """The member key returns with the first publication after the watch told its loss."""
        store.publish_member("n1", "x", 30, soon())
        return set(store.read(soon()).entries) == {"leader", "members/n1"}

    wait_for(both_are_back, 10, "both keys on the new lease")


def test_a_lost_lease_does_not_take_the_key_from_another(
    server: EtcdServer, open_client: Open
) -> None:
    """Whoever took the key after our lease was lost keeps it."""
    store, other = watched(open_client(server.host)), open_client(server.host)
    assert store.acquire_leader("n1", 30, soon())
    for lease in raw(server, "lease/leases", {})["leases"]:
        raw(server, "lease/revoke", lease)
    assert other.acquire_leader("n2", 30, soon())
    assert not store.renew_leader("n1", 30, soon())
    assert other.renew_leader("n2", 30, soon())


def test_values_that_are_no_text_do_not_disturb(server: EtcdServer, open_client: Open) -> None:
    """Bytes of another program under our keys are shown as replacement characters."""
    body = {"key": encoded("/service/demo/config"), "value": b64encode(b"\xff\x00{").decode()}
    raw(server, "kv/put", body)
    store = watched(open_client(server.host))
    assert store.view(soon()).entries["config"].value == "\ufffd\x00{"
    revision = store.view(soon()).entries["config"].revision
    assert store.replace("config", "{}", revision, soon())


def test_the_v2_section_on_a_v3_server_names_the_mend(
    server: EtcdServer, open_client: Open
) -> None:
    """Section etcd against a server without the v2 API says to use section etcd3."""
    store = open_client(server.host, section="etcd")
    with pytest.raises(StoreMisconfigured, match=r"does not serve the v2 API; use section etcd3"):
        store.read(soon())
    with pytest.raises(StoreMisconfigured, match="etcd3"):
        store.acquire_leader("n1", 30, soon())


@pytest.fixture
def guarded(server: EtcdServer) -> EtcdServer:
    """A server that wants a login; user hae may write below /service/ only."""
    require_login(server, "hae", "s3cret")
    return server


def test_login_with_user_and_password(guarded: EtcdServer, open_client: Open) -> None:
    """Requests and the watch carry a token, which is renewed when the server forgets it."""
    store = watched(open_client(guarded.host, username="hae", password="s3cret"))
    assert store.acquire_leader("n1", 30, soon())
    guarded.kill()
    guarded.start()
    assert store.renew_leader("n1", 30, soon())
    store.publish_member("n1", "x", 30, soon())
    assert set(store.view(soon()).entries) == {"leader", "members/n1"}
    assert store.scopes(soon()) == ["demo"]


def test_refused_logins_name_the_mend_and_not_the_password(
    guarded: EtcdServer, open_client: Open
) -> None:
    """A wrong or missing login, and a missing grant, are said at once, without secrets."""
    wrong = open_client(guarded.host, username="hae", password="wr0ng")
    with pytest.raises(StoreMisconfigured, match=r"etcd3\.username") as caught:
        wrong.read(soon())
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(StoreMisconfigured, match="asks for a login"):
        open_client(guarded.host).read(soon())
    settings = {"host": guarded.host, "username": "hae", "password": "s3cret"}
    elsewhere = open_store({"etcd3": settings}, namespace="/elsewhere", scope="demo")
    with pytest.raises(StoreMisconfigured, match="grant it a role"):
        elsewhere.read(soon())
    elsewhere.close()


def test_a_login_for_a_server_without_logins_is_fine(server: EtcdServer, open_client: Open) -> None:
    """Credentials are left unused while authentication is off."""
    store = open_client(server.host, username="hae", password="s3cret")
    assert store.acquire_leader("n1", 30, soon())


def test_tls_with_a_private_ca_and_client_certificates(
    etcd_server: Start, open_client: Open, tmp_path: Path
) -> None:
    """Requests and the watch run over verified TLS; each way to be wrong names its mend."""
    ca, foreign = Authority(tmp_path), Authority(tmp_path, "foreign")
    served, client = ca.issue("server"), ca.issue("client")
    cacert = str(ca.own.cert)
    server = etcd_server(
        tls={
            "cert-file": str(served.cert),
            "key-file": str(served.key),
            "trusted-ca-file": cacert,
            "client-cert-auth": "true",
        }
    )
    own = {"cert": str(client.cert), "key": str(client.key)}
    store = watched(open_client(server.host, cacert=cacert, **own))
    assert store.acquire_leader("n1", 30, soon())
    assert store.view(soon()).entries["leader"].value == "n1"
    wrong: tuple[tuple[str, dict[str, str]], ...] = (
        ("not trusted by etcd3.cacert", {"cacert": str(foreign.own.cert), **own}),
        ("set etcd3.cert", {"cacert": cacert}),
        ("set etcd3.protocol: https", {"protocol": "http"}),
    )
    for message, settings in wrong:
        with pytest.raises((StoreMisconfigured, StoreUnavailable), match=message):
            open_client(server.host, **settings).read(soon(2))
    with pytest.raises(StoreMisconfigured, match=r"etcd3.cacert: cannot read /nowhere"):
        open_client(server.host, cacert="/nowhere")


def test_logins_and_client_certificates_together(
    etcd_server: Start, open_client: Open, tmp_path: Path
) -> None:
    """Over HTTP etcd then refuses certificates with a Common Name: said so, and others work."""
    ca = Authority(tmp_path)
    served, named = ca.issue("server"), ca.issue("client")
    nameless = ca.issue("nameless", common=False)
    server = etcd_server()
    require_login(server, "hae", "s3cret")
    server.kill()
    server.tls = {
        "cert-file": str(served.cert),
        "key-file": str(served.key),
        "trusted-ca-file": str(ca.own.cert),
        "client-cert-auth": "true",
    }
    server.start()
    login = {"username": "hae", "password": "s3cret", "cacert": str(ca.own.cert)}
    wrong = open_client(server.host, cert=str(named.cert), key=str(named.key), **login)
    with pytest.raises(StoreMisconfigured, match=r"etcd3\.cert to one without"):
        wrong.read(soon(5))
    store = open_client(server.host, cert=str(nameless.cert), key=str(nameless.key), **login)
    assert watched(store).acquire_leader("n1", 30, soon())


def test_tls_to_a_plain_server_names_the_mend(server: EtcdServer, open_client: Open) -> None:
    """`protocol: https` against a server without TLS says to use http."""
    with pytest.raises(StoreUnavailable, match=r"set etcd3\.protocol: http"):
        open_client(server.host, protocol="https").read(soon(2))


def test_an_older_raft_term_is_not_believed() -> None:
    """A node left behind is dropped, until every endpoint agrees on the older term."""
    terms = TermMemory()
    assert terms.accept("a", {"cluster_id": "1", "raft_term": "7"})
    assert not terms.accept("b", {"cluster_id": "1", "raft_term": "6"})
    assert terms.accept("a", {"cluster_id": "1", "raft_term": "7"})
    terms.believe_if_unanimous(["a", "b"])
    assert not terms.accept("b", {"cluster_id": "1", "raft_term": "6"})
    assert not terms.accept("a", {"cluster_id": "1", "raft_term": "2"})
    terms.believe_if_unanimous(["a", "b"])
    assert terms.accept("a", {"cluster_id": "1", "raft_term": "2"})


def test_another_cluster_id_starts_a_new_memory() -> None:
    """A replaced cluster is believed at once, whatever its term."""
    terms = TermMemory()
    assert terms.accept("a", {"cluster_id": "1", "raft_term": "7"})
    assert terms.accept("a", {"cluster_id": "2", "raft_term": "1"})


def test_members_are_discovered(servers: Servers, open_client: Open) -> None:
    """A loopback address that the members advertise is used when we came by loopback."""
    store = open_client(servers.get(max(ETCD)).host.replace("127.0.0.1", "localhost"))
    before = now()
    store.read(soon())
    assert store.requests_sent == 2
    assert now() - before < 5
