"""Synchronous replication, step by step: nobody who may lead ever lacks an acknowledged commit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine import quorum
from engine.actions import WriteSync
from engine.quorum import Names, Promise
from engine.state import Tags
from tests.support.sync_world import OTHERS, World

_NAME = st.sampled_from(OTHERS)
_TAGS = st.sampled_from((Tags(), Tags(nosync=True), Tags(sync_priority=2), Tags(nofailover=True)))
_POLICY = st.fixed_dictionaries(
    {},
    optional={
        "synchronous_mode": st.sampled_from(("on", "quorum")),
        "synchronous_mode_strict": st.booleans(),
        "synchronous_node_count": st.integers(1, 3),
        "maximum_lag_on_syncnode_bytes": st.sampled_from((-1, 2)),
    },
)
_EVENTS = st.one_of(
    st.tuples(st.just("loop"), st.sampled_from((0, 1, 2, 99, 99)), st.booleans()),
    st.tuples(st.just("slow"), _NAME),
    st.tuples(st.just("calm"), st.integers(1, 8)),
    st.tuples(st.just("replicate"), _NAME),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 0.5, 1.0, 2.0))),
    st.tuples(st.just("toggle"), _NAME),
    st.tuples(st.just("reload")),
    st.tuples(st.just("restart_postgres")),
    st.tuples(st.just("restart_daemon")),
    st.tuples(st.just("arrive"), st.integers(0, 3)),
    st.tuples(st.just("policy"), _POLICY),
    st.tuples(st.just("tags"), _NAME, _TAGS),
    st.tuples(st.just("listens"), st.booleans()),
    st.tuples(st.just("full"), st.booleans()),
)


def happen(world: World, event: tuple[Any, ...]) -> None:
    """Let that event happen in the world."""
    what, *values = event
    if what == "policy":
        world.policy = replace(world.policy, **values[0])
    elif what == "tags":
        world.standbys[values[0]].tags = values[1]
    elif what in {"listens", "full"}:
        setattr(world, what, values[0])
    else:
        getattr(world, what)(*values)


@given(_POLICY, st.lists(_EVENTS, max_size=30))
def test_nobody_who_may_lead_lacks_a_commit(
    policy: dict[str, Any], events: list[tuple[Any, ...]]
) -> None:
    """Whatever happens between two steps, and however few of the actions were carried out."""
    world = World()
    happen(world, ("policy", policy))
    world.calm()
    for event in events:
        happen(world, event)
        assert world.lacking() == []


@given(st.lists(_EVENTS, max_size=40))
def test_once_all_is_calm_the_standbys_are_synchronous(events: list[tuple[Any, ...]]) -> None:
    """From whatever state, soon the names wait for fit standbys only, and the key names them."""
    world = World()
    for event in events:
        happen(world, event)
    world.late.clear()
    world.listens, world.full = True, False
    for name, standby in world.standbys.items():
        standby.tags, standby.connected, standby.slow = Tags(), name != "n4", False
    for _ in range(5):
        world.calm()
        assert world.lacking() == []
    assert world.key is not None
    count = world.policy.synchronous_node_count
    expected = {"n2", "n3"} if world.policy.synchronous_mode == "quorum" else None
    assert len(world.key.standbys) == (2 if expected else min(count, 2))
    assert "n4" not in world.force
    assert world.acknowledged == world.position  # nothing hangs
    assert world.cycle() == []


# --- the ways in which it could go wrong, each told once ------------------------------------------


def told(world: World) -> list[str]:
    """Let the world be calm, and give who lacks what."""
    world.calm()
    return world.lacking()


def without_standbys(**policy: Any) -> World:
    """A leader that nobody streams from, so that nobody is synchronous."""
    world = World()
    world.policy = replace(world.policy, **policy)
    for standby in world.standbys.values():
        standby.connected = False
    world.calm()
    assert world.key is not None
    assert world.key.standbys == ()
    return world


def test_a_standby_that_is_behind_is_not_named() -> None:
    """What was acknowledged while nobody was synchronous must be there before `sync` says so."""
    world = without_standbys()
    world.toggle("n2")
    world.slow("n2")
    assert told(world) == []
    assert world.force == "n2"
    key = world.key
    assert key is not None
    assert key.standbys == ()
    world.slow("n2")
    assert told(world) == []
    assert world.key is not None
    assert world.key.standbys == ("n2",)


def test_a_process_that_has_not_read_the_names_yet_acknowledges_by_the_old_ones() -> None:
    """A busy checkpointer lets commits pass for as long as it is busy."""
    world = without_standbys()
    world.toggle("n2")
    world.listens = False
    for _ in range(8):
        assert told(world) == []
        world.standbys["n2"].slow = not world.standbys["n2"].slow
    assert world.key is not None
    assert world.key.standbys == ()


def test_names_are_old_for_a_moment_in_every_process() -> None:
    """The position that confirms is read once all processes had the time to read the names."""
    world = without_standbys()
    world.toggle("n2")
    for _ in range(10):
        world.loop()
        world.wait(0.1)
        world.write()  # acknowledged by the old names, and not on the standby
        world.acknowledge()
        assert world.lacking() == []


def test_a_late_write_of_the_key_finds_names_that_keep_it() -> None:
    """A write whose answer was lost is done only after the standby that it names is gone."""
    world = without_standbys()
    world.toggle("n2")
    while not any(isinstance(x, WriteSync) for x in world.loop(loses_the_answer=True)):
        world.wait(0.5)
    assert world.late[0].standbys == ("n2",)
    world.toggle("n2")
    assert told(world) == []
    assert world.force == ""
    world.arrive(0)
    assert told(world) == []


def test_what_is_written_and_not_loaded_counts_after_a_restart() -> None:
    """The daemon dies between writing the file and the reload, and PostgreSQL starts again."""
    world = without_standbys()
    world.toggle("n2")
    while world.force != "n2":
        world.loop()
    world.file = ""  # the last step of a daemon that was about to leave n2 out again
    world.full = True
    world.restart_daemon()
    for _ in range(3):
        assert told(world) == []
    world.slow("n2")
    world.restart_postgres()
    world.write()
    assert world.lacking() == []


_SETS = st.frozensets(st.sampled_from("abcd"))
_NAMES = st.builds(Names, st.integers(0, 4), _SETS)
_PROMISES = st.builds(Promise, _SETS, st.integers(0, 3))


@given(_NAMES, _PROMISES)
def test_kept_promises_are_kept_in_every_case(names: Names, promise: Promise) -> None:
    """keeps() agrees with trying every set that can decide against every set that confirms.

    It may be more careful than needed, never less.
    """
    if quorum.keeps(names, promise):
        assert all(
            {*winners} & {"leader", *holders}
            for winners in itertools.combinations({*promise.voters, "leader"}, promise.quorum + 1)
            for holders in itertools.combinations(names.members, names.needed)
            if promise.voters
        )


@given(_PROMISES, _PROMISES, _NAMES)
def test_narrowing_only_narrows(promise: Promise, target: Promise, names: Names) -> None:
    """A narrowed promise lets nobody win who could not, and the target's names keep it."""
    less = quorum.narrowed(promise, target, names)
    assert quorum.narrows(promise, less)
    assert quorum.keeps(names, less)


@given(st.integers(1, 4), st.frozensets(st.sampled_from(("n1", "N-2", 'a"b', "any", "3", "x y"))))
def test_names_survive_their_text(needed: int, members: frozenset[str]) -> None:
    """What is written reads back as the same; `*` and nonsense ask for nobody."""
    lower = frozenset(name.lower() for name in members)
    names = Names(min(needed, len(lower)), lower)
    assert quorum.names_of(quorum.text_of(names)) == (names if lower else Names())


def test_names_of_others_are_read_as_postgresql_reads_them() -> None:
    """Every form of the setting; who takes just anybody keeps no promise."""
    assert quorum.names_of("a, B") == Names(1, frozenset("ab"))
    assert quorum.names_of("FIRST 2 (a, b, c)") == Names(2, frozenset("abc"))
    assert quorum.names_of("any 1 (a)") == Names(1, frozenset("a"))
    for text in ("", "*", "2 (*)", '"*"', "2 (a,", "FIRST a", "a b", "0 (a)", "(", '"a'):
        assert quorum.names_of(text) == Names(), text
