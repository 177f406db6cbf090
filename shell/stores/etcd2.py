"""The store on etcd v2: keys with a TTL each, compare-and-swap by index.

Belongs here: what each operation of the interface means in the v2 API's terms. Does not belong
here: endpoints and errors (`etcd2_transport`), the watch (`etcd2_watch`).

There are no leases: each TTL key is refreshed by a request of its own, with `refresh=true`, which
neither changes the value nor wakes up any watcher.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from shell.stores.base import (
    NEVER,
    StoreUnavailable,
    View,
    base_path,
    namespace_path,
)
from shell.stores.endpoints import EtcdSection
from shell.stores.etcd2_transport import Etcd2Transport, Json, Refused, Reply
from shell.stores.etcd2_watch import WatchedDirectory, entries_of, read_directory
from shell.stores.newest import NewestRead


class Etcd2Store:
    """One cluster's keys in etcd v2. Thread-safe."""

    def __init__(self, section: EtcdSection, *, namespace: str, scope: str) -> None:
        self._base = base_path(namespace, scope)
        self._namespace = namespace_path(namespace)
        self._transport = Etcd2Transport(section)
        self._watched: WatchedDirectory | None = None
        self._own_index = 0
        self._newest = NewestRead()
        self._index_lock = threading.Lock()
        self._published: dict[str, str] = {}

    @property
    def requests_sent(self) -> int:
        """Requests sent so far; never decreases."""
        return self._transport.requests_sent

    def view(self, deadline: float) -> View:
        """Return the watched copy, or read when it is not healthy or misses our own change."""
        copy = self._watched.copy(self._own_index) if self._watched else None
        if copy and not self._newest.is_missed_by(copy.entries, copy.index):
            return View(copy.entries, copy.seen_at)
        view, index = self._read(deadline)
        self._newest.note(view.entries, index)
        return view

    def read(self, deadline: float) -> View:
        """Read every key with a quorum."""
        return self._read(deadline)[0]

    def _read(self, deadline: float) -> tuple[View, int]:
        own_before = self._own_index
        reply = read_directory(self._transport, self._base, deadline)
        if reply.index < own_before:
            # The cluster was replaced or restored, so our earlier changes are not to be awaited.
            with self._index_lock:
                self._own_index = reply.index
        return View(entries_of(reply.node, self._base), reply.sent_at), reply.index

    def watch(self, on_change: Callable[[], None]) -> None:
        """Start feeding the copy from long polls."""
        self._watched = WatchedDirectory(self._transport, self._base, on_change)
        self._watched.start()

    def acquire_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        begin_before: float = NEVER,
        initialize: str | None = None,
    ) -> bool:
        """Create the leader key if it is missing.

        The v2 API compares one key only, so `initialize` is read a moment before.
        """
        if initialize is not None and not self._holds("initialize", initialize, deadline):
            return False
        wanted = {"value": name, "ttl": ttl_seconds, "prevExist": "false"}
        try:
            self._put("leader", wanted, deadline, begin_before)
        except Refused as refused:
            if not refused.compared_unequal:
                raise
            # Only when an answer was lost can a key with our name be the one that we created.
            return refused.after_loss and self._refreshed("leader", name, ttl_seconds, deadline)
        return True

    def renew_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        create: bool = True,
        begin_before: float = NEVER,
    ) -> bool:
        """Extend the leader key if its value is our name, create it if it is missing."""
        for _ in range(2):
            try:
                return self._refreshed("leader", name, ttl_seconds, deadline)
            except Refused as refused:
                if not refused.missing:
                    raise
            if not create:
                return False
            if self.acquire_leader(name, ttl_seconds, deadline, begin_before=begin_before):
                return True
        raise StoreUnavailable("the leader key came and went while it was being renewed")

    def release_leader(self, name: str, deadline: float) -> bool:
        """Delete the leader key if its value is our name, and as it is now.

        A request without an answer may be carried out much later; a renewal has changed the key's
        index by then.
        """
        held = self.read(deadline).entries.get("leader")
        if held is None or held.value != name:
            return False
        return self._deleted("leader", {"prevIndex": held.revision}, deadline)

    def publish_member(self, name: str, value: str, ttl_seconds: int, deadline: float) -> None:
        """Refresh the member key if it holds this value, write it otherwise."""
        key = f"members/{name}"
        if self._published.get(name) == value:
            try:
                if self._refreshed(key, value, ttl_seconds, deadline):
                    return
            except Refused as refused:
                if not refused.missing:
                    raise
        self._put(key, {"value": value, "ttl": ttl_seconds}, deadline)
        self._published[name] = value

    def delete_member(self, name: str, deadline: float) -> None:
        """Delete the member key."""
        self._deleted(f"members/{name}", {}, deadline)

    def put(self, key: str, value: str, deadline: float) -> None:
        """Write a permanent key."""
        self._put(key, {"value": value}, deadline)

    def create(
        self, key: str, value: str, deadline: float, *, given: tuple[str, int] | None = None
    ) -> bool:
        """Write a permanent key if it is missing.

        The v2 API compares one key only, so the given one is read a moment before.
        """
        if given is not None:
            held = self.read(deadline).entries.get(given[0])
            if held is None or held.revision != given[1]:
                return False
        try:
            self._put(key, {"value": value, "prevExist": "false"}, deadline)
        except Refused as refused:
            if not refused.compared_unequal:
                raise
            if refused.after_loss and self._holds(key, value, deadline):
                raise StoreUnavailable(
                    f"{self._path(key)} was created by us or by somebody else: "
                    f"an answer of {refused.url} was lost"
                ) from refused
            return False
        return True

    def replace(self, key: str, value: str, revision: int, deadline: float) -> bool:
        """Write a permanent key if its index is unchanged."""
        try:
            self._put(key, {"value": value, "prevIndex": revision}, deadline)
        except Refused as refused:
            if not (refused.compared_unequal or refused.missing):
                raise
            return refused.after_loss and self._holds(key, value, deadline)
        return True

    def delete(
        self,
        key: str,
        deadline: float,
        revision: int | None = None,
        *,
        unless: str | None = None,
    ) -> bool:
        """Delete a key, if its index is unchanged when one is given.

        The v2 API compares one key only, so the other one is looked for a moment before.
        """
        if unless is not None and unless in self.read(deadline).entries:
            return False
        return self._deleted(key, {} if revision is None else {"prevIndex": revision}, deadline)

    def delete_all(self, deadline: float) -> None:
        """Delete the cluster's directory."""
        try:
            self._noted(self._transport.call("DELETE", self._base, {"recursive": "true"}, deadline))
        except Refused as refused:
            if not refused.missing:
                raise

    def scopes(self, deadline: float) -> list[str]:
        """Return the directories of the namespace."""
        try:
            reply = self._transport.call(
                "GET", self._namespace or "/", {"quorum": "true"}, deadline
            )
        except Refused as refused:
            if not refused.missing:
                raise
            return []
        nodes = reply.node.get("nodes", [])
        return sorted(str(node["key"]).rsplit("/", 1)[-1] for node in nodes if node.get("dir"))

    def close(self) -> None:
        """Stop telling about changes and drop the connections; the poll ends by itself."""
        if self._watched is not None:
            self._watched.stop()
        self._transport.close()

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}"

    def _put(
        self, key: str, parameters: Json, deadline: float, begin_before: float = NEVER
    ) -> None:
        reply = self._transport.call("PUT", self._path(key), parameters, deadline, begin_before)
        self._noted(reply)

    def _refreshed(self, key: str, value: str, ttl_seconds: int, deadline: float) -> bool:
        """Extend a key that holds `value`; False when it holds another, `Refused` when missing."""
        parameters = {
            "ttl": ttl_seconds,
            "refresh": "true",
            "prevExist": "true",
            "prevValue": value,
        }
        try:
            self._transport.call("PUT", self._path(key), parameters, deadline)
        except Refused as refused:
            if not refused.compared_unequal:
                raise
            return False
        return True

    def _deleted(self, key: str, condition: Json, deadline: float) -> bool:
        try:
            self._noted(self._transport.call("DELETE", self._path(key), condition, deadline))
        except Refused as refused:
            if not (refused.compared_unequal or refused.missing):
                raise
            return refused.missing and refused.after_loss
        return True

    def _holds(self, key: str, value: str, deadline: float) -> bool:
        entry = self.read(deadline).entries.get(key)
        return entry is not None and entry.value == value

    def _noted(self, reply: Reply) -> None:
        """Remember the index that the watched copy must reach to include this change."""
        changed_at = int(reply.node.get("modifiedIndex", 0))
        with self._index_lock:
            self._own_index = max(self._own_index, changed_at)
