"""The guard process: keeps the watch over one data directory and listens to the daemon.

Here: the process, its event loop and its protocol. Not here: what is done to PostgreSQL
(watch.py). It outlives the daemon that started it and hands over to the next one. It imports
little more than what the interpreter has built in (`_socket` instead of `socket`, no `signal`),
to stay below 6 MiB, and sleeps until something happens.

Protocol, one line each way over an abstract Unix socket, times in seconds of CLOCK_BOOTTIME:

    arm <pid> <start_ticks> <kill_at> <grace>   ok ... | dead | firing | error <text>
    disarm                                      ok ... | firing
    status                                      ok ...
    quit                                        ok ... | error <text>   (refused while armed)

`arm` sets the deadline exactly, later or earlier than before; repeating it changes nothing;
`arm 0 0 ...` arms for the directory. `ok` is followed by pid=, phase= (idle, armed, quit, kill),
armed=, ticks=, kill_at= and, last because it holds blanks, fired=.
"""

# Pathlib would cost more memory than all of this.
# ruff: noqa: PTH123
from __future__ import annotations

import _socket
import os
import select
import sys

from shell import processes
from shell.fence.boottimer import BootTimer
from shell.fence.watch import ARMED, IDLE, LINE_BYTES, Watch
from shell.processes import ProcessId

TICK_SECONDS = 0.25
"""Longest sleep while armed on a system without timers that count suspend, or without pidfds."""
FIRING_TICK_SECONDS = 0.02
LONELY_SECONDS = 60.0
"""With no daemon connected and nothing to guard, the guard leaves after this time."""

EXIT_READY, EXIT_FAILED, EXIT_TAKEN = 0, 1, 3
_ADDRESS_IN_USE = 98
_PID_LIMIT = 1 << 22  # Linux's own upper bound


