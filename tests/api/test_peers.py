"""What a member reads from another one's answer, over a real listener."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from engine.asking import has_not_looked
from engine.state import (
    DataDirectory,
    DirectoryKind,
    Known,
    Member,
    PeerAnswer,
    Postgres,
    Unknown,
)
from shell.api import node_calls
from shell.config.settings import CtlSettings
from shell.peers import Peers
from shell.processes import now
from tests.api.support import running
from tests.support import snapshots

CTL = CtlSettings(None, insecure=False, cacert=None, certfile=None, keyfile=None)
SETTINGS: Any = SimpleNamespace(
    ctl=CTL, restapi=SimpleNamespace(authentication=None), dynamic=SimpleNamespace(ttl=30)
)


def asked(port: int) -> PeerAnswer:
    """What the member at that port tells."""
    peers = Peers(SETTINGS)
    try:
        return peers.ask([Member("n3", api_url=f"http://127.0.0.1:{port}/patroni")], 5)[0]
    finally:
        peers.close()


def test_a_position_is_as_old_as_the_look_that_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member whose loop hangs answers; its position is from before it was asked."""
    monkeypatch.setattr(node_calls, "FRESH_WAIT_SECONDS", 0.1)
    moment = now()
    s = snapshots.with_server(
        snapshots.replica(moment), Known(snapshots.standby_server(), moment - 20)
    )
    with running(s) as api:
        answer = asked(api.port)
    assert answer.lsn == snapshots.LSN
    assert not answer.stale
    assert answer.looked_at is not None
    assert answer.looked_at <= moment - 20


def test_a_look_after_the_question_is_as_good_as_at_the_question() -> None:
    """However long the answer took."""
    with running(snapshots.replica(now() - 5)) as api:

        def look(_why: str) -> None:
            api.publish(snapshots.replica(now()))

        api.desk.on_wake = look
        answer = asked(api.port)
    assert answer.looked_at == answer.asked_at


@pytest.mark.parametrize("pause", [False, True])
def test_a_member_tells_that_it_is_in_maintenance_mode(pause: bool) -> None:
    """Nothing guards a primary there, however long its loop hangs."""
    s = snapshots.replica(now())
    with running(replace(s, policy=replace(s.policy, pause=pause))) as api:
        assert asked(api.port).paused is pause


def test_the_primary_of_an_older_patroni_is_one() -> None:
    """It calls itself master."""
    peers = Peers(SETTINGS)
    try:
        assert peers._read("n3", now(), {"role": "master"}).role == "primary"
        assert peers._read("n3", now(), {"role": "replica"}).role == "replica"
    finally:
        peers.close()


def test_a_name_that_resolves_slowly_makes_no_answer_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the resolver is unreachable meanwhile, and is not asked by one thread more."""
    let_go, resolve, resolved = threading.Event(), socket.getaddrinfo, []

    def slow(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "n1.example":
            return resolve(host, *arguments, **named)
        resolved.append(host)
        let_go.wait(60)
        raise socket.gaierror("no answer")

    monkeypatch.setattr("socket.getaddrinfo", slow)
    monkeypatch.setattr(node_calls, "FRESH_WAIT_SECONDS", 0.1)
    silent = Member("n1", api_url="http://n1.example:8008/patroni")
    peers = Peers(SETTINGS)
    try:
        with running(snapshots.replica(now())) as api:
            there = Member("n3", api_url=f"http://127.0.0.1:{api.port}/patroni")
            for _ in range(2):
                answers = {answer.name: answer for answer in peers.ask([silent, there], 3.0)}
                assert now() - answers["n3"].asked_at < 20
                assert answers["n3"].reachable
                assert not answers["n1"].reachable
    finally:
        let_go.set()
        peers.close()
    assert resolved == ["n1.example"]


def test_a_daemon_says_that_it_has_not_looked_at_its_server_yet() -> None:
    """Before its first cycle, and after one that has not waited for a slow look."""
    nothing = DataDirectory(DirectoryKind.ALIEN, "not looked at yet")
    unseen = Postgres(nothing, None, Unknown(now(), "not yet"), outdated=True)
    with running(None) as api:
        assert has_not_looked(asked(api.port))
    with running(snapshots.replica(now(), postgres=unseen)) as api:
        assert has_not_looked(asked(api.port))
