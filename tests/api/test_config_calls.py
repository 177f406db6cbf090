"""/config, /cluster and /history, the configuration against a real embedded store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shell.processes import now
from shell.stores.embedded import EmbeddedStore
from tests.api.support import Api, demo_store, running
from tests.support import snapshots

CONFIG = {"ttl": 30, "loop_wait": 10, "postgresql": {"parameters": {"work_mem": "4MB"}}}


def soon() -> float:
    """A deadline for the test's own store calls."""
    return now() + 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """An embedded store of its own."""
    store = EmbeddedStore(str(tmp_path / "store.db"), namespace="service", scope="demo")
    yield store
    store.close()


@pytest.fixture
def api(store: EmbeddedStore) -> Iterator[Api]:
    """A listener on that store, which holds a configuration."""
    store.put("config", json.dumps(CONFIG), soon())
    with running(snapshots.primary(now()), store) as api:
        yield api


def stored(store: EmbeddedStore) -> Any:
    """The configuration as it is in the store."""
    return json.loads(store.read(soon()).entries["config"].value)


def test_config_is_shown(api: Api) -> None:
    """GET /config gives the stored configuration."""
    reply = api.get("/config")
    assert (reply.status, reply.json()) == (200, CONFIG)


def test_patch_merges(api: Api, store: EmbeddedStore) -> None:
    """PATCH merges objects, deletes with null, and answers the whole result."""
    patch = {"postgresql": {"parameters": {"max_connections": 200}}, "ttl": 60, "loop_wait": None}
    reply = api.call("PATCH", "/config", patch)
    expected = {
        "ttl": 60,
        "postgresql": {"parameters": {"work_mem": "4MB", "max_connections": 200}},
    }
    assert (reply.status, reply.json()) == (200, expected)
    assert stored(store) == expected
    assert api.pokes == ["the configuration was changed here"]


def test_patch_without_a_change(api: Api, store: EmbeddedStore) -> None:
    """A PATCH that changes nothing answers 200 and writes nothing."""
    before = store.read(soon()).entries["config"]
    assert api.call("PATCH", "/config", {"ttl": 30}).status == 200
    assert store.read(soon()).entries["config"] == before


def test_patch_without_config(store: EmbeddedStore) -> None:
    """Without a config key PATCH answers 503 and GET 502."""
    with running(snapshots.primary(now()), store) as api:
        assert api.call("PATCH", "/config", {"ttl": 30}).status == 503
        assert api.get("/config").status == 502


@pytest.mark.parametrize("garbage", ["", "no json", "[1]", "null"])
def test_garbage_under_config(store: EmbeddedStore, garbage: str) -> None:
    """A config key that holds no object is not built upon."""
    store.put("config", garbage, soon())
    with running(snapshots.primary(now()), store) as api:
        assert api.get("/config").status == 502
        assert api.call("PATCH", "/config", {"ttl": 30}).status == 503
        assert api.get("/cluster").status == 200


def test_put_replaces(api: Api, store: EmbeddedStore) -> None:
    """PUT replaces everything and answers the request."""
    reply = api.call("PUT", "/config", {"ttl": 40})
    assert (reply.status, reply.json()) == (200, {"ttl": 40})
    assert stored(store) == {"ttl": 40}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_adjusted_values_are_named(api: Api, store: EmbeddedStore, method: str) -> None:
    """What will be clamped is accepted as written, and the answer says what was adjusted."""
    reply = api.call(method, "/config", {"ttl": 5})
    assert reply.status == 200
    assert "ttl: 5 is too small, raised to 20" in reply.headers["x-hae-adjusted"]
    assert stored(store)["ttl"] == 5


def test_nothing_adjusted(api: Api) -> None:
    """Without an adjustment the header is absent."""
    assert "x-hae-adjusted" not in api.call("PATCH", "/config", {"ttl": 45}).headers


