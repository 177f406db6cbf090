"""Free TCP ports for servers that the tests start."""

from __future__ import annotations

import os
import threading

from tools.ports import free_ports

_taken: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """Return a port nobody listens on, never the same one twice in this run."""
    first, last = _range()
    with _lock:
        found = free_ports(first, last, taken=_taken)
        assert found, f"no free port between {first} and {last} (HAE_TEST_PORTS)"
        _taken.update(found)
        return found[0]


def _range() -> tuple[int, int]:
    """The first and the last port of this process; the workers of one run divide them up."""
    first, last = (int(p) for p in os.environ.get("HAE_TEST_PORTS", "23000-24999").split("-"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (last - first + 1) // workers
    return first + number * share, first + (number + 1) * share - 1
