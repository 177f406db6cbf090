"""The store of the model: its `Cluster` is what the shell would read from the same keys.

Beside each drawn world keys are kept as texts.  Which text a key may have is what the shell's own
executors write for the actions that were decided; what is read is `parse_cluster` of these texts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields, replace
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

import pytest

from engine.actions import StoreAction
from engine.state import Cluster
from proof.simulator.draw import draw
from proof.simulator.run import run
from proof.world import world as worlds
from proof.world.daemon import Daemon
from proof.world.events import Clock, Life, Steps
from proof.world.network import Network
from proof.world.session import Session, StoreUnavailable
from proof.world.store import Store
from proof.world.store_work import StoreWork
from shell import layout
from shell.effects.store import StoreEffects
from shell.stores.base import Entry, View
from shell.world import World as ShellWorld

# Which parts of the record are made of which key; members have a key each.
PARTS = {
    layout.INITIALIZE: ("initialize", "initialize_revision"),
    layout.FOUNDER: ("founder", "founder_revision"),
    layout.LEADER: ("leader", "leader_revision"),
    layout.CONFIG: ("config_present",),
    layout.STATUS: ("optime", "slots", "retain_slots"),
    layout.FAILOVER: ("failover",),
    layout.HISTORY: ("history",),
    layout.SYNC: ("sync",),
    layout.FAILSAFE: ("failsafe", "failsafe_revision"),
}
BY_OPERATORS = frozenset({layout.CONFIG, layout.FAILOVER})
# For each key the texts that the shell has written, by what they mean; None: the key is deleted.
Written: TypeAlias = dict[str, dict[str | None, str | None]]


def meaning(text: str | None) -> str | None:
    """The text of a key, with JSON objects in one order."""
    value = None if text is None else layout.parse_json(text)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else text


def hangs_on_a_lease(key: str) -> bool:
    """Whether that key ends by itself."""
    return key == layout.LEADER or key.startswith(layout.MEMBERS)


class Recorder:
    """Stands for a store of the shell: notes what is written, and gives always the same answer."""

    def __init__(self, written: Written, entries: Mapping[str, Entry], *, answer: bool) -> None:
        self._written = written
        self._entries = entries
        self._answer = answer

    def read(self, *_: object) -> View:
        """What is there, and an `initialize` that nobody of us wrote."""
        return View({**self._entries, layout.INITIALIZE: Entry("another's", 0)}, 0.0)

    def acquire_leader(self, name: str, *_: object, **_conditions: object) -> bool:
        """Note the owner."""
        return self._note(layout.LEADER, name)

    def renew_leader(self, name: str, *_: object, **_conditions: object) -> bool:
        """Note the owner."""
        return self._note(layout.LEADER, name)

    def release_leader(self, _name: str, *_: object) -> bool:
        """Note that it goes."""
        return self._note(layout.LEADER, None)

    def publish_member(self, name: str, text: str, *_: object) -> bool:
        """Note the document."""
        return self._note(layout.member_key(name), text)

    def delete_member(self, name: str, *_: object) -> bool:
        """Note that it goes."""
        return self._note(layout.member_key(name), None)

    def create(self, key: str, text: str, *_: object, given: object = None) -> bool:
        """Note the text."""
        return self._note(key, text)

    put = replace = create

    def delete(
        self, key: str, *_: object, revision: int | None = None, unless: str | None = None
    ) -> bool:
        """Note that it goes."""
        return self._note(key, None)

    def _note(self, key: str, text: str | None) -> bool:
        self._written[key][meaning(text)] = text
        return self._answer


class Keys:
    """The keys of one drawn world, as texts, beside the record that the model keeps."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.written: Written = defaultdict(dict)
        self.compared = 0
        self.seen: set[str] = set()

    def begin(self) -> None:
        """Another world: none of its keys are there yet."""
        self.entries.clear()
        self.written.clear()

    def decided(self, daemon: Daemon, action: StoreAction) -> None:
        """Note what the shell would write for that action, whatever the store then answers."""
        name = daemon.host.name
        settings = SimpleNamespace(
            name=name,
            dynamic=SimpleNamespace(ttl=daemon.policy.ttl_seconds),
            postgresql=SimpleNamespace(conn_url=conn_url(name), proxy_url=""),
            restapi=SimpleNamespace(api_url=api_url(name)),
        )
        for answer in (True, False):
            shell = SimpleNamespace(
                store=Recorder(self.written, self.entries, answer=answer),
                entries=dict(self.entries),
                configured=SimpleNamespace(settings=settings),
                deadline=daemon.deadline,
                lease=daemon.lease,
            )
            StoreEffects(cast(ShellWorld, shell)).work_of(action)()

    def changed(
        self,
        before: Cluster,
        after: Cluster,
        version: int,
        documents: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """The model's record is another one: write the keys, read all of them, and compare."""
        for key, names in PARTS.items():
            if any(getattr(before, name) != getattr(after, name) for name in names):
                self._put(key, text_of(key, after), version)
        for name in {m.name for m in (*before.members, *after.members)}:
            if before.member(name) is not after.member(name):
                key = layout.member_key(name)
                told = documents.get(key)
                self._put(key, None if told is None else published(name, told), version)
        read = layout.parse_cluster(self.entries)
        assert as_read(after, read) == read
        self.compared += 1

    def _put(self, key: str, text: str | None, version: int) -> None:
        ends_by_itself = text is None and hangs_on_a_lease(key)
        if not ends_by_itself and key not in BY_OPERATORS:
            written = self.written[key]
            assert meaning(text) in written, f"the shell never wrote this to {key}: {text}"
            text = written[meaning(text)]
        self.seen.add(layout.MEMBERS if key.startswith(layout.MEMBERS) else key)
        if text is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = Entry(text, version)


def text_of(key: str, c: Cluster) -> str | None:
    """What that key holds, where the record says this; None: it is not there."""
    match key:
        case layout.STATUS:
            told = c.optime is not None
            return layout.status_text(c.optime or 0, c.slots, c.retain_slots) if told else None
        case layout.CONFIG:
            return "{}" if c.config_present else None
        case layout.FAILOVER:
            asked = c.failover
            at = asked.scheduled_epoch if asked else None
            when = None if at is None else layout.iso_from_epoch(at)
            return layout.failover_text(asked.leader, asked.candidate, when) if asked else None
        case layout.HISTORY:
            return None if c.history is None else layout.history_text(c.history)
        case layout.SYNC:
            s = c.sync
            return layout.sync_text(s.leader, s.standbys, s.quorum) if s is not None else None
        case layout.FAILSAFE:
            return None if c.failsafe is None else layout.failsafe_text(c.failsafe)
    return cast(str | None, getattr(c, key.removeprefix(layout.OWN)))


def as_read(model: Cluster, read: Cluster) -> Cluster:
    """The model's record; a moment that is asked for is told in whole microseconds."""
    one, other = model.failover, read.failover
    if one is None or other is None or one.scheduled_epoch is None or other.scheduled_epoch is None:
        return model
    assert abs(one.scheduled_epoch - other.scheduled_epoch) < 1e-5
    return replace(model, failover=replace(one, scheduled_epoch=other.scheduled_epoch))


class Mirrored(Store):
    """The model's store, with the keys beside it."""

    keys: Keys

    def lose_everything(self) -> None:
        """Forget every key, also as text."""
        self.keys.entries.clear()
        super().lose_everything()

    def _now(self, cluster: Cluster) -> None:
        before = self.cluster if self.keys.entries else Cluster()
        super()._now(cluster)
        self.keys.changed(before, cluster, self.version, self._documents)


def published(name: str, document: Mapping[str, Any]) -> str:
    """The text of a member's key, as the shell writes it."""
    return layout.member_text({"conn_url": conn_url(name), "api_url": api_url(name), **document})


def conn_url(name: str) -> str:
    """Where the server of n1, n2, ... listens."""
    return f"postgres://10.0.0.{name.removeprefix('n')}:5432/postgres"


def api_url(name: str) -> str:
    """Where its daemon listens."""
    return f"http://{name}:8008/patroni"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Keys that are kept beside the worlds of this test."""
    kept = Keys()
    work_of = StoreWork.work

    def noted(executor: StoreWork, action: StoreAction) -> Steps:
        kept.decided(executor._daemon, action)
        return work_of(executor, action)

    monkeypatch.setattr(StoreWork, "work", noted)
    monkeypatch.setattr(worlds, "Store", type("Store", (Mirrored,), {"keys": kept}))
    return kept


def live(keys: Keys) -> None:
    """Let drawn worlds live, one after another."""
    for seed in range(1, 25):
        keys.begin()
        run(draw(seed))


def test_the_models_cluster_is_what_the_shell_would_read(keys: Keys) -> None:
    """At every change of every key, in drawn worlds in which each key is written."""
    live(keys)
    assert keys.compared > 1_000  # enough of them
    assert keys.seen == {*PARTS, layout.MEMBERS}


def test_every_part_of_the_record_is_made_of_a_key() -> None:
    """A part that is new is asked for here too."""
    parts = {name for names in PARTS.values() for name in names} | {"members"}
    assert parts == {field.name for field in fields(Cluster)}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("retain_slots", lambda names: tuple(reversed(names))),
        ("slots", lambda slots: {name: lsn + 1 for name, lsn in slots.items()}),
        ("optime", lambda lsn: lsn + 1),
    ],
)
def test_a_model_that_drifts_apart_is_noticed(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, part: str, change: Any
) -> None:
    """A record that the shell reads otherwise, and a text that the shell does not write."""
    put = Store.write

    def otherwise(store: Store, **parts: Any) -> None:
        put(store, **{k: change(v) if k == part and v else v for k, v in parts.items()})

    monkeypatch.setattr(Store, "write", otherwise)
    with pytest.raises(AssertionError):
        live(keys)


def test_the_models_lock_is_taken_only_in_the_cluster_that_was_seen() -> None:
    """As the shell's: a store that has lost its keys gives it to nobody who raced before."""
    store, session = Store(Clock(), rate=1.0, slack=lambda: 0.0), object()
    store.create_initialize("74")
    assert not store.acquire("n1", 30.0, session, "75")
    store.lose_everything()
    assert not store.acquire("n1", 30.0, session, "74")
    assert store.acquire("n1", 30.0, session, None)


def test_the_models_requests_are_not_sent_after_their_moment() -> None:
    """As the shell's: neither the first time nor again."""
    host = cast(Any, SimpleNamespace(name="n1", now=lambda: 5.0))
    clock, life = Clock(), Life()
    session = Session(
        clock, Network(Random(1), 0.01), Store(clock, rate=1.0, slack=lambda: 0.0), host, life
    )
    with pytest.raises(StoreUnavailable, match="too late"):
        next(session.change(lambda _: True, 15.0, begin_before=4.9))
