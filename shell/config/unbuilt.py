"""What a configuration may ask for and this version does not do: said, never passed over."""

from __future__ import annotations

from shell.config.problems import Problem
from shell.config.settings import Settings

_STORES = ("consul", "zookeeper", "exhibitor", "kubernetes")
_NOT_YET = "not built yet in this version"


def unbuilt_problems(settings: Settings) -> list[Problem]:
    """Return a problem for each thing that is asked for and not built."""
    problems = []
    if settings.store.kind in _STORES:
        message = f"{_NOT_YET}; use etcd3, etcd, or embedded for nodes on one machine"
        problems.append(Problem(settings.store.kind, message))
    return problems
