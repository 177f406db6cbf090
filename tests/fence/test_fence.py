"""The fence against stand-in postmasters: deadlines, hand-over, and whom it spares."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from shell.fence.client import Fence, FenceFiredError, FenceUnavailable, PostmasterGone
from shell.processes import ProcessId, directory_of, identify, is_alive, now
from tests.fence.support import daemon, fake_postmaster, family, start_fence
from tests.support.freezing import freeze
from tests.support.wait import wait_for

FAR = 1000.0
GRACE = 0.2


def wait_until_dead(directory: Path) -> None:
    """Wait until no process of the directory is left."""
    wait_for(lambda: not family(directory), 10, "every process of the directory to be dead")


def test_a_passed_deadline_ends_the_whole_family(
    fence: Fence, directory: Path, postmaster: ProcessId
) -> None:
    """A postmaster that ignores SIGQUIT is killed after the grace period, children included."""
    kill_at = now() + 0.3
    fence.arm(postmaster, kill_at, GRACE)
    wait_until_dead(directory)
    fired = wait_for(lambda: fence.status().fired, 20, "the fence to report")
    assert (fired.pid, fired.means) == (postmaster.pid, "SIGKILL")
    assert fired.boot >= kill_at + GRACE
    assert fired.seconds < GRACE + 2


def test_an_immediate_shutdown_is_tried_first(fence: Fence, directory: Path) -> None:
    """A postmaster that obeys SIGQUIT ends without SIGKILL."""
    with fake_postmaster(directory, quits=True, children=0) as postmaster:
        fence.arm(postmaster, now() + 0.1, FAR)
        fired = wait_for(lambda: fence.status().fired, 10, "the fence to report")
    assert fired.means == "SIGQUIT"


def test_a_deadline_in_the_past_fires_at_once(
    fence: Fence, directory: Path, postmaster: ProcessId
) -> None:
    """A machine that resumes from suspend finds its deadline passed, and its server killed."""
    fence.arm(postmaster, now() - 5, 0)
    wait_until_dead(directory)


def test_a_moved_deadline_spares_the_server(fence: Fence, postmaster: ProcessId) -> None:
    """Only the deadline that was set last counts, whether later or earlier than before."""
    first = now() + 2
    fence.arm(postmaster, first, GRACE)
    assert fence.arm(postmaster, first + FAR, GRACE).kill_at == pytest.approx(first + FAR, abs=0.01)
    wait_for(lambda: now() > first + 0.5, 20, "the first deadline to pass")
    assert is_alive(postmaster)
    assert fence.status().armed_pid == postmaster.pid
    fence.arm(postmaster, now() + 0.1, GRACE)
    wait_for(lambda: not is_alive(postmaster), 10, "the earlier deadline to be kept")


def test_a_disarmed_fence_spares_the_server(fence: Fence, postmaster: ProcessId) -> None:
    """After disarm() a passing deadline means nothing."""
    kill_at = now() + 2
    fence.arm(postmaster, kill_at, GRACE)
    assert not fence.disarm().armed
    wait_for(lambda: now() > kill_at + 0.5, 20, "the deadline to pass")
    assert is_alive(postmaster)


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_a_daemon_that_stops_cannot_leave_a_server_behind(
    fault: signal.Signals, directory: Path, state_file: Path, postmaster: ProcessId
) -> None:
    """The server dies by the daemon's last deadline when the daemon is stopped or killed."""
    with daemon(
        directory, state_file, postmaster, lease_seconds=0.8, grace_seconds=GRACE
    ) as process:
        process.send_signal(fault)
        wait_until_dead(directory)
        heir = Fence(directory, state_file)
        fired = wait_for(lambda: heir.status().fired, 20, "the fence to report")
        assert fired.pid == postmaster.pid
        heir.quit()


def test_a_second_daemon_takes_over(
    directory: Path, state_file: Path, postmaster: ProcessId
) -> None:
    """A restarted daemon finds the armed fence, its deadline, and may move it."""
    with daemon(directory, state_file, postmaster, lease_seconds=2, grace_seconds=GRACE) as process:
        freeze(process.pid)
        heir = Fence(directory, state_file)
        heir.ensure_running()
        found = heir.status()
        assert found.armed_pid == postmaster.pid
        assert found.kill_at is not None
        heir.arm(postmaster, now() + FAR, GRACE)
        wait_for(lambda: now() > (found.kill_at or 0) + 0.5, 10, "the old deadline to pass")
        assert is_alive(postmaster)
        assert heir.status().pid == found.pid
        heir.disarm()
        heir.quit()