@pytest.mark.parametrize(
    "patch",
    [{"ttl": "soon"}, {"synchronous_mode": "maybe"}, {"postgresql": {"use_slots": "perhaps"}}],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_would_be_ignored_is_refused(
    api: Api, store: EmbeddedStore, method: str, patch: dict[str, Any]
) -> None:
    """A value that could only be ignored is refused with its path, and nothing is written."""
    reply = api.call(method, "/config", patch)
    assert reply.status == 422
    assert next(iter(patch)) in reply.text
    assert stored(store) == CONFIG


def test_old_slips_do_not_block(api: Api, store: EmbeddedStore) -> None:
    """A wrong value that is already there does not stand in the way of another change."""
    store.put("config", '{"ttl":"soon","loop_wait":10}', soon())
    assert api.call("PATCH", "/config", {"pause": True}).status == 200
    assert stored(store)["pause"] is True


def test_concurrent_change() -> None:
    """A change by somebody else between reading and writing gives 409 and is kept."""
    store = demo_store()
    store.before_replace = lambda: store.put("config", '{"ttl":33}', 0)
    with running(snapshots.primary(now()), store) as api:
        assert api.call("PATCH", "/config", {"ttl": 60}).status == 409
        assert api.get("/config").json() == {"ttl": 33}


def test_store_down() -> None:
    """Without the store reads and PATCH answer 503 and PUT 502, with the store's reason."""
    store = demo_store()
    store.down = True
    with running(snapshots.primary(now()), store) as api:
        for method, path, body, status in (
            ("GET", "/config", None, 503),
            ("GET", "/cluster", None, 503),
            ("GET", "/history", None, 503),
            ("PATCH", "/config", {"ttl": 30}, 503),
            ("PUT", "/config", {"ttl": 30}, 502),
            ("POST", "/switchover", {"leader": "n1"}, 503),
            ("DELETE", "/switchover", None, 503),
        ):
            reply = api.call(method, path, body)
            assert reply.status == status, path
            assert "the store is down" in reply.text


def test_history() -> None:
    """GET /history gives the stored rows, and [] without a readable key."""
    store = demo_store()
    with running(snapshots.primary(now()), store) as api:
        rows = [[1, 50331808, "no recovery target specified", "2026-08-01T10:00:00+00:00"]]
        assert api.get("/history").json() == rows
        store.put("history", "garbage", 0)
        assert api.get("/history").json() == []


def test_cluster() -> None:
    """GET /cluster lists the members by name, with positions and lags of those that follow."""
    with running(snapshots.primary(now())) as api:
        document = api.get("/cluster").json()
    assert document["scope"] == "demo"
    assert "pause" not in document
    leader, replica, tagged = document["members"]
    assert leader == {
        "name": "n1",
        "role": "leader",
        "state": "running",
        "api_url": "http://10.0.0.1:8008/patroni",
        "host": "10.0.0.1",
        "port": 5432,
        "timeline": 3,
    }
    assert replica == {
        "name": "n2",
        "role": "replica",
        "state": "streaming",
        "api_url": "http://10.0.0.2:8008/patroni",
        "host": "10.0.0.2",
        "port": 5432,
        "timeline": 3,
        "receive_lsn": "0/5000000",
        "receive_lag": 0,
        "replay_lsn": "0/4FFFC00",
        "replay_lag": 1024,
        "lsn": "0/5000000",
        "lag": 0,
    }
    assert tagged["tags"] == {"noloadbalance": True}


def test_cluster_in_pause_with_a_plan() -> None:
    """Pause, a scheduled switchover, synchronous roles and unknown positions are shown."""
    store = demo_store()
    store.put("config", '{"pause":true}', 0)
    store.put("sync", '{"leader":"n1","quorum":0,"sync_standby":"n2"}', 0)
    store.put(
        "failover", '{"leader":"n1","member":"n2","scheduled_at":"2030-01-01T02:00:00+02:00"}', 0
    )
    store.put("members/n3", '{"conn_url":"postgres://10.0.0.3:5432/x","state":"stopped"}', 0)
    with running(snapshots.primary(now()), store) as api:
        document = api.get("/cluster").json()
    assert document["pause"] is True
    assert document["scheduled_switchover"] == {
        "at": "2030-01-01T00:00:00+00:00",
        "from": "n1",
        "to": "n2",
    }
    assert [member["role"] for member in document["members"]] == [
        "leader",
        "sync_standby",
        "replica",
    ]
    assert document["members"][2]["lag"] == "unknown"
