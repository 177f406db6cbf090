"""Races of the shell that could cost a cluster its single primary, each shown once."""

from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from engine.actions import AcquireLock, RenewLock, Upstream
from engine.state import (
    Cluster,
    DataDirectory,
    DirectoryKind,
    JobKind,
    Lease,
    Member,
    Memory,
    PeerAnswer,
    Postgres,
    Unknown,
)
from shell.config import load_local
from shell.config.effective import effective
from shell.effects.executor import Executor
from shell.effects.store import StoreEffects
from shell.kept_memory import KeptMemory
from shell.lanes import JobLane
from shell.postgres.instance import Instance
from shell.processes import now
from shell.stores.base import StoreUnavailable
from shell.world import World
from tests.support.node_files import node_file
from tests.support.wait import wait_for


@pytest.mark.parametrize("action", [AcquireLock(now() + 60, None), RenewLock()])
def test_a_lease_lasts_as_long_as_the_store_was_asked_for(action: AcquireLock | RenewLock) -> None:
    """A ttl that grows while a request is under way does not make its lease longer."""
    world: Any = MagicMock()
    world.lease = Lease()
    world.configured.settings.dynamic.ttl = 20

    def slow_request(*_: object, **__: object) -> bool:
        world.configured.settings.dynamic.ttl = 30
        return True

    world.store.acquire_leader.side_effect = world.store.renew_leader.side_effect = slow_request

    work = StoreEffects(world).work_of(action)
    assert work is not None
    assert work()

    assert world.lease.ttl_seconds == 20


def test_an_immediate_stop_does_not_wait_for_what_it_cancels() -> None:
    """Work that does not notice its cancellation delays no stop, but nothing begins beside it."""
    lane, began, let_go, stopped = JobLane(lambda _: None), *(threading.Event() for _ in range(3))

    def stuck(_: threading.Event) -> None:
        began.set()
        let_go.wait(30)

    assert lane.start(JobKind.START, "", stuck)
    assert began.wait(10)

    lane.replace(JobKind.STOP, "immediate", lambda _: stopped.set())

    assert stopped.wait(1)
    assert not lane.start(JobKind.CLONE, "", lambda _: None)
    let_go.set()
    wait_for(lambda: lane.job is None, 10, "both to end")
    assert lane.last is not None
    assert lane.last.kind is JobKind.STOP


