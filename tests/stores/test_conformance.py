"""What every store must do, run against each real one."""

from __future__ import annotations

import threading

import pytest

from shell.processes import now
from shell.stores.base import Store, StoreError, StoreUnavailable
from tests.stores.conftest import SHORT_TTL, Backend, Changes, soon
from tests.support.wait import wait_for

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


def value_of(store: Store, key: str) -> str | None:
    """Return a key's value as the server has it."""
    entry = store.read(soon()).entries.get(key)
    return entry.value if entry else None


def watching(store: Store) -> Changes:
    """Start a watch, and return its counter once it is connected."""
    changes = Changes()
    store.watch(changes)
    wait_for(lambda: changes.count, 5, "the watch is connected")
    return changes


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


def test_a_leader_key_is_taken_up_again_only_while_it_is_there(store: Store) -> None:
    """Without `create`, a key with our name is extended, and a missing one stays missing."""
    assert not store.renew_leader("n1", 30, soon(), create=False)
    assert value_of(store, "leader") is None
    assert store.acquire_leader("n1", 30, soon())
    assert store.renew_leader("n1", 30, soon(), create=False)
    assert not store.renew_leader("n2", 30, soon(), create=False)


def test_only_one_of_two_takes_the_leader_key(store: Store, other: Store) -> None:
    """The leader key is exclusive, and holds the plain member name."""
    assert store.acquire_leader("n1", 30, soon())
    assert not other.acquire_leader("n2", 30, soon())
    assert value_of(other, "leader") == "n1"


