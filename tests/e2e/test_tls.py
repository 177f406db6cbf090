"""TLS, client certificates and passwords on every connection of a whole cluster."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.support.command import ctl
from tests.e2e.support.node import Node
from tests.e2e.support.secured import (
    SecuredCluster,
    certificate_of_postgres,
    certificate_of_rest,
    installs_with_ssl,
)
from tests.e2e.support.stories import leaks, lose_leader_ahead
from tools.servers import PostgresInstall


@pytest.fixture(scope="module", params=installs_with_ssl(), ids=lambda found: str(found.version))
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredCluster]:
    """One cluster for all stories; each leaves it healthy."""
    postgres: PostgresInstall = request.param
    with SecuredCluster(tmp_path_factory.mktemp("secured"), postgres) as made:
        made.start()
        made.wait_healthy()
        yield made


def test_every_connection_is_encrypted_and_nothing_secret_is_shown(cluster: SecuredCluster) -> None:
    """All of PostgreSQL's clients use TLS; without certificate or login REST does nothing."""
    leader = cluster.wait_healthy()
    rows = leader.sql(
        "select a.application_name, s.ssl, s.client_dn from pg_stat_ssl s"
        " join pg_stat_activity a using (pid) where a.client_port is not null"
    )
    assert {"hae", *(node.name for node in cluster.replicas())} <= {row[0] for row in rows}
    assert all(encrypted and client for _, encrypted, client in rows)
    assert ctl(leader, "list").code == 0
    anybody = leader.tls
    leader.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    leader.tls.load_verify_locations(cluster.first.own.cert)
    try:
        assert leader.get("/patroni") is None, "answered without a client certificate"
    finally:
        leader.tls = anybody
    login, leader.headers = leader.headers, {}
    try:
        refused = leader.call("POST", "/reload", {})
        assert refused is not None
        assert refused.status == 401
    finally:
        leader.headers = login
    assert leaks(cluster) == []


def test_a_lost_primary_is_replaced_and_rewound_over_tls(cluster: SecuredCluster) -> None:
    """Failover, pg_rewind and the return: all of it with verified certificates."""
    cluster.wait_healthy()
    lost = lose_leader_ahead(cluster)
    cluster.wait_for(lambda: cluster.find_leader() not in {None, lost}, 60, "another leader")
    lost.start_daemon()
    leader = cluster.wait_healthy()
    assert "rewinding to" in lost.log_text(60_000)
    assert leader.sql("select to_regclass('diverged')") == [(None,)]
    assert leaks(cluster) == []


def test_replaced_certificates_are_read_again_without_a_restart(cluster: SecuredCluster) -> None:
    """A new authority, then new certificates, then the old authority goes: SIGHUP each time."""
    leader = cluster.wait_healthy()
    before = [(node.daemon_pid, node.postmaster_pid()) for node in cluster.nodes]
    cluster.trust(cluster.trusted, cluster.first, cluster.second)
    hang_up(cluster)
    for node in cluster.nodes:
        cluster.certify(node, cluster.second)
    hang_up(cluster)
    for node in cluster.nodes:
        new = ssl.PEM_cert_to_DER_cert(cluster.pair(node).cert.read_text())
        cluster.wait_for(partial(both_show, node, new), 30, f"the new certificate of {node.name}")
    cluster.trust(cluster.trusted, cluster.second)
    hang_up(cluster)
    assert cluster.wait_healthy() is leader
    assert [(node.daemon_pid, node.postmaster_pid()) for node in cluster.nodes] == before
    candidate = cluster.replicas()[0]
    words = ("--leader", leader.name, "--candidate", candidate.name, "--force")
    moved = ctl(leader, "switchover", *words)
    assert moved.code == 0, moved.text
    assert cluster.wait_healthy() is candidate


def test_a_broken_certificate_changes_nothing(cluster: SecuredCluster) -> None:
    """A file that is no certificate: SIGHUP names it, and the one read before stays in use."""
    leader = cluster.wait_healthy()
    pair = cluster.pair(leader)
    good, shown = pair.cert.read_text(), certificate_of_rest(leader)
    pair.cert.write_text("no certificate")
    leader.send_daemon(signal.SIGHUP)
    cluster.wait_for(
        lambda: all(name in leader.log_text() for name in ("restapi.certfile", "ctl.certfile")),
        30,
        "both to be named",
    )
    assert certificate_of_rest(leader) == shown == certificate_of_postgres(leader)
    pair.cert.write_text(good)
    leader.send_daemon(signal.SIGHUP)
    assert cluster.wait_healthy() is leader


def hang_up(cluster: SecuredCluster) -> None:
    """SIGHUP every daemon, and wait until each has let its PostgreSQL read its files again."""
    before = [loaded_at(node) for node in cluster.nodes]
    for node in cluster.nodes:
        node.send_daemon(signal.SIGHUP)
    for node, old in zip(cluster.nodes, before, strict=True):
        cluster.wait_for(partial(has_loaded_since, node, old), 30, f"{node.name} to read again")


def both_show(node: Node, certificate: bytes) -> bool:
    """Whether REST and PostgreSQL show that certificate to new connections."""
    return certificate_of_rest(node) == certificate_of_postgres(node) == certificate


def loaded_at(node: Node) -> object:
    """Return when PostgreSQL read its configuration last."""
    return node.sql("select pg_conf_load_time()")[0][0]


def has_loaded_since(node: Node, before: object) -> bool:
    """Whether PostgreSQL has read its configuration since then."""
    return loaded_at(node) != before
