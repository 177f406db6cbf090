"""`--validate`: the file and this host together, with nothing changed by the check."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell.config import validate_file

Node = Callable[..., Path]

TOOLS = ("postgres", "pg_ctl", "initdb", "pg_controldata", "pg_basebackup", "pg_rewind")


@pytest.fixture
def node(tmp_path: Path, minimal: str) -> Node:
    """Return a writer of a node file whose host is sane: programs, folders, free ports."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for tool in TOOLS:
        (bin_dir / tool).write_text('#!/bin/sh\necho "postgres (PostgreSQL) 15.7 (Debian)"\n')
        (bin_dir / tool).chmod(0o755)

    def writer(*changes: tuple[str, str], more: str = "") -> Path:
        text = minimal.replace("/srv/pg/n1", f"{tmp_path}/data")
        text += f"  bin_dir: {bin_dir}\n  pgpass: {tmp_path}/pgpass\n{more}"
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "node.yml"
        file.write_text(text)
        return file

    return writer


def found(file: Path, **options: object) -> list[str]:
    """Return the problems except the one about the account that runs the tests."""
    options.setdefault("ignore_listen_port", True)
    problems = validate_file(file, environ={}, **options)  # type: ignore[arg-type]
    return [str(p) for p in problems if "running as root" not in p.message]


def test_a_sane_node_has_no_problem(node: Node) -> None:
    """A correct file on a fitting host passes, and nothing is created."""
    file = node()
    before = sorted(file.parent.rglob("*"))
    assert found(file) == []
    assert sorted(file.parent.rglob("*")) == before


def test_unknown_keys_are_errors_here(node: Node) -> None:
    """What is only a warning at the start refuses the file in a check."""
    problems = validate_file(node(more="zzz: 1\n"), environ={})
    assert [(p.path, p.severity) for p in problems] == [("zzz", "error")]


def test_missing_programs_are_named(node: Node) -> None:
    """Each missing program is named, with the mend; pg_rewind only where it is used."""
    file = node(more="")
    (file.parent / "bin" / "initdb").unlink()
    (file.parent / "bin" / "pg_rewind").unlink()
    assert found(file) == [
        (
            "postgresql.bin_dir: no program "
            f"{file.parent}/bin/initdb; set it to the folder of PostgreSQL's programs"
        )
    ]
    assert "pg_rewind" in found(node(more="  use_pg_rewind: true\n"))[0]


def test_a_program_that_is_not_postgresql_is_named(node: Node) -> None:
    """A program that tells no version is not taken for PostgreSQL."""
    file = node()
    (file.parent / "bin" / "postgres").write_text("#!/bin/sh\necho hello\n")
    assert found(file) == [
        f"postgresql.bin_dir: {file.parent}/bin/postgres does not tell its version"
    ]


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        ({}, 0o755, None),
        ({"PG_VERSION": "15\n"}, 0o700, None),
        ({"PG_VERSION": "15\n"}, 0o750, None),
        ({"PG_VERSION": "15\n"}, 0o755, "has mode 0755, allowed: 0700 or 0750"),
        ({"PG_VERSION": "14\n"}, 0o700, "is of PostgreSQL 14, the programs are of 15"),
        ({"notes.txt": "x"}, 0o700, "is neither empty nor a data directory (no PG_VERSION)"),
    ],
)
def test_the_state_of_the_data_directory(
    node: Node, content: dict[str, str], mode: int, expected: str | None
) -> None:
    """A foreign, old or too open data directory is told before anything touches it."""
    file = node()
    data = file.parent / "data"
    data.mkdir(mode=0o700)
    for name, text in content.items():
        (data / name).write_text(text)
    data.chmod(mode)
    assert found(file) == ([f"postgresql.data_dir: {data} {expected}"] if expected else [])


def test_a_file_in_the_way_of_a_folder_is_told(node: Node) -> None:
    """A path that cannot become a folder is named."""
    file = node(("/data", "/node.yml/data"))
    assert f"postgresql.data_dir: {file} is not a folder" in found(file)


def test_missing_passwords_and_files_are_told(node: Node) -> None:
    """No password is a warning, a file that cannot be read is an error."""
    file = node(
        (", password: topsecret1", ""),
        ("restapi:\n", "restapi:\n  certfile: /nonexistent/rest.crt\n"),
    )
    assert found(file) == [
        "restapi.certfile: /nonexistent/rest.crt does not exist or cannot be read",
        (
            "postgresql.authentication.superuser.password: missing: connections work only if "
            "pg_hba.conf lets them in without one"
        ),
    ]


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Return a port of 127.0.0.1 on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_told_unless_ignored(node: Node, taken_port: int) -> None:
    """A port in use is named; the option that ignores it works."""
    file = node(("listen: 127.0.0.1:8008", f"listen: 127.0.0.1:{taken_port}"))
    message = f"restapi.listen: 127.0.0.1:{taken_port} is in use by process {os.getpid()} "
    assert any(x.startswith(message) for x in found(file, ignore_listen_port=False))
    assert found(file) == []


def test_a_running_servers_port_is_rightly_taken(node: Node, taken_port: int) -> None:
    """PostgreSQL that already runs on this data directory is adopted."""
    file = node(("listen: 127.0.0.1:5432", f"listen: 127.0.0.1:{taken_port}"))
    assert any("postgresql.listen" in text for text in found(file, ignore_listen_port=False))
    data = file.parent / "data"
    data.mkdir(mode=0o700)
    (data / "PG_VERSION").write_text("15\n")
    (data / "postmaster.pid").write_text("1\n")
    texts = found(file, ignore_listen_port=False)
    assert not any("postgresql.listen" in text for text in texts)


def test_an_unknown_host_is_told(node: Node) -> None:
    """A listen address that is no host here is named."""
    file = node(("listen: 127.0.0.1:8008", "listen: host.invalid:8008"))
    assert any(
        "host 'host.invalid' is not known" in t for t in found(file, ignore_listen_port=False)
    )


def test_the_live_configuration_is_compared(node: Node) -> None:
    """With the store's configuration at hand, what bootstrap.dcs says in vain is told."""
    file = node(more="bootstrap: {dcs: {ttl: 40}}\n")
    texts = found(file, live_dynamic={"ttl": 10})
    assert texts[0] == "ttl: 10 is too small, raised to 20 (hae.low_ttl allows 5)"
    assert "bootstrap.dcs: ttl: 40 is not in effect; the cluster has: 10" in texts
    assert texts[-1].endswith("hae ctl edit-config demo -s ttl=40")
