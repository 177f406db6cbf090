"""SIGHUP before the first cycle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.node_files import node_file

STARTED = """
import signal, sys
from shell import assembly
from shell.config import load_local
from shell.stores.base import StoreMisconfigured

class Store:
    def view(self, deadline):
        signal.raise_signal(signal.SIGHUP)
        raise StoreMisconfigured("still alive")

assembly.open_store = lambda *arguments, **named: Store()
assembly.run_daemon(sys.argv[1], load_local(sys.argv[1], {}))
"""


def test_a_daemon_that_waits_for_the_store_does_not_end_by_a_hangup(tmp_path: Path) -> None:
    """Nobody would start it again: systemd takes an end by SIGHUP for a clean one."""
    path = node_file(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "still alive" in done.stderr) == (1, True)
