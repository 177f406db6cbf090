"""The daemon's side of the fence: start the guard, arm it, ask it what happened.

Here: one bounded request and its reply. Not here: when to arm and until when (the engine says),
nor the killing (watch.py). Every call returns or raises FenceUnavailable within about 0.3 s and
may come from any thread.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from shell.fence.guard import EXIT_READY, EXIT_TAKEN
from shell.processes import ProcessId, identify, now, send_signal

CALL_SECONDS = 0.3
_HUNG_AFTER_CALLS = 5
_SIGKILL = 9
_STARTER = Path(__file__).with_name("__main__.py")


class FenceUnavailable(Exception):  # noqa: N818 (it tells a state, not a mistake)
    """The fence cannot be relied on now; the text says why and what mends it."""


class PostmasterGone(FenceUnavailable):
    """The postmaster to be guarded has ended: there is nothing to fence."""


class FenceFiredError(FenceUnavailable):
    """The deadline has passed: the fence is shutting PostgreSQL down and cannot take it back."""


@dataclass(frozen=True, slots=True)
class FenceFiring:
    """One time that the fence shut PostgreSQL down."""

    wall: float
    """When it was done, seconds since the epoch."""
    boot: float
    """When it was done, seconds of CLOCK_BOOTTIME (of that boot)."""
    pid: int
    """The postmaster."""
    kill_at: float
    """The deadline that had passed, CLOCK_BOOTTIME."""
    seconds: float
    """From the first signal until no process of the server was left."""
    means: str
    """SIGQUIT (immediate shutdown sufficed) or SIGKILL."""
    reason: str
    """A sentence for people."""


@dataclass(frozen=True, slots=True)
class FenceStatus:
    """What the fence says about itself."""

    ready: bool
    """It can be armed, or is; False while it is shutting PostgreSQL down."""
    armed: bool
    armed_pid: int | None
    """The postmaster under guard; None when not armed, or armed for the directory."""
    kill_at: float | None
    """CLOCK_BOOTTIME seconds; None when not armed."""
    fired: FenceFiring | None
    """The last time it fired, also under an earlier guard process."""
    pid: int
    """The guard's process number."""


