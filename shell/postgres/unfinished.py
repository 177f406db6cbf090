"""A mark beside the data directory while a tool fills it, so that half a clone is known as such.

A daemon that died during a clone finds the mark at its next start: what lies there may be
replaced, and the tool that may still be writing is ended first.  Not here: removing the content.
"""

import contextlib
import os
import signal
from pathlib import Path

from shell.processes import ProcessId, identify, is_alive


def mark_path(data_dir: Path) -> Path:
    """Where the mark lies: beside the directory, because the tools want that one empty."""
    return data_dir.with_name(f".{data_dir.name}.unfinished")


def is_unfinished(data_dir: Path) -> bool:
    """Whether a clone or initdb of ours began there and did not come to its end."""
    return mark_path(data_dir).exists()


def mark(data_dir: Path, pid: int) -> None:
    """Say that this process is filling the directory."""
    identity = identify(pid)
    # Without permission to write beside the data directory we do without the mark.
    with contextlib.suppress(OSError):
        mark_path(data_dir).write_text(f"{pid} {identity.start_ticks if identity else 0}\n")


def unmark(data_dir: Path) -> None:
    """Say that the directory is complete, or empty again."""
    with contextlib.suppress(OSError):
        mark_path(data_dir).unlink(missing_ok=True)


def end_left_over_tool(data_dir: Path) -> None:
    """End the tool of an earlier daemon that may still write into the directory."""
    try:
        pid, ticks = (int(word) for word in mark_path(data_dir).read_text().split())
    except (OSError, ValueError):
        return
    if pid > 1 and is_alive(ProcessId(pid, ticks)):
        # Tools lead their own process group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
