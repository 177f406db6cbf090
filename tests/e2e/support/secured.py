"""A cluster with TLS, client certificates and passwords on every connection.

Belongs here: making the certificates, and the settings that use them. Must not: contain a story.
"""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
from pathlib import Path

import urllib3

from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.node_file import PASSWORDS
from tests.e2e.support.stories import QUICK
from tests.support.certificates import Authority, Pair
from tests.support.etcd import EtcdServer, require_login
from tools.node_file import Document, merged
from tools.servers import PostgresInstall, find_postgres

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def installs_with_ssl() -> list[PostgresInstall]:
    """Return the PostgreSQL installations that were built with SSL."""
    return [install for install in find_postgres() if _has_ssl(install)]


def _has_ssl(install: PostgresInstall) -> bool:
    asking = ["-C", "ssl_library", "--config-file=/dev/null", "-D", "/"]
    told = subprocess.run(
        [install.bin_dir / "postgres", *asking],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return told.stdout.strip() != ""


class SecuredCluster(Cluster):
    """Three nodes on one etcd; every node has one certificate, and another one for etcd.

    `trusted` is the file of authorities that all nodes read.
    """

    def __init__(self, folder: Path, postgres: PostgresInstall) -> None:
        super().__init__(folder, store="embedded", postgres=postgres, dynamic=QUICK)
        self._tls = self.folder / "tls"
        self.first, self.second = Authority(self._tls, "first"), Authority(self._tls, "second")
        self.trusted = self._tls / "trusted.crt"
        self._both = self._tls / "both.crt"
        self.trust(self._both, self.first, self.second)
        self.trust(self.trusted, self.first)
        self.etcd = EtcdServer(folder=self.folder / "etcd")
        for node in self.nodes:
            self.certify(node, self.first)

    # ------------------------------------------------------------ certificates

    def trust(self, file: Path, *authorities: Authority) -> None:
        """Write a file of authorities."""
        file.write_text("".join(authority.own.cert.read_text() for authority in authorities))

    def certify(self, node: Node, authority: Authority) -> None:
        """Give the node a new certificate, and let the tests' own clients use it too."""
        folder = self._tls / node.name
        folder.mkdir(exist_ok=True)
        pair = authority.issue("node", folder)
        authority.issue("etcd", folder, common=False)
        node.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        node.tls.load_verify_locations(self._both)
        node.tls.load_cert_chain(pair.cert, pair.key)
        node.headers = urllib3.util.make_headers(basic_auth=f"operator:{PASSWORDS['operator']}")
        node.libpq_options = _libpq(pair, self._both)

    def pair(self, node: Node, name: str = "node") -> Pair:
        """Return the node's certificate and key, or those for etcd."""
        folder = self._tls / node.name
        return Pair(folder / f"{name}.crt", folder / f"{name}.key")

    # ------------------------------------------------------------ building

    def prepare(self) -> None:
        """Start etcd, first open to switch its logins on, then closed; write the files."""
        self.etcd.folder.mkdir(parents=True, exist_ok=True)
        self.etcd.start()
        require_login(self.etcd, "keeper", PASSWORDS["keeper"])
        self.etcd.kill()
        served = self.first.issue("etcd")
        self.etcd.tls = {
            "cert-file": str(served.cert),
            "key-file": str(served.key),
            "trusted-ca-file": str(self._both),
            "client-cert-auth": "true",
        }
        self.etcd.start()
        super().prepare()

    def close(self) -> None:
        """End the cluster and its etcd."""
        super().close()
        self.etcd.kill()

    def write_node_file(self, node: Node, changes: Document | None = None) -> None:
        """Write the node's YAML with everything that TLS and logins need."""
        pair, etcd, trusted = self.pair(node), self.pair(node, "etcd"), str(self.trusted)
        cert, key = str(pair.cert), str(pair.key)
        operator = {"username": "operator", "password": PASSWORDS["operator"]}
        libpq = _libpq(pair, self.trusted)
        secured: Document = {
            "embedded": None,
            "etcd3": {
                "host": self.etcd.host,
                "protocol": "https",
                "cacert": str(self.first.own.cert),
                "cert": str(etcd.cert),
                "key": str(etcd.key),
                "username": "keeper",
                "password": PASSWORDS["keeper"],
            },
            "restapi": {
                "certfile": cert,
                "keyfile": key,
                "cafile": trusted,
                "verify_client": "required",
                "authentication": operator,
            },
            "ctl": {"certfile": cert, "keyfile": key, "cacert": trusted},
            "postgresql": {
                "authentication": dict.fromkeys(("superuser", "replication", "rewind"), libpq),
                "parameters": {
                    "ssl": "on",
                    "ssl_cert_file": cert,
                    "ssl_key_file": key,
                    "ssl_ca_file": trusted,
                },
                "pg_hba": [
                    f"hostssl {whom} 127.0.0.1/32 scram-sha-256 clientcert=verify-ca"
                    for whom in ("all all", "replication replicator")
                ],
            },
        }
        super().write_node_file(node, merged(secured, changes or {}))


def _libpq(pair: Pair, authorities: Path) -> dict[str, str]:
    return {
        "sslmode": "verify-ca",
        "sslrootcert": str(authorities),
        "sslcert": str(pair.cert),
        "sslkey": str(pair.key),
    }


def certificate_of_rest(node: Node) -> bytes:
    """Return the certificate (DER) that the REST API shows to a new connection."""
    assert node.tls is not None
    with socket.create_connection(("127.0.0.1", node.place.api_port), 5) as plain:
        return _shown(node.tls, plain)


def certificate_of_postgres(node: Node) -> bytes:
    """Return the certificate (DER) that PostgreSQL shows to a new connection."""
    assert node.tls is not None
    with socket.create_connection(("127.0.0.1", node.place.postgres_port), 5) as plain:
        plain.sendall(_SSL_REQUEST)
        assert plain.recv(1) == b"S", "PostgreSQL refuses TLS"
        return _shown(node.tls, plain)


def _shown(context: ssl.SSLContext, plain: socket.socket) -> bytes:
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as channel:
        found = channel.getpeercert(binary_form=True)
    assert found is not None
    return found
