"""Which versions of etcd may end a lease before its time, and what to tell the operator of it.

Fact: etcd's issues 12528 and 15247, mended in 3.4.31 and 3.5.13 (docs/safety.md).
"""

from __future__ import annotations

import json
import logging

import urllib3
from urllib3.exceptions import HTTPError

from shell.processes import now
from shell.stores.base import StoreError
from shell.stores.http_pool import read_all

log = logging.getLogger(__name__)

MENDED = {(3, 4): (3, 4, 31), (3, 5): (3, 5, 13)}
NEVER_BROKEN = (3, 6)
SHORTEST_SECONDS = 0.05


def mended_in(version: str) -> str:
    """The version to upgrade to from this one; empty where leases keep their time, or unreadable.

    A minor version that was given up before the mend needs the next one that has it.
    """
    numbers = version.split("-", 1)[0].split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        return ""
    major, minor, patch = map(int, numbers)
    if (major, minor) >= NEVER_BROKEN:
        return ""
    mend = MENDED.get((major, minor), min(MENDED.values()))
    return "" if (major, minor, patch) >= mend else ".".join(map(str, mend))


class VersionWarnings:
    """Warns once of each member of etcd whose version may end leases early."""

    def __init__(self, pool: urllib3.PoolManager) -> None:
        self._pool = pool
        self._known: set[str] = set()

    def look(self, url: str, seconds: float) -> None:
        """Ask that member for its version, unless it is known; a failure does no harm."""
        if url in self._known or seconds < SHORTEST_SECONDS:
            return
        try:
            version = self._version(url, seconds)
        except (HTTPError, OSError, ValueError, StoreError) as error:
            log.debug("could not read the version of etcd at %s: %s", url, error)
            return
        self._known.add(url)
        if better := mended_in(version):
            log.warning(
                "etcd at %s is version %s: a member of it that was frozen for longer than ttl may "
                "end leases too early; upgrade etcd to %s or later",
                *(url, version, better),
            )

    def _version(self, url: str, seconds: float) -> str:
        give_up_at = now() + seconds
        with self._pool.request(
            "GET", f"{url}/version", timeout=urllib3.Timeout(seconds), preload_content=False
        ) as response:
            document = json.loads(read_all(response, give_up_at))
        return str(document.get("etcdserver", "")) if isinstance(document, dict) else ""
