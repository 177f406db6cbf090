"""Executors of the store's lane.  Each returns whether the store did what was asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, assert_never

from engine.actions import (
    AcquireLock,
    ClaimFounding,
    ClearFailover,
    CreateInitialize,
    DeleteInitialize,
    DeleteSync,
    DropFounder,
    PublishMember,
    ReleaseLock,
    RenewLock,
    StoreAction,
    WithdrawMember,
    WriteConfig,
    WriteFailsafe,
    WriteHistory,
    WriteInitialize,
    WriteStatus,
    WriteSync,
)
from engine.state import HistoryLine, Lease
from shell import layout
from shell.processes import now
from shell.stores.base import NEVER, StoreUnavailable
from shell.world import World

_log = logging.getLogger(__name__)


class StoreEffects:
    """Carries store actions out; every call is bounded by retry_timeout."""

    def __init__(self, world: World) -> None:
        self._world = world
        # What an earlier call, or process, wrote to `initialize`, or may have written.  The loop
        # need not know: it waits for no answer for long, and decides on what it looked at before.
        self._perhaps_ours: str | None = ""

    def work_of(self, action: StoreAction) -> Callable[[], bool]:
        """What to run in the store's lane for that action."""
        match action:
            case AcquireLock():
                return lambda: self._acquire(action)
            case RenewLock():
                return lambda: self._renew(action)
            case ReleaseLock():
                return lambda: self._release(action)
            case PublishMember():
                return lambda: self._publish(action)
            case WithdrawMember():
                return self._withdraw
            case ClaimFounding():
                return self._claim
            case DropFounder():
                return lambda: self._drop_founder(action.revision)
            case CreateInitialize():
                return lambda: self._create_initialize(action)
            case WriteInitialize():
                return lambda: self._write_initialize(action.system_identifier)
            case DeleteInitialize():
                return lambda: self._delete_initialize(action.revision)
            case WriteConfig():
                return lambda: self._write_config(action)
            case WriteStatus():
                text = layout.status_text(action.optime, action.slots, action.retain_slots)
                return lambda: self._put("status", text)
            case WriteHistory():
                return lambda: self._put("history", _history_text(action))
            case WriteFailsafe():
                return lambda: self._write_failsafe(action)
            case WriteSync():
                return lambda: self._write_sync(action)
            case DeleteSync():
                return lambda: self._drop(layout.SYNC, action.revision)
            case ClearFailover():
                return lambda: self._drop("failover", action.revision)
            case _:
                assert_never(action)

    def _name(self) -> str:
        return self._world.configured.settings.name

    def _ttl(self) -> int:
        return self._world.configured.settings.dynamic.ttl

    def _acquire(self, action: AcquireLock) -> bool:
        # Read once: the main loop may take over another ttl while the request is under way.
        sent_at, ttl = now(), self._ttl()
        won = self._world.store.acquire_leader(
            self._name(),
            ttl,
            self._world.deadline(),
            begin_before=action.begin_before,
            initialize=action.initialize,
        )
        if won:
            self._world.lease = Lease(sent_at, ttl)
            _log.info("acquired the leader lock")
        else:
            _log.info("another member won the leader lock, or the store has lost keys")
        return won

    def _renew(self, action: RenewLock) -> bool:
        sent_at, ttl = now(), self._ttl()
        ours = self._world.store.renew_leader(
            self._name(),
            ttl,
            self._world.deadline(),
            create=action.create,
            begin_before=NEVER if action.begin_before is None else action.begin_before,
        )
        if ours:
            self._world.lease = Lease(sent_at, ttl)
        else:
            self._world.lease = replace(self._world.lease, refused=True)
            _log.warning("the renewal of the leader lock was refused")
        return ours

    def _release(self, action: ReleaseLock) -> bool:
        store, deadline = self._world.store, self._world.deadline()
        self._world.lease = Lease(None, self._ttl())
        if action.final_lsn is not None:
            store.put("status", self._final_status(action.final_lsn), deadline)
        store.release_leader(self._name(), deadline)
        _log.info("released the leader lock: %s", action.why)
        return True

    def _final_status(self, lsn: int) -> str:
        cluster = layout.parse_cluster(self._world.entries)
        return layout.status_text(lsn, cluster.slots, cluster.retain_slots)

    def _publish(self, action: PublishMember) -> bool:
        settings = self._world.configured.settings
        document: dict[str, Any] = {
            "conn_url": settings.postgresql.conn_url,
            "api_url": settings.restapi.api_url,
            **action.document,
        }
        if settings.postgresql.proxy_url:
            document["proxy_url"] = settings.postgresql.proxy_url
        scheduled = document.pop("scheduled_restart", None)
        if scheduled:
            document["scheduled_restart"] = _scheduled(scheduled)
        published_at = now()
        self._world.store.publish_member(
            self._name(), layout.member_text(document), self._ttl(), self._world.deadline()
        )
        self._world.published = dict(action.document)
        self._world.published_at = published_at
        return True

    def _withdraw(self) -> bool:
        self._world.store.delete_member(self._name(), self._world.deadline())
        self._world.published = None
        return True

    def _create(self, key: str, value: str, given: tuple[str, int] | None = None) -> bool:
        return self._world.store.create(key, value, self._world.deadline(), given=given)

    def _put(self, key: str, value: str) -> bool:
        self._world.store.put(key, value, self._world.deadline())
        return True

    def _write_initialize(self, system_identifier: str) -> bool:
        """Only while nobody else has given the cluster an identity."""
        store, entry = self._world.store, self._world.entries.get("initialize")
        if entry is None:
            return store.create("initialize", system_identifier, self._world.deadline())
        if entry.value:
            return bool(entry.value == system_identifier)
        return store.replace(
            "initialize", system_identifier, entry.revision, self._world.deadline()
        )

    def _write_config(self, action: WriteConfig) -> bool:
        """Only if it is missing: an operator's own first version is not overwritten."""
        self._world.store.create(
            "config", layout.compact(json.loads(action.text)), self._world.deadline()
        )
        return True

    def _write_failsafe(self, action: WriteFailsafe) -> bool:
        """Only over the revision that was seen: a late write must not undo what was known."""
        store, key, text = self._world.store, layout.FAILSAFE, layout.failsafe_text(action.members)
        if not action.members:
            return self._drop(key, action.revision)
        if not action.revision:
            return self._create(key, text)
        return store.replace(key, text, action.revision, self._world.deadline())

    def _create_initialize(self, action: CreateInitialize) -> bool:
        """Refused for certain, it is another's: our claim must not say otherwise.

        It is not for certain where an earlier call of ours may have written what is there.
        """
        if action.leader_revision is not None:
            lock_is_ours = (layout.LEADER, action.leader_revision)
            return self._create(layout.INITIALIZE, action.system_identifier, lock_is_ours)
        system_identifier, revision = action.system_identifier, action.founder_revision
        claim_stands = None if revision is None else (layout.FOUNDER, revision)
        asked_before = self._perhaps_ours == system_identifier
        self._perhaps_ours = system_identifier
        if self._create(layout.INITIALIZE, system_identifier, claim_stands):
            return True
        entries = self._world.entries
        if asked_before:
            entries = self._world.store.read(self._world.deadline()).entries
            held = entries.get(layout.INITIALIZE)
            if held is None or held.value == system_identifier:
                raise StoreUnavailable(
                    "`initialize` is there by an earlier call of ours, or by somebody else"
                )
        self._perhaps_ours = None
        claim = entries.get(layout.FOUNDER)
        if claim is not None and claim.value == self._name():
            self._drop(layout.FOUNDER, claim.revision)
        return False

    def _delete_initialize(self, revision: int) -> bool:
        gone = self._drop(layout.INITIALIZE, revision)
        if gone:
            self._perhaps_ours = None
        return gone

    def _claim(self) -> bool:
        """A claim that was not there before: nothing was asked for by it yet."""
        claimed = self._create(layout.FOUNDER, self._name())
        if claimed:
            self._perhaps_ours = None
        return claimed

    def _write_sync(self, action: WriteSync) -> bool:
        text = layout.sync_text(action.leader, action.standbys, action.quorum)
        store, deadline = self._world.store, self._world.deadline()
        if not action.revision:
            return store.create(layout.SYNC, text, deadline)
        return store.replace(layout.SYNC, text, action.revision, deadline)

    def _drop_founder(self, revision: int) -> bool:
        return self._world.store.delete(
            layout.FOUNDER, self._world.deadline(), revision, unless=layout.INITIALIZE
        )

    def _drop(self, key: str, revision: int) -> bool:
        return self._world.store.delete(key, self._world.deadline(), revision=revision)


def _scheduled(planned: dict[str, Any]) -> dict[str, Any]:
    out = {name: value for name, value in planned.items() if value is not None}
    epoch = out.pop("schedule_epoch", None)
    return {"schedule": layout.iso_from_epoch(epoch), **out} if epoch is not None else out


def _history_text(action: WriteHistory) -> str:
    stamp = layout.iso_from_epoch(action.epoch)
    return layout.history_text(
        HistoryLine(x.timeline, x.lsn, x.reason, x.timestamp or stamp, x.new_leader)
        for x in action.lines
    )
