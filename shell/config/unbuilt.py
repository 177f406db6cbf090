"""What a configuration may ask for and this version does not do: said, never passed over.

An error where going on would break a promise about the data or about who may write; a warning
where something useful is merely missing.
"""

from __future__ import annotations

from shell.config.problems import Problem
from shell.config.settings import DynamicSettings, Settings

_STORES = ("consul", "zookeeper", "exhibitor", "kubernetes")
_NOT_YET = "not built yet in this version"


def unbuilt_problems(settings: Settings) -> list[Problem]:
    """Return a problem for each thing that is asked for and not built."""
    problems = _dynamic_problems(settings.dynamic)
    if settings.store.kind in _STORES:
        message = f"{_NOT_YET}; use etcd3, etcd, or embedded for nodes on one machine"
        problems.append(Problem(settings.store.kind, message))
    return problems


def _dynamic_problems(shared: DynamicSettings) -> list[Problem]:
    problems = []
    logical = ", ".join(sorted(s.name for s in shared.slots.values() if s.type == "logical"))
    wanted = {
        f"logical slots ({logical})": bool(logical),
    }
    problems += [Problem("", f"{what}: {_NOT_YET}", "warning") for what, on in wanted.items() if on]
    return problems
