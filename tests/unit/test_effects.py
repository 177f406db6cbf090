"""The executors: every action has exactly one, and a list stops at its first failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args
from unittest.mock import MagicMock

import pytest

from engine import actions as a
from engine.actions import Action, Upstream
from engine.state import JobKind, Memory
from shell.effects.executor import Executor
from shell.postgres.errors import PostgresError
from shell.postgres.waiting import NEVER
from shell.processes import now
from shell.stores.base import StoreUnavailable

_SAMPLES: dict[str, Any] = {
    "Mapping": {},
    "tuple": (),
    "'info'": "info",
    "str": "x",
    "int": 1,
    "float": now() + 3600,
    "bool": False,
    "Upstream": Upstream("n1", "127.0.0.1", 5432),
}


def _sample(kind: type) -> Action:
    """An instance of that action with harmless values."""
    values: dict[str, Any] = {}
    for name, hint in kind.__annotations__.items():
        text = str(hint)
        if "ClassVar" in text:
            continue
        matching = [value for word, value in _SAMPLES.items() if word in text]
        values[name] = matching[0] if matching else "fast"
    if kind is a.Remember:
        values["changes"] = {"failures": 3}
    if kind is a.WriteConfig:
        values["text"] = "{}"
    made: Action = kind(**values)
    return made


@pytest.fixture
def world() -> Any:
    """A world whose parts only take note of calls."""
    made = MagicMock()
    made.memory = Memory()
    made.jobs.start.return_value = made.jobs.replace.return_value = True
    made.store_lane.run.side_effect = lambda work, _: True
    made.known_cluster.return_value = None
    made.entries = {}
    made.lease = SimpleNamespace(sent_at=1.0, ttl_seconds=30.0, refused=False)
    return made


@pytest.mark.parametrize("kind", get_args(Action), ids=lambda kind: kind.__name__)
def test_every_action_has_an_executor(kind: type, world: Any) -> None:
    """An action that the engine may give can be carried out."""
    executor = Executor(world, reconfigure=lambda: None)

    _, outcomes = executor.run([_sample(kind)])

    assert outcomes == (f"{kind.__name__}: done",)


def test_a_list_stops_at_the_first_failure(world: Any) -> None:
    """Nothing behind an action that failed is carried out: it may depend on it."""
    executor = Executor(world, reconfigure=lambda: None)
    world.store_lane.run.side_effect = StoreUnavailable("the store is away")

    again, outcomes = executor.run([a.AcquireLock(now() + 60, None), a.Remember({"failures": 3})])

    assert (again, outcomes) == (False, ("AcquireLock: not done",))
    assert world.memory == Memory()


@pytest.mark.parametrize(("sent_at", "kill_at"), [(None, 1026.5), (1.0, 27.5)])
def test_without_a_lease_the_fence_is_armed_for_the_one_that_is_asked_for_next(
    world: Any, sent_at: float | None, kill_at: float
) -> None:
    """The deadline is that of the lease, and of the next one only while there is none."""
    executor = Executor(world, reconfigure=lambda: None)
    world.lease.sent_at = sent_at

    executor.run([a.ArmFence(4711, 1, 3.5, 1.75, required=True, asked_ends_at=1030.0)])

    assert world.fence_client.arm.call_args.args[1:] == (kill_at, 1.75)


def test_a_silent_store_does_not_keep_a_crashed_primary_down(world: Any) -> None:
    """What does not depend on a heartbeat is carried out although the heartbeat failed."""
    executor = Executor(world, reconfigure=lambda: None)
    world.lease.refused = False
    world.store_lane.run.side_effect = StoreUnavailable("the store is away")

    _, outcomes = executor.run([a.RenewLock(), a.StartPostgres("primary", None, 10.0)])

    assert outcomes == ("RenewLock: not done", "StartPostgres: done")


def test_a_refused_renewal_stops_everything(world: Any) -> None:
    """Behind a renewal that the store refused nothing is carried out."""
    executor = Executor(world, reconfigure=lambda: None)
    world.lease.refused = True
    world.store_lane.run.side_effect = lambda work, _: False

    _, outcomes = executor.run([a.RenewLock(), a.Promote(10.0)])

    assert outcomes == ("RenewLock: not done",)


@pytest.mark.parametrize(
    "late",
    [
        a.AcquireLock(now() - 0.1, None),
        a.RenewLock(begin_before=now() - 0.1),
        a.StartPostgres("primary", None, 10.0, begin_before=now() - 0.1),
    ],
    ids=lambda action: type(action).__name__,
)
def test_what_comes_too_late_is_not_begun(world: Any, late: Action) -> None:
    """A daemon that was frozen since it decided so decides anew: another may have led."""
    _, outcomes = Executor(world, reconfigure=lambda: None).run([late])

    assert outcomes == (f"{type(late).__name__}: not done",)
    assert not world.store_lane.run.called
    assert not world.jobs.start.called


def test_the_store_is_told_how_long_the_lock_may_be_asked_for(world: Any) -> None:
    """Between the executor's question and the request the daemon may be frozen as well."""
    executor, soon = Executor(world, reconfigure=lambda: None), now() + 60
    world.store_lane.run.side_effect = lambda work, _: work()

    executor.run([a.RenewLock(begin_before=soon), a.AcquireLock(soon, "7000000000000000002")])

    renewed, acquired = world.store.renew_leader, world.store.acquire_leader
    assert renewed.call_args.kwargs == {"create": True, "begin_before": soon}
    assert acquired.call_args.kwargs == {
        "begin_before": soon,
        "initialize": "7000000000000000002",
    }


