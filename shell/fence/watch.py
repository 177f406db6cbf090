"""What the guard guards: a server, its deadline, and the way to its end when that passes.

Here: arming, disarming, and the steps idle -> armed -> quit -> kill -> idle, each a short call
that never blocks. Not here: sockets and the process (guard.py), nor why a deadline is where it
is (the engine).

Armed for a postmaster, the watch ends by itself once that server is gone, orphaned backends
included. Armed for the directory (no postmaster yet: one is about to be started as primary), it
holds for whatever server is there when the deadline passes.
"""

# Pathlib would cost the guard more memory than all of this.
# ruff: noqa: PTH105, PTH110, PTH123, PTH202
from __future__ import annotations

import os
import time

from shell import processes
from shell.processes import SIGNAL_NUMBERS, ProcessId

IDLE, ARMED, QUIT, KILL = "idle", "armed", "quit", "kill"

MAX_STATE_BYTES = 65536
LINE_BYTES = 1024

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Watch:
    """The server of one data directory, under guard or not."""

    def __init__(self, directory: str, state_file: str) -> None:
        self.phase = IDLE
        self.fired = last_line(state_file)
        self.kill_at = 0.0
        self.pidfd: int | None = None
        self._directory = directory
        self._state_file = state_file
        self._postmaster: ProcessId | None = None
        self._grace = 0.0
        self._executable: str | None = None
        self._ended_at: float | None = None
        self._fired_at = 0.0

    # -- requests --------------------------------------------------------------------------

    def arm(self, postmaster: ProcessId | None, kill_at: float, grace: float) -> str:
        """Guard a server until kill_at (moved exactly there); the reply's first word(s)."""
        if self.phase in (QUIT, KILL):
            return "firing"
        if postmaster is not None and postmaster != self._postmaster:
            problem = self._take(postmaster)
        elif postmaster is not None and not processes.is_alive(postmaster):
            problem = "dead"
        else:
            problem = ""
            if postmaster is None:
                self._let_go()
        if problem:
            return problem
        self.kill_at, self._grace, self.phase = kill_at, grace, ARMED
        return "ok"

    def disarm(self) -> str:
        """Guard nothing; refused once the signals are out, because they cannot be recalled."""
        if self.phase in (QUIT, KILL):
            return "firing"
        self._forget()
        return "ok"

    def describe(self) -> str:
        """The state as key=value words."""
        pid, ticks = self._postmaster or (0, 0)
        return (
            f"phase={self.phase} armed={pid} ticks={ticks} kill_at={self.kill_at:.3f}"
            f" fired={self.fired}"
        )

    # -- time passes -----------------------------------------------------------------------

    @property
    def told_of_end(self) -> bool:
        """Whether an event (the pidfd) will tell of the end, or there is no end to be told of."""
        return self.pidfd is not None or self._postmaster is None

    def step(self) -> None:
        """Do what is due now."""
        if self.phase == ARMED:
            if self._is_over():
                self._forget()
            elif processes.now() >= self.kill_at:
                self._fire()
        elif self.phase == QUIT:
            if not self._server():
                self._finish("SIGQUIT")
            elif processes.now() >= self._fired_at + self._grace:
                self.phase = KILL
        if self.phase == KILL and not self._kill():
            self._finish("SIGKILL")

    def postmaster_ended(self) -> None:
        """The pidfd became readable; the caller has stopped polling it."""
        self._ended_at = processes.now()
        self._close()

    def _is_over(self) -> bool:
        """Whether the postmaster is gone and none of its backends outlived it."""
        if self._postmaster is None or self.pidfd is not None:
            return False  # an open pidfd says that the postmaster lives, without a look at /proc
        if processes.is_alive(self._postmaster):
            return False
        if self._ended_at is None:
            self._ended_at = processes.now()
        # A new server in the same directory is not an orphan of the old one.
        last_tick = self._ended_at * _TICKS_PER_SECOND
        return all(identity.start_ticks > last_tick for identity in self._scan())

    def _fire(self) -> None:
        if self._postmaster is None:
            self._postmaster = processes.postmaster_among(self._scan())
        if self._postmaster is None:
            # One may be just about to enter its directory: keep looking for the grace period.
            if processes.now() >= self.kill_at + self._grace:
                self._forget()
            return
        self._fired_at = processes.now()
        # A stopped postmaster does not see SIGQUIT while its backends go on answering, and
        # orphans have nobody to pass it on.
        hopeless = processes.is_stopped(self._postmaster)
        self.phase = QUIT if not hopeless and self._quit(self._postmaster) else KILL

    def _quit(self, postmaster: ProcessId) -> bool:
        try:
            return processes.send_signal(postmaster, SIGNAL_NUMBERS["SIGQUIT"])
        except OSError:
            return False

    def _kill(self) -> list[ProcessId]:
        directories = {self._directory}
        if self._postmaster is not None:
            # A data directory that was renamed meanwhile shows up under its new name.
            current = processes.directory_of(self._postmaster.pid)
            if current is not None and processes.is_alive(self._postmaster):
                directories.add(current)
        return processes.kill_round(directories, self._executable, self._postmaster)

    def _server(self) -> list[ProcessId]:
        found = self._scan()
        alive = self._postmaster is not None and processes.is_alive(self._postmaster)
        if alive and self._postmaster is not None and self._postmaster not in found:
            found.append(self._postmaster)
        return found

    def _scan(self) -> list[ProcessId]:
        return processes.scan({self._directory}, self._executable)

    def _finish(self, means: str) -> None:
        pid = self._postmaster.pid if self._postmaster is not None else 0
        late = self._fired_at - self.kill_at
        self.fired = (
            f"wall={time.time():.3f} boot={processes.now():.3f} pid={pid}"
            f" kill_at={self.kill_at:.3f} seconds={processes.now() - self._fired_at:.3f}"
            f" means={means} reason=the deadline had passed by {late:.3f} s and nobody moved it"
        )
        self._forget()
        # Only now: the disk may hang, and PostgreSQL had to be dead before that.
        append_line(self._state_file, self.fired)

    # -- the target ------------------------------------------------------------------------

    def _take(self, postmaster: ProcessId) -> str:
        """Make this postmaster the target; a text says why that is impossible."""
        try:
            pidfd = processes.open_pidfd(postmaster)
        except OSError:
            pidfd = None  # an old kernel: the tick looks after the process instead
        problem = self._problem_with(postmaster)
        if problem:
            if pidfd is not None:
                os.close(pidfd)
            return problem
        self._let_go()
        self._postmaster, self.pidfd = postmaster, pidfd
        self._executable = processes.executable_of(postmaster.pid) or self._executable
        return ""

    def _problem_with(self, postmaster: ProcessId) -> str:
        if not processes.is_alive(postmaster):
            return "dead"
        found = processes.directory_of(postmaster.pid)
        if found is None:
            return f"error process {postmaster.pid} belongs to another account; run hae as that one"
        if found != self._directory:
            return f"error process {postmaster.pid} works in {found}, not in {self._directory}"
        try:
            processes.send_signal(postmaster, 0)
        except OSError as error:
            return f"error process {postmaster.pid} cannot be signalled: {error.strerror}"
        return ""

    def _forget(self) -> None:
        self._let_go()
        self.phase, self.kill_at = IDLE, 0.0

    def _let_go(self) -> None:
        self._close()
        self._postmaster = None
        self._ended_at = None

    def _close(self) -> None:
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.pidfd = None


def last_line(path: str) -> str:
    """The newest line of the state file; empty when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2 * LINE_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def append_line(path: str, line: str) -> None:
    """Add one line in a single write; a full disk loses the line, not the guard."""
    try:
        if os.path.exists(path) and os.path.getsize(path) > MAX_STATE_BYTES:
            os.replace(path, path + ".1")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, line.encode("utf-8", "replace") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return
