"""Start the postmaster, detached, and wait until it accepts connections.

The postmaster must outlive the daemon: own session, no pipe to us, output to a file.  Not here:
writing the configuration it starts with (`configuration.py`).
"""

import contextlib
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shell import ports
from shell.config.settings_postgresql import PostgresqlSettings
from shell.postgres.commands import clean_environment
from shell.postgres.errors import PostgresError
from shell.postgres.pidfile import read_pidfile
from shell.postgres.waiting import check, wait_until
from shell.processes import ProcessId, directory_of, identify, kill_all, now, read_postmaster

POLL_SECONDS = 0.01
ORPHAN_SECONDS = 5.0
LOG_LIMIT_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 16_000
_LOUD = ("FATAL:", "PANIC:")


@dataclass(frozen=True, slots=True)
class StartPlan:
    """What to start.  `log_file` None: the server writes where the daemon writes.

    After `begin_before` (seconds of CLOCK_BOOTTIME) it is not started any more.
    """

    program: str
    data_dir: Path
    config_file: Path
    parameters: Mapping[str, str]
    log_file: Path | None = None
    begin_before: float | None = None

    def argv(self) -> list[str]:
        """The command line; controlled parameters stand on it so that they beat ALTER SYSTEM."""
        options = [f"--{name}={value}" for name, value in sorted(self.parameters.items())]
        return [
            self.program,
            "-D",
            str(self.data_dir),
            f"--config-file={self.config_file}",
            *options,
        ]


@dataclass(frozen=True, slots=True)
class _Watched:
    """A start of ours under way: the child, and where its output began."""

    child: "Child"
    log_file: Path | None
    began: int


class Child:
    """The postmaster as our child: it must be reaped, or it stays as a zombie."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def reap(self) -> int | None:
        """Collect an ended postmaster; return its exit code once it has ended."""
        with self._lock:
            return None if self._process is None else self._process.poll()

    def identity(self) -> ProcessId | None:
        """Who runs; None when it has ended or was never started."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return None
            return identify(self._process.pid)

    def spawn(self, plan: StartPlan, log: IO[bytes] | None, cancel: threading.Event) -> ProcessId:
        """Start the program and return who it is.

        A stop that set `cancel` before it asks for `identity` either finds the new process or
        prevents it: nothing can slip in between.
        """
        with self._lock:
            check(cancel, "the start")
            if plan.begin_before is not None and now() > plan.begin_before:
                raise PostgresError("too little of the lease was left when all was ready to start")
            try:
                self._process = subprocess.Popen(
                    plan.argv(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=clean_environment(),
                    cwd=plan.data_dir,
                    start_new_session=True,
                )
            except OSError as error:
                raise PostgresError(f"cannot run {plan.program}: {error.strerror}") from None
            identity = identify(self._process.pid)
            return identity or ProcessId(self._process.pid, 0)


def start(plan: StartPlan, child: Child, timeout_seconds: float, cancel: threading.Event) -> bool:
    """Start the server; True when it accepts connections, False when it still starts at the end.

    To be called after `clear_left_overs` and `refuse_taken_port`.  Raises PostgresError when it
    ended again (with its own last words), and Cancelled; a server that still starts is left alone
    in both cases.
    """
    deadline = now() + timeout_seconds
    running = read_postmaster(plan.data_dir)
    if running is not None:
        return _wait_ready(plan.data_dir, running, deadline, cancel, None)
    child.reap()
    with contextlib.ExitStack() as stack:
        log = _open_log(plan.log_file)
        if log is not None:
            stack.enter_context(log)
        began = log.tell() if log is not None else 0
        identity = child.spawn(plan, log, cancel)
        return _wait_ready(
            plan.data_dir, identity, deadline, cancel, _Watched(child, plan.log_file, began)
        )


def clear_left_overs(data_dir: Path) -> None:
    """End what a killed postmaster left running, so that a new one need not wait for it.

    Raises PostgresError when such a process does not end.
    """
    left = kill_all(data_dir, timeout_seconds=ORPHAN_SECONDS)
    if left:
        pids = ", ".join(str(identity.pid) for identity in left)
        raise PostgresError(f"processes {pids} of an earlier server in {data_dir} do not end")
    _remove_misleading_pidfile(data_dir)


def refuse_taken_port(postgresql: PostgresqlSettings) -> None:
    """Raise PostgresError if another server listens on one of the configured addresses.

    PostgreSQL would start on the others: clients of that one would talk to a stranger.
    """
    found = ports.taken(postgresql.listen_hosts, postgresql.listen_port)
    if found:
        raise PostgresError(
            f"postgresql.listen: {'; '.join(found)}; end that server or set another address"
        )


def _remove_misleading_pidfile(data_dir: Path) -> None:
    """Remove postmaster.pid when its number now belongs to a stranger.

    PostgreSQL would refuse to start because of it.  In all other cases the file stays: it guards
    the shared memory of servers that we cannot see.
    """
    path = data_dir / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError):
        pid = abs(int(path.read_text().split("\n")[0]))
        found = identify(pid)
        if found is not None and directory_of(pid) not in {None, os.path.realpath(data_dir)}:
            path.unlink()


def _wait_ready(
    data_dir: Path,
    identity: ProcessId,
    deadline: float,
    cancel: threading.Event,
    log: _Watched | None,
) -> bool:
    ended = False

    def settled() -> bool:
        nonlocal ended
        if log is not None:
            log.child.reap()
        ended = identify(identity.pid) is None
        return ended or is_ready(data_dir, identity.pid)

    ready = wait_until(settled, deadline, cancel, "the start", step_seconds=POLL_SECONDS)
    if ended:
        raise PostgresError(f"PostgreSQL ended while starting: {_last_words(log)}")
    return ready


def is_ready(data_dir: Path, pid: int) -> bool:
    """Whether that postmaster itself says that it accepts connections."""
    try:
        if int((data_dir / "postmaster.pid").read_text("utf-8", "replace").split("\n")[0]) != pid:
            return False
    except (OSError, ValueError):
        return False
    pidfile = read_pidfile(data_dir)
    return pidfile is not None and pidfile.status == "ready"


def _open_log(path: Path | None) -> IO[bytes] | None:
    """Open the server's output file for appending; None (inherit ours) when it cannot be."""
    if path is None:
        return None
    try:
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(path.name + ".1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return None
    file = os.fdopen(descriptor, "ab", buffering=0)
    file.seek(0, os.SEEK_END)
    return file


def _last_words(log: _Watched | None) -> str:
    if log is None or log.log_file is None:
        return "see its log"
    path = log.log_file
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(log.began, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"its log {path} cannot be read: {error.strerror}"
    return f"{_reason(lines)} (in {path})"


def _reason(lines: Sequence[str]) -> str:
    """Return the last FATAL or PANIC with its detail, else the last line."""
    for index in range(len(lines) - 1, -1, -1):
        if any(word in lines[index] for word in _LOUD):
            more = [
                line
                for line in lines[index + 1 : index + 3]
                if "DETAIL:" in line or "HINT:" in line
            ]
            return "; ".join(line.strip() for line in [*_causes(lines, index), lines[index], *more])
    return lines[-1].strip() if lines else "it wrote nothing"


_HIDDEN_CAUSES = ("could not bind", "invalid value for", "unrecognized", "syntax error in file")


def _causes(lines: Sequence[str], fatal: int) -> list[str]:
    """The last line before the FATAL that says what it hides, such as which port is taken."""
    before = lines[max(0, fatal - 8) : fatal]
    return [line.strip() for line in before if any(word in line for word in _HIDDEN_CAUSES)][-1:]
