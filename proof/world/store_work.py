"""Changing the store in the model, as `shell/stores/` and the executors do: call by call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from engine import actions as a
from engine.actions import StoreAction
from engine.state import HistoryLine, Lease, SyncState
from proof.world.events import Steps
from proof.world.session import StoreUnavailable
from shell import layout

if TYPE_CHECKING:
    from proof.world.daemon import Daemon


class StoreWork:
    """The actions that change the store, of one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._perhaps_ours: str | None = ""  # what a call of ours may have put into `initialize`

    def work(self, action: StoreAction) -> Steps:
        """The steps of that action; what it sends can be lost on the way, or its answer."""
        store = self._daemon.world.store
        match action:
            case a.AcquireLock():
                return self._acquire(action)
            case a.RenewLock():
                return self._renew(action)
            case a.ReleaseLock():
                return self._release(action)
            case a.PublishMember():
                return self._publish(action.document)
            case a.WithdrawMember():
                return self._withdraw()
            case a.ClaimFounding():
                return self._claim()
            case a.DropFounder():
                return self._delete(lambda: store.drop_founder(action.revision, founded=False))
            case a.CreateInitialize():
                return self._create_initialize(action)
            case a.WriteInitialize():
                return self._write_initialize(action.system_identifier)
            case a.DeleteInitialize():
                return self._delete_initialize(action.revision)
            case a.WriteConfig():
                return self._write_config()
            case a.WriteStatus():
                return self._put(
                    optime=action.optime,
                    slots=dict(sorted(action.slots.items())),
                    retain_slots=tuple(sorted(action.retain_slots)),
                )
            case a.WriteHistory():
                return self._put(history=_stamped(action))
            case a.WriteFailsafe():
                return self._write_failsafe(action)
            case a.WriteSync():
                return self._write_sync(action)
            case a.DeleteSync():
                return self._delete(lambda: store.write_sync(None, action.revision))
            case a.ClearFailover():
                return self._delete(lambda: store.clear_failover(action.revision))
            case _:
                assert_never(action)

    def _change(self, do: Callable[[bool], Any], begin_before: float | None = None) -> Steps:
        return self._daemon.session.change(do, self._daemon.deadline(), begin_before)

    def _acquire(self, action: a.AcquireLock) -> Steps:
        daemon = self._daemon
        sent_at, ttl = daemon.now(), daemon.policy.ttl_seconds
        session, name, store = daemon.session.lease, daemon.host.name, daemon.world.store
        won = yield from self._change(
            lambda _: store.acquire(name, ttl, session, action.initialize), action.begin_before
        )
        if won:
            daemon.lease = Lease(sent_at, ttl)
        return won

    def _renew(self, action: a.RenewLock) -> Steps:
        daemon = self._daemon
        sent_at, ttl = daemon.now(), daemon.policy.ttl_seconds
        session, name, store = daemon.session.lease, daemon.host.name, daemon.world.store
        ours = yield from self._change(
            lambda _: store.renew(name, ttl, session, create=action.create), action.begin_before
        )
        if ours:
            daemon.lease = Lease(sent_at, ttl)
        else:
            daemon.lease = replace(daemon.lease, refused=True)
        return ours

    def _release(self, action: a.ReleaseLock) -> Steps:
        daemon = self._daemon
        daemon.lease = Lease(None, daemon.policy.ttl_seconds)
        if action.final_lsn is not None:
            yield from self._put(optime=action.final_lsn)
        name, store, lost = daemon.host.name, daemon.world.store, True
        held_on = store.leader_session
        try:
            lost = yield from self._change(lambda x: [store.release(name, held_on), x][1])
        finally:  # what is carried out late must not meet a key on the same lease
            daemon.session.lease = object() if lost else daemon.session.lease
        return True

    def _publish(self, document: Mapping[str, Any]) -> Steps:
        daemon, at = self._daemon, self._daemon.now()
        member = daemon.host.member_record(document)
        store, session, ttl = daemon.world.store, daemon.session.lease, daemon.policy.ttl_seconds
        yield from self._change(lambda _: store.publish(member, document, ttl, session))
        daemon.published, daemon.published_at = document, at
        return True

    def _withdraw(self) -> Steps:
        name = self._daemon.host.name
        yield from self._change(lambda _: self._daemon.world.store.withdraw(name))
        self._daemon.published = None
        return True

    def _put(self, **fields: Any) -> Steps:
        yield from self._change(lambda _: self._daemon.world.store.write(**fields))
        return True

    def _create(self, create: Callable[[], bool], held: Callable[[], Any], value: Any) -> Steps:
        """A lost answer and our own value: it cannot be told who wrote it."""

        def do(after_loss: bool) -> bool | None:
            created = create()
            return None if not created and after_loss and held() == value else created

        created = yield from self._change(do)
        if created is None:
            raise StoreUnavailable("created by us or by somebody else: an answer was lost")
        return created

    def _delete(self, delete: Callable[[], bool]) -> Steps:
        return (yield from self._change(lambda after_loss: delete() or after_loss))

    def _claim(self) -> Steps:
        store, name = self._daemon.world.store, self._daemon.host.name
        create, held = lambda: store.create_founder(name), lambda: store.cluster.founder
        claimed = yield from self._create(create, held, name)
        self._perhaps_ours = None if claimed else self._perhaps_ours
        return claimed

    def _create_initialize(self, action: a.CreateInitialize) -> Steps:
        identifier = action.system_identifier
        if action.leader_revision is not None:
            return (yield from self._first_initialize(identifier, lock=action.leader_revision))
        store, asked_before = self._daemon.world.store, self._perhaps_ours == identifier
        self._perhaps_ours = identifier
        if (yield from self._first_initialize(identifier, claim=action.founder_revision)):
            return True
        cluster = self._daemon.known_cluster
        if asked_before:
            cluster = yield from self._change(lambda _: store.cluster)
            if cluster.initialize in {None, identifier}:
                raise StoreUnavailable("there by an earlier call of ours, or by somebody else")
        self._perhaps_ours = None
        if cluster.founder == self._daemon.host.name:
            yield from self._delete(lambda: store.drop_founder(cluster.founder_revision))
        return False

    def _first_initialize(
        self, identifier: str, claim: int | None = None, lock: int | None = None
    ) -> Steps:
        store = self._daemon.world.store
        return self._create(
            lambda: store.create_initialize(identifier, claim, lock),
            lambda: store.cluster.initialize,
            identifier,
        )

    def _delete_initialize(self, revision: int) -> Steps:
        gone = yield from self._delete(lambda: self._daemon.world.store.drop_initialize(revision))
        self._perhaps_ours = None if gone else self._perhaps_ours
        return gone

    def _write_initialize(self, identifier: str) -> Steps:
        store, known = self._daemon.world.store, self._daemon.known_cluster
        if known.initialize is None:
            return (yield from self._first_initialize(identifier))
        if known.initialize:
            return known.initialize == identifier
        filled = yield from self._change(
            lambda after_loss: (
                store.fill_initialize(identifier, known.initialize_revision)
                or (after_loss and store.cluster.initialize == identifier)
            )
        )
        return filled

    def _write_config(self) -> Steps:
        store, config = self._daemon.world.store, self._daemon.host.known_config() or {}
        yield from self._change(lambda _: store.create_config(config))
        return True

    def _write_sync(self, action: a.WriteSync) -> Steps:
        store = self._daemon.world.store
        wanted = SyncState(action.leader, tuple(sorted(action.standbys)), action.quorum, 0)

        def is_ours() -> bool:
            held = store.cluster.sync
            return held is not None and replace(held, revision=0) == wanted

        if not action.revision:
            return (yield from self._create(lambda: store.write_sync(wanted, 0), is_ours, True))
        done = yield from self._change(
            lambda lost: store.write_sync(wanted, action.revision) or (lost and is_ours())
        )
        return done

    def _write_failsafe(self, action: a.WriteFailsafe) -> Steps:
        store, members = self._daemon.world.store, dict(sorted(action.members.items()))
        if not members:
            done = yield from self._delete(lambda: store.write_failsafe({}, action.revision))
        elif not action.revision:
            done = yield from self._create(
                lambda: store.write_failsafe(members, 0), lambda: store.cluster.failsafe, members
            )
        else:
            done = yield from self._change(
                lambda lost: (
                    store.write_failsafe(members, action.revision)
                    or (lost and store.cluster.failsafe == members)
                )
            )
        return done


def _stamped(action: a.WriteHistory) -> tuple[HistoryLine, ...]:
    stamp = layout.iso_from_epoch(action.epoch)
    return tuple(replace(x, timestamp=x.timestamp or stamp) for x in action.lines)