def test_a_stopped_postmaster_is_killed_without_grace(
    fence: Fence, directory: Path, postmaster: ProcessId
) -> None:
    """A stopped postmaster cannot obey SIGQUIT: nobody waits for it."""
    freeze(postmaster.pid)
    fence.arm(postmaster, now() + 0.1, FAR)
    wait_until_dead(directory)


def test_orphans_stay_under_guard(fence: Fence, directory: Path, postmaster: ProcessId) -> None:
    """Children that outlive a killed postmaster are killed at the deadline."""
    kill_at = now() + 1.0
    fence.arm(postmaster, kill_at, GRACE)
    os.kill(postmaster.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(postmaster), 20, "the postmaster to be dead")
    assert len(family(directory)) == 2
    wait_until_dead(directory)
    assert now() >= kill_at


def test_a_server_that_ended_is_no_longer_guarded(fence: Fence, directory: Path) -> None:
    """Once the postmaster and its children are gone the fence is idle, and has not fired."""
    with fake_postmaster(directory, children=0) as postmaster:
        fence.arm(postmaster, now() + FAR, GRACE)
        os.kill(postmaster.pid, signal.SIGKILL)
        wait_for(lambda: not fence.status().armed, 20, "the fence to notice")
        assert fence.status().fired is None
        with pytest.raises(PostmasterGone):
            fence.arm(postmaster, now() + FAR, GRACE)


def test_a_directory_can_be_guarded_before_its_server_starts(fence: Fence, directory: Path) -> None:
    """Armed for the directory, the fence ends a server that started afterwards."""
    with fake_postmaster(directory, quits=True, children=0) as earlier:
        fence.arm(earlier, now() + FAR, GRACE)
    fence.arm(None, now() + 1.5, GRACE)
    with fake_postmaster(directory) as postmaster:
        wait_until_dead(directory)
        fired = wait_for(lambda: fence.status().fired, 20, "the fence to report")
        assert fired.pid == postmaster.pid


def test_a_guard_without_a_server_ends_quietly(fence: Fence) -> None:
    """A directory's deadline that passes with nothing running is no firing."""
    fence.arm(None, now() + 0.1, 0.1)
    wait_for(lambda: not fence.status().armed, 20, "the deadline to pass")
    assert fence.status().fired is None


def test_a_reused_process_number_is_not_guarded(fence: Fence, postmaster: ProcessId) -> None:
    """A process with the right number and another start time is somebody else."""
    with pytest.raises(PostmasterGone):
        fence.arm(ProcessId(postmaster.pid, postmaster.start_ticks - 1), now(), 0)
    assert is_alive(postmaster)


def test_a_process_of_another_directory_is_refused(fence: Fence, tmp_path: Path) -> None:
    """The fence of one data directory never kills in another."""
    with fake_postmaster(tmp_path) as stranger:
        with pytest.raises(FenceUnavailable, match="works in"):
            fence.arm(stranger, now(), 0)
        assert is_alive(stranger)


def test_an_administrators_program_in_the_directory_is_spared(
    fence: Fence, directory: Path, postmaster: ProcessId
) -> None:
    """A shell that somebody left in the data directory is not PostgreSQL."""
    with subprocess.Popen(["sleep", "600"], cwd=directory) as shell:
        wait_for(lambda: directory_of(shell.pid) == str(directory), 20, "the program to start")
        fence.arm(postmaster, now(), 0)
        wait_until_dead(directory)
        assert shell.poll() is None
        shell.kill()


def test_fired_signals_cannot_be_recalled(
    fence: Fence, directory: Path, postmaster: ProcessId
) -> None:
    """After the deadline both a later one and a disarm are refused, and the server dies."""
    fence.arm(postmaster, now(), 1.0)
    wait_for(lambda: not fence.status().ready, 20, "the fence to fire")
    with pytest.raises(FenceFiredError):
        fence.arm(postmaster, now() + FAR, GRACE)
    with pytest.raises(FenceFiredError):
        fence.disarm()
    wait_until_dead(directory)


def test_what_was_done_is_written_down(
    fence: Fence, directory: Path, state_file: Path, postmaster: ProcessId
) -> None:
    """A later guard process still knows the last firing, from the state file."""
    fence.arm(postmaster, now(), 0)
    fired = wait_for(lambda: fence.status().fired, 10, "the fence to report")
    wait_for(state_file.exists, 20, "the state file")
    assert state_file.stat().st_mode & 0o777 == 0o600
    first = fence.status().pid
    fence.quit()
    wait_for(lambda: identify(first) is None, 20, "the first guard to leave")
    start_fence(fence)
    assert fence.status().pid != first
    assert fence.status().fired == fired
