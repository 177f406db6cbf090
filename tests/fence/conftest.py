"""Fixtures of the fence's tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell.fence.client import Fence, FenceUnavailable
from shell.processes import ProcessId, is_alive
from tests.fence.support import Postgres, bin_directories, fake_postmaster, start_fence
from tests.support.wait import wait_for


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A folder that stands for a data directory."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    """Where the fence writes down what it did."""
    return tmp_path / "fence.log"


@contextlib.contextmanager
def _running(directory: Path, state_file: Path) -> Iterator[Fence]:
    fence = Fence(directory, state_file)
    start_fence(fence)
    yield fence
    with contextlib.suppress(FenceUnavailable):
        wait_for(lambda: fence.status().ready, 10, "the fence to finish")
        fence.disarm()
        fence.quit()


@pytest.fixture
def fence(directory: Path, state_file: Path) -> Iterator[Fence]:
    """A running fence of the stand-in data directory."""
    with _running(directory, state_file) as running:
        yield running


@pytest.fixture
def postmaster(directory: Path) -> Iterator[ProcessId]:
    """A stand-in postmaster with two children that ignores SIGQUIT."""
    with fake_postmaster(directory) as identity:
        yield identity


@pytest.fixture(scope="session", params=bin_directories(), ids=lambda path: str(path.parent.name))
def installation(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A data directory of each PostgreSQL version on this machine."""
    postgres = Postgres(request.param)
    yield postgres
    postgres.end()
    shutil.rmtree(postgres.home)


@pytest.fixture
def postgres(installation: Postgres) -> Iterator[Postgres]:
    """A data directory without a running server, whatever the test does to it."""
    yield installation
    installation.end()


@pytest.fixture
def server(postgres: Postgres) -> Iterator[ProcessId]:
    """The postmaster of a running server."""
    identity = postgres.start()
    yield identity
    if is_alive(identity):
        os.kill(identity.pid, signal.SIGCONT)


@pytest.fixture
def server_fence(postgres: Postgres, state_file: Path) -> Iterator[Fence]:
    """A running fence of the server's data directory."""
    with _running(postgres.data, state_file) as running:
        yield running
