"""One SQL connection whose every wait is bounded, even if the server is stopped by SIGSTOP.

psycopg2's asynchronous mode leaves the waiting to us, so a deadline and a cancellation hold for
connecting and for each statement.  Statements commit by themselves.  Not here: which statements.
"""

import contextlib
import select
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

import psycopg2
from psycopg2 import extensions, sql

from shell.postgres.errors import Cancelled, PostgresError
from shell.postgres.resolving import with_addresses
from shell.postgres.waiting import NEVER, wait_for_events
from shell.processes import now

CONNECT_SECONDS = 3.0
Row = tuple[Any, ...]


class SqlError(PostgresError):
    """A statement or a connection attempt failed; `code` is the SQLSTATE, if there is one."""

    def __init__(self, text: str, code: str = "") -> None:
        """`text` must be free of secrets."""
        super().__init__(text)
        self.code = code


class Session:
    """An open connection; not for two threads at once.  After an error it is closed."""

    def __init__(
        self,
        parameters: Mapping[str, object],
        deadline: float,
        *,
        cancel: threading.Event = NEVER,
    ) -> None:
        """Connect with these libpq parameters.  Raises SqlError or Cancelled."""
        self.where = f"{parameters.get('host') or 'localhost'}:{parameters.get('port') or 5432}"
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        try:
            wanted = with_addresses(given, deadline, cancel)
        except OSError as error:
            raise SqlError(f"cannot connect at {self.where}: {error}") from None
        try:
            self._connection = psycopg2.connect(async_=1, **wanted)  # type: ignore[call-overload]
        except psycopg2.Error as error:
            raise self._failed("cannot connect", error) from None
        try:
            self._wait(deadline, cancel, "cannot connect")
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return bool(self._connection.closed)

    @property
    def raw(self) -> extensions.connection:
        """The psycopg2 connection, for quoting and password hashing only."""
        return self._connection  # type: ignore[no-any-return]

    def execute(
        self,
        statement: str | sql.Composable,
        parameters: Sequence[object] | None = None,
        *,
        deadline: float,
        cancel: threading.Event = NEVER,
        what: str = "a statement",
    ) -> list[Row]:
        """Run one statement and return its rows (none for a command).

        Raises SqlError or Cancelled; the connection is closed then.
        """
        try:
            cursor = self._connection.cursor()
            cursor.execute(statement, parameters)
            self._wait(deadline, cancel, f"{what} failed")
            return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error as error:
            self.close()
            raise self._failed(f"{what} failed", error) from None
        except (SqlError, Cancelled):
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the server ends the statement that may still run."""
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, deadline: float, cancel: threading.Event, what: str) -> None:
        events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
        started = now()
        while True:
            try:
                state = self._connection.poll()
            except psycopg2.Error as error:
                raise self._failed(what, error) from None
            if state == extensions.POLL_OK:
                return
            descriptor = self._connection.fileno()
            if not wait_for_events(descriptor, events[state], deadline, cancel, what):
                raise SqlError(f"{what} at {self.where}: no answer in {now() - started:.1f} s")

    def _failed(self, what: str, error: psycopg2.Error) -> SqlError:
        # Not the whole text of a server's error: it quotes the statement, which may hold a hash.
        told = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
        text = "; ".join(one for one in told if one) or " ".join(str(error).split())
        return SqlError(f"{what} at {self.where}: {text}", error.pgcode or "")
