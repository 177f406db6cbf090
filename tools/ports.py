"""Free TCP ports for servers that the demo and the tests start.

Choose ranges below the kernel's ephemeral ports, so that no outgoing connection takes one between
the look and the start of the server.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection


def free_ports(first: int, last: int, count: int = 1, taken: Collection[int] = ()) -> list[int]:
    """So many ports in a row, at random, that nobody listens on; empty when there are none."""
    starts = list(range(first, last - count + 2))
    random.SystemRandom().shuffle(starts)
    for start in starts:
        ports = list(range(start, start + count))
        if not any(port in taken for port in ports) and all(_is_free(port) for port in ports):
            return ports
    return []


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
