"""Real PostgreSQL servers for these tests: every installed version, in fresh folders.

PostgreSQL refuses root.  In a run of root each of these tests becomes an unprivileged account for
its duration; the programs it starts can never get root's privileges back.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres.cluster import Cluster
from tools.accounts import find_account
from tools.servers import PostgresInstall, find_postgres

INSTALLS = find_postgres()


@pytest.fixture(autouse=True)
def unprivileged() -> Iterator[None]:
    """Be an ordinary account; real and effective ids are equal, as PostgreSQL demands."""
    if os.getuid() != 0:
        yield
        return
    account, groups = find_account(), os.getgroups()
    os.setgroups([])
    os.setresgid(account.gid, account.gid, 0)
    os.setresuid(account.uid, account.uid, 0)
    yield
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    os.setgroups(groups)


@pytest.fixture
def folder(unprivileged: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of that account, short enough for socket files; its home meanwhile."""
    path = Path(tempfile.mkdtemp(prefix="hae-pg-", dir="/tmp"))
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.chdir(path)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=INSTALLS, ids=lambda install: f"pg{install.version}")
def cluster(request: pytest.FixtureRequest, folder: Path) -> Iterator[Cluster]:
    """Servers to be, of each installed version in turn; what runs is killed at the end."""
    with Cluster(request.param, folder) as made:
        yield made


@pytest.fixture
def newest(folder: Path) -> Iterator[Cluster]:
    """The same of the newest version only, for what does not depend on the version."""
    with Cluster(INSTALLS[-1], folder) as made:
        yield made


@pytest.fixture
def install() -> PostgresInstall:
    """The newest installed PostgreSQL."""
    return INSTALLS[-1]
