"""Processes that a test started, found again through /proc: only ever its own.

Belongs here: looking and signalling. A process is ours when it carries the mark in its
environment, works below the test's folder, or names that folder on its command line.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.support.wait import wait_for

MARK = "CLUSTER_UNDER_TEST"


def own_processes(mark: str, folder: Path) -> list[int]:
    """Return the ids of living processes that belong to the marked cluster, not this process."""
    return [pid for pid in _all_processes() if _is_ours(pid, mark, str(folder))]


def _all_processes() -> Iterator[int]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if entry.isdigit() and int(entry) != os.getpid():
            yield int(entry)


def _is_ours(pid: int, mark: str, folder: str) -> bool:
    if state_of(pid) in ("", "Z"):
        return False
    process = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        if f"{MARK}={mark}\0".encode() in (process / "environ").read_bytes() + b"\0":
            return True
    with contextlib.suppress(OSError):
        place = str((process / "cwd").readlink())
        if place == folder or place.startswith(folder + "/"):
            return True
    with contextlib.suppress(OSError):
        return f"{folder}/".encode() in (process / "cmdline").read_bytes()
    return False


def state_of(pid: int) -> str:
    """Return the kernel's letter for the process: R, S, T (stopped), Z; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process, all its threads' together."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def send(pid: int, what: signal.Signals) -> None:
    """Send a signal; a process that is already gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def end_all(mark: str, folder: Path) -> None:
    """SIGKILL every process of the cluster until none is left."""

    def nobody_left() -> bool:
        alive = own_processes(mark, folder)
        for pid in alive:
            send(pid, signal.SIGKILL)
        return not alive

    wait_for(nobody_left, 30, f"the processes of {folder} to end")
