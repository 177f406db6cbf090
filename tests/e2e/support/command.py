"""The command `hae`, run as an operator would.

Belongs here: running it against a cluster under test. Must not: know what it should answer.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support.node import Node


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it printed to both outputs."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.out + self.err


def hae(*words: str | Path, timeout_seconds: float = 90) -> Ran:
    """Run `hae WORDS` without a terminal and wait for it."""
    return _run(Path(sys.executable).with_name("hae"), *words, timeout_seconds=timeout_seconds)


def hae_daemon(*words: str | Path, timeout_seconds: float = 60) -> Ran:
    """Run `hae-daemon WORDS` and wait for it: for what ends by itself, such as --validate."""
    program = Path(sys.executable).with_name("hae-daemon")
    return _run(program, *words, timeout_seconds=timeout_seconds)


def ctl(node: Node, *words: str | Path) -> Ran:
    """Run `hae ctl` with that node's file."""
    return hae("ctl", "-c", node.place.file, *words)


def _run(program: Path, *words: str | Path, timeout_seconds: float) -> Ran:
    done = subprocess.run(
        [program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
