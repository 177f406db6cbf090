"""SIGSTOP that has really happened.

The kernel hands the signal to one thread, which stops the others when it is scheduled: on a busy
machine they go on answering for a while after `kill` has returned.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.wait import wait_for


def freeze(pid: int) -> None:
    """Stop a process with SIGSTOP and wait until no thread of it runs."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: _all_stopped(pid), 10, f"process {pid} to stop")


def _all_stopped(pid: int) -> bool:
    try:
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):  # a thread has just ended
        return False
    return all(text.rpartition(")")[2].split()[0] in "TtZX" for text in texts)