def test_a_cluster_gets_one_identity(world: Any) -> None:
    """A founder that was overtaken writes no second identity, and takes no lock."""
    executor = Executor(world, reconfigure=lambda: None)
    world.store_lane.run.side_effect = lambda work, _: work()
    world.entries = {"initialize": SimpleNamespace(value="7000000000000000001", revision=5)}

    _, outcomes = executor.run(
        [a.WriteInitialize("7000000000000000002"), a.AcquireLock(now() + 60, None)]
    )

    assert outcomes == ("WriteInitialize: not done",)
    world.store.replace.assert_not_called()


def test_the_founder_fills_the_empty_key(world: Any) -> None:
    """The identity replaces the empty value, at the revision that was seen."""
    executor = Executor(world, reconfigure=lambda: None)
    world.store_lane.run.side_effect = lambda work, _: work()
    world.entries = {"initialize": SimpleNamespace(value="", revision=5)}
    world.store.replace.return_value = True

    executor.run([a.WriteInitialize("7000000000000000002")])

    key, value, revision, _ = world.store.replace.call_args.args
    assert (key, value, revision) == ("initialize", "7000000000000000002", 5)


def test_a_stop_replaces_the_job_under_way(world: Any) -> None:
    """A stop is never refused because other work is under way."""
    executor = Executor(world, reconfigure=lambda: None)

    executor.run([a.StopPostgres("immediate", "a test", kill_at=1007.5)])

    kind, detail, work = world.jobs.replace.call_args.args
    assert (kind, detail) == (JobKind.STOP, "immediate")
    assert world.jobs.replace.call_args.kwargs == {"kill_at": 1007.5}
    work(NEVER)
    assert world.instance.stop.call_args.kwargs["kill_at"] == 1007.5


def test_the_memory_changes_only_by_remember(world: Any) -> None:
    """Remember sets the named fields, and the next cycle follows at once."""
    executor = Executor(world, reconfigure=lambda: None)

    again, _ = executor.run([a.Remember({"failures": 3})])

    assert again
    assert world.memory == Memory(failures=3)


def test_a_bootstrap_is_given_up_only_when_its_remains_are_set_aside(world: Any) -> None:
    """A directory that cannot be moved: nothing behind that, the daemon tries again."""
    executor = Executor(world, reconfigure=lambda: None)
    world.instance.move_data_directory.side_effect = PostgresError("read-only file system")

    _, outcomes = executor.run([a.MoveDataDirectory(), a.DeleteInitialize(), a.Exit(1, "a test")])

    assert outcomes == ("MoveDataDirectory: not done",)
    assert executor.exit is None
