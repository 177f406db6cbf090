"""The guard as a process: one per directory, independent of the daemon, small and silent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from pathlib import Path

import pytest

from shell.fence import client, guard
from shell.fence.boottimer import BootTimer
from shell.fence.client import Fence, FenceUnavailable
from shell.fence.watch import Watch
from shell.processes import ProcessId, identify, is_alive, now
from tests.fence.support import fake_postmaster, start_fence
from tests.support.freezing import freeze
from tests.support.wait import wait_for


def test_many_starters_get_one_guard(directory: Path, state_file: Path) -> None:
    """However many daemons and threads start the fence, one guard process runs."""
    fences = [Fence(directory, state_file) for _ in range(4)]
    pids: list[int] = []

    def start(fence: Fence) -> None:
        def running() -> int:
            try:
                fence.ensure_running()
                return fence.status().pid
            except FenceUnavailable:
                return 0

        pids.append(wait_for(running, 20, "the fence to run"))

    threads = [threading.Thread(target=start, args=(fence,)) for fence in fences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 1
    assert len(pids) == len(fences)
    fences[0].quit()


def test_threads_may_share_one_fence(fence: Fence, postmaster: ProcessId) -> None:
    """Calls from several threads get their own replies; one that comes too late gets none."""
    replies: list[float | None] = []

    def work(number: int) -> None:
        for n in range(50):
            kill_at = now() + 1000 + 100 * number + n
            with contextlib.suppress(FenceUnavailable):
                got = fence.arm(postmaster, kill_at, 1).kill_at
                replies.append(None if got == pytest.approx(kill_at, abs=0.01) else got)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies
    assert not any(replies)


def test_the_guard_lives_apart_from_the_daemon(fence: Fence) -> None:
    """It has its own session, no terminal, no files of ours, and nothing of our environment."""
    pid = fence.status().pid
    assert os.getsid(pid) not in (os.getsid(0), 0)
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)} == {
        "/dev/null"
    }
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in environment if entry}
    assert names <= {b"PATH", b"LD_LIBRARY_PATH", b"LC_CTYPE"}


def test_the_guard_loads_next_to_nothing(fence: Fence) -> None:
    """It maps few of the interpreter's libraries: that is what keeps it small."""
    maps = Path(f"/proc/{fence.status().pid}/maps").read_text(encoding="utf-8")
    libraries = {line.rpartition("/")[2].partition(".")[0] for line in maps.splitlines()}
    heavy = {"_ssl", "_hashlib", "_json", "_datetime", "_decimal", "_asyncio", "libssl"}
    assert not libraries & heavy


def test_the_timer_expires_at_its_moment() -> None:
    """It is silent before, readable after, and silent again once cleared or set to never."""
    timer = BootTimer()
    poll = select.poll()
    poll.register(timer.descriptor, select.POLLIN)
    timer.set(now() + 1000)
    assert poll.poll(0) == []
    moment = now() + 0.1
    timer.set(moment)
    assert poll.poll(5000) == [(timer.descriptor, select.POLLIN)]
    assert now() >= moment
    timer.clear()
    assert poll.poll(0) == []
    timer.clear()
    timer.set(now() - 5)
    assert poll.poll(5000) != []
    timer.set(0)
    assert poll.poll(0) == []
    os.close(timer.descriptor)


