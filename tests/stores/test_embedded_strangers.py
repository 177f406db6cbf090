"""Other processes that open the embedded store's file for a moment, as the command line does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shell.stores.embedded import EmbeddedStore
from tests.stores.conftest import soon

_STRANGER = """
import sys
from shell.stores.embedded import EmbeddedStore
from shell.processes import now
store = EmbeddedStore(sys.argv[1], namespace="service", scope="demo")
print(store.read(now() + 5).entries["config"].value)
store.close()
"""


def _seen_by_a_stranger(path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", _STRANGER, str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_visitor_leaves_the_file_whole(tmp_path: Path) -> None:
    """After another process opened and closed the file, everybody still meets in the same one."""
    path = tmp_path / "store.db"
    daemons = [EmbeddedStore(str(path), namespace="service", scope="demo") for _ in range(2)]
    try:
        daemons[0].put("config", "first", soon())
        assert daemons[1].read(soon()).entries["config"].value == "first"
        assert _seen_by_a_stranger(path) == "first"

        daemons[0].put("config", "second", soon())

        assert _seen_by_a_stranger(path) == "second"
        assert daemons[1].read(soon()).entries["config"].value == "second"
    finally:
        for store in daemons:
            store.close()
