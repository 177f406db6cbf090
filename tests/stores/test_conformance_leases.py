"""What every store must do about keys with a TTL: the leader key and member keys."""

from __future__ import annotations

import threading

from shell.processes import now
from shell.stores.base import Store
from tests.stores.conftest import SHORT_TTL, Backend, soon, value_of, watching
from tests.support.wait import wait_for


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
