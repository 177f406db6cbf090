"""A start whose turn comes too late is not begun."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from shell.postgres.errors import PostgresError
from shell.postgres.start import Child, StartPlan
from shell.processes import now


def _plan(folder: Path) -> StartPlan:
    mark = folder / "begun"
    program = folder / "postgres"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o700)
    return StartPlan(str(program), folder, folder / "postgresql.conf", {})


def test_no_postmaster_begins_after_its_last_moment(tmp_path: Path) -> None:
    """What came before the start took so long that the lease may end: nothing is begun."""
    plan, child = replace(_plan(tmp_path), begin_before=now() - 0.001), Child()
    with pytest.raises(PostgresError, match="too little of the lease"):
        child.spawn(plan, None, threading.Event())
    assert child.identity() is None
    assert not (tmp_path / "begun").exists()


def test_a_postmaster_begins_up_to_its_last_moment(tmp_path: Path) -> None:
    """With time left the program is run."""
    plan, child = replace(_plan(tmp_path), begin_before=now() + 60), Child()
    child.spawn(plan, None, threading.Event())
    while child.reap() is None:
        pass
    assert (tmp_path / "begun").exists()
