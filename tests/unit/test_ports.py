"""Whether an address can be listened on, and who has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from shell import ports


@pytest.fixture
def mine() -> Iterator[int]:
    """A port of 127.0.0.1 on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "*", "0.0.0.0"])
def test_a_taken_port_is_told_with_its_process(host: str, mine: int) -> None:
    """Whichever of our addresses overlaps with the other server's, it is named."""
    [text] = ports.taken([host], mine)
    assert f":{mine} is in use by process {os.getpid()} (" in text


def test_a_connection_does_not_take_a_port() -> None:
    """What is left of a server that has ended, its clients' connections, is not in the way."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
        server.close()
        assert ports.taken(["127.0.0.1"], port) == []


def test_other_troubles_are_no_taken_port() -> None:
    """An address that this host does not have is not somebody else's."""
    assert ports.taken(["192.0.2.1"], 5432) == []
    [text] = ports.unusable("192.0.2.1", 5432)
    assert "cannot listen on 192.0.2.1:5432" in text


def test_a_port_of_another_account_is_told_with_the_account(
    mine: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc hides the process, the account that the kernel's table names is told."""
    monkeypatch.setattr(ports, "_holds", lambda *_: False)
    [text] = ports.taken(["127.0.0.1"], mine)
    assert "is in use by a process of account " in text
