"""Free TCP ports for servers that the tests start.

Ports are taken from below the kernel's ephemeral range, so that no outgoing connection can grab
one between the look and the start of the server.
"""

from __future__ import annotations

import os
import random
import socket
import threading

_taken: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """Return a port nobody listens on, never the same one twice in this process."""
    first, last = (int(p) for p in os.environ.get("HAE_TEST_PORTS", "23000-24999").split("-"))
    ports = list(range(first, last + 1))
    random.SystemRandom().shuffle(ports)
    with _lock:
        for port in ports:
            if port not in _taken and _is_free(port):
                _taken.add(port)
                return port
    raise AssertionError(f"no free port between {first} and {last} (HAE_TEST_PORTS)")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
