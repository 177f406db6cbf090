"""Whose `initialize` is it?  What an executor makes of the answers while a cluster is founded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine import actions as a
from engine.actions import StoreAction
from shell import layout
from shell.effects.store import StoreEffects
from shell.processes import now
from shell.stores.base import StoreUnavailable
from shell.stores.embedded import EmbeddedStore
from shell.world import World

CREATE = a.CreateInitialize()


class Slow(EmbeddedStore):
    """A store whose next answer gets lost: the request is carried out before, never, or later."""

    late: Callable[[], object] | None = None
    loses = ""

    def create(
        self, key: str, value: str, deadline: float, *, given: tuple[str, int] | None = None
    ) -> bool:
        """Create the key, unless something else is to become of this request."""
        loses, self.loses = self.loses, ""
        if loses == "the request":
            raise StoreUnavailable("no answer")
        if loses == "the answer for now":
            self.late = lambda: EmbeddedStore.create(self, key, value, now() + 10, given=given)
            raise StoreUnavailable("no answer")
        done = super().create(key, value, deadline, given=given)
        if loses == "the answer":
            raise StoreUnavailable("no answer")
        return done

    def arrive(self) -> None:
        """Carry the late request out."""
        assert self.late is not None
        self.late()

    def keys(self) -> dict[str, str]:
        """What is there now."""
        return {key: entry.value for key, entry in self.read(now() + 10).entries.items()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Slow]:
    """An empty store."""
    made = Slow(str(tmp_path / "store.db"), namespace="service", scope="demo")
    yield made
    made.close()


class Daemon:
    """One process: its executor, and what its main loop has looked at last."""

    def __init__(self, store: Slow, name: str = "n1") -> None:
        self._store = store
        self._world: Any = SimpleNamespace(
            store=store,
            entries={},
            configured=SimpleNamespace(settings=SimpleNamespace(name=name)),
            deadline=lambda: now() + 10,
        )
        self._effects = StoreEffects(cast(World, self._world))

    def look(self) -> None:
        """Take a view, as the main loop does."""
        self._world.entries = self._store.read(now() + 10).entries

    def do(self, action: StoreAction) -> bool:
        """Carry it out, on what was seen last."""
        return self._effects.work_of(action)()

    def claim(self) -> a.CreateInitialize:
        """Claim the founding, and see that; what may be created by that claim."""
        assert self.do(a.ClaimFounding())
        self.look()
        return a.CreateInitialize(founder_revision=self.revision(layout.FOUNDER))

    def revision(self, key: str) -> int:
        """Of that key, as it was seen last."""
        return int(self._world.entries[key].revision)


def test_a_founder_that_is_refused_for_certain_drops_its_claim(store: Slow) -> None:
    """Patroni's founder, which claims nothing, was faster: our claim must not say otherwise."""
    daemon = Daemon(store)
    daemon.claim()
    store.put(layout.INITIALIZE, "", now() + 10)

    assert not daemon.do(CREATE)

    assert store.keys() == {layout.INITIALIZE: ""}


@pytest.mark.parametrize("loses", ["", "the answer", "the answer for now"])
def test_what_an_earlier_call_may_have_created_is_not_anothers(store: Slow, loses: str) -> None:
    """However late it was carried out, and whether or not its answer came when nobody waited."""
    daemon = Daemon(store)
    daemon.claim()
    store.loses = loses
    if loses:
        with pytest.raises(StoreUnavailable):
            daemon.do(CREATE)
    else:
        assert daemon.do(CREATE)
    if store.late:
        store.arrive()

    with pytest.raises(StoreUnavailable, match="by an earlier call of ours, or by somebody else"):
        daemon.do(CREATE)

    assert store.keys() == {layout.INITIALIZE: "", layout.FOUNDER: "n1"}


def test_a_lost_request_and_an_identity_that_we_did_not_write(store: Slow) -> None:
    """What is there is not what we may have written: it is another's, for certain."""
    daemon = Daemon(store)
    daemon.claim()
    store.loses = "the request"
    with pytest.raises(StoreUnavailable):
        daemon.do(CREATE)
    store.put(layout.INITIALIZE, "74", now() + 10)

    assert not daemon.do(CREATE)

    assert store.keys() == {layout.INITIALIZE: "74"}


