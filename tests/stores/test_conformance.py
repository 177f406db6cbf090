"""What every store must do, run against each real one: keys that stay, views, clusters apart."""

from __future__ import annotations

import threading

import pytest

from shell.processes import now
from shell.stores.base import Store, StoreError, StoreUnavailable
from tests.stores.conftest import Backend, soon, value_of, watching

AWKWARD = [
    "",
    "{",
    "null",
    "a\nb\tc",
    "ключ \U0001f600",
    "x" * 100_000,
    '{"a":"\\u0000"}',
    "%41+b&c=d",
]


def test_an_empty_cluster_has_an_empty_view(store: Store) -> None:
    """A scope that nobody has written has no entries and a fresh time stamp."""
    before = now()
    view = store.view(soon())
    assert view.entries == {}
    assert before <= view.seen_at <= now()


def test_put_is_seen_by_everybody_under_the_relative_name(store: Store, other: Store) -> None:
    """A permanent key is found under its name below the base path."""
    store.put("config", '{"ttl":30}', soon())
    store.put("optime/leader", "123", soon())
    assert {key: entry.value for key, entry in other.read(soon()).entries.items()} == {
        "config": '{"ttl":30}',
        "optime/leader": "123",
    }


def test_create_succeeds_once(store: Store, other: Store) -> None:
    """Only the first of two clients creates a key, and its value stays."""
    assert store.create("initialize", "", soon())
    assert not other.create("initialize", "7401", soon())
    assert value_of(other, "initialize") == ""


def test_create_compares_another_key_when_given(store: Store, other: Store) -> None:
    """Nothing is created by a claim that is gone, or was made anew since."""
    store.put("hae/founder", "n1", soon())
    claim = "hae/founder", store.read(soon()).entries["hae/founder"].revision
    other.put("hae/founder", "n1", soon())
    assert not store.create("initialize", "", soon(), given=claim)
    stands = "hae/founder", store.read(soon()).entries["hae/founder"].revision
    other.delete("hae/founder", soon())
    assert not store.create("initialize", "", soon(), given=stands)
    assert value_of(store, "initialize") is None
    store.put("hae/founder", "n1", soon())
    anew = "hae/founder", store.read(soon()).entries["hae/founder"].revision
    assert store.create("initialize", "", soon(), given=anew)
    assert not store.create("initialize", "7401", soon(), given=anew)


def test_create_compares_the_lock_when_given(store: Store, other: Store) -> None:
    """A primary that has lost the lock since it looked writes nothing by it."""
    assert store.acquire_leader("n1", 30, soon())
    lost = "leader", store.read(soon()).entries["leader"].revision
    store.release_leader("n1", soon())
    assert not store.create("initialize", "7401", soon(), given=lost)
    assert other.acquire_leader("n2", 30, soon())
    assert not store.create("initialize", "7401", soon(), given=lost)
    other.release_leader("n2", soon())
    assert store.acquire_leader("n1", 30, soon())
    assert not store.create("initialize", "7401", soon(), given=lost)
    held = "leader", store.read(soon()).entries["leader"].revision
    assert store.create("initialize", "7401", soon(), given=held)
    assert value_of(other, "initialize") == "7401"


def test_delete_spares_a_key_beside_another(store: Store) -> None:
    """A claim is not dropped any more once what it was made for is there."""
    store.put("hae/founder", "n1", soon())
    revision = store.read(soon()).entries["hae/founder"].revision
    store.put("initialize", "", soon())
    assert not store.delete("hae/founder", soon(), revision, unless="initialize")
    assert not store.delete("hae/founder", soon(), unless="initialize")
    assert value_of(store, "hae/founder") == "n1"
    store.delete("initialize", soon())
    assert not store.delete("hae/founder", soon(), revision + 1000, unless="initialize")
    assert store.delete("hae/founder", soon(), revision, unless="initialize")
    assert value_of(store, "hae/founder") is None


