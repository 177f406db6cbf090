"""What our keys live through when the leader of three etcd servers is lost or frozen."""

from __future__ import annotations

import contextlib
import json
import logging
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shell.processes import now
from shell.stores import etcd3
from shell.stores.base import Store, StoreUnavailable
from shell.stores.factory import open_store
from tests.stores.conftest import ETCD, soon
from tests.support.etcd import EtcdServer
from tests.support.etcd_trio import EtcdTrio
from tests.support.wait import wait_for
from tools.servers import EtcdInstall

TTL_SECONDS = 3
KEYS = ("leader", "members/n1")


@pytest.fixture(params=list(ETCD))
def trio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdTrio]:
    """Three servers of each version."""
    made = EtcdTrio(tmp_path, EtcdInstall(request.param, ETCD[request.param]))
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def store(trio: EtcdTrio) -> Iterator[Store]:
    """A client that watches, leads and has published its member key."""
    hosts = [member.host for member in trio.members]
    opened = open_store({"etcd3": {"hosts": hosts}}, namespace="service", scope="demo")
    opened.watch(lambda: None)
    assert opened.acquire_leader("n1", TTL_SECONDS, soon())
    opened.publish_member("n1", "x", TTL_SECONDS, soon())
    yield opened
    opened.close()


def keys(server: EtcdServer) -> dict[str, dict[str, Any]]:
    """Return both keys as they are in the store, past our adapter; missing ones are left out."""
    found = {}
    for key in KEYS:
        body = {"key": b64encode(f"/service/demo/{key}".encode()).decode()}
        request = urllib.request.Request(f"{server.url}/v3/kv/range", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            for item in json.load(answer).get("kvs", []):
                found[key] = item
    return found


def created(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return when each of them was created, which is another moment if it ever was gone."""
    return {key: item["create_revision"] for key, item in found.items()}


def renewed_alone(store: Store) -> bool:
    """Renew the leader key; whether the store confirmed it."""
    with contextlib.suppress(StoreUnavailable):
        return store.renew_leader("n1", TTL_SECONDS, soon(1.5))
    return False


def renewed(store: Store) -> bool:
    """Do what a primary does in each loop; whether the store confirmed it."""
    with contextlib.suppress(StoreUnavailable):
        if renewed_alone(store):
            store.publish_member("n1", "x", TTL_SECONDS, soon(1.5))
            return True
    return False


def test_a_version_that_may_end_leases_early_is_warned_of_once(
    trio: EtcdTrio, caplog: pytest.LogCaptureFixture
) -> None:
    """Both versions that are packaged are such; the warning names the one that is mended."""
    caplog.set_level(logging.WARNING)
    hosts = [trio.members[0].host]
    opened = open_store({"etcd3": {"hosts": hosts}}, namespace="service", scope="demo")
    try:
        opened.read(soon())
        opened.read(soon())
    finally:
        opened.close()
    (told,) = [r.getMessage() for r in caplog.records if "end leases too early" in r.getMessage()]
    assert trio.members[0].url in told
    assert "upgrade etcd to 3." in told


def test_a_leader_of_etcd_that_wakes_up_revokes_nothing_of_ours(
    trio: EtcdTrio, store: Store
) -> None:
    """Frozen for longer than ttl it believes our lease to be expired; our keys are on another."""
    frozen = trio.leader()
    other = next(member for member in trio.members if member is not frozen)
    before = keys(other)
    assert before.keys() == set(KEYS)
    frozen.pause()
    wait_for(lambda: renewed(store), 10, "a renewal by the next leader of etcd")
    on_another = keys(other)
    assert created(on_another) == created(before)
    assert all(on_another[key]["lease"] != before[key]["lease"] for key in KEYS)
    ends = now() + TTL_SECONDS + 1
    wait_for(lambda: renewed(store) and now() > ends, 30, "the first lease to pass")
    frozen.resume()
    gone = before["leader"]["lease"]
    wait_for(lambda: renewed(store) and gone not in leases(frozen), 30, "the first lease to end")
    assert created(keys(frozen)) == created(before)


def test_keys_outlive_a_killed_leader_of_etcd(trio: EtcdTrio, store: Store) -> None:
    """They stay where they are, on another lease."""
    killed = trio.leader()
    other = next(member for member in trio.members if member is not killed)
    before = keys(other)
    killed.kill()
    wait_for(lambda: renewed(store), 10, "a renewal by the next leader of etcd")
    after = keys(other)
    assert created(after) == created(before)
    assert all(after[key]["lease"] != before[key]["lease"] for key in KEYS)


def test_one_of_three_has_to_prove_that_it_leads(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no transaction was answered lately, a renewal asks for one beside its keep-alive."""
    store.view(soon())

    def requests() -> int:
        before = store.requests_sent
        return store.requests_sent - before if renewed_alone(store) else 0

    # An election in etcd, or a watch that is behind, makes one renewal dearer, but not the next.
    monkeypatch.setattr(etcd3, "PROOF_SHARE", float("inf"))
    wait_for(lambda: requests() == 1, 20, "a renewal that is its keep-alive alone")
    monkeypatch.setattr(etcd3, "PROOF_SHARE", 0.0)
    wait_for(lambda: requests() == 2, 20, "a renewal that is proven by a transaction")


def leases(server: EtcdServer) -> set[str]:
    """Return the leases that a server knows."""
    request = urllib.request.Request(f"{server.url}/v3/lease/leases", b"{}")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return {item["ID"] for item in json.load(answer).get("leases", [])}
