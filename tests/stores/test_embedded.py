"""What is particular to the embedded store: the file, its rights, reboots and damage."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from shell.processes import now
from shell.stores.base import Store, StoreError, StoreMisconfigured, StoreUnavailable
from shell.stores.embedded import EmbeddedStore
from tests.stores.conftest import Changes, soon
from tests.support.wait import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file's place, in a folder that does not exist yet."""
    return tmp_path / "folder" / "store.db"


@pytest.fixture
def open_client(path: Path) -> Iterator[Callable[[], Store]]:
    """Open clients, closed after the test."""
    opened: list[Store] = []

    def opening() -> Store:
        opened.append(EmbeddedStore(str(path), namespace="service", scope="demo"))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


def test_the_file_is_ours_alone(path: Path, open_client: Callable[[], Store]) -> None:
    """A missing folder is made for its owner only, and so is the file."""
    open_client().put("config", "x", soon())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_file_is_named(path: Path, open_client: Callable[[], Store]) -> None:
    """A file that is no database is left alone, and the error says which and what to do."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database, " * 300)
    with pytest.raises(StoreError, match="move the file away") as caught:
        open_client().read(soon())
    assert str(path) in str(caught.value)
    assert path.read_bytes().startswith(b"this is no database")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way of the folder is a wrong configuration."""
    (tmp_path / "folder").write_text("in the way")
    store = EmbeddedStore(str(tmp_path / "folder" / "store.db"), namespace="s", scope="demo")
    with pytest.raises(StoreMisconfigured, match=r"correct embedded\.path"):
        store.read(soon())


def test_a_reboot_ends_all_ttl_keys(path: Path, open_client: Callable[[], Store]) -> None:
    """Keys with a TTL from another boot are gone, permanent ones are not."""
    store = open_client()
    store.put("config", "x", soon())
    assert store.acquire_leader("n1", 1000, soon())
    store.publish_member("n1", "x", 1000, soon())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE keys SET boot_id = 'another' WHERE boot_id IS NOT NULL")
    connection.close()
    assert set(store.read(soon()).entries) == {"config"}
    assert open_client().acquire_leader("n2", 30, soon())


def test_a_locked_file_is_unavailable_in_time(path: Path, open_client: Callable[[], Store]) -> None:
    """Reads go on beside a stuck writer; a write gives up at its deadline."""
    store = open_client()
    store.put("config", "x", soon())
    stuck = sqlite3.connect(path, isolation_level=None)
    stuck.execute("BEGIN IMMEDIATE")
    before = now()
    with pytest.raises(StoreUnavailable, match="locked"):
        store.put("config", "y", soon(0.3))
    assert now() - before < 2
    assert store.read(soon()).entries["config"].value == "x"
    stuck.execute("ROLLBACK")
    stuck.close()
    store.put("config", "y", soon())


def test_a_replaced_file_is_noticed(path: Path, open_client: Callable[[], Store]) -> None:
    """Nobody keeps on working in a file that was removed while others start a new one."""
    store, changes = open_client(), Changes()
    store.put("config", "x", soon())
    store.watch(changes)
    wait_for(lambda: changes.count, 5, "the watch is connected")
    told = changes.count
    for file in list(path.parent.iterdir()):
        file.unlink(missing_ok=True)  # SQLite may remove its own log meanwhile
    other = open_client()
    assert other.acquire_leader("n2", 30, soon())
    assert not store.acquire_leader("n1", 30, soon())
    wait_for(lambda: changes.count > told, 5, "the watch told of it")


def test_a_new_file_is_waited_for_while_another_opens_it(
    path: Path, open_client: Callable[[], Store]
) -> None:
    """SQLite gives up at once where another one switches a new file to its log; we do not."""
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked too long"):
            open_client().read(now() + 0.2)
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(open_client().read, soon())
            time.sleep(0.1)
            assert not reading.done()
            other.execute("ROLLBACK")
            reading.result()


def test_an_expiry_is_told_at_once(open_client: Callable[[], Store]) -> None:
    """The timer wakes the watcher up when a key ends, without anybody writing."""
    store, changes = open_client(), Changes()
    assert store.acquire_leader("n1", 1, soon())
    ends_at = now() + 1
    other = open_client()
    other.watch(changes)
    wait_for(lambda: changes.count == 2, 5, "the end is told", poll_seconds=0.002)
    assert abs(now() - ends_at) < 0.5
    assert "leader" not in other.view(soon()).entries