def test_replace_compares_the_revision(store: Store, other: Store) -> None:
    """A change based on an older revision is refused, and on a missing key as well."""
    store.put("sync", "one", soon())
    revision = store.read(soon()).entries["sync"].revision
    assert store.replace("sync", "two", revision, soon())
    assert not other.replace("sync", "three", revision, soon())
    assert value_of(store, "sync") == "two"
    assert not store.replace("missing", "x", revision, soon())
    assert value_of(store, "missing") is None


def test_delete_compares_the_revision_when_given(store: Store) -> None:
    """A deletion based on an older revision is refused; without a revision it is not."""
    store.put("failover", "{}", soon())
    old = store.read(soon()).entries["failover"].revision
    store.put("failover", '{"member":"n2"}', soon())
    assert not store.delete("failover", soon(), revision=old)
    new = store.read(soon()).entries["failover"].revision
    assert store.delete("failover", soon(), revision=new)
    assert value_of(store, "failover") is None
    store.put("failover", "{}", soon())
    assert store.delete("failover", soon())
    assert not store.delete("failover", soon())


def test_revisions_grow_with_each_change(store: Store) -> None:
    """Two writes of the same value have different revisions."""
    store.put("status", "same", soon())
    first = store.read(soon()).entries["status"].revision
    store.put("status", "same", soon())
    assert store.read(soon()).entries["status"].revision > first


@pytest.mark.parametrize("value", AWKWARD, ids=[f"value{number}" for number in range(len(AWKWARD))])
def test_values_come_back_as_they_were(store: Store, value: str) -> None:
    """Whatever somebody wrote is handed on unchanged, not interpreted."""
    store.put("history", value, soon())
    assert value_of(store, "history") == value


def test_names_with_special_characters(store: Store, other: Store) -> None:
    """Member names may hold dots, spaces, percent signs and letters of any language."""
    for name in ("a.b-c", "a b", "50%", "größe", "a?b#c"):
        store.publish_member(name, name, 30, soon())
        assert value_of(other, f"members/{name}") == name
        store.delete_member(name, soon())
    assert other.read(soon()).entries == {}


def test_delete_all_removes_this_cluster_only(backend: Backend, store: Store) -> None:
    """After the removal nothing is left of this scope, and everything of the others."""
    neighbour = backend.open(scope="demo2")
    neighbour.put("config", "x", soon())
    store.put("config", "x", soon())
    store.publish_member("n1", "x", 30, soon())
    store.delete_all(soon())
    store.delete_all(soon())
    assert store.read(soon()).entries == {}
    assert neighbour.read(soon()).entries.keys() == {"config"}


def test_scopes_are_listed(backend: Backend, store: Store) -> None:
    """The names of all clusters in the namespace come sorted; none in an empty one."""
    assert store.scopes(soon()) == []
    for scope in ("zeta", "alpha"):
        backend.open(scope=scope).put("config", "x", soon())
    store.put("config", "x", soon())
    assert store.scopes(soon()) == ["alpha", "demo", "zeta"]


def test_one_client_may_be_used_by_many_threads(store: Store, other: Store) -> None:
    """Calls from several threads at once all do their work."""
    watching(store)
    errors: list[StoreError] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                store.put(f"hae/{number}", str(step), soon())
                store.publish_member(f"n{number}", str(step), 30, soon())
                store.view(soon())
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    entries = other.read(soon()).entries
    assert {entries[f"hae/{number}"].value for number in range(4)} == {"9"}
    assert {entries[f"members/n{number}"].value for number in range(4)} == {"9"}


def test_a_deadline_in_the_past_is_an_error_not_a_hang(backend: Backend) -> None:
    """Without time, an operation fails at once."""
    store = backend.open()
    before = now()
    with pytest.raises(StoreUnavailable):
        store.put("config", "x", before - 1)
    assert now() - before < 2


def test_requests_are_counted(store: Store) -> None:
    """The counter grows with each operation and never falls."""
    before = store.requests_sent
    store.put("config", "x", soon())
    between = store.requests_sent
    store.read(soon())
    assert before < between < store.requests_sent