class Guard:
    """The event loop: the daemon's connection, the postmaster's pidfd, the deadline's timer."""

    def __init__(self, watch: Watch, listener: _socket.socket) -> None:
        self._watch = watch
        self._listener = listener
        self._daemon: _socket.socket | None = None
        self._received = b""
        self._poll = select.poll()
        self._polled: set[int] = set()
        self._timer = _make_timer()
        self._quiet_since = processes.now()
        self._leaving = False

    def run(self) -> None:
        """Serve and guard until nobody needs it any more."""
        while not self._may_leave():
            for descriptor in self._wait():
                self._handle(descriptor)
            self._watch.step()

    def leave(self) -> None:
        """Leave as soon as nothing is under guard (SIGTERM, as at a machine's shutdown)."""
        if self._watch.phase == IDLE:
            os._exit(0)  # in the middle of a long poll(), which a flag would not end
        self._leaving = True

    def _may_leave(self) -> bool:
        if self._watch.phase != IDLE or self._daemon is not None:
            self._quiet_since = processes.now()
        if self._watch.phase != IDLE:
            return False
        return self._leaving or processes.now() - self._quiet_since >= LONELY_SECONDS

    def _patience_seconds(self) -> float:
        if self._watch.phase == IDLE:
            return LONELY_SECONDS
        if self._watch.phase != ARMED:
            return FIRING_TICK_SECONDS
        left = self._watch.kill_at - processes.now()
        if left <= 0:
            return FIRING_TICK_SECONDS
        events_suffice = self._timer is not None and self._watch.told_of_end
        return min(left, LONELY_SECONDS if events_suffice else TICK_SECONDS)

    def _wait(self) -> list[int]:
        """Descriptors with news, after no longer than the patience."""
        wanted = {self._listener.fileno()}
        if self._daemon is not None:
            wanted.add(self._daemon.fileno())
        if self._watch.pidfd is not None:
            wanted.add(self._watch.pidfd)
        if self._timer is not None:
            wanted.add(self._timer.descriptor)
            self._timer.set(self._watch.kill_at if self._watch.phase == ARMED else 0.0)
        for descriptor in self._polled - wanted:
            self._poll.unregister(descriptor)
        for descriptor in wanted - self._polled:
            self._poll.register(descriptor, select.POLLIN)
        self._polled = wanted
        return [descriptor for descriptor, _ in self._poll.poll(self._patience_seconds() * 1000)]

    def _handle(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            self._accept()
        elif self._daemon is not None and descriptor == self._daemon.fileno():
            self._read(self._daemon)
        elif descriptor == self._watch.pidfd:
            self._watch.postmaster_ended()
        elif self._timer is not None and descriptor == self._timer.descriptor:
            self._timer.clear()

    def _accept(self) -> None:
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        connection = _socket.socket(fileno=descriptor)
        connection.setblocking(False)
        if _user_of(connection) not in (0, os.geteuid()):
            connection.close()
            return
        # The newest daemon is the living one; its predecessor may be stopped, holding on.
        self._hang_up()
        self._daemon = connection

    def _hang_up(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
        self._daemon = None
        self._received = b""

    def _read(self, daemon: _socket.socket) -> None:
        try:
            data = daemon.recv(LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > LINE_BYTES:
            self._hang_up()
        while b"\n" in self._received:
            line, _, self._received = self._received.partition(b"\n")
            answer = self._answer(line.decode("ascii", "replace").split())
            try:
                daemon.send(answer.encode("utf-8", "replace") + b"\n")
            except OSError:
                self._hang_up()

    def _answer(self, words: list[str]) -> str:
        try:
            outcome = self._obey(words)
        except (ValueError, OverflowError) as error:
            return f"error {error}"
        if outcome != "ok":
            return outcome
        return f"ok pid={os.getpid()} {self._watch.describe()}"

    def _obey(self, words: list[str]) -> str:
        if words == ["status"]:
            return "ok"
        if words == ["disarm"]:
            return self._watch.disarm()
        if words == ["quit"]:
            if self._watch.phase != IDLE:
                return "error armed: disarm first"
            self._leaving = True
            return "ok"
        if len(words) == 5 and words[0] == "arm":
            kill_at, grace = float(words[3]), float(words[4])
            if not (0.0 <= kill_at < float("inf") and 0.0 <= grace < float("inf")):
                return "error kill_at and grace must be finite and not negative"
            identity = ProcessId(int(words[1]), int(words[2]))
            if not 0 <= identity.pid < _PID_LIMIT:
                return f"error process number {identity.pid} is out of range"
            return self._watch.arm(identity if identity.pid else None, kill_at, grace)
        return f"error unknown request {' '.join(words)[:40]!r}"


def _make_timer() -> BootTimer | None:
    try:
        return BootTimer()
    except OSError:
        return None  # the tick serves instead


def _user_of(connection: _socket.socket) -> int:
    """User number of the other end (struct ucred: pid, uid, gid)."""
    data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(data[4:8], sys.byteorder)


def main(arguments: list[str]) -> None:
    """Bind the name (one guard per data directory), leave the daemon's family, and guard.

    Ends with 0 in the starting process once the guard listens, 3 when another guard has the
    name, 1 with a text on stderr for anything else.
    """
    name, directory, state_file = arguments
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        listener.bind(b"\0" + name.encode("ascii"))
    except OSError as error:
        sys.stderr.write(f"cannot bind the fence's socket: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(EXIT_TAKEN if error.errno == _ADDRESS_IN_USE else EXIT_FAILED)
    listener.setblocking(False)
    readable, writable = os.pipe()
    if os.fork() > 0:
        os.close(writable)
        os._exit(EXIT_READY if os.read(readable, 1) else EXIT_FAILED)
    _detach()
    guard = Guard(Watch(directory, state_file), listener)
    _set_signals(guard)
    # After the fork, so that SO_PEERCRED names the guard and not the process that started it.
    listener.listen(64)
    os.write(writable, b"1")
    os.close(writable)
    os.close(readable)
    guard.run()


def _detach() -> None:
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    # Being scheduled in time is the guard's whole point; without privilege it does as it can.
    for attempt in (_name_process, _ask_for_priority, _hide_from_oom_killer):
        try:
            attempt()
        except OSError:
            continue


def _name_process() -> None:
    _write("/proc/self/comm", b"hae-fence")


def _ask_for_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -15)


def _hide_from_oom_killer() -> None:
    _write("/proc/self/oom_score_adj", b"-1000")


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(data)


def _set_signals(guard: Guard) -> None:
    # The public module costs 0.8 MiB.
    import _signal  # type: ignore[import-not-found]  # noqa: PLC0415

    for ignored in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGPIPE):
        _signal.signal(ignored, _signal.SIG_IGN)
    _signal.signal(_signal.SIGTERM, lambda _number, _frame: guard.leave())
