"""What a daemon finds at its start and must not touch, or cannot work with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from shell.processes import now
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.command import hae_daemon
from tests.e2e.support.node_file import PASSWORDS
from tests.e2e.support.stories import healthy, loops_pass, prepared
from tests.support.ports import free_port


def alien(folder: Path) -> str:
    """Somebody's files."""
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    return "is not empty and no PostgreSQL data directory"


def other_major_version(folder: Path) -> str:
    """A data directory of PostgreSQL 9.6."""
    (folder / "base").mkdir(parents=True)
    (folder / "global").mkdir()
    (folder / "PG_VERSION").write_text("9.6\n")
    folder.chmod(0o700)
    return "belongs to PostgreSQL '9.6'"


def unreadable(folder: Path) -> str:
    """A folder that may not be listed."""
    folder.mkdir()
    (folder / "something").write_text("x")
    folder.chmod(0o000)
    return "Permission denied"


def read_only(folder: Path) -> str:
    """A data directory that may not be written."""
    folder.mkdir()
    (folder / "PG_VERSION").write_text("16\n")
    folder.chmod(0o500)
    return "has mode 0500"


def a_file(folder: Path) -> str:
    """No directory at all."""
    folder.write_text("x")
    return "is not a directory"


@pytest.mark.parametrize("make", [alien, other_major_version, unreadable, read_only, a_file])
def test_a_bad_data_directory_is_named_and_not_touched(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    """The daemon says what is wrong with the directory, takes no lock and changes nothing."""
    with prepared(tmp_path, nodes=1) as cluster, cluster.keys() as keys:
        node = cluster.nodes[0]
        complaint = make(node.place.data_dir)
        before = looks(node.place.data_dir)
        node.start_daemon()
        cluster.wait_for(lambda: complaint in node.log_text(), 30, f"the log to say {complaint!r}")
        loops_pass(cluster, 3)
        assert looks(node.place.data_dir) == before
        assert not {"leader", "initialize"} & set(keys.read(now() + 10).entries)
        assert "Traceback" not in node.log_text()
        with contextlib.suppress(OSError):
            node.place.data_dir.chmod(0o700)


@pytest.mark.parametrize(
    ("data_dir", "complaint"),
    [
        pytest.param("/usr/share", "belongs to account 0", id="there"),
        pytest.param("/usr/share/hae-nowhere", "/usr/share may not be written", id="to be made"),
    ],
)
def test_a_folder_of_another_account_is_not_touched(
    tmp_path: Path, data_dir: str, complaint: str
) -> None:
    """A data directory that belongs to somebody else (here: to root) is named and left alone."""
    with prepared(tmp_path, nodes=1) as cluster:
        node = cluster.nodes[0]
        changes = {
            "postgresql": {"data_dir": data_dir},
            "recorder": {"dir": str(node.place.folder / "records")},
        }
        cluster.write_node_file(node, changes)
        node.start_daemon()
        cluster.wait_for(lambda: complaint in node.log_text(), 30, "the complaint")
        loops_pass(cluster, 3)


def test_another_clusters_data_ends_the_daemon(tmp_path: Path) -> None:
    """A data directory with another system identifier: exit 1, and it is left as it is."""
    with healthy(tmp_path, nodes=2) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        replica.kill_daemon()
        replica.kill_postmaster()
        cluster.wait_for(lambda: replica.postmaster_pid() is None, 20, "the postmaster to end")
        shutil.rmtree(replica.place.data_dir)
        foreign_cluster(cluster, replica.place.data_dir)
        before = looks(replica.place.data_dir)
        replica.start_daemon()
        assert replica.wait_daemon() == 1
        assert "another cluster's data" in replica.log_text()
        assert looks(replica.place.data_dir) == before
        assert leader.is_writable()


def test_two_members_of_one_name_do_not_fight(tmp_path: Path) -> None:
    """A second daemon with the name of a running one ends with exit code 1."""
    with healthy(tmp_path, nodes=2) as cluster:
        leader, replica = cluster.leader(), cluster.replicas()[0]
        before = leader.postmaster_pid()
        cluster.write_node_file(replica, {"name": leader.name})
        replica.restart_daemon()
        assert replica.wait_daemon() == 1
        assert f"a member with the name {leader.name} is running" in replica.log_text()
        assert leader.postmaster_pid() == before
        assert leader.is_writable()


def test_a_taken_port_of_the_rest_api_is_named(tmp_path: Path) -> None:
    """The REST API's port is in use: exit 1 with the port, nothing is created."""
    with prepared(tmp_path, nodes=1) as cluster, listening() as port:
        node = cluster.nodes[0]
        address = f"127.0.0.1:{port}"
        cluster.write_node_file(node, {"restapi": {"listen": address, "connect_address": address}})
        node.start_daemon()
        assert node.wait_daemon() == 1
        assert f"restapi.listen: {address} is in use by process {os.getpid()}" in node.log_text()
        assert "Traceback" not in node.log_text()
        assert not node.place.data_dir.exists()


def test_a_founder_whose_port_is_taken_ends_before_initdb(tmp_path: Path) -> None:
    """PostgreSQL's port is in use: exit 1 with port, setting and process; nothing is made."""
    with prepared(tmp_path, nodes=1) as cluster, cluster.keys() as keys, listening() as port:
        node = cluster.nodes[0]
        address = f"127.0.0.1:{port}"
        listen = {"postgresql": {"listen": address, "connect_address": address}}
        cluster.write_node_file(node, listen)
        node.start_daemon()
        assert node.wait_daemon() == 1
        complaint = f"postgresql.listen: {address} is in use by process {os.getpid()}"
        assert complaint in node.log_text()
        assert "Traceback" not in node.log_text()
        assert not node.place.data_dir.exists()
        assert "initialize" not in keys.read(now() + 10).entries


def test_a_replica_whose_port_is_taken_waits_for_it(tmp_path: Path) -> None:
    """It is neither started nor copied meanwhile, and joins once the port is free."""
    with healthy(tmp_path, nodes=2) as cluster:
        replica = cluster.replicas()[0]
        complaint = f":{replica.place.postgres_port} is in use by process {os.getpid()}"

        def complains_again(before: int) -> bool:
            return replica.log_text().count(complaint) > before

        for told, lose_data in enumerate((False, True)):
            replica.kill_daemon()
            replica.kill_postmaster(signal.SIGQUIT)
            cluster.wait_for(lambda: replica.postmaster_pid() is None, 20, "the postmaster's end")
            if lose_data:
                shutil.rmtree(replica.place.data_dir)
            before = looks(replica.place.data_dir)
            with listening(replica.place.postgres_port):
                replica.start_daemon()
                cluster.wait_for(partial(complains_again, told), 30, "a complaint")
                loops_pass(cluster, 3)
                assert looks(replica.place.data_dir) == before
            cluster.wait_healthy()


def test_missing_programs_are_named(tmp_path: Path) -> None:
    """postgresql.bin_dir without programs: --validate and the daemon both say so."""
    with prepared(tmp_path, nodes=1) as cluster:
        node = cluster.nodes[0]
        empty = tmp_path / "empty"
        empty.mkdir()
        cluster.write_node_file(node, {"postgresql": {"bin_dir": str(empty)}})
        checked = hae_daemon("--validate", node.place.file)
        assert checked.code == 1
        assert "postgresql.bin_dir" in checked.text
        node.start_daemon()
        cluster.wait_for(lambda: str(empty) in node.log_text(), 30, "the complaint")
        assert "Traceback" not in node.log_text()
        assert not node.place.data_dir.exists()


def test_validate_accepts_a_good_file(tmp_path: Path) -> None:
    """--validate of a working node's file says that there is no error, and exits 0."""
    with prepared(tmp_path, nodes=1) as cluster:
        checked = hae_daemon("--validate", cluster.nodes[0].place.file)
        assert checked.code == 0, checked.text
        assert "0 error(s)" in checked.text
        shown = hae_daemon("--validate", "--print", cluster.nodes[0].place.file)
        assert not [word for word in PASSWORDS.values() if word in shown.text]


def test_validate_names_every_mistake_at_once(tmp_path: Path) -> None:
    """Wrong types, unknown keys and missing sections come in one list, each with its path."""
    file = tmp_path / "node.yml"
    file.write_text(
        "scope: 7x\nname: n1\nrestapi: {listen: 'nowhere', connect_adress: 'x:1'}\n"
        "etcd3: {hosts: '127.0.0.1:2379'}\nbootstrap: {dcs: {ttl: soon, loop_wait: [1]}}\n"
        "postgresql: {listen: '127.0.0.1:70000', data_dir: 5, parameters: 'work_mem=1'}\n"
    )
    checked = hae_daemon("--validate", file)
    assert checked.code == 1
    for path in (
        "restapi.listen",
        "restapi.connect_adress",
        "bootstrap.dcs.ttl",
        "postgresql.listen",
        "postgresql.parameters",
    ):
        assert path in checked.text
    assert "Traceback" not in checked.text
    started = hae_daemon(file)
    assert started.code == 1
    assert "bootstrap.dcs.ttl" in started.text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("scope: a\n\tname: b\n", "tab", id="tab"),
        pytest.param("scope: a\nscope: b\nname: c\n", "twice", id="duplicate key"),
        pytest.param("- a\n- b\n", "node.yml", id="a list"),
        pytest.param("scope: [a\n", "YAML", id="unclosed"),
        pytest.param("\x00\x01", "node.yml", id="binary"),
        pytest.param("", "scope", id="empty"),
    ],
)
def test_broken_yaml_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    """A file that is no good YAML: exit 1, a message with file and line, no traceback."""
    file = tmp_path / "node.yml"
    file.write_text(text)
    for ran in (hae_daemon("--validate", file), hae_daemon(file)):
        assert ran.code == 1
        assert complaint in ran.text
        assert "Traceback" not in ran.text


def looks(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return every entry below a folder with its mode, size and time of change."""
    if not folder.exists():
        return []
    entries = [folder, *sorted(folder.rglob("*"))] if folder.is_dir() else [folder]
    found = [(str(entry), entry.lstat()) for entry in entries]
    return [(name, s.st_mode, s.st_size, s.st_mtime_ns) for name, s in found]


def foreign_cluster(cluster: Cluster, data_dir: Path) -> None:
    """Make a data directory that belongs to no cluster of ours."""
    subprocess.run(
        [cluster.postgres.bin_dir / "initdb", "-D", data_dir, "-U", "postgres", "--no-sync"],
        check=True,
        capture_output=True,
        timeout=120,
    )


@contextlib.contextmanager
def listening(port: int = 0) -> Iterator[int]:
    """Listen on that port, or a free one, and give its number."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = port or free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield port
