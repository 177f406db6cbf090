"""The store on etcd v3: keys, lease and transactions.

Belongs here: what each operation of the interface means in etcd's terms. Does not belong here:
endpoints and retries (`etcd3_transport`), the lease (`etcd3_lease`), the watch (`etcd3_watch`).

One lease carries `leader` and `members/<name>`, so one keep-alive extends both. A keep-alive
alone proves nothing about the leader key: ownership is read from the healthy watched copy (value
and lease are ours), else proved by a transaction.  Nor does it prove that the member which answers
still leads etcd, so now and then a transaction is asked for anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from shell.processes import now
from shell.stores.base import (
    NEVER,
    Entry,
    StoreUnavailable,
    View,
    base_path,
    namespace_path,
)
from shell.stores.endpoints import EtcdSection
from shell.stores.etcd3_errors import RequestRejected
from shell.stores.etcd3_lease import LEASE_NOT_FOUND, Lease, fresh_since
from shell.stores.etcd3_messages import (
    Json,
    KeyValue,
    absent,
    below,
    decoded,
    encoded,
    key_values,
    lease_is,
    put,
    revision_is,
    transaction,
    value_is,
)
from shell.stores.etcd3_transport import Etcd3Transport, Reply
from shell.stores.etcd3_watch import Copy, WatchedPrefix
from shell.stores.newest import NewestRead

# How long a view waits for the watch to bring our own last change.
CATCH_UP_SECONDS = 0.5
NO_LEASE = "0"
# Of the ttl: how long a renewal may go without a request that the majority of etcd had to answer.
# A primary that is in use writes its position in every loop, and needs no other proof; an idle one
# every other loop, which is two thirds of the usual ttl.
PROOF_SHARE = 3 / 4
# How often a renewal begins again with another lease: ours was lost, or etcd has a new leader.
ATTEMPTS = 3


class Etcd3Store:
    """One cluster's keys in etcd v3. Thread-safe."""

    def __init__(self, section: EtcdSection, *, namespace: str, scope: str) -> None:
        self._base = base_path(namespace, scope) + "/"
        self._namespace = namespace_path(namespace) + "/"
        self._transport = Etcd3Transport(section)
        self._watched: WatchedPrefix | None = None
        self._lease = Lease(self._transport)
        self._lease_lock = threading.Lock()
        self._published: tuple[str, str, str] | None = None
        self._own_revision = 0
        self._newest = NewestRead()
        self._revision_lock = threading.Lock()
        self._proven_at = float("-inf")

    @property
    def requests_sent(self) -> int:
        """Requests sent so far; never decreases."""
        return self._transport.requests_sent

    def view(self, deadline: float) -> View:
        """Return the watched copy, or read when it is not healthy or misses our own change."""
        copy = self._copy(deadline)
        if copy is not None:
            entries = self._entries(copy.keys.values())
            if not self._newest.is_missed_by(entries, copy.revision):
                return View(entries, copy.seen_at)
        view, revision = self._read(deadline)
        self._newest.note(view.entries, revision)
        if self._published is not None:
            held = view.entries.get(f"members/{self._published[0]}")
            if held is None or held.value != self._published[1]:
                self._published = None  # it is gone: without a watch nothing else tells
        return view

    def read(self, deadline: float) -> View:
        """Read every key linearizably."""
        return self._read(deadline)[0]

    def _read(self, deadline: float) -> tuple[View, int]:
        own_before = self._own_revision
        reply = self._call("kv/range", below(self._base), deadline)
        if reply.revision < own_before:
            # The cluster was replaced or restored, so our earlier changes are not to be awaited.
            with self._revision_lock:
                self._own_revision = reply.revision
        return View(self._entries(key_values(reply.body)), reply.sent_at), reply.revision

    def watch(self, on_change: Callable[[], None]) -> None:
        """Start feeding the copy from a watch stream."""
        self._watched = WatchedPrefix(self._transport, self._base, on_change)
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
        """Make sure that the lease is fresh, then create the leader key on it."""
        called_at = now()
        with self._ttl_keys(deadline):
            for _ in range(ATTEMPTS):
                lease = self._lease.ensure(ttl_seconds, deadline)
                if not self._lease.keep_alive(called_at, deadline):
                    continue
                if self._create_leader(name, lease, deadline, begin_before, initialize):
                    return self._lease.is_of_this_term or self._renewed(
                        name, ttl_seconds, called_at, deadline, create=False
                    )
                if self._lease.id == lease:
                    return False
        raise StoreUnavailable("etcd lost our lease again and again while taking the leader key")

    def renew_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        create: bool = True,
        begin_before: float = NEVER,
    ) -> bool:
        """Keep the lease alive, and prove that the leader key is ours and hangs on it."""
        called_at = now()
        with self._ttl_keys(deadline):
            return self._renewed(
                name, ttl_seconds, called_at, deadline, create=create, begin_before=begin_before
            )

    def release_leader(self, name: str, deadline: float) -> bool:
        """Delete the leader key if its value is our name, on the lease that it has now.

        A request without an answer may be carried out much later, also when it was repeated with
        success. The lease is given up then: who leads again does so on another one.
        """
        with self._ttl_keys(deadline):
            lease = self._lease.id or NO_LEASE
            for _ in range(2):
                reply = self._delete_leader(name, lease, deadline)
                held = _held(reply)
                if _succeeded(reply) or not held:
                    return _succeeded(reply) or reply.after_loss
                if held[0].value != name or held[0].lease == lease:
                    return False
                lease = held[0].lease  # of a former process, or of another ttl
        return False

    def publish_member(self, name: str, value: str, ttl_seconds: int, deadline: float) -> None:
        """Put the member key on our lease, or keep the lease alive when the value is there."""
        with self._ttl_keys(deadline):
            for _ in range(2):
                lease = self._lease.ensure(ttl_seconds, deadline)
                if not self._lease.keep_alive(fresh_since(), deadline):
                    continue
                if self._is_published(name, value, lease, deadline):
                    return
                if self._put_member(name, value, lease, deadline):
                    return
        raise StoreUnavailable("etcd lost our lease twice while publishing the member key")

    def delete_member(self, name: str, deadline: float) -> None:
        """Delete the member key."""
        with self._ttl_keys(deadline):
            self._published = None
            self.delete(f"members/{name}", deadline)

    def put(self, key: str, value: str, deadline: float) -> None:
        """Write a permanent key."""
        self._write("kv/put", put(self._base + key, value), deadline)

    def create(
        self, key: str, value: str, deadline: float, *, given: tuple[str, int] | None = None
    ) -> bool:
        """Write a permanent key if it is missing, and the given one is as it was."""
        path = self._base + key
        conditions = [absent(path)]
        if given is not None:
            conditions.append(revision_is(self._base + given[0], given[1]))
        body = transaction(conditions, [{"request_put": put(path, value)}], [_get(path)])
        reply = self._write("kv/txn", body, deadline)
        if _succeeded(reply):
            return True
        held = _held(reply)
        if reply.after_loss and held and held[0].value == value:
            raise StoreUnavailable(
                f"{path} was created by us or by somebody else: an answer of {reply.url} was lost"
            )
        return False

    def replace(self, key: str, value: str, revision: int, deadline: float) -> bool:
        """Write a permanent key if its revision is unchanged."""
        path = self._base + key
        operation = [{"request_put": put(path, value)}]
        body = transaction(revision_is(path, revision), operation, [_get(path)])
        reply = self._write("kv/txn", body, deadline)
        if _succeeded(reply):
            return True
        held = _held(reply)
        return reply.after_loss and bool(held) and held[0].value == value

    def delete(
        self,
        key: str,
        deadline: float,
        revision: int | None = None,
        *,
        unless: str | None = None,
    ) -> bool:
        """Delete a key, if its revision is unchanged when one is given, unless another is there."""
        path = self._base + key
        conditions = [] if revision is None else [revision_is(path, revision)]
        if unless is not None:
            conditions.append(absent(self._base + unless))
        if not conditions:
            reply = self._write("kv/deleterange", {"key": encoded(path)}, deadline)
            return int(reply.body.get("deleted", 0)) > 0 or reply.after_loss
        body = transaction(conditions, [_delete(path)], [_get(path)])
        reply = self._write("kv/txn", body, deadline)
        return _succeeded(reply) or (reply.after_loss and not _held(reply))

    def delete_all(self, deadline: float) -> None:
        """Delete every key below the base path."""
        self._write("kv/deleterange", below(self._base), deadline)

    def scopes(self, deadline: float) -> list[str]:
        """Return the names that have keys below the namespace."""
        body = below(self._namespace) | {"keys_only": True}
        reply = self._call("kv/range", body, deadline)
        paths = (decoded(item["key"]) for item in reply.body.get("kvs", []))
        below_namespace = (path.removeprefix(self._namespace) for path in paths)
        return sorted({rest.split("/", 1)[0] for rest in below_namespace if "/" in rest})

    def close(self) -> None:
        """Stop watching and drop the connections."""
        if self._watched is not None:
            self._watched.stop()
        self._transport.close()

    @contextmanager
    def _ttl_keys(self, deadline: float) -> Iterator[None]:
        if not self._lease_lock.acquire(timeout=max(0.0, deadline - now())):
            raise StoreUnavailable("an earlier request about our TTL keys has not ended in time")
        try:
            yield
        finally:
            self._lease_lock.release()

    def _create_leader(
        self, name: str, lease: str, deadline: float, begin_before: float, initialize: str | None
    ) -> bool:
        """Return whether the leader key is ours on `lease`; forgets the lease when it is gone."""
        leader = self._base + "leader"
        conditions = [absent(leader)]
        if initialize is not None:
            conditions.append(value_is(self._base + "initialize", initialize))
        operation = [{"request_put": put(leader, name, lease)}]
        body = transaction(conditions, operation, [_get(leader)])
        reply = self._write_leased(body, deadline, begin_before)
        if reply is None or _succeeded(reply):
            return reply is not None
        held = _held(reply)
        # An earlier answer may have been lost: the key is ours then, on this very lease.
        return bool(held) and held[0].value == name and held[0].lease == lease

    def _renewed(
        self,
        name: str,
        ttl_seconds: int,
        since: float,
        deadline: float,
        *,
        create: bool,
        begin_before: float = NEVER,
    ) -> bool:
        for _ in range(ATTEMPTS):
            lease = self._lease.ensure(ttl_seconds, deadline)
            if not self._lease.keep_alive(since, deadline):
                continue
            if self._is_proven(ttl_seconds) and self._leader_is_ours(name, lease, deadline):
                return True
            claimed = self._claim_leader(name, lease, deadline, begin_before, create=create)
            if claimed is False:
                return False
            if claimed and self._lease.is_of_this_term:
                return True
        raise StoreUnavailable("etcd lost our lease again and again while renewing the leader key")

    def _is_proven(self, ttl_seconds: int) -> bool:
        """Whether it was this etcd's leader that kept our lease alive, as far as need be known."""
        if self._transport.stands_alone:
            return True
        return now() - self._proven_at <= PROOF_SHARE * ttl_seconds

    def _leader_is_ours(self, name: str, lease: str, deadline: float) -> bool:
        copy = self._copy(deadline)
        held = copy.keys.get(self._base + "leader") if copy else None
        return held is not None and held.value == name and held.lease == lease

    def _claim_leader(
        self, name: str, lease: str, deadline: float, begin_before: float, *, create: bool
    ) -> bool | None:
        """Put the leader key on our lease if it holds our name, or is missing and to be created.

        None: the lease is gone, so nothing was written.
        """
        leader = self._base + "leader"
        write = [{"request_put": put(leader, name, lease)}]
        named = value_is(leader, name)
        if_absent = transaction(absent(leader), write, [])
        otherwise = [{"request_txn": if_absent}] if create else []
        if_named = transaction(named, write, otherwise)
        # Nothing is written, and no watcher woken, when all is as it should be.
        if_ours = [named, lease_is(leader, lease)]
        body = transaction(if_ours, [], [{"request_txn": if_named}])
        reply = self._write_leased(body, deadline, begin_before)
        return None if reply is None else any(_outcomes(reply))

    def _delete_leader(self, name: str, lease: str, deadline: float) -> Reply:
        leader = self._base + "leader"
        ours = [value_is(leader, name), lease_is(leader, lease)]
        body = transaction(ours, [_delete(leader)], [_get(leader)])
        lost = True
        try:
            reply = self._write("kv/txn", body, deadline)
            lost = reply.after_loss
        finally:
            if lost:
                self._lease.forget()
        return reply

    def _is_published(self, name: str, value: str, lease: str, deadline: float) -> bool:
        if self._published != (name, value, lease):
            return False
        copy = self._copy(deadline)
        if copy is None:
            return True
        held = copy.keys.get(f"{self._base}members/{name}")
        return held is not None and held.value == value and held.lease == lease

    def _put_member(self, name: str, value: str, lease: str, deadline: float) -> bool:
        path = f"{self._base}members/{name}"
        self._published = None
        operation = [{"request_put": put(path, value, lease)}]
        reply = self._write_leased({"compare": [], "success": operation}, deadline)
        if reply is not None:
            self._published = (name, value, lease)
        return reply is not None

    def _write_leased(
        self, body: Json, deadline: float, begin_before: float = NEVER
    ) -> Reply | None:
        """Send a transaction that puts keys on our lease; None when the lease is gone."""
        try:
            return self._write("kv/txn", body, deadline, begin_before)
        except RequestRejected as rejected:
            if not rejected.message.startswith(LEASE_NOT_FOUND):
                raise
            self._lease.forget()
            return None

    def _copy(self, deadline: float) -> Copy | None:
        if self._watched is None:
            return None
        wait_seconds = min(CATCH_UP_SECONDS, deadline - now())
        return self._watched.copy(self._own_revision, wait_seconds)

    def _entries(self, items: Iterable[KeyValue]) -> dict[str, Entry]:
        skip = len(self._base)
        return {item.key[skip:]: Entry(item.value, item.revision) for item in items}

    def _write(self, path: str, body: Json, deadline: float, begin_before: float = NEVER) -> Reply:
        """Send a change, and note the revision that the watched copy must reach to include it."""
        reply = self._call(path, body, deadline, begin_before)
        seen = _change_revision(path, reply)
        with self._revision_lock:
            self._own_revision = max(self._own_revision, seen)
        return reply

    def _call(self, path: str, body: Json, deadline: float, begin_before: float = NEVER) -> Reply:
        """Send a request that only a member in touch with the majority can answer."""
        reply = self._transport.call(path, body, deadline, begin_before)
        self._proven_at = max(self._proven_at, reply.sent_at)
        return reply


def _get(path: str) -> Json:
    return {"request_range": {"key": encoded(path)}}


def _delete(path: str) -> Json:
    return {"request_delete_range": {"key": encoded(path)}}


def _succeeded(reply: Reply) -> bool:
    return bool(reply.body.get("succeeded"))


def _held(reply: Reply) -> list[KeyValue]:
    """Return what the refused transaction's range found."""
    responses = reply.body.get("responses", [])
    return key_values(responses[0].get("response_range", {})) if responses else []


def _outcomes(reply: Reply) -> Iterator[bool]:
    """Yield whether the transaction succeeded, then the one nested in its failure, and so on."""
    answer = reply.body
    while answer:
        yield bool(answer.get("succeeded"))
        responses = answer.get("responses") or [{}]
        answer = responses[0].get("response_txn", {})


def _change_revision(path: str, reply: Reply) -> int:
    """Return the newest revision of a key that the answer proves to exist or to have changed."""
    body = reply.body
    if path == "kv/put" or int(body.get("deleted", 0)) > 0:
        return reply.revision
    if any(_outcomes(reply)) and body.get("responses"):
        return reply.revision
    return max((item.revision for item in _held(reply)), default=0)