def test_the_tick_serves_where_the_kernel_offers_nothing_better(
    directory: Path, state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without timers and without pidfds the deadline is kept all the same, and so is an exit."""

    def refused(_identity: ProcessId) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr(guard, "_make_timer", lambda: None)
    monkeypatch.setattr(guard, "LONELY_SECONDS", 0.1)
    monkeypatch.setattr("shell.processes.open_pidfd", refused)
    for kill_after, fires in ((0.6, True), (1000.0, False)):
        with fake_postmaster(directory, quits=True, children=0) as postmaster:
            watch = Watch(str(directory), str(state_file))
            watch.fired = ""
            assert watch.arm(postmaster, now() + kill_after, 1.0) == "ok"
            assert watch.pidfd is None
            if not fires:
                os.kill(postmaster.pid, signal.SIGKILL)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(b"\0" + os.fsencode(directory))
                listener.listen(1)
                guard.Guard(watch, listener).run()
            assert not is_alive(postmaster)
            assert bool(watch.fired) is fires


def test_a_killed_guard_is_replaced(fence: Fence, postmaster: ProcessId) -> None:
    """The loss shows at the next call, and ensure_running() starts another."""
    fence.arm(postmaster, now() + 1000, 1)
    first = fence.status().pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: identify(first) is None, 20, "the guard to be dead")
    with pytest.raises(FenceUnavailable, match="no fence process"):
        fence.arm(postmaster, now() + 1000, 1)
    start_fence(fence)
    status = fence.arm(postmaster, now() + 1000, 1)
    assert status.armed_pid == postmaster.pid
    assert status.pid != first


def test_a_guard_that_does_not_answer_is_replaced_in_the_end(fence: Fence) -> None:
    """Calls to a stopped guard fail in bounded time, and another takes its place at last."""
    first = fence.status().pid
    freeze(first)
    started = now()
    with pytest.raises(FenceUnavailable, match="does not answer"):
        fence.status()
    assert now() - started < 5 * client.CALL_SECONDS

    def replaced() -> bool:
        try:
            fence.ensure_running()
        except FenceUnavailable:
            return False
        return fence.status().pid != first

    wait_for(replaced, 30, "another guard")


def test_termination_waits_for_the_armed_server(fence: Fence, postmaster: ProcessId) -> None:
    """SIGTERM, as at a shutdown of the machine, ends an idle guard and not an armed one."""
    fence.arm(postmaster, now() + 1000, 1)
    identity = identify(fence.status().pid)
    assert identity is not None
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(identity.pid, number)
    assert fence.status().armed
    assert is_alive(identity)
    fence.disarm()
    wait_for(lambda: not is_alive(identity), 20, "the disarmed guard to leave")


def test_a_guard_nobody_needs_leaves(
    directory: Path, state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a daemon and without a server to guard the process ends by itself."""
    monkeypatch.setattr(guard, "LONELY_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(b"\0" + os.fsencode(directory))
        listener.listen(1)
        guard.Guard(Watch(str(directory), str(state_file)), listener).run()


def test_a_foreign_owner_of_the_name_is_told(
    directory: Path, state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else listening under the fence's name is not trusted."""
    monkeypatch.setattr(client, "_peer_of", lambda _connection: (1, 4242))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as squatter:
        squatter.bind(b"\0" + client.socket_name(str(directory)).encode())
        squatter.listen(1)
        with pytest.raises(FenceUnavailable, match="4242"):
            Fence(directory, state_file).status()


def test_a_program_that_cannot_be_started_is_named(
    directory: Path, state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing interpreter is an error with its path."""
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(FenceUnavailable, match="/nonexistent/python"):
        Fence(directory, state_file).ensure_running()


@pytest.mark.parametrize(
    ("request_line", "complaint"),
    [
        (b"nonsense\n", b"error unknown request"),
        (b"\n", b"error unknown request"),
        (b"arm 1 2 3\n", b"error unknown request"),
        (b"arm x 2 3 4\n", b"error invalid literal"),
        (b"arm 1 2 nan 4\n", b"error kill_at"),
        (b"arm 1 2 inf 4\n", b"error kill_at"),
        (b"arm -7 2 3 4\n", b"error process number"),
        (b"arm 99999999999999999999 2 3 4\n", b"error process number"),
        (b"\xff\xfe\n", b"error unknown request"),
    ],
)
def test_nonsense_is_answered_and_survived(
    fence: Fence, directory: Path, request_line: bytes, complaint: bytes
) -> None:
    """A wrong request gets an error, and the guard goes on."""
    pid = fence.status().pid
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(b"\0" + client.socket_name(str(directory)).encode())
        connection.sendall(request_line)
        assert connection.recv(200).startswith(complaint)
    assert fence.status().pid == pid


def test_an_endless_line_ends_the_connection_only(fence: Fence, directory: Path) -> None:
    """A peer that never ends its line is cut off."""
    pid = fence.status().pid
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(b"\0" + client.socket_name(str(directory)).encode())
        connection.sendall(b"x" * 5000)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    assert fence.status().pid == pid
