"""Free TCP ports for servers that the tests start."""

from __future__ import annotations

import os
import threading

from tools.ports import free_ports

_taken: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """Return a port nobody listens on, never the same one twice in this process."""
    first, last = (int(p) for p in os.environ.get("HAE_TEST_PORTS", "23000-24999").split("-"))
    with _lock:
        found = free_ports(first, last, taken=_taken)
        assert found, f"no free port between {first} and {last} (HAE_TEST_PORTS)"
        _taken.update(found)
        return found[0]
