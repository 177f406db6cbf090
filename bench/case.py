"""What a benchmark case is: how its cluster is set up, what it measures, what hae must reach.

Belongs here: the records, and the cases' registry. Must not: measure anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.support.cluster import Cluster
from tools.node_file import Document

Measures = dict[str, float]
Work = Callable[[Cluster], Measures]


@dataclass(frozen=True, slots=True)
class Goal:
    """One measure of a case: its title and unit, and how hae's median is judged.

    `times` is the most that hae's median may be as a multiple of Patroni's (for `more_is_better`,
    the least); `at_most` is an absolute bound on every value of hae. None: not judged.
    """

    measure: str
    title: str
    unit: str = "s"
    times: float | None = None
    at_most: float | None = None
    more_is_better: bool = False
    worst_to_median: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A fault or a piece of work, done the same way to both implementations."""

    name: str
    title: str
    work: Work
    goals: tuple[Goal, ...]
    dynamic: Mapping[str, Document] = field(default_factory=dict)
    """Changes of the dynamic configuration, for an implementation or for "both"."""
    node: Mapping[str, Document] = field(default_factory=dict)
    """Changes of the node files, likewise."""
    only: tuple[str, ...] = ("hae", "patroni")
    in_all: bool = True
    """Whether `--case all` includes it."""
    started: bool = True
    """Whether the work gets a healthy cluster, not one whose daemons are still to be started."""

    def cluster(self, folder: Path, implementation: str) -> Cluster:
        """Return the cluster for one run, not started."""
        return Cluster(
            folder,
            implementation=implementation,
            dynamic=self._for(self.dynamic, implementation),
            node_changes=self._for(self.node, implementation),
        )

    @staticmethod
    def _for(changes: Mapping[str, Document], implementation: str) -> dict[str, Any]:
        return {**changes.get("both", {}), **changes.get(implementation, {})}


def random_delay_seconds(cluster: Cluster) -> float:
    """Return a random part of one loop, so that faults hit any moment of it."""
    return random.SystemRandom().uniform(0, float(cluster.dynamic["loop_wait"]))
