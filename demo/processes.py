"""The processes of the demo, found through /proc, and their end.

Belongs here: looking and signalling.  A process is the demo's when it is PostgreSQL's, a daemon or
a fence, and works in the demo's folder or names it on its command line.  So neither another
cluster nor the shell of somebody who looks round in the folder is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_LOOK_AGAIN_SECONDS = 0.02
_FENCE = "/shell/fence/"


def processes_in(folder: Path, bin_dir: Path) -> list[int]:
    """The ids of living processes of that folder; `bin_dir` is where PostgreSQL's programs are."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _belongs(pid, str(folder), str(bin_dir))]


def _belongs(pid: int, folder: str, bin_dir: str) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        works_in = str((process / "cwd").readlink())
        executable = str((process / "exe").readlink()).removesuffix(" (deleted)")
    except OSError:
        return False
    is_ours = any(_FENCE in word or word.endswith("/hae-daemon") for word in words[:8])
    if executable.startswith(f"{bin_dir}/"):
        is_ours = not executable.endswith("/psql")
    return is_ours and any(f"{place}/".startswith(f"{folder}/") for place in (works_in, *words))


def send(pid: int, what: signal.Signals) -> None:
    """Send a signal; a process that is already gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, what)


def kill_in(folder: Path, bin_dir: Path, timeout_seconds: float = 10.0) -> bool:
    """SIGKILL the processes of a folder until none is left; whether that was reached."""
    deadline = time.monotonic() + timeout_seconds
    while left := processes_in(folder, bin_dir):
        for pid in left:
            send(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)
    return True
