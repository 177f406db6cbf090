"""TLS: certificates of clients, and new certificates without a restart."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from engine.state import Member
from shell.api import listener
from shell.api.tls import TlsError
from shell.config.settings import CtlSettings
from shell.peers import Peers
from shell.processes import now
from tests.api.support import changed, options, running
from tests.support import snapshots
from tests.support.wait import wait_for

Certificate: TypeAlias = tuple[str, str]  # certfile, keyfile

_REQUEST = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -subj"


def make_certificate(folder: Path, name: str, password: str = "") -> Certificate:
    """A self-signed certificate and its key: (certfile, keyfile)."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    secrecy = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    command = [*_REQUEST.split(), f"/CN={name}", "-keyout", str(key), "-out", str(cert), *secrecy]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return str(cert), str(key)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    """Certificates of a server, of its successor and of a client."""
    folder = tmp_path_factory.mktemp("tls")
    return {name: make_certificate(folder, name) for name in ("server", "next", "client", "alien")}


def client_context(certificate: Certificate | None = None) -> ssl.SSLContext:
    """A client that verifies nothing; with a certificate of its own if given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def served_certificate(port: int) -> str:
    """The PEM text of the certificate that a listener shows."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)


def pem(certificate: Certificate) -> str:
    """The PEM text of a certificate file."""
    return Path(certificate[0]).read_text(encoding="ascii")


def test_tls(certificates: dict[str, Certificate]) -> None:
    """With a certfile the API speaks TLS; plain HTTP gets nothing and disturbs nobody."""
    certfile, keyfile = certificates["server"]
    with running(snapshots.primary(now()), certfile=certfile, keyfile=keyfile) as api:
        assert api.get("/primary", client_context()).status == 200
        with socket.create_connection(("127.0.0.1", api.port), 10) as plain:
            plain.sendall(b"GET /primary HTTP/1.0\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP/")
        assert api.get("/primary", client_context()).status == 200
        assert api.server.probe()


@pytest.mark.parametrize(
    ("verify", "certificate", "unsafe", "safe"),
    [
        ("none", None, 404, 200),
        ("optional", None, 403, 200),
        ("optional", "client", 404, 200),
        ("required", "client", 404, 200),
    ],
)
def test_client_certificates(
    certificates: dict[str, Certificate],
    verify: str,
    certificate: str | None,
    unsafe: int,
    safe: int,
) -> None:
    """With verify_client the unsafe calls need a certificate of the trusted authority."""
    certfile, keyfile = certificates["server"]
    context = client_context(certificates[certificate] if certificate else None)
    with running(
        snapshots.primary(now()),
        certfile=certfile,
        keyfile=keyfile,
        cafile=certificates["client"][0],
        verify_client=verify,
    ) as api:
        reply = api.call("DELETE", "/switchover", tls=context)
        assert reply.status == unsafe
        if unsafe == 403:
            assert reply.text == "client certificate required"
        assert api.get("/primary", context).status == safe


@pytest.mark.parametrize("certificate", [None, "alien"])
def test_required_client_certificate(
    certificates: dict[str, Certificate], certificate: str | None
) -> None:
    """With `required` nothing is answered without a trusted certificate; the probe still works."""
    certfile, keyfile = certificates["server"]
    context = client_context(certificates[certificate] if certificate else None)
    with running(
        snapshots.primary(now()),
        certfile=certfile,
        keyfile=keyfile,
        cafile=certificates["client"][0],
        verify_client="required",
    ) as api:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            api.get("/primary", context)
        assert api.server.probe()


def test_changed_certificate_is_picked_up(
    certificates: dict[str, Certificate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replaced certificate is served without restart, also while a broken one lay there."""
    monkeypatch.setattr(listener, "CERTIFICATE_LOOK_SECONDS", 0.05)
    certfile, keyfile = str(tmp_path / "tls.crt"), str(tmp_path / "tls.key")
    shutil.copy(certificates["server"][0], certfile)
    shutil.copy(certificates["server"][1], keyfile)
    with running(snapshots.primary(now()), certfile=certfile, keyfile=keyfile) as api:
        port = api.port
        assert served_certificate(port) == pem(certificates["server"])
        shutil.copy(certificates["next"][0], certfile)
        assert api.get("/primary", client_context()).status == 200
        shutil.copy(certificates["next"][1], keyfile)
        wait_for(
            lambda: served_certificate(port) == pem(certificates["next"]), 10, "the certificate"
        )
        assert api.get("/primary", client_context()).status == 200
        assert api.port == port


