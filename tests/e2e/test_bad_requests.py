"""What is asked of a running node and makes no sense: an answer that says so, and no harm."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell.processes import now
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import ctl, hae
from tests.e2e.support.node import Node
from tests.e2e.support.stories import healthy, loops_pass
from tests.support.ports import free_port

ABSENT = "no-such-cluster"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node for all that follows."""
    with healthy(tmp_path_factory.mktemp("asked"), nodes=1) as made:
        yield made


def post(node: Node, path: str, length: int, body: bytes) -> bytes:
    """Send a request whose body may be shorter than it says; return the first line answered."""
    with socket.create_connection(("127.0.0.1", node.place.api_port), 20) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return connection.makefile("rb").readline()


@pytest.mark.parametrize("path", ["/restart", "/switchover", "/failover", "/reinitialize"])
def test_bodies_that_are_none_are_refused_and_change_nothing(cluster: Cluster, path: str) -> None:
    """No JSON, no object, too large, half-sent: 400 or 413, and the node goes on."""
    node = cluster.nodes[0]
    before = node.postmaster_pid()
    assert b" 400 " in post(node, path, 8, b"not json")
    assert b" 400 " in post(node, path, 6, b'["n1"]')
    assert b" 413 " in post(node, path, 2_000_000, b"x" * 2_000_000)
    half = socket.create_connection(("127.0.0.1", node.place.api_port), 20)
    half.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode())
    loops_pass(cluster, 3)
    answer = node.get("/primary")
    assert answer is not None
    assert answer.status == 200
    half.close()
    assert node.postmaster_pid() == before
    assert "Traceback" not in node.log_text()


@pytest.mark.parametrize(
    "words",
    [
        ["switchover", ABSENT, "--force"],
        ["failover", ABSENT, "--candidate", "n1", "--force"],
        ["restart", ABSENT, "--force"],
        ["reinit", ABSENT, "n1", "--force"],
        ["pause", ABSENT],
        ["edit-config", ABSENT, "-s", "ttl=20", "--force"],
        ["show-config", ABSENT],
        ["remove", ABSENT],
    ],
    ids=lambda words: words[0],
)
def test_commands_about_a_cluster_that_does_not_exist(cluster: Cluster, words: list[str]) -> None:
    """They say so, exit with 1, and write nothing into the store."""
    ran = ctl(cluster.nodes[0], *words)
    assert ran.code == 1, ran.text
    assert ran.text.strip()
    assert "Traceback" not in ran.text
    with cluster.keys() as keys:
        assert ABSENT not in keys.scopes(now() + 10)


def test_commands_without_a_store(cluster: Cluster, tmp_path: Path) -> None:
    """A store that is not there: the address and exit code 1, within seconds."""
    host = f"127.0.0.1:{free_port()}"
    file = tmp_path / "hae.yaml"
    file.write_text(f"scope: batman\netcd3: {{host: '{host}'}}\n")
    for command in ("list", "show-config", "pause"):
        ran = hae("ctl", "-c", file, command, timeout_seconds=60)
        assert ran.code == 1, ran.text
        assert host in ran.text
        assert "Traceback" not in ran.text
