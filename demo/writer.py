"""A client that writes numbered rows all the time and notes every acknowledgement.

Belongs here: writing, and the arithmetic on what was acknowledged.  Must not: steer the cluster.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass

import psycopg2

ROWS_PER_SECOND = 100
RETRY_SECONDS = 0.02
TABLE = "create table if not exists demo_rows (id bigint primary key, at timestamptz)"
INSERT = "insert into demo_rows values (%s, clock_timestamp())"


@dataclass(frozen=True, slots=True)
class Count:
    """Rows acknowledged against rows found; `missing` and `unasked` are their numbers."""

    acknowledged: int
    found: int
    missing: tuple[int, ...]
    unasked: tuple[int, ...]


class Writer:
    """Writes from a thread of its own until closed, with a libpq multi-host string.

    A row whose acknowledgement did not arrive is never sent again: it may be there or not.
    """

    def __init__(self, dsn: str, password: str) -> None:
        self._dsn = dsn
        self._password = password
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._numbers = itertools.count(1)
        self._acknowledged: list[tuple[float, int]] = []

    def start(self) -> None:
        """Begin; the table is created over the first connection."""
        self._thread.start()

    def close(self) -> None:
        """Stop and wait for the last statement."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def count(self) -> int:
        """How many rows were acknowledged so far."""
        return len(self._acknowledged)

    def wrote_since(self, moment: float) -> bool:
        """Whether a row was acknowledged after that moment (CLOCK_MONOTONIC)."""
        return bool(self._acknowledged) and self._acknowledged[-1][0] > moment

    def outage_seconds(self, since: float) -> float:
        """The longest time between two acknowledgements in a row, from just before `since`."""
        times = [at for at, _ in list(self._acknowledged)]
        before = max((at for at in times if at <= since), default=since)
        after = [before, *(at for at in times if at > since)]
        return max((b - a for a, b in itertools.pairwise(after)), default=float("inf"))

    def compare(self, found: set[int]) -> Count:
        """Hold the acknowledged numbers against those that a server has."""
        numbers = {number for _, number in list(self._acknowledged)}
        return Count(
            len(numbers), len(found), tuple(sorted(numbers - found)), tuple(sorted(found - numbers))
        )

    def acknowledged_at(self, number: int) -> float:
        """When that row was acknowledged (CLOCK_MONOTONIC)."""
        return next(at for at, known in self._acknowledged if known == number)

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(psycopg2.Error):
                connection = psycopg2.connect(self._dsn, password=self._password)
                with contextlib.closing(connection):
                    self._write(connection)
            self._ended.wait(RETRY_SECONDS)

    def _write(self, connection: psycopg2.extensions.connection) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("set client_min_messages = error")
            cursor.execute(TABLE)
            while not self._ended.is_set():
                number = next(self._numbers)
                cursor.execute(INSERT, (number,))
                self._acknowledged.append((time.monotonic(), number))
                self._ended.wait(1 / ROWS_PER_SECOND)