def test_reload_reads_certificates(certificates: dict[str, Certificate], tmp_path: Path) -> None:
    """A reload takes other TLS files, and refuses broken ones without harm."""
    certfile, keyfile = certificates["server"]
    with running(snapshots.primary(now()), certfile=certfile, keyfile=keyfile) as api:
        broken = tmp_path / "broken.crt"
        broken.write_text("no certificate")
        with pytest.raises(TlsError, match=r"restapi\.certfile .*broken"):
            api.server.reload(changed(api.options, certfile=str(broken)))
        assert served_certificate(api.port) == pem(certificates["server"])
        new_cert, new_key = certificates["next"]
        api.server.reload(changed(api.options, certfile=new_cert, keyfile=new_key))
        wait_for(
            lambda: served_certificate(api.port) == pem(certificates["next"]), 10, "the new one"
        )


def test_key_with_password(tmp_path: Path) -> None:
    """A key with a password is opened by keyfile_password; a wrong one is refused, unnamed."""
    certfile, keyfile = make_certificate(tmp_path, "locked", "open-sesame")
    with running(
        snapshots.primary(now()),
        certfile=certfile,
        keyfile=keyfile,
        keyfile_password="open-sesame",
    ) as api:
        assert api.get("/primary", client_context()).status == 200
    for password in ("wrong-word", None):
        with (
            pytest.raises(TlsError) as refused,
            running(certfile=certfile, keyfile=keyfile, keyfile_password=password),
        ):
            pass
        assert "wrong-word" not in str(refused.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A missing certificate, or authority, is named."""
    missing = str(tmp_path / "missing.crt")
    with pytest.raises(TlsError, match=r"missing\.crt.*readable"), running(certfile=missing):
        pass
    certfile, keyfile = make_certificate(tmp_path, "server")
    with (
        pytest.raises(TlsError, match=r"restapi\.cafile .*missing"),
        running(certfile=certfile, keyfile=keyfile, cafile=missing),
    ):
        pass


def test_calls_to_members_keep_their_certificate(
    certificates: dict[str, Certificate], tmp_path: Path
) -> None:
    """Our certificate for calls is named when it cannot be read; the former one stays in use."""
    own = certificates["client"]
    ctl = CtlSettings(None, insecure=False, cacert=None, certfile=own[0], keyfile=own[1])
    rest = SimpleNamespace(authentication=None)
    settings: Any = SimpleNamespace(ctl=ctl, restapi=rest, dynamic=SimpleNamespace(ttl=30))
    certfile, keyfile = certificates["server"]
    required: dict[str, Any] = {"cafile": own[0], "verify_client": "required"}
    s = snapshots.primary(now())
    with running(s, certfile=certfile, keyfile=keyfile, **required) as api:
        member = Member("n1", api_url=f"https://127.0.0.1:{api.port}/patroni")
        peers = Peers(settings)
        assert [answer.reachable for answer in peers.ask([member], 5)] == [True]
        settings.ctl = replace(ctl, certfile=str(tmp_path / "missing.crt"))
        with pytest.raises(TlsError, match=r"ctl\.certfile .*missing\.crt"):
            peers.use(settings)
        assert [answer.reachable for answer in peers.ask([member], 5)] == [True]
        peers.close()


def test_https_headers(certificates: dict[str, Certificate]) -> None:
    """The extra headers of https are added on TLS only."""
    certfile, keyfile = certificates["server"]
    extra = {"Strict-Transport-Security": "max-age=1"}
    assert dict(options(https_extra_headers=extra).extra_headers).keys() == {b"server"}
    with running(
        snapshots.primary(now()),
        certfile=certfile,
        keyfile=keyfile,
        https_extra_headers=extra,
    ) as api:
        reply = api.get("/primary", client_context())
        assert reply.headers["strict-transport-security"] == "max-age=1"
