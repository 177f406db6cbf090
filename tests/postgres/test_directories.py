"""What is found at the data directory, and what is done to its files; no server is started."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.actions import Upstream
from engine.state import DirectoryKind
from shell.postgres.binaries import Binaries
from shell.postgres.errors import PostgresError
from tests.postgres.cluster import Cluster


def problem(cluster: Cluster) -> str:
    """What is wrong with node a's directory."""
    found = cluster.node("a").observe().directory
    assert found.kind is DirectoryKind.ALIEN
    return found.problem


def test_directories_that_must_not_be_touched_are_named(newest: Cluster) -> None:
    """Each kind of wrong data directory is called alien, with its path and its problem."""
    path = newest.node("a").data_dir
    path.write_text("a file")
    assert "is not a directory" in problem(newest)
    path.unlink()
    path.mkdir(mode=0o700)
    assert newest.node("a").observe().directory.kind is DirectoryKind.EMPTY
    (path / "precious.txt").write_text("data")
    assert "precious.txt" in problem(newest)
    (path / "PG_VERSION").write_text("9\n")
    assert "belongs to PostgreSQL '9'" in problem(newest)
    (path / "PG_VERSION").write_text(f"{newest.install.version}\n")
    assert "pg_control cannot be read" in problem(newest)
    path.chmod(0o755)
    assert "mode 0755" in problem(newest)
    path.chmod(0o500)
    assert "mode 0500" in problem(newest)
    path.chmod(0o700)
    assert (path / "precious.txt").read_text() == "data"


def test_missing_programs_are_named_with_the_mend(folder: Path) -> None:
    """A tool that is not there is named with its full path and the setting to mend."""
    with pytest.raises(PostgresError, match=rf"{folder}/initdb is missing.*postgresql.bin_dir"):
        Binaries(str(folder)).path("initdb")


def test_parameters_that_the_server_has_are_known(newest: Cluster) -> None:
    """Ordinary, developer and extension parameters are known; a misspelt one is not."""
    binaries = Binaries(str(newest.install.bin_dir))
    for name in ("work_mem", "DateStyle", "ignore_checksum_failure", "some.thing"):
        assert binaries.knows_parameter(name), name
    for name in ("work_memm", "--version", "shared buffers"):
        assert not binaries.knows_parameter(name), name


def test_operators_file_is_kept_and_included(newest: Cluster) -> None:
    """The first take-over keeps postgresql.conf as base; ours includes it and quotes its values."""
    node = newest.node("a", parameters={"search_path": '"it\'s", back\\slash', "no.such": "x"})
    node.initdb()
    original = (node.data_dir / "postgresql.conf").read_text()
    auto = node.data_dir / "postgresql.auto.conf"
    auto.write_text("work_mem = '7MB'\nprimary_conninfo = 'host=elsewhere'\n")
    node.write_configuration("standby", Upstream("b", "10.0.0.2", 5433, "a"))
    text = (node.data_dir / "postgresql.conf").read_text()
    assert (node.data_dir / "postgresql.base.conf").read_text() == original
    assert "include 'postgresql.base.conf'" in text
    assert "search_path = '\"it''s\", back\\\\slash'" in text
    assert "no.such = 'x'" in text
    assert "wal_retrieve_retry_interval = '500ms'" in text
    before, _, recovery = text.partition("\n# recovery.conf\n")
    assert "primary_conninfo" not in before
    assert "primary_slot_name = 'a'" in recovery
    assert "application_name=a" in recovery
    assert "recovery_target_timeline = 'latest'" in recovery
    assert auto.read_text() == "work_mem = '7MB'\n"
    assert (node.data_dir / "standby.signal").exists()
    assert (node.data_dir / "postgresql.conf").stat().st_mode & 0o777 == 0o600
    seen = node.observe()
    assert seen.configured_upstream == "10.0.0.2:5433"
    assert seen.wanted_config == seen.applied_config
    node.write_configuration("primary", None)
    assert not (node.data_dir / "standby.signal").exists()
    assert (node.data_dir / "postgresql.base.conf").read_text() == original


def test_password_file_escapes_and_keeps_other_servers(newest: Cluster) -> None:
    """The password file is private, escaped, and keeps the lines of other servers."""
    node = newest.node("a")
    node.initdb()
    path = newest.folder / "a.pgpass"
    path.write_text("other:5432:*:someone:secret\n10.0.0.2:5433:*:replicator:old\\:one\n")
    node.write_configuration("standby", Upstream("b", "10.0.0.2", 5433))
    assert path.read_text() == (
        "other:5432:*:someone:secret\n10.0.0.2:5433:*:replicator:repl\\:i\\\\ca'te\n"
    )
    assert path.stat().st_mode & 0o777 == 0o600


def test_emptying_follows_links_and_spares_strangers(newest: Cluster) -> None:
    """WAL and tablespaces behind links are emptied; other clusters' directories there stay."""
    wal, space = newest.folder / "wal", newest.folder / "space"
    node = newest.node("a")
    node.initdb()
    (node.data_dir / "pg_wal").rename(wal)
    (node.data_dir / "pg_wal").symlink_to(wal)
    for name in ("PG_18_202506291", "precious"):
        (space / name).mkdir(parents=True)
        (space / name / "1").write_text("x")
    (node.data_dir / "pg_tblspc" / "16400").symlink_to(space)
    node.remove_data_directory(threading.Event())
    assert list(node.data_dir.iterdir()) == []
    assert list(wal.iterdir()) == []
    assert (space / "precious" / "1").exists()
    assert not (space / "PG_18_202506291" / "1").exists()
    assert node.observe().directory.kind is DirectoryKind.EMPTY


def test_failed_bootstrap_is_set_aside_without_losing_an_older_one(newest: Cluster) -> None:
    """The directory goes to .failed, or to a numbered name when that exists."""
    node = newest.node("a")
    for expected in ("a.failed", "a.failed.1"):
        node.data_dir.mkdir()
        (node.data_dir / "half").write_text(expected)
        moved = node.move_data_directory()
        assert moved is not None
        assert (moved.name, (moved / "half").read_text()) == (expected, expected)
    assert node.move_data_directory() is None
