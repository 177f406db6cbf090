"""Stop the postmaster by signals and wait by pidfd until it is gone.

No pg_ctl: a signal needs no program, works while the disk hangs, and its wait can be cancelled.
Not here: whether to stop, and how hard.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Literal

from shell.postgres.errors import PostgresError
from shell.postgres.waiting import wait_readable, wait_until
from shell.processes import (
    ProcessId,
    is_alive,
    is_stopped,
    kill_all,
    now,
    open_pidfd,
    processes_of,
    read_postmaster,
    send_signal,
)

StopMode = Literal["fast", "immediate"]
KILL_SECONDS = 5.0
# The postmaster itself kills children that ignore SIGQUIT after five seconds; we do not wait for
# more than that, because an immediate stop is for safety.
IMMEDIATE_SECONDS = 5.0


def stop(
    data_dir: Path,
    mode: StopMode,
    timeout_seconds: float,
    cancel: threading.Event,
    *,
    child: ProcessId | None = None,
    kill_at: float | None = None,
) -> None:
    """Stop the server of that directory; returns at once when none runs.

    An immediate stop sends SIGKILL to what is left after five seconds, or at `kill_at` before that.

    `child` is a postmaster that was just started and may have left no trace in the directory yet.

    Raises PostgresError when a fast stop takes too long (the server goes on stopping) or when
    processes survive SIGKILL, and Cancelled.
    """
    postmaster = read_postmaster(data_dir) or child
    if postmaster is None:
        _end_everything(data_dir)
        return
    if mode == "fast":
        _stop_fast(data_dir, postmaster, timeout_seconds, cancel)
    else:
        deadline = now() + min(timeout_seconds, IMMEDIATE_SECONDS)
        deadline = deadline if kill_at is None else min(deadline, kill_at)
        _stop_immediately(data_dir, postmaster, deadline, cancel)


def _stop_fast(
    data_dir: Path, postmaster: ProcessId, timeout_seconds: float, cancel: threading.Event
) -> None:
    if is_stopped(postmaster):
        raise PostgresError(
            f"postmaster {postmaster.pid} is suspended (SIGSTOP): only an immediate stop ends it"
        )
    send_signal(postmaster, signal.SIGINT)
    if not wait_for_end(postmaster, now() + timeout_seconds, cancel):
        raise PostgresError(
            f"PostgreSQL in {data_dir} did not stop within {timeout_seconds:g} seconds"
        )


def _stop_immediately(
    data_dir: Path, postmaster: ProcessId, deadline: float, cancel: threading.Event
) -> None:
    if not is_stopped(postmaster):
        send_signal(postmaster, signal.SIGQUIT)
        wait_for_end(postmaster, deadline, cancel)
    _end_everything(data_dir)


def wait_for_end(identity: ProcessId, deadline: float, cancel: threading.Event) -> bool:
    """Wait until a process has ended; False when the deadline passed first."""
    what = "the stop"
    try:
        descriptor = open_pidfd(identity)
    except OSError:
        return wait_until(lambda: not is_alive(identity), deadline, cancel, what)
    if descriptor is None:
        return True
    try:
        return wait_readable(descriptor, deadline, cancel, what)
    finally:
        os.close(descriptor)


def _end_everything(data_dir: Path) -> None:
    """SIGKILL whatever of the server is left."""
    if not processes_of(data_dir):
        return
    left = kill_all(data_dir, timeout_seconds=KILL_SECONDS)
    if left:
        pids = ", ".join(str(identity.pid) for identity in left)
        raise PostgresError(f"processes {pids} of {data_dir} survive SIGKILL (disk hangs?)")
