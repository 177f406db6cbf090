"""TLS to the members: who is trusted, and the tool's own certificate."""

import ssl
import subprocess
from pathlib import Path

import pytest

from tests.ctl.support import World

REQUEST = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
PASSWORD = "between us"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Self-signed certificates of a server and of a client whose key has a password."""
    path = tmp_path_factory.mktemp("certificates")
    for name, secrecy in (("server", ["-nodes"]), ("client", ["-passout", f"pass:{PASSWORD}"])):
        files = ["-keyout", f"{path}/{name}.key", "-out", f"{path}/{name}.crt"]
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = [*REQUEST.split(), *subject, *files, *secrecy]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    return path


def member(world: World, folder: Path, *, verify_client: bool = False) -> None:
    """A member that speaks TLS and accepts a reload."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if verify_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "client.crt")
    world.put("initialize", "1")
    world.add("n1", 1, tls=context).answers["POST reload"] = (202, "reload scheduled")


def test_an_unknown_certificate_is_refused(world: World, folder: Path) -> None:
    """Without a certificate authority nothing is sent to the member."""
    member(world, folder)
    result = world.ctl("reload", "demo", "--force")
    assert result.exit_code == 1
    assert "Failed: reload for member n1, no answer: TLS: " in result.output
    assert world.members["n1"].asked == []


@pytest.mark.parametrize("section", [{"ctl": "cacert"}, {"restapi": "cafile"}])
def test_a_known_certificate_is_accepted(
    world: World, folder: Path, section: dict[str, str]
) -> None:
    """ctl.cacert is trusted, else restapi.cafile."""
    member(world, folder)
    for name, option in section.items():
        world.config[name] = {option: str(folder / "server.crt")}
    assert world.ctl("reload", "demo", "--force").exit_code == 0


def test_insecure_trusts_everybody(world: World, folder: Path) -> None:
    """-k and ctl.insecure switch the verification off."""
    member(world, folder)
    world.config["ctl"] = {"insecure": True}
    assert world.ctl("reload", "demo", "--force").exit_code == 0


def test_the_tools_own_certificate(world: World, folder: Path) -> None:
    """A member that wants a client certificate gets it, its key opened with the password."""
    member(world, folder, verify_client=True)
    trusted = {"cacert": str(folder / "server.crt")}
    world.config["ctl"] = trusted
    assert world.ctl("reload", "demo", "--force").exit_code == 1
    world.config["ctl"] = trusted | {
        "certfile": str(folder / "client.crt"),
        "keyfile": str(folder / "client.key"),
        "keyfile_password": PASSWORD,
    }
    result = world.ctl("reload", "demo", "--force")
    assert result.exit_code == 0, result.output


def test_missing_certificate_files_are_named(world: World, folder: Path) -> None:
    """A file that cannot be read ends with its name, not with a traceback."""
    member(world, folder)
    world.config["ctl"] = {"cacert": "/nonexistent/ca.crt"}
    result = world.ctl("reload", "demo", "--force")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "ctl.cacert" in result.output
