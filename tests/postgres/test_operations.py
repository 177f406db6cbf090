"""What the daemon asks of a running server, besides its life and death."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from engine.state import DirectoryKind, Known, PendingParameter, Postgres, Unknown
from shell.postgres.errors import Cancelled, PostgresError
from shell.postgres.unfinished import mark, mark_path
from shell.processes import ProcessId, boot_id, identify, read_postmaster, send_signal
from tests.postgres.cluster import PASSWORDS, Cluster, server
from tests.support.freezing import freeze
from tests.support.wait import wait_for


def command_lines() -> str:
    """What every account may read about running processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except (OSError, UnicodeDecodeError):
                continue
    return "\n".join(found)


def test_passwords_stay_out_of_logs_and_command_lines(newest: Cluster) -> None:
    """No password reaches the server's log, a command line, or an environment of the server."""
    stop = threading.Event()
    seen: set[str] = set()

    def watch() -> None:
        while not stop.wait(0.01):
            seen.update(command_lines().splitlines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        first = newest.primary("a")
        second = newest.standby("b", "a")
        postmaster = read_postmaster(second.data_dir)
        assert postmaster is not None
        environment = Path(f"/proc/{postmaster.pid}/environ").read_bytes().decode()
    finally:
        stop.set()
        watcher.join()
    logs = [node.log_file.read_text() for node in (first, second) if node.log_file]
    everything = "\n".join([*seen, *logs, environment])
    assert "initdb" in everything
    assert "pg_basebackup" in everything
    for password in PASSWORDS.values():
        assert password not in everything
        assert password.replace("'", "''") not in everything
    conf = (second.data_dir / "postgresql.conf").read_text()
    assert not any(password in conf for password in PASSWORDS.values())


def test_changed_parameters_are_pending_until_the_restart(newest: Cluster) -> None:
    """Parameters that need a restart are named with old and new value, and no longer after it."""
    node = newest.primary("a")
    first = node.observe()
    assert first.wanted_config == first.applied_config
    node.use(
        newest.settings(
            "a",
            {"postgresql": {"parameters": {"max_connections": 150}}},
            parameters={"shared_buffers": "24MB", "work_mem": "5MB", "no_such_parameter": "1"},
        )
    )
    changed = node.observe()
    assert changed.wanted_config != changed.applied_config
    assert node.apply_configuration() == changed.wanted_config
    wait_for(lambda: newest.sql("a", "SHOW work_mem") == [("5MB",)], 5, "the reload")

    def pending_ones() -> Postgres | None:
        return node.observe() if server(node).pending else None

    applied = wait_for(pending_ones, 5, "pending parameters")
    assert applied.applied_config == changed.wanted_config
    assert isinstance(applied.server, Known)
    pending = {one.name: one for one in applied.server.value.pending}
    assert pending["max_connections"] == PendingParameter("max_connections", "100", "150")
    assert pending["shared_buffers"] == PendingParameter("shared_buffers", "16MB", "24MB")
    node.stop("fast", checkpoint_first=True)
    assert node.start("primary", None, 30)
    assert server(node).pending == ()
    assert newest.sql("a", "SHOW max_connections") == [("150",)]


def test_standby_never_has_less_than_its_primary_had(newest: Cluster) -> None:
    """A standby configured with fewer connections than pg_controldata says starts, and pends."""
    newest.primary("a").use(
        newest.settings("a", {"postgresql": {"parameters": {"max_connections": 120}}})
    )
    first = newest.node("a")
    first.stop("fast")
    assert first.start("primary", None, 30)
    second = newest.standby("b", "a")
    assert [one.name for one in server(second).pending] == ["max_connections"]


def test_restarted_standby_says_whether_it_has_come_to_the_end_of_its_wal(newest: Cluster) -> None:
    """Without a receiver only the startup process knows; a delayed standby is not done."""
    newest.primary("a")
    late = newest.standby("b", "a", parameters={"recovery_min_apply_delay": "1h"})
    prompt = newest.standby("c", "a")
    target = int(newest.sql("a", "SELECT pg_current_wal_lsn() - '0/0'")[0][0])
    newest.sql("a", "CREATE TABLE public.t AS SELECT 1")
    for node in (late, prompt):
        wait_for(lambda: (server(node).receive_lsn or 0) > target, 10, "the WAL to arrive")  # noqa: B023
        assert not server(node).unread_wal
        node.stop("fast")
        assert node.start("standby", None, 30)
    wait_for(lambda: not server(prompt).unread_wal, 10, "the end of the replay")
    assert server(late).unread_wal
    assert (server(late).replay_lsn or 0) < (server(prompt).replay_lsn or 0)


def test_slots_are_created_advanced_and_dropped(newest: Cluster) -> None:
    """Slots are made on both sides, moved forward on the standby, and dropped while inactive."""
    first = newest.primary("a")
    first.slots.create(("b", "c"))
    first.slots.create(("b", "c"))
    second = newest.standby("b", "a")
    second.follow(newest.upstream("a", "b"))
    wait_for(lambda: {s.name for s in server(first).slots if s.active} == {"b"}, 10, "slot b")
    assert second.observe().wanted_config == second.observe().applied_config
    second.slots.create(("a", "c"))
    newest.sql("a", "SELECT pg_switch_wal()")
    target = server(first).write_lsn or 0
    wait_for(lambda: (server(second).replay_lsn or 0) >= target, 10, "the replay")
    second.slots.advance({"a": target, "c": target + 10**9})
    found = {slot.name: slot.restart_lsn or 0 for slot in server(second).slots}
    assert found["a"] == target
    assert found["c"] >= target
    first.slots.drop(("b", "c", "unknown"))
    assert [slot.name for slot in server(first).slots] == ["b"]


def test_stopped_backend_does_not_hold_an_observation_up(newest: Cluster) -> None:
    """When the kept connection's backend is suspended a fresh one answers, within the bound."""
    node = newest.primary("a")
    assert isinstance(node.observe().server, Known)
    pid = newest.sql(
        "a",
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_control_system%'"
        " AND pid <> pg_backend_pid()",
    )[0][0]
    backend = identify(pid)
    assert backend is not None
    freeze(pid)
    try:
        assert isinstance(node.observe(1).server, Unknown)
        assert isinstance(node.observe(8).server, Known)
    finally:
        send_signal(backend, signal.SIGCONT)


def test_start_says_why_it_failed(newest: Cluster) -> None:
    """A taken port and a broken setting are named in the error of the start."""
    node = newest.node("a")
    node.initdb()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", newest.upstream("a").port))
        taken.listen()
        with pytest.raises(
            PostgresError, match=rf"postgresql\.listen: .* in use by process {os.getpid()} "
        ):
            node.start("primary", None, 20)
    node.use(newest.settings("a", parameters={"work_mem": "nonsense"}))
    with pytest.raises(PostgresError, match=r"work_mem"):
        node.start("primary", None, 20)
    assert read_postmaster(node.data_dir) is None


def test_clone_can_be_cancelled_and_leaves_nothing(newest: Cluster) -> None:
    """A cancelled clone ends its tool at once and empties the directory it was filling."""
    newest.primary("a")
    second = newest.node("b", basebackup=[{"max-rate": 32}])
    cancel = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            second.clone(newest.upstream("a"), cancel)
        except PostgresError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for((second.data_dir / "backup_label").exists, 20, "the clone to begin")
    assert second.observe().directory.kind is DirectoryKind.EMPTY
    cancel.set()
    thread.join(5)
    assert [type(error) for error in errors] == [Cancelled]
    assert list(second.data_dir.iterdir()) == []
    assert str(second.data_dir) not in command_lines()


def test_half_a_clone_of_an_ended_daemon_is_replaced(newest: Cluster) -> None:
    """What a clone left when its daemon died counts as empty, and the next clone starts afresh."""
    newest.primary("a")
    second = newest.node("b")
    second.data_dir.mkdir(mode=0o700)
    (second.data_dir / "PG_VERSION").write_text("16\n")
    path = mark_path(second.data_dir)
    path.write_text("basebackup 999999999 1\n")
    assert second.observe().directory.kind is DirectoryKind.EMPTY
    second.clone(newest.upstream("a"))
    found = second.observe().directory
    assert (found.kind, found.standby_signal, path.exists()) == (DirectoryKind.VALID, True, False)


def test_half_a_removal_of_an_ended_daemon_is_gone_on_with(newest: Cluster) -> None:
    """What is left of a directory that was to be emptied counts as empty, and is replaced."""
    newest.primary("a")
    second = newest.standby("b", "a")
    second.stop("fast")
    kept = second.data_dir / "base" / "1"
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        second.remove_data_directory(cancel)
    assert kept.exists()
    assert second.observe().directory.kind is DirectoryKind.EMPTY
    second.clone(newest.upstream("a"))
    assert second.observe().directory.kind is DirectoryKind.VALID
    assert not mark_path(second.data_dir).exists()


def test_a_clone_that_ended_with_its_machine_is_not_trusted(newest: Cluster) -> None:
    """pg_control may be on disk before the rest is; nobody deletes it, and nobody starts it."""
    newest.primary("a")
    second = newest.standby("b", "a")
    second.stop("fast")
    mark(second.data_dir, "basebackup", os.getpid())
    text = mark_path(second.data_dir).read_text()
    assert second.observe().directory.kind is DirectoryKind.VALID
    mark_path(second.data_dir).write_text(text.replace(boot_id(), "another-boot"))
    assert second.observe().directory.kind is DirectoryKind.VALID, "a server has run there"
    (second.data_dir / "postmaster.opts").unlink()
    found = second.observe().directory
    assert found.kind is DirectoryKind.ALIEN
    assert "pg_basebackup before this machine was restarted" in found.problem
    assert str(mark_path(second.data_dir)) in found.problem
    mark_path(second.data_dir).unlink()
    assert second.start("standby", newest.upstream("a"), 30)


def test_stop_during_the_first_moment_of_a_start_leaves_nothing_running(newest: Cluster) -> None:
    """However early an immediate stop comes after the start began, no server survives it."""
    node = newest.node("a")
    node.initdb()
    for _ in range(5):
        cancel = threading.Event()

        def work(cancel: threading.Event = cancel) -> None:
            try:
                node.start("primary", None, 20, cancel)
            except PostgresError:
                return

        thread = threading.Thread(target=work)
        thread.start()
        cancel.set()
        node.stop("immediate")
        thread.join(10)
        assert read_postmaster(node.data_dir) is None
        assert str(node.data_dir) not in command_lines()


def test_callbacks_get_their_arguments_and_newer_ones_end_older_ones(newest: Cluster) -> None:
    """A callback is told action, role and scope; a newer one ends one that still runs."""
    out = newest.folder / "called"
    script = newest.folder / "callback"
    script.write_text(
        f'#!/bin/sh\necho "$$ $@" >> {out}\n[ "$1" = on_start ] && sleep 600\nexit 0\n'
    )
    script.chmod(0o755)
    node = newest.node("a", callbacks={"on_start": str(script), "on_role_change": f"{script} mine"})
    node.run_callback("on_start", "primary")
    wait_for(lambda: out.exists() and out.read_text(), 5, "the first callback")
    pid = int(out.read_text().split()[0])
    first = identify(pid)
    assert isinstance(first, ProcessId)
    node.run_callback("on_stop", "primary")
    node.run_callback("on_role_change", "replica")
    wait_for(lambda: len(out.read_text().splitlines()) == 2, 5, "the second callback")
    lines = [line.split(" ", 1)[1] for line in out.read_text().splitlines()]
    assert lines == ["on_start primary demo", "mine on_role_change replica demo"]
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 5, "the first callback to end")
    assert os.getpid() != pid
