"""The fence against PostgreSQL itself: nothing of a server survives its deadline."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import psycopg2
import pytest

from shell.fence.client import Fence
from shell.processes import ProcessId, is_alive, now, processes_of, read_postmaster
from tests.fence.support import Postgres, daemon, deadline_set
from tests.support.freezing import freeze
from tests.support.wait import wait_for

GRACE = 0.5


class Client(threading.Thread):
    """A client that keeps a backend busy until it loses its connection."""

    def __init__(self, postgres: Postgres, statement: str) -> None:
        super().__init__(daemon=True)
        self._connection = postgres.connect()
        self._connection.autocommit = True
        self._statement = statement
        self.backend = self._connection.info.backend_pid
        self.rounds = 0

    def run(self) -> None:
        """Run the statement again and again."""
        try:
            with self._connection.cursor() as cursor:
                while True:
                    cursor.execute(self._statement)
                    self.rounds += 1
        except psycopg2.Error:
            return


@pytest.fixture
def clients(postgres: Postgres, server: ProcessId) -> Iterator[list[Client]]:
    """One sleeping, one computing and one writing client."""
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS written (at timestamptz)")
    connection.close()
    writer = Client(postgres, "INSERT INTO written VALUES (now())")
    busy = [
        Client(postgres, "SELECT pg_sleep(600)"),
        Client(postgres, "DO $$ BEGIN LOOP END LOOP; END $$"),
        writer,
    ]
    for client in busy:
        client.start()
    wait_for(lambda: writer.rounds > 10, 20, "rows to be written")
    yield busy
    for client in busy:
        client.join(20)
        assert not client.is_alive()


def wait_until_dead(postgres: Postgres) -> None:
    """Wait until no process of the data directory is left."""
    wait_for(lambda: not processes_of(postgres.data), 20, "PostgreSQL to be dead")


def test_busy_backends_are_gone_after_the_deadline(
    server_fence: Fence, postgres: Postgres, server: ProcessId, clients: list[Client]
) -> None:
    """Sleeping, computing and writing backends end together with their postmaster."""
    kill_at = now() + 0.3
    server_fence.arm(server, kill_at, GRACE)
    wait_until_dead(postgres)
    fired = wait_for(lambda: server_fence.status().fired, 20, "the fence to report")
    assert fired.pid == server.pid
    assert kill_at <= fired.boot <= kill_at + GRACE + 2


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_a_lost_daemon_takes_its_primary_with_it(
    fault: signal.Signals,
    postgres: Postgres,
    server: ProcessId,
    clients: list[Client],
    server_fence: Fence,
) -> None:
    """PostgreSQL lives while its daemon moves the deadline, and dies when that ends."""
    with daemon(
        postgres.data, postgres.home / "fence.log", server, lease_seconds=3.0, grace_seconds=GRACE
    ) as process:
        first = deadline_set(process)
        wait_for(lambda: deadline_set(process) > first + 0.5, 20, "the deadline to move")
        assert is_alive(server)
        process.send_signal(fault)
        wait_until_dead(postgres)


def test_a_stopped_postmaster_goes_with_its_backends(
    server_fence: Fence, postgres: Postgres, server: ProcessId, clients: list[Client]
) -> None:
    """A SIGSTOPped postmaster, whose backends go on writing, does not outlive the deadline."""
    freeze(server.pid)
    server_fence.arm(server, now() + 0.3, GRACE)
    wait_until_dead(postgres)


def test_a_stopped_backend_does_not_delay_the_end(
    server_fence: Fence, postgres: Postgres, server: ProcessId, clients: list[Client]
) -> None:
    """A backend that cannot react to the immediate shutdown is killed after the grace period."""
    freeze(clients[0].backend)
    server_fence.arm(server, now() + 0.1, GRACE)
    wait_until_dead(postgres)
    fired = wait_for(lambda: server_fence.status().fired, 20, "the fence to report")
    assert fired.means == "SIGKILL"


def test_orphaned_backends_do_not_outlive_the_deadline(
    server_fence: Fence, postgres: Postgres, server: ProcessId, clients: list[Client]
) -> None:
    """A computing backend survives its postmaster, but not the deadline."""
    server_fence.arm(server, now() + 1.0, GRACE)
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(server), 20, "the postmaster to be dead")
    assert clients[1].backend in [identity.pid for identity in processes_of(postgres.data)]
    wait_until_dead(postgres)


def test_the_server_starts_again_after_the_fence(
    server_fence: Fence, postgres: Postgres, server: ProcessId
) -> None:
    """Nothing that the fence leaves behind hinders crash recovery."""
    server_fence.arm(server, now(), GRACE)
    wait_for(lambda: server_fence.status().fired, 20, "the fence to report, and to be idle again")
    again = postgres.start()
    assert again != server
    assert read_postmaster(postgres.data) == again
    assert server_fence.arm(again, now() + 1000, GRACE).armed_pid == again.pid
    assert server_fence.disarm().armed is False
