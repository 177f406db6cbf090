"""Remembers the newest raft term, so that a node left behind is not believed.

A frozen or partitioned etcd member can still answer lease keep-alives as if it led the cluster.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

log = logging.getLogger(__name__)


class TermMemory:
    """The cluster id and the newest raft term seen. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cluster_id: str | None = None
        self._term = 0
        self._behind: set[str] = set()

    @property
    def newest(self) -> int:
        """The newest raft term that is believed; 0 before the first answer."""
        return self._term

    def accept(self, url: str, header: dict[str, Any]) -> bool:
        """Return whether an answer with this header may be believed, and learn from it."""
        cluster_id = header.get("cluster_id")
        if cluster_id is None:
            return True
        term = int(header.get("raft_term", 0))
        with self._lock:
            if self._cluster_id not in {None, cluster_id}:
                log.warning(
                    "etcd at %s has cluster id %s instead of %s: the cluster was replaced",
                    url,
                    cluster_id,
                    self._cluster_id,
                )
                self._term = 0
            self._cluster_id = cluster_id
            if term < self._term:
                self._behind.add(url)
                return False
            self._term = term
            self._behind.clear()
            return True

    def believe_if_unanimous(self, urls: list[str]) -> None:
        """Forget the newest term when every endpoint answers with an older one.

        Called only after an operation failed for its whole time: so the cluster was rebuilt under
        its old id, and nobody is left who knows the newer term.
        """
        with self._lock:
            if self._behind and self._behind.issuperset(urls):
                log.warning("every etcd endpoint has an older raft term: believing them again")
                self._term = 0
                self._behind.clear()
