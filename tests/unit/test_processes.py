"""Who a process is, and which processes are the server of a data directory."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell import processes
from shell.processes import (
    ProcessId,
    identify,
    is_alive,
    is_stopped,
    kill_all,
    now,
    processes_of,
    read_postmaster,
)
from tests.support.wait import wait_for

WAITER = "import threading; threading.Event().wait(600)"
FAMILY = f"""
import subprocess, sys
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", {WAITER!r}])
print("ready", flush=True)
{WAITER}
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder that stands for a data directory."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def server(data_dir: Path) -> Iterator[ProcessId]:
    """A process with three children in the data directory, named by postmaster.pid."""
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(command, cwd=data_dir, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        identity = identify(process.pid)
        assert identity is not None
        write_pid_file(data_dir, str(process.pid))
        yield identity
        executable = str(Path(sys.executable).resolve())
        assert kill_all(data_dir, executable=executable) == []
        process.kill()


def write_pid_file(data_dir: Path, first_line: str) -> None:
    """A postmaster.pid as PostgreSQL writes it."""
    (data_dir / "postmaster.pid").write_text(f"{first_line}\n{data_dir}\n1700000000\n5432\n")


def test_the_clock_counts_from_boot() -> None:
    """It is the kernel's boot-time clock, which runs on during suspend."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert abs(now() - uptime) < 5


def test_an_identity_is_a_plain_value() -> None:
    """It compares, hashes, prints and pickles by its two numbers."""
    identity = ProcessId(7, 99)
    assert (identity.pid, identity.start_ticks) == (7, 99)
    assert identity == ProcessId(7, 99) != ProcessId(7, 98)
    assert len({identity, ProcessId(7, 99)}) == 1
    assert repr(identity) == "ProcessId(pid=7, start_ticks=99)"
    assert pickle.loads(pickle.dumps(identity)) == identity


def test_life_and_death_of_a_process() -> None:
    """Alive, stopped, continued, a zombie (dead), gone."""
    with subprocess.Popen(["sleep", "600"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        assert is_alive(identity)
        assert not is_stopped(identity)
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: is_stopped(identity), 5, "the process to be stopped")
        assert is_alive(identity)
        assert not is_stopped(ProcessId(identity.pid, identity.start_ticks + 1))
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: not is_stopped(identity), 5, "the process to go on")
        process.kill()
        wait_for(lambda: not is_alive(identity), 5, "the zombie to count as dead")
    assert identify(identity.pid) != identity


def test_signals_reach_only_the_very_process() -> None:
    """A reused number is not signalled; a dead process is reported."""
    with subprocess.Popen(["sleep", "600"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        stranger = ProcessId(identity.pid, identity.start_ticks - 5)
        assert not processes.send_signal(stranger, signal.SIGKILL)
        assert is_alive(identity)
        assert processes.send_signal(identity, signal.SIGKILL)
    assert not processes.send_signal(identity, signal.SIGKILL)


def test_old_kernels_without_pidfds_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pidfd_open is missing or refused, numbers are used, with the same check."""

    def refused(_pid: int) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr("os.pidfd_open", refused)
    with subprocess.Popen(["sleep", "600"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        assert not processes.send_signal(ProcessId(process.pid, 1), signal.SIGKILL)
        assert processes.send_signal(identity, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    monkeypatch.delattr("os.pidfd_open")
    with pytest.raises(OSError, match="pidfd_open"):
        processes.open_pidfd(identity)


def test_a_pidfd_is_given_for_the_living_only() -> None:
    """It becomes readable at the end; the dead have none."""
    with subprocess.Popen(["sleep", "600"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        descriptor = processes.open_pidfd(identity)
        assert descriptor is not None
        os.close(descriptor)
        assert processes.open_pidfd(ProcessId(process.pid, 1)) is None
        process.kill()
    assert processes.open_pidfd(identity) is None


def test_a_name_with_blanks_and_parentheses_is_read(tmp_path: Path) -> None:
    """The name in /proc/<pid>/stat cannot confuse the fields behind it."""
    program = tmp_path / "a) S (b 1"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([str(program), "600"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        assert identity.start_ticks > 1
        process.kill()


def test_the_postmaster_is_found(data_dir: Path, server: ProcessId, tmp_path: Path) -> None:
    """By its file, also through a symbolic link, and in single-user mode."""
    assert read_postmaster(data_dir) == server
    link = tmp_path / "link"
    link.symlink_to(data_dir)
    assert read_postmaster(link) == server
    write_pid_file(data_dir, str(-server.pid))
    assert read_postmaster(data_dir) == server


@pytest.mark.parametrize("text", ["", "12", "garbage\n", "\n", "-\n", "1.5\n", "0\n", "\0\0\0\n"])
def test_a_broken_pid_file_names_nobody(data_dir: Path, text: str) -> None:
    """Empty, cut short, or garbage."""
    (data_dir / "postmaster.pid").write_text(text)
    assert read_postmaster(data_dir) is None


def test_a_number_that_is_somebody_else_names_nobody(data_dir: Path, tmp_path: Path) -> None:
    """A left-over file may carry the number of a dead process or of a stranger."""
    assert read_postmaster(data_dir) is None
    assert read_postmaster(tmp_path / "nowhere") is None
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path) as stranger:
        write_pid_file(data_dir, str(stranger.pid))
        assert read_postmaster(data_dir) is None
        stranger.kill()
    assert read_postmaster(data_dir) is None
    write_pid_file(data_dir, "9" * 20)
    assert read_postmaster(data_dir) is None


def test_an_unreadable_pid_file_is_replaced_by_looking(data_dir: Path, tmp_path: Path) -> None:
    """When the file cannot be read, the running server is found all the same."""
    (data_dir / "postmaster.pid").mkdir()
    assert read_postmaster(data_dir) is None
    program = tmp_path / "postgres"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([str(program), "600"], cwd=data_dir) as process:
        identity = identify(process.pid)
        wait_for(lambda: read_postmaster(data_dir) == identity, 5, "the server to be seen")
        process.kill()


def test_a_process_that_may_not_be_looked_at_is_judged_by_its_name(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live postgres under the recorded number is taken for the server; others are not."""
    program = tmp_path / "postgres"
    shutil.copy("/bin/sleep", program)
    monkeypatch.setattr(processes, "directory_of", lambda _pid: None)
    for command, taken in (([str(program), "600"], True), (["sleep", "600"], False)):
        with subprocess.Popen(command) as process:
            write_pid_file(data_dir, str(process.pid))
            assert (read_postmaster(data_dir) is not None) is taken
            process.kill()


def test_the_whole_family_is_found_and_killed(data_dir: Path, server: ProcessId) -> None:
    """Postmaster and children, without the program that an administrator left there."""
    with subprocess.Popen(["sleep", "600"], cwd=data_dir) as shell:
        family = wait_for(
            lambda: found if len(found := processes_of(data_dir)) == 4 else [], 5, "the family"
        )
        assert server in family
        assert kill_all(data_dir) == []
        assert not any(is_alive(identity) for identity in family)
        assert shell.poll() is None
        shell.kill()


def test_orphans_are_found_by_the_programs_name(data_dir: Path, tmp_path: Path) -> None:
    """Without a postmaster, processes of a program named postgres in the directory are ours."""
    children = []
    for name in ("postgres", "edb-postgres", "postgres_exporter"):
        shutil.copy("/bin/sleep", tmp_path / name)
        children.append(subprocess.Popen([str(tmp_path / name), "600"], cwd=data_dir))
    try:
        wait_for(lambda: len(processes_of(data_dir)) == 2, 5, "the orphans to be seen")
        (tmp_path / "postgres").unlink()  # an upgrade replaced the program on disk
        assert len(processes_of(data_dir)) == 2
        assert kill_all(data_dir) == []
        assert children[2].poll() is None
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_what_cannot_be_killed_is_returned(
    data_dir: Path, server: ProcessId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the timeout the survivors are named instead of waiting for ever."""

    def refused(_identity: ProcessId, _number: int) -> bool:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(processes, "send_signal", refused)
        assert server in kill_all(data_dir, timeout_seconds=0.05)
    assert is_alive(server)
