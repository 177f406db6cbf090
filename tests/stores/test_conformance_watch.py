"""What every store must tell of changes, and what a view shows after them."""

from __future__ import annotations

import threading

from shell.stores.base import Store
from tests.stores.conftest import Backend, soon, watching
from tests.support.wait import wait_for


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