class Fence:
    """The fence of one data directory.

    `state_file` receives a line for each firing. The guard process outlives this object and the
    daemon; another daemon's Fence for the same directory takes it over.
    """

    def __init__(self, data_dir: str | os.PathLike[str], state_file: str | os.PathLike[str]):
        self._directory = os.path.realpath(data_dir)
        self._state_file = Path(state_file).absolute()
        self._name = socket_name(self._directory)
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._starter: subprocess.Popen[bytes] | None = None
        self._unanswered = 0
        self._guard: ProcessId | None = None

    def ensure_running(self) -> None:
        """Take over the running guard, or start one; returns once it answers."""
        deadline = now() + CALL_SECONDS
        with _Held(self._lock, deadline):
            try:
                self._ask("status", deadline)
                return
            except FenceUnavailable:
                if self._unanswered >= _HUNG_AFTER_CALLS:
                    self._end_hung_guard()
                elif self._unanswered:
                    raise
            deadline = now() + CALL_SECONDS
            self._start(deadline)
            self._ask("status", deadline)

    def arm(
        self, postmaster: ProcessId | None, kill_at: float, grace_seconds: float
    ) -> FenceStatus:
        """Guard the postmaster: dead by `kill_at + grace_seconds` unless armed anew or disarmed.

        `kill_at` in CLOCK_BOOTTIME seconds is set exactly, also backwards; in the past it fires
        at once. None for the postmaster guards the directory: whatever server is there by then
        (for a primary about to be started). A guard for a postmaster ends with that server; one
        for the directory lasts until disarm() or the deadline.

        Raises PostmasterGone, FenceFiredError, or FenceUnavailable for everything else.
        """
        pid, start_ticks = postmaster or (0, 0)
        request = f"arm {pid} {start_ticks} {kill_at!r} {grace_seconds!r}"
        return _parse_status(self._call(request))

    def disarm(self) -> FenceStatus:
        """Guard nothing any more. Raises FenceFiredError when it is too late."""
        return _parse_status(self._call("disarm"))

    def status(self) -> FenceStatus:
        """What is guarded until when, and what the fence did last."""
        return _parse_status(self._call("status"))

    def quit(self) -> None:
        """End the guard process; refused (FenceUnavailable) while it is armed."""
        self._call("quit")
        self.close()

    def close(self) -> None:
        """Let the connection go; the guard goes on with what it was told."""
        with self._lock:
            self._disconnect()

    def _call(self, request: str) -> str:
        deadline = now() + CALL_SECONDS
        with _Held(self._lock, deadline):
            return self._ask(request, deadline)

    def _ask(self, request: str, deadline: float) -> str:
        """One request and its reply; a connection that broke meanwhile is renewed once."""
        kept = self._connection is not None
        try:
            reply = self._exchange(request, deadline)
        except TimeoutError as error:
            self._disconnect()
            self._unanswered += 1
            raise FenceUnavailable(
                f"the fence of {self._directory} does not answer within {CALL_SECONDS} s"
                " (is its process hae-fence stopped?)"
            ) from error
        except OSError as error:
            self._disconnect()
            if kept:
                return self._ask(request, deadline)
            self._unanswered = 0
            raise FenceUnavailable(
                f"no fence process runs for {self._directory} ({error.strerror or error})"
            ) from error
        self._unanswered = 0
        return self._checked(reply)

    def _exchange(self, request: str, deadline: float) -> str:
        if self._connection is None:
            self._connection = self._connect(deadline)
        connection = self._connection
        connection.settimeout(max(0.001, deadline - now()))
        connection.sendall(request.encode("ascii") + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            connection.settimeout(max(0.001, deadline - now()))
            data = connection.recv(4096)
            if not data:
                raise ConnectionResetError("the fence closed the connection")
            reply += data
        return reply.decode("utf-8", "replace").rstrip("\n")

    def _connect(self, deadline: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(0.001, deadline - now()))
            try:
                connection.connect(b"\0" + self._name.encode("ascii"))
            except BlockingIOError as error:  # its queue is full: it does not accept
                raise TimeoutError from error
            pid, owner = _peer_of(connection)
            self._guard = identify(pid)
            if owner not in (0, os.geteuid()):
                raise FenceUnavailable(
                    f"the fence's socket name of {self._directory} is taken by account number"
                    f" {owner}; run one hae daemon per data directory, as one account"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _checked(self, reply: str) -> str:
        kind, _, rest = reply.partition(" ")
        if kind == "ok":
            return rest
        if kind == "dead":
            raise PostmasterGone(f"the postmaster of {self._directory} has ended")
        if kind == "firing":
            raise FenceFiredError(
                f"the fence is shutting down PostgreSQL in {self._directory}:"
                " its deadline has passed"
            )
        raise FenceUnavailable(f"the fence of {self._directory} refused: {rest or reply}")

    def _start(self, deadline: float) -> None:
        """Start the guard, or go on waiting for one that is starting."""
        if self._starter is None:
            self._starter = self._spawn()
        starter = self._starter
        try:
            _, complaint = starter.communicate(timeout=max(0.001, deadline - now()))
        except subprocess.TimeoutExpired as error:
            raise FenceUnavailable(
                f"the fence of {self._directory} is still starting; ask again"
            ) from error
        self._starter = None
        if starter.returncode not in (EXIT_READY, EXIT_TAKEN):
            text = complaint.decode("utf-8", "replace").strip().splitlines()
            raise FenceUnavailable(
                f"the fence of {self._directory} could not be started"
                f" (exit status {starter.returncode}): {text[-1] if text else 'no message'}"
            )

    def _spawn(self) -> subprocess.Popen[bytes]:
        # No site module and an empty environment: small, and no secret of the daemon's inside.
        kept = {
            name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")
        }
        command = [sys.executable, "-I", "-S", "-X", "utf8", str(_STARTER)]
        try:
            return subprocess.Popen(
                [*command, self._name, self._directory, str(self._state_file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=kept,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise FenceUnavailable(
                f"the fence cannot be started with {sys.executable}: {error.strerror}"
            ) from error

    def _end_hung_guard(self) -> None:
        """Make room for a new guard when the old one has not answered for many calls."""
        if self._guard is not None:
            send_signal(self._guard, _SIGKILL)
        self._unanswered = 0


class _Held:
    """A lock held for a block, waited for no longer than until the deadline."""

    def __init__(self, lock: threading.Lock, deadline: float) -> None:
        self._lock = lock
        self._deadline = deadline

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=max(0.0, self._deadline - now())):
            raise FenceUnavailable("another thread's call to the fence has not ended yet")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def socket_name(directory: str) -> str:
    """Abstract socket name of a resolved data directory's guard.

    The process namespace is part of it: containers may share the host's network, and with it
    abstract sockets, while each has its own /var/lib/postgresql.
    """
    namespace = Path("/proc/self/ns/pid").readlink()
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:32]
    return f"hae-fence/{os.geteuid()}/{namespace}/{digest}"


def _peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process and user number of the other end."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid


def _parse_status(text: str) -> FenceStatus:
    words, _, fired = text.partition(" fired=")
    try:
        values = dict(word.split("=", 1) for word in words.split())
        armed = values["phase"] != "idle"
        return FenceStatus(
            ready=values["phase"] in ("idle", "armed"),
            armed=armed,
            armed_pid=int(values["armed"]) or None,
            kill_at=float(values["kill_at"]) if armed else None,
            fired=parse_firing(fired),
            pid=int(values["pid"]),
        )
    except (KeyError, ValueError) as error:
        raise FenceUnavailable(f"the fence answered something strange: {text[:80]!r}") from error


def parse_firing(line: str) -> FenceFiring | None:
    """Read one line of the state file; None for an empty, torn or foreign line."""
    words, _, reason = line.partition(" reason=")
    try:
        values = dict(word.split("=", 1) for word in words.split())
        return FenceFiring(
            wall=float(values["wall"]),
            boot=float(values["boot"]),
            pid=int(values["pid"]),
            kill_at=float(values["kill_at"]),
            seconds=float(values["seconds"]),
            means=values["means"],
            reason=reason,
        )
    except (KeyError, ValueError):
        return None