def test_what_is_gone_again_may_have_been_ours(
    store: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, and then there is nothing: the claim stays, and the founding goes on."""
    daemon = Daemon(store)
    daemon.claim()
    store.loses = "the request"
    with pytest.raises(StoreUnavailable):
        daemon.do(CREATE)
    monkeypatch.setattr(store, "create", lambda *_, **__: False)

    with pytest.raises(StoreUnavailable):
        daemon.do(CREATE)

    assert store.keys() == {layout.FOUNDER: "n1"}


def test_the_next_process_does_not_know_what_was_asked_for_by_its_claim(store: Slow) -> None:
    """It finds a claim of its name: the process before it may have asked, and be late."""
    before = Daemon(store)
    before.claim()
    store.loses = "the answer for now"
    with pytest.raises(StoreUnavailable):
        before.do(CREATE)
    daemon = Daemon(store)
    daemon.look()
    store.arrive()

    with pytest.raises(StoreUnavailable):
        daemon.do(CREATE)

    assert store.keys() == {layout.INITIALIZE: "", layout.FOUNDER: "n1"}


@pytest.mark.parametrize("anew", [False, True])
def test_a_founding_that_was_given_up_says_nothing_of_the_next(store: Slow, anew: bool) -> None:
    """After `initialize` was deleted, or with a new claim, a refusal is for certain again."""
    daemon = Daemon(store)
    daemon.claim()
    assert daemon.do(CREATE)
    daemon.look()
    revision = store.read(now() + 10).entries[layout.INITIALIZE].revision
    if anew:
        store.delete_all(now() + 10)
        daemon.claim()
    else:
        assert daemon.do(a.DeleteInitialize(revision))
    store.put(layout.INITIALIZE, "", now() + 10)

    assert not daemon.do(CREATE)

    assert store.keys() == {layout.INITIALIZE: ""}


@pytest.mark.parametrize("founder", ["n1", "n2"])
def test_a_request_by_a_claim_that_was_dropped_creates_nothing(store: Slow, founder: str) -> None:
    """It comes late: another member has dropped that claim, and somebody claims the founding."""
    create, other = Daemon(store, "n1").claim(), Daemon(store, "n2")
    store.loses = "the answer for now"
    with pytest.raises(StoreUnavailable):
        Daemon(store, "n1").do(create)
    other.look()
    assert other.do(a.DropFounder(other.revision(layout.FOUNDER)))
    Daemon(store, founder).claim()

    store.arrive()

    assert store.keys() == {layout.FOUNDER: founder}


def test_a_claim_is_not_dropped_once_it_was_used(store: Slow) -> None:
    """Else nobody could tell who may go on with the bootstrap."""
    daemon, other = Daemon(store, "n1"), Daemon(store, "n2")
    create = daemon.claim()
    other.look()
    assert daemon.do(create)

    assert not other.do(a.DropFounder(other.revision(layout.FOUNDER)))

    assert store.keys() == {layout.INITIALIZE: "", layout.FOUNDER: "n1"}


def test_a_claim_of_another_member_stays(store: Slow) -> None:
    """Whoever is refused without a claim of its own, as a standby cluster may be, drops none."""
    Daemon(store, "n2").claim()
    daemon = Daemon(store)
    daemon.look()
    store.put(layout.INITIALIZE, "", now() + 10)

    assert not daemon.do(a.CreateInitialize("74"))

    assert store.keys() == {layout.INITIALIZE: "", layout.FOUNDER: "n2"}


def test_a_late_deletion_does_not_touch_another_founders_key(store: Slow) -> None:
    """Only what was seen is deleted, and what may be ours is so still."""
    daemon = Daemon(store)
    daemon.claim()
    assert daemon.do(CREATE)
    seen = store.read(now() + 10).entries[layout.INITIALIZE].revision
    store.delete(layout.INITIALIZE, now() + 10)
    assert store.create(layout.INITIALIZE, "", now() + 10)

    assert not daemon.do(a.DeleteInitialize(seen))

    assert store.keys() == {layout.INITIALIZE: "", layout.FOUNDER: "n1"}
    with pytest.raises(StoreUnavailable):
        daemon.do(CREATE)
