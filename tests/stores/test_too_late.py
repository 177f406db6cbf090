"""The leader key is not created after the moment before which it had to be asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.processes import now
from shell.stores.base import Store, TooLate
from shell.stores.factory import open_store
from tests.stores.conftest import Backend, soon
from tests.support.etcd import EtcdServer
from tests.support.freezing import freeze
from tests.support.wait import wait_for
from tests.support.wire import Wire

IDENTIFIER = "7401234567890123456"
ASKING = """
import sys
from shell.processes import now
from shell.stores.base import TooLate
from shell.stores.factory import open_store

store = open_store({sys.argv[1]: {"host": sys.argv[2]}}, namespace="/test", scope="demo")
store.publish_member("n1", "{}", 30, now() + 10)
print("ready", flush=True)
sys.stdin.readline()
until = now() + 1
print(until, flush=True)
try:
    print(store.acquire_leader("n1", 30, now() + 60, begin_before=until, initialize="74"))
except TooLate:
    print("too late")
"""


def leader(store: Store) -> str | None:
    """Who has the leader key, as the server says."""
    entry = store.read(soon()).entries.get("leader")
    return entry.value if entry else None


def test_no_leader_key_is_created_after_its_moment(store: Store) -> None:
    """Neither by who takes the lock, nor by who renews a key that is gone."""
    past = now() - 0.01
    with pytest.raises(TooLate):
        store.acquire_leader("n1", 30, soon(), begin_before=past)
    with pytest.raises(TooLate):
        store.renew_leader("n1", 30, soon(), begin_before=past)
    assert leader(store) is None
    assert store.acquire_leader("n1", 30, soon(), begin_before=soon())
    assert store.renew_leader("n1", 30, soon(), begin_before=soon())


def test_the_lock_of_a_cluster_is_taken_only_while_the_store_holds_it(store: Store) -> None:
    """A store that has lost all its keys tells nobody who led before."""
    assert not store.acquire_leader("n1", 30, soon(), initialize=IDENTIFIER)
    store.put("initialize", "another", soon())
    assert not store.acquire_leader("n1", 30, soon(), initialize=IDENTIFIER)
    store.put("initialize", IDENTIFIER, soon())
    assert store.acquire_leader("n1", 30, soon(), initialize=IDENTIFIER)
    assert leader(store) == "n1"


def test_an_empty_initialize_is_a_value_too(backend: Backend) -> None:
    """While a cluster is being founded the key is there, and empty."""
    one, other = backend.open(), backend.open()
    assert not one.acquire_leader("n1", 30, soon(), initialize="")
    other.put("initialize", "", soon())
    assert one.acquire_leader("n1", 30, soon(), initialize="")


@pytest.mark.parametrize("section", ["etcd3", "etcd"])
def test_a_daemon_that_was_frozen_while_it_asked_does_not_ask_again(
    etcd_server: Callable[..., EtcdServer], section: str
) -> None:
    """SIGSTOP during what comes before the request; when it goes on, its race is long over."""
    server = etcd_server(enable_v2=True)
    here = open_store({section: {"host": server.host}}, namespace="/test", scope="demo")
    here.put("initialize", "74", soon())
    with Wire(int(server.host.rpartition(":")[2])) as wire:
        asking = subprocess.Popen(
            [sys.executable, "-c", ASKING, section, wire.host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        with asking:
            try:
                assert asking.stdin is not None
                assert asking.stdout is not None
                assert asking.stdout.readline() == "ready\n"
                wire.cut()
                asking.stdin.write("\n")
                asking.stdin.flush()
                until = float(asking.stdout.readline())
                freeze(asking.pid)
                wait_for(lambda: now() > until, 10, "the moment to pass")
                wire.mend()
                os.kill(asking.pid, signal.SIGCONT)
                assert asking.stdout.readline() == "too late\n"
            finally:
                asking.kill()
    assert leader(here) is None
    here.close()
