"""Who could write, and when: one small client for each node, asking all the time.

Belongs here: writing to each PostgreSQL directly, and the arithmetic that shows two writable ones.
Must not: touch the cluster in any other way, or read more into a failed write than that.
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

PERIOD_SECONDS = 0.02
TABLE = "create table if not exists probed (node text, number bigint, primary key (node, number))"


@dataclass(frozen=True, slots=True)
class Commit:
    """A row that a node acknowledged; it was committed between `sent` and `done` (monotonic)."""

    sent: float
    done: float
    node: str
    number: int


class Prober:
    """Writes to every node about 50 times a second until closed, whether it can or not."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._ended = threading.Event()
        self.commits: list[Commit] = []
        self._threads = [
            threading.Thread(target=self._run, args=(node,), name=f"probe {node.name}", daemon=True)
            for node in nodes
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop asking."""
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self, node: Node) -> None:
        numbers = itertools.count(time.monotonic_ns())  # another prober may have written here
        while not self._ended.wait(PERIOD_SECONDS):
            with contextlib.suppress(psycopg2.Error), node.connect(2) as connection:
                cursor = connection.cursor()
                cursor.execute("set client_min_messages = error")
                cursor.execute(TABLE)
                while not self._ended.wait(PERIOD_SECONDS):
                    number, sent = next(numbers), time.monotonic()
                    cursor.execute("insert into probed values (%s, %s)", (node.name, number))
                    self.commits.append(Commit(sent, time.monotonic(), node.name, number))

    # ------------------------------------------------------------ what it saw

    def wrote(self, node: Node) -> int:
        """Return how many rows that node acknowledged."""
        return sum(commit.node == node.name for commit in self.commits)

    def writers(self) -> list[str]:
        """Return the nodes in the order in which they became writable; each change is named once.

        Commits are ordered by the earliest moment at which each can have happened.
        """
        ordered = sorted(self.commits, key=lambda commit: commit.sent)
        return [name for name, _ in itertools.groupby(ordered, key=lambda commit: commit.node)]

    def overlaps(self) -> list[tuple[Commit, Commit]]:
        """Return commits of different nodes that may have been writable at the same moment.

        Each node's commits between two of another node's are an interval in which it was writable.
        """
        ordered = sorted(self.commits, key=lambda commit: commit.sent)
        return [
            (a, b) for a, b in itertools.pairwise(ordered) if a.node != b.node and b.sent < a.done
        ]

    def lost(self, on: Node, of: Node) -> list[int]:
        """Return the rows that `of` acknowledged and that `on` does not have."""
        rows = on.sql("select number from probed where node = %s", of.name, seconds=30)
        found = {int(row[0]) for row in rows}
        mine = [commit.number for commit in self.commits if commit.node == of.name]
        return sorted(number for number in mine if number not in found)
