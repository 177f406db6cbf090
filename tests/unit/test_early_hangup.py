"""SIGHUP before the first cycle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    path = tmp_path / "node.yml"
    path.write_text(
        f"""
scope: demo
name: n1
etcd3: {{host: 127.0.0.1:2379}}
restapi: {{listen: 127.0.0.1:8008, connect_address: 127.0.0.1:8008}}
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  data_dir: {tmp_path}/data
  bin_dir: /usr/lib/postgresql/15/bin
  authentication:
    superuser: {{username: postgres}}
    replication: {{username: replicator}}
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "still alive" in done.stderr) == (1, True)
