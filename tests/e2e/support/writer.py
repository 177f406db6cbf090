"""A client that writes numbered rows all the time, and remembers every acknowledgement.

About 200 rows a second, through a libpq multi-host string with target_session_attrs=read-write,
connecting again at once when the connection breaks. Belongs here: writing and the arithmetic on
the acknowledgements. Must not: touch the cluster in any other way.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg2

from tests.e2e.support.node import Node
from tests.e2e.support.node_file import PASSWORDS

TABLE = "create table if not exists written (id bigint primary key, port int, at timestamptz)"
INSERT = "insert into written values (%s, inet_server_port(), clock_timestamp()) returning port"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One row that PostgreSQL said is committed: when (CLOCK_MONOTONIC), which, by which port."""

    at: float
    number: int
    port: int


class Writer:
    """Writes from a thread of its own until closed; numbers are never used twice.

    Several writers of one cluster take distinct `first` numbers, far apart.
    """

    def __init__(
        self, dsn: str, rate_hz: float = 200, first: int = 1, retry_seconds: float = 0.005
    ) -> None:
        self._dsn = dsn
        self._period = 1 / rate_hz
        self._number = first
        self._retry_seconds = retry_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.acknowledged: list[Acknowledgement] = []
        self.last_error = ""

    def start(self) -> Self:
        """Start writing; the table is created when the first connection is there."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop writing and wait for the last statement."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                connection = psycopg2.connect(
                    self._dsn,
                    password=PASSWORDS["postgres"],
                    application_name="writer",
                    options="-c statement_timeout=30000",
                )
            except psycopg2.Error as error:
                self.last_error = str(error)
                self._ended.wait(self._retry_seconds)
                continue
            with contextlib.closing(connection):
                try:
                    self._write(connection)
                except psycopg2.Error as error:
                    self.last_error = str(error)

    def _write(self, connection: psycopg2.extensions.connection) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("set client_min_messages = error")
            cursor.execute(TABLE)
            due = time.monotonic()
            while not self._ended.is_set():
                # Taken before it is sent: a row whose fate is unknown is never written again.
                number, self._number = self._number, self._number + 1
                cursor.execute(INSERT, (number,))
                row = cursor.fetchone()
                now = time.monotonic()
                self.acknowledged.append(Acknowledgement(now, number, int(row[0]) if row else 0))
                due = max(due + self._period, now)
                self._ended.wait(max(0.0, due - time.monotonic()))

    # ------------------------------------------------------------ what it saw

    def count(self) -> int:
        """Return the number of acknowledgements so far."""
        return len(self.acknowledged)

    def longest_gap(self, since: float = 0.0) -> float:
        """Return the longest time between two acknowledgements in a row, in seconds."""
        times = [entry.at for entry in self.acknowledged if entry.at >= since]
        return max((b - a for a, b in itertools.pairwise(times)), default=float("inf"))

    def first_after(self, moment: float) -> float | None:
        """Return the time of the first acknowledgement after a moment."""
        return next((entry.at for entry in self.acknowledged if entry.at > moment), None)

    def lost(self, node: Node) -> list[int]:
        """Return the acknowledged numbers that a node does not have."""
        found = {int(row[0]) for row in node.sql("select id from written", seconds=30)}
        return sorted(entry.number for entry in self.acknowledged if entry.number not in found)
