"""Servers that are reached by the name of their host, which hae resolves itself."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shell.postgres import pgpass
from shell.postgres.session import Session, SqlError
from shell.processes import now
from tests.e2e.support.secured import installs_with_ssl
from tests.postgres.cluster import PASSWORDS, Cluster


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """One that is its own authority, for that name, and its key."""
    cert, key = folder / "server.crt", folder / "server.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=server", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True, timeout=60)
    key.chmod(0o600)
    return cert, key


def test_certificates_and_password_files_go_by_the_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though libpq gets addresses, of which the first is of a host that is gone."""
    resolve = socket.getaddrinfo

    def known(host: Any, *arguments: Any, **named: Any) -> Any:
        if host not in {"n1.example", "n2.example"}:
            return resolve(host, *arguments, **named)
        return [(2, 1, 6, "", (address, 0)) for address in ("127.0.0.99", "127.0.0.1")]

    monkeypatch.setattr("socket.getaddrinfo", known)
    cert, key = certificate(folder, "n1.example")
    tls = {"ssl": "on", "ssl_cert_file": str(cert), "ssl_key_file": str(key)}
    with Cluster(installs_with_ssl()[0], folder) as cluster:
        cluster.primary("n1", parameters=tls)
        port, passfile = cluster.upstream("n1").port, folder / "passwords"
        hosts = "/nowhere,n1.example,n2.example"
        pgpass.write(passfile, [pgpass.Entry(hosts, port, "postgres", PASSWORDS["superuser"])])
        place = {"port": port, "user": "postgres", "dbname": "postgres", "passfile": passfile}
        place |= {"sslmode": "verify-full", "sslrootcert": cert}
        asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        for host in ("n1.example", "/nowhere,n1.example"):
            with Session({**place, "host": host}, now() + 20) as session:
                assert session.execute(asked, deadline=now() + 20) == [(True,)]
        with pytest.raises(SqlError, match=r"does not match host name .n2\.example"):
            Session({**place, "host": "n2.example"}, now() + 20)
