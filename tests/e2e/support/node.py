"""One node of a cluster under test: its daemon, its PostgreSQL, its REST API.

Belongs here: what is done to, or asked of, a single node. Must not: choose nodes or wait for the
cluster.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2's own spelling

from tests.e2e.support.node_file import PASSWORDS
from tests.e2e.support.processes import MARK, send
from tests.support.freezing import freeze
from tools.node_file import Place


@dataclass(frozen=True, slots=True)
class Answer:
    """What the REST API answered: the status code and the document, if it was JSON."""

    status: int
    document: dict[str, Any]


class Node:
    """A daemon with its PostgreSQL, started from its own YAML."""

    def __init__(self, place: Place, command: list[str], mark: str):
        self.place = place
        self.name = place.name
        self._command = command
        # Without the tests' own settings, which a daemon would take for misspelt ones of its own.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HAE_", "PATRONI_"))}
        self._environment = {**inherited, MARK: mark, "PYTHONUNBUFFERED": "1"}
        self._daemon: subprocess.Popen[bytes] | None = None
        # How clients connect to this node, where it wants TLS, certificates or a login.
        self.libpq_options: dict[str, Any] = {}
        self.tls: ssl.SSLContext | None = None
        self.headers: dict[str, str] = {}

    # ------------------------------------------------------------ the daemon

    def start_daemon(self) -> None:
        """Start the daemon; it must not be running."""
        assert not self.daemon_runs(), f"{self.name}'s daemon already runs"
        with self.place.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*self._command, str(self.place.file)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self.place.folder,
                start_new_session=True,
            )

    def daemon_runs(self) -> bool:
        """Whether the daemon started last is still there."""
        return self._daemon is not None and self._daemon.poll() is None

    @property
    def daemon_pid(self) -> int:
        """The process id of the daemon; AssertionError when none was started."""
        assert self._daemon is not None, f"{self.name}'s daemon was not started"
        return self._daemon.pid

    def wait_daemon(self, timeout_seconds: float = 60) -> int:
        """Wait for the daemon to end by itself and return its exit code."""
        assert self._daemon is not None
        return self._daemon.wait(timeout_seconds)

    def kill_daemon(self, what: signal.Signals = signal.SIGKILL) -> None:
        """Signal the daemon and wait until it is gone; PostgreSQL is left to its fate."""
        if self._daemon is None:
            return
        send(self._daemon.pid, what)
        send(self._daemon.pid, signal.SIGCONT)
        self._daemon.wait(90)

    def send_daemon(self, what: signal.Signals) -> None:
        """Signal the daemon and go on."""
        send(self.daemon_pid, what)

    def pause_daemon(self) -> None:
        """SIGSTOP the daemon, and nothing else."""
        freeze(self.daemon_pid)

    def continue_daemon(self) -> None:
        """SIGCONT after `pause_daemon`."""
        send(self.daemon_pid, signal.SIGCONT)

    def restart_daemon(self) -> None:
        """End the daemon with SIGTERM if it runs, and start it again."""
        if self.daemon_runs():
            self.kill_daemon(signal.SIGTERM)
        self.start_daemon()

    def log_text(self, last_bytes: int = 6000) -> str:
        """Return the end of the daemon's log."""
        try:
            return self.place.log.read_bytes()[-last_bytes:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    # ------------------------------------------------------------ its PostgreSQL

    def postmaster_pid(self) -> int | None:
        """Return the postmaster's id when it lives and really works in our data directory."""
        try:
            first = (self.place.data_dir / "postmaster.pid").read_text().split("\n", 1)[0]
            pid = int(first)
            working = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - the text, not a path
        except (OSError, ValueError):
            return None
        return pid if working == str(self.place.data_dir) else None

    def kill_postmaster(self, what: signal.Signals = signal.SIGKILL) -> None:
        """Signal the postmaster; AssertionError when there is none."""
        pid = self.postmaster_pid()
        assert pid is not None, f"{self.name} has no postmaster"
        send(pid, what)

    def die(self) -> None:
        """SIGKILL the daemon and, where it runs, PostgreSQL: all that a lost host takes away."""
        self.kill_daemon(signal.SIGKILL)
        if self.postmaster_pid() is not None:
            self.kill_postmaster()

    @contextlib.contextmanager
    def connect(self, seconds: float = 3, database: str = "postgres") -> Iterator[Connection]:
        """Open a connection as superuser with autocommit; closes it at the end."""
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.place.postgres_port,
            user="postgres",
            password=PASSWORDS["postgres"],
            dbname=database,
            connect_timeout=max(2, int(seconds)),
            options=f"-c statement_timeout={int(seconds * 1000)}",
            application_name="test",
            **self.libpq_options,
        )
        try:
            connection.autocommit = True
            yield connection
        finally:
            connection.close()

    def sql(self, text: str, *values: object, seconds: float = 5) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; psycopg2.Error when that fails."""
        with self.connect(seconds) as connection, connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def try_sql(self, text: str) -> list[tuple[Any, ...]] | None:
        """Run one statement; None when the server does not answer it."""
        try:
            return self.sql(text)
        except psycopg2.Error:
            return None

    def is_writable(self) -> bool:
        """Whether PostgreSQL answers and is out of recovery."""
        return self.try_sql("select 1 where not pg_is_in_recovery()") == [(1,)]

    def is_streaming(self) -> bool:
        """Whether this standby's own WAL receiver streams, right now."""
        return self.try_sql("select 1 from pg_stat_wal_receiver where status = 'streaming'") == [
            (1,)
        ]

    def streams_to(self) -> list[str]:
        """Return whom this server streams to, by its own word, in alphabetical order.

        A pg_basebackup receives WAL under its member's name, until a moment after it has ended:
        that member comes twice then.
        """
        rows = self.try_sql(
            "select application_name from pg_stat_replication where state = 'streaming'"
        )
        return sorted(str(name) for (name,) in rows or [])

    # ------------------------------------------------------------ its REST API

    def get(self, path: str = "/patroni", timeout_seconds: float = 2) -> Answer | None:
        """GET a path; None when nothing answers in time."""
        return self.call("GET", path, None, timeout_seconds)

    def says_yes(self, path: str) -> bool:
        """Whether that health check answers 200."""
        answer = self.get(path)
        return answer is not None and answer.status == 200

    def _http(self, timeout_seconds: float) -> http.client.HTTPConnection:
        port = self.place.api_port
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
        return http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=timeout_seconds, context=self.tls
        )

    def call(
        self, method: str, path: str, body: object = None, timeout_seconds: float = 2
    ) -> Answer | None:
        """Send a request with a JSON body; None when nothing answers in time.

        An answer that is no JSON object is returned as {"text": ...}.
        """
        text = None if body is None else json.dumps(body)
        with contextlib.closing(self._http(timeout_seconds)) as connection:
            try:
                connection.request(method, path, text, self.headers)
                response = connection.getresponse()
                text = response.read().decode(errors="replace")
            except (OSError, http.client.HTTPException):
                return None
        try:
            parsed = json.loads(text) if text else {}
        except ValueError:
            parsed = None
        document = parsed if isinstance(parsed, dict) else {"text": text}
        return Answer(response.status, document)
