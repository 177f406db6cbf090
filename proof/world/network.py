"""Who can send to whom, and how long a message takes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

STORE = "store"


class Network:
    """One-way links between places (members and the store); all are open at first."""

    def __init__(self, random: Random, seconds: float) -> None:
        """`seconds` is what a message usually takes."""
        self._random = random
        self._seconds = seconds
        self._closed: dict[tuple[str, str], int] = {}
        self._slow: dict[tuple[str, str], float] = {}
        self.on_change: list[Callable[[], None]] = []
        self.calm = False  # nothing is closed, slow or lossy
        self.loss = 0.0  # share of messages that are lost on their way
        self.late = 0.0  # share of requests that arrive long after their sender gave up
        self._weigh()

    def open(self, sender: str, receiver: str) -> bool:
        """Whether a message sent now arrives."""
        return not self._closed or (sender, receiver) not in self._closed

    def both_ways(self, one: str, other: str) -> bool:
        """Whether two places can talk."""
        return self.open(one, other) and self.open(other, one)

    def seconds(self, sender: str, receiver: str) -> float:
        """How long a message sent now takes."""
        usual = self._seconds * (0.5 + self._random.random())
        return usual + self._slow.get((sender, receiver), 0.0) if self._slow else usual

    def is_lost(self) -> bool:
        """Draw whether a message gets lost although the link is open."""
        return self.loss > 0.0 and self._random.random() < self.loss

    def lateness(self) -> float:
        """Draw how much later than usual a request arrives; mostly 0."""
        if self.late > 0.0 and self._random.random() < self.late:
            return self._random.uniform(0.5, 25.0)
        return 0.0

    def close(self, sender: str, receiver: str) -> None:
        """Let nothing through in that direction; closed twice, it must be opened twice."""
        key = (sender, receiver)
        self._closed[key] = self._closed.get(key, 0) + 1
        self._changed()

    def reopen(self, sender: str, receiver: str) -> None:
        """Undo one `close`."""
        key = (sender, receiver)
        if self._closed.get(key, 0) > 1:
            self._closed[key] -= 1
        else:
            self._closed.pop(key, None)
        self._changed()

    def slow_down(self, sender: str, receiver: str, seconds: float) -> None:
        """Let every message in that direction take longer by so much; 0 undoes it."""
        if seconds > 0.0:
            self._slow[sender, receiver] = seconds
        else:
            self._slow.pop((sender, receiver), None)
        self._changed()

    def mend(self) -> None:
        """Undo everything."""
        self._closed.clear()
        self._slow.clear()
        self.loss = self.late = 0.0
        self._changed()

    def _changed(self) -> None:
        self._weigh()
        for told in self.on_change:
            told()

    def _weigh(self) -> None:
        self.calm = not self._closed and not self._slow
