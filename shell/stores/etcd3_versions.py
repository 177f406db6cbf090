"""Which versions of etcd may end a lease before its time, and what to tell the operator of it.

Fact: etcd's issues 12528 and 15247, mended in 3.4.31 and 3.5.13 (docs/safety.md).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from shell.stores.attempts import AttemptFailed
from shell.stores.base import StoreError

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
    """Warns once of each member of etcd whose version may end leases early.

    `get(url, path, seconds)` gives what a member answers, or raises AttemptFailed or StoreError.
    """

    def __init__(self, get: Callable[[str, str, float], bytes]) -> None:
        self._get = get
        self._known: set[str] = set()

    def look(self, url: str, seconds: float) -> None:
        """Ask that member for its version, unless it is known; a failure does no harm."""
        if url in self._known or seconds < SHORTEST_SECONDS:
            return
        try:
            document = json.loads(self._get(url, "/version", seconds))
        except (AttemptFailed, StoreError, ValueError) as error:
            log.debug("could not read the version of etcd at %s: %s", url, error)
            return
        self._known.add(url)
        version = str(document.get("etcdserver", "")) if isinstance(document, dict) else ""
        if better := mended_in(version):
            log.warning(
                "etcd at %s is version %s: a member of it that was frozen for longer than ttl may "
                "end leases too early; upgrade etcd to %s or later",
                *(url, version, better),
            )