class _SlowInstance:
    """A PostgreSQL whose looks take as long as the test wants, and count themselves."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = threading.Event()

    def observe(self, _: float) -> Postgres:
        """Look; what is seen is what was there when the look began."""
        self.begun += 1
        seen = f"look {self.begun}"
        if self.begun == 1:
            self.let_go.wait(30)
        directory = DataDirectory(DirectoryKind.VALID)
        return Postgres(directory, None, Unknown(0.0, "down"), wanted_config=seen)


def test_a_look_from_before_the_end_of_a_job_is_not_used() -> None:
    """What was seen of PostgreSQL before a promotion ended says nothing about the time after."""
    instance, desk, store = _SlowInstance(), MagicMock(), MagicMock()
    desk.pending.return_value = ()
    store.view.side_effect = StoreUnavailable("away")
    world = World(MagicMock(), store, instance, None, desk, MagicMock(), lambda _: None)  # type: ignore[arg-type]
    try:
        first = world.snapshot()
        assert first.postgres.outdated
        assert world.jobs.start(JobKind.PROMOTE, "", lambda _: None)
        wait_for(lambda: world.jobs.job is None, 10, "the job to end")

        instance.let_go.set()
        wait_for(lambda: not world.snapshot().postgres.outdated, 10, "a look after the job")

        assert world.snapshot().postgres.wanted_config != "look 1"
        assert instance.begun > 1
    finally:
        instance.let_go.set()
        world.close()


def _instance(folder: Path) -> Instance:
    """An instance with a data directory in which a standby was made, and never started."""
    path = node_file(folder, f"pgpass: {folder}/pgpass")
    settings, _ = effective(load_local(str(path), {}), None)
    (folder / "data").mkdir(mode=0o700)
    return Instance(settings)


def test_following_writes_no_signal_file_beside_a_promotion(tmp_path: Path) -> None:
    """What is written late, after the server was promoted, does not make it pass for a standby."""
    instance, signal = _instance(tmp_path), tmp_path / "data/standby.signal"
    instance.write_configuration("standby", None)
    assert signal.exists()
    signal.unlink()  # as the promotion does

    instance.follow(Upstream("n2", "127.0.0.1", 5433))

    assert not signal.exists()


def test_new_settings_do_not_wait_for_a_hanging_disk(tmp_path: Path) -> None:
    """The main loop hands settings over while a thread that writes files hangs."""
    instance, handed_over = _instance(tmp_path), threading.Event()

    def hand_over() -> None:
        instance.use(instance._settings)
        handed_over.set()

    with instance._files_lock:
        threading.Thread(target=hand_over, daemon=True).start()
        assert handed_over.wait(10)


def test_a_hanging_disk_does_not_hang_the_main_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be remembered is written beside the loop, and is there as soon as the disk is."""
    disk = threading.Event()
    monkeypatch.setattr("shell.postgres.files.os.fsync", lambda _: disk.wait(30))
    monkeypatch.setattr("shell.kept_memory.PATIENCE_SECONDS", 0.01)
    kept, returned = KeptMemory(str(tmp_path)), threading.Event()

    def keep_twice() -> None:
        kept.keep(Memory(rewinding=True))
        kept.keep(Memory(rewinding=False))
        returned.set()

    threading.Thread(target=keep_twice, daemon=True).start()

    assert returned.wait(10)
    disk.set()
    wait_for(lambda: KeptMemory(str(tmp_path)).load().rewinding, 10, "the memory on disk")


def test_only_where_nothing_was_kept_no_cluster_was_ever_seen(tmp_path: Path) -> None:
    """A memory that cannot be read may have known one."""
    assert not KeptMemory(str(tmp_path)).load().knows_cluster
    (tmp_path / "memory.json").write_text("{")
    assert KeptMemory(str(tmp_path)).load().knows_cluster


def test_a_strange_answer_of_the_store_does_not_end_the_daemon() -> None:
    """What an adapter stumbles over is a request that was not done."""
    world: Any = MagicMock()
    world.store_lane.run.side_effect = KeyError("header")

    _, outcomes = Executor(world, reconfigure=lambda: None).run([AcquireLock(now() + 60, None)])

    assert outcomes == ("AcquireLock: not done",)


def test_an_answer_may_come_while_others_are_forgotten() -> None:
    """A member that answers just when the keys of others go does not end the daemon."""
    store: Any = MagicMock()
    world = World(MagicMock(), store, MagicMock(), None, MagicMock(), MagicMock(), lambda _: None)
    kept = Cluster(members=tuple(Member(f"n{number}") for number in range(10_000)))
    world.peers = {m.name: PeerAnswer(m.name, 0.0, reachable=True) for m in kept.members}
    over, interval = threading.Event(), sys.getswitchinterval()

    def answer() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            world.peers[f"gone{number}"] = PeerAnswer(f"gone{number}", 0.0, reachable=True)

    answering = threading.Thread(target=answer)
    sys.setswitchinterval(1e-4)  # it changes hands in the middle of what takes a millisecond
    try:
        answering.start()
        for _ in range(20):
            world._note_vanished(None, kept, now())
    finally:
        sys.setswitchinterval(interval)
        over.set()
        answering.join()
        world.close()


def test_what_is_remembered_outlives_a_crash_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is on disk before it has its name, and the name when the write is over."""
    synced, file = [], tmp_path / "memory.json"
    monkeypatch.setattr(
        "shell.postgres.files.os.fsync",
        lambda opened: synced.append((Path(f"/proc/self/fd/{opened}").readlink(), file.exists())),
    )

    KeptMemory(str(tmp_path)).keep(Memory(rewinding=True))

    (content, was_named), folder = synced
    assert (content.parent, was_named) == (tmp_path, False)
    assert folder == (tmp_path, True)
