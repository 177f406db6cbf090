"""The copy of the dynamic configuration beside the data, for when the store has lost it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from engine.state import Cluster, Known, Unknown
from shell.config import load_local
from shell.configured import Configured
from shell.daemon import Daemon
from shell.lanes import SideLane
from shell.postgres.errors import PostgresError
from shell.processes import now
from tests.support import snapshots
from tests.support.node_files import node_file
from tests.support.wait import wait_for

OLD = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}


def _configured(folder: Path) -> Configured:
    """A node's, with a data directory."""
    (folder / "data").mkdir(mode=0o700)
    (folder / "data/PG_VERSION").write_text("15\n")
    path = node_file(folder)
    return Configured(str(path), load_local(str(path), {}))


def _daemon(configured: Configured) -> tuple[Daemon, Any]:
    """A daemon of that configuration, in whose store OLD is, and its world."""
    world: Any = MagicMock()
    world.configured, world.snapshot.return_value = configured, snapshots.replica(now())
    world.entries = {"config": MagicMock(value=json.dumps(OLD))}
    return Daemon(world, MagicMock(), MagicMock(), MagicMock()), world


def test_what_changes_no_file_of_postgresql_is_kept_too(tmp_path: Path) -> None:
    """A daemon that starts beside an empty store does not turn synchronous mode off."""
    configured = _configured(tmp_path)
    configured.use_dynamic(OLD)
    configured.keep_copy()
    daemon, world = _daemon(configured)
    world.side = SideLane(lambda _: None)
    world.entries = {"config": MagicMock(value=json.dumps({**OLD, "synchronous_mode": True}))}
    try:
        daemon._look()
        copy = tmp_path / "data/patroni.dynamic.json"
        wait_for(lambda: "synchronous_mode" in copy.read_text(), 20, "the copy")
    finally:
        world.side.close()
    again = Configured(str(tmp_path / "node.yml"), load_local(str(tmp_path / "node.yml"), {}))
    assert again.policy.synchronous_mode == "on"


def test_a_copy_that_was_not_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each cycle, until it is there: a disk that was full for a while loses no change."""
    configured = _configured(tmp_path)
    daemon, world = _daemon(configured)

    def started() -> int:
        daemon._look()
        return int(world.side.start.call_count)

    assert (started(), started()) == (1, 2)
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", MagicMock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(PostgresError, match="No space left on device"):
            configured.keep_copy()
    assert started() == 3
    configured.keep_copy()
    assert started() == 3


def test_another_clusters_data_are_left_as_they_are(tmp_path: Path) -> None:
    """Nor is anything written where nobody knows yet whose data they are."""
    daemon, world = _daemon(_configured(tmp_path))
    s = snapshots.replica(now())
    views: list[Known[Cluster] | Unknown] = [
        Known(snapshots.cluster(initialize=text), s.now) for text in (None, "7000000000000000001")
    ]
    for view in (*views, Unknown(s.now, "no answer")):
        world.snapshot.return_value = replace(s, cluster=view)
        daemon._look()
    assert world.side.start.call_count == 0


def test_the_copy_outlives_a_crash_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content and its name are on disk when it was written."""
    configured, synced = _configured(tmp_path), []
    monkeypatch.setattr(
        "os.fsync", lambda opened: synced.append(Path(f"/proc/self/fd/{opened}").readlink().parent)
    )
    configured.use_dynamic(OLD)
    configured.keep_copy()
    assert synced == [tmp_path / "data", tmp_path]