def test_of_many_racing_clients_exactly_one_wins(backend: Backend) -> None:
    """A race by threads with a client each has one winner, who is the key's value."""
    clients = [backend.open() for _ in range(6)]
    start = threading.Barrier(len(clients))
    won: list[str] = []

    def race(number: int) -> None:
        start.wait(10)
        if clients[number].acquire_leader(f"n{number}", 30, soon()):
            won.append(f"n{number}")

    threads = [threading.Thread(target=race, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [value_of(clients[0], "leader")] == won


def test_acquiring_what_is_ours_already_is_true(store: Store) -> None:
    """A repeated acquisition by the same client says that the key is ours."""
    assert store.acquire_leader("n1", 30, soon())
    assert store.acquire_leader("n1", 30, soon()) or store.renew_leader("n1", 30, soon())


def test_renewing_keeps_the_key_past_its_ttl(store: Store, other: Store) -> None:
    """As long as its owner renews it, nobody else gets the key."""
    assert store.acquire_leader("n1", SHORT_TTL, soon())
    end = now() + 3.5 * SHORT_TTL

    def renewed_until_the_end() -> bool:
        began = now()
        assert store.renew_leader("n1", SHORT_TTL, soon())
        taken = other.acquire_leader("n2", SHORT_TTL, soon())
        # Later than that, on a busy machine, it may be: it was not renewed in time.
        assert not taken or now() - began >= SHORT_TTL
        assert not taken or other.release_leader("n2", soon())
        return now() > end

    wait_for(renewed_until_the_end, 30, "three TTLs have passed", poll_seconds=0.1)


def test_the_key_is_free_after_its_ttl(store: Store, other: Store) -> None:
    """An owner that stops renewing loses the key; the watch tells, and another one takes it."""
    changes = watching(other)
    asked_at = now()
    assert store.acquire_leader("n1", SHORT_TTL, soon())
    wait_for(lambda: "leader" in other.view(soon()).entries, 5, "the key is seen")
    told = changes.count
    wait_for(lambda: "leader" not in other.view(soon()).entries, 10, "the key expires")
    assert now() - asked_at > SHORT_TTL - 0.1
    wait_for(lambda: changes.count > told, 10, "the watch told of it")
    assert other.acquire_leader("n2", 30, soon())
    assert not store.renew_leader("n1", SHORT_TTL, soon())


def test_renewing_a_missing_key_creates_it(store: Store, other: Store) -> None:
    """A leader key that somebody deleted comes back at the next renewal."""
    assert store.acquire_leader("n1", 30, soon())
    assert other.delete("leader", soon())
    assert store.renew_leader("n1", 30, soon())
    assert value_of(other, "leader") == "n1"


def test_renewing_is_refused_after_another_took_the_key(store: Store, other: Store) -> None:
    """Also when the owner's own watch is healthy, the new owner counts at once."""
    watching(store)
    assert store.acquire_leader("n1", 30, soon())
    assert other.delete("leader", soon())
    assert other.acquire_leader("n2", 30, soon())
    assert not store.renew_leader("n1", 30, soon())
    assert value_of(store, "leader") == "n2"


def test_a_restarted_daemon_takes_its_own_key_over(backend: Backend, store: Store) -> None:
    """A new process of the same name renews the key of the old one, and then keeps it alive."""
    assert store.acquire_leader("n1", SHORT_TTL, soon())
    restarted = backend.open()
    assert not restarted.acquire_leader("n1", SHORT_TTL, soon())
    assert restarted.renew_leader("n1", 30, soon())
    end = now() + 2.5 * SHORT_TTL
    wait_for(lambda: now() > end, 30, "the old process' lease has ended")
    assert value_of(restarted, "leader") == "n1"


def test_release_only_if_ours(store: Store, other: Store) -> None:
    """Releasing somebody else's key, or a missing one, is refused and changes nothing."""
    assert not store.release_leader("n1", soon())
    assert store.acquire_leader("n1", 30, soon())
    assert not other.release_leader("n2", soon())
    assert value_of(store, "leader") == "n1"
    assert store.release_leader("n1", soon())
    assert other.acquire_leader("n2", 30, soon())


def test_a_member_key_lives_as_long_as_it_is_published(store: Store, other: Store) -> None:
    """An unchanged value only extends the key; without that it goes away."""
    store.publish_member("n1", '{"state":"running"}', SHORT_TTL, soon())
    first = other.read(soon()).entries["members/n1"]
    end = now() + 2.5 * SHORT_TTL

    def published_until_the_end() -> bool:
        began = now()
        store.publish_member("n1", '{"state":"running"}', SHORT_TTL, soon())
        found = value_of(other, "members/n1")
        # Later than that, on a busy machine, it may be gone: it was not published in time.
        assert found == first.value or now() - began >= SHORT_TTL
        return now() > end

    wait_for(published_until_the_end, 30, "two TTLs have passed", poll_seconds=0.1)
    wait_for(lambda: value_of(other, "members/n1") is None, 10, "the key expires")
    store.publish_member("n1", '{"state":"running"}', 30, soon())
    assert value_of(other, "members/n1") == first.value


def test_a_changed_member_value_is_written(store: Store, other: Store) -> None:
    """The newest value is what others read, and a deleted key is written again."""
    store.publish_member("n1", "one", 30, soon())
    store.publish_member("n1", "two", 30, soon())
    assert value_of(other, "members/n1") == "two"
    store.delete_member("n1", soon())
    assert value_of(other, "members/n1") is None
    store.delete_member("n1", soon())
    store.publish_member("n1", "two", 30, soon())
    assert value_of(other, "members/n1") == "two"


def test_a_new_ttl_takes_effect(store: Store, other: Store) -> None:
    """After the TTL setting changed, both TTL keys live and die by the new one."""
    assert store.acquire_leader("n1", 60, soon())
    store.publish_member("n1", "x", 60, soon())
    assert store.renew_leader("n1", SHORT_TTL, soon())
    store.publish_member("n1", "x", SHORT_TTL, soon())
    assert set(other.read(soon()).entries) == {"leader", "members/n1"}
    wait_for(lambda: not other.read(soon()).entries, 10, "both keys expire by the new TTL")


def test_the_watch_sees_the_changes_of_another_client(store: Store, other: Store) -> None:
    """Every kind of change below the base wakes the watcher up, whose view then has it."""
    changes = watching(store)

    def told_of(change: str, expected: str | None) -> None:
        wait_for(
            lambda: getattr(store.view(soon()).entries.get("config"), "value", None) == expected,
            5,
            change,
        )
        wait_for(lambda: changes.count > told, 1, f"the watch told of {change}")

    told = changes.count
    other.put("config", "one", soon())
    told_of("a new key", "one")
    told = changes.count
    other.put("config", "two", soon())
    told_of("a new value", "two")
    told = changes.count
    other.delete("config", soon())
    told_of("a deletion", None)


def test_the_watch_is_silent_about_refreshes_and_other_clusters(
    backend: Backend, store: Store, other: Store
) -> None:
    """Renewals without a change, and clusters whose name starts the same, wake nobody up."""
    neighbour = backend.open(scope="demo2")
    assert other.acquire_leader("n1", 30, soon())
    other.publish_member("n1", "x", 30, soon())
    changes = watching(store)
    for _ in range(3):
        assert other.renew_leader("n1", 30, soon())
        other.publish_member("n1", "x", 30, soon())
        neighbour.put("config", "x", soon())
    other.put("marker", "1", soon())
    wait_for(lambda: changes.count > 1, 5, "the marker is told of")
    assert changes.count == 2
    assert neighbour.read(soon()).entries.keys() == {"config"}


def test_a_view_includes_what_this_client_itself_has_done(store: Store) -> None:
    """Right after a change, the view has it, however the watch lags."""
    watching(store)
    for number in range(50):
        store.put("status", str(number), soon())
        assert store.view(soon()).entries["status"].value == str(number)
    assert store.acquire_leader("n1", 30, soon())
    assert store.view(soon()).entries["leader"].value == "n1"
    assert store.release_leader("n1", soon())
    assert "leader" not in store.view(soon()).entries


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


def test_a_view_never_goes_back(backend: Backend, store: Store) -> None:
    """Nor while the watch begins, which reads first and hears later of what came between."""
    texts = [f"{n:04}" for n in range(300)]

    def write(some: list[str]) -> None:
        for text in some:
            store.put("config", text, soon())

    write(texts[:1])
    last = texts[0]
    for start in range(0, len(texts), 100):
        client, some = backend.open(), texts[start : start + 100]
        writer = threading.Thread(target=write, args=(some,))
        writer.start()
        client.watch(lambda: None)
        while last != some[-1]:
            seen = client.view(soon()).entries["config"].value
            assert seen >= last
            last = seen
        writer.join()


def test_close_ends_the_watch(store: Store, other: Store) -> None:
    """After close, no change is told any more."""
    changes = watching(store)
    store.close()
    told = changes.count
    again = watching(other)
    other.put("config", "x", soon())
    wait_for(lambda: again.count > 1, 5, "another watch has told of the change")
    assert changes.count == told
