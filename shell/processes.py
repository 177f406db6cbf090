"""Facts about processes, and signals to them, straight from the Linux kernel.

Here: who a process is (immune to the reuse of its number), whether it lives, and which
processes are the PostgreSQL server of a data directory. Not here: when to signal whom; that is
for the callers (effects, the fence).

The fence is a separate small process and imports this module, so it stays with modules that
the interpreter has loaded anyway: no `typing`, `signal`, `dataclasses`, `collections`.
"""

# Pathlib would cost the fence more memory than all of this.
# ruff: noqa: PTH115, PTH123, PTH208
from __future__ import annotations

import os
import time

SIGNAL_NUMBERS = {"SIGQUIT": 3, "SIGKILL": 9, "SIGTERM": 15, "SIGCONT": 18, "SIGSTOP": 19}

_DEAD_STATES = frozenset("ZXx")
_STOPPED_STATES = frozenset("Tt")
_DELETED = " (deleted)"


class ProcessId(tuple[int, int]):
    """One process and no other: its number and its start time in clock ticks since boot."""

    __slots__ = ()

    def __new__(cls, pid: int, start_ticks: int) -> ProcessId:  # noqa: PYI034 (needs typing)
        """Build the identity from a process number and a start time."""
        return super().__new__(cls, (pid, start_ticks))

    def __repr__(self) -> str:
        return f"ProcessId(pid={self[0]}, start_ticks={self[1]})"

    def __getnewargs__(self) -> tuple[int, int]:
        return (self[0], self[1])

    @property
    def pid(self) -> int:
        """The process number."""
        return self[0]

    @property
    def start_ticks(self) -> int:
        """The start time, in clock ticks since boot (field 22 of /proc/<pid>/stat)."""
        return self[1]


class _Stat:
    """The fields of /proc/<pid>/stat that matter here."""

    __slots__ = ("name", "parent", "start_ticks", "state")

    def __init__(self, text: str) -> None:
        # The name stands in parentheses and may itself hold blanks and parentheses.
        opening, closing = text.index("("), text.rindex(")")
        fields = text[closing + 2 :].split()
        self.name = text[opening + 1 : closing]
        self.state = fields[0]
        self.parent = int(fields[1])
        self.start_ticks = int(fields[19])


def now() -> float:
    """Seconds since boot, suspend included: the clock of leases and of the fence."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Which start of this machine it is: another text after each."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identify(pid: int) -> ProcessId | None:
    """Identity of the process that has this number now; None when there is none alive."""
    stat = _read_stat(pid)
    if stat is None or stat.state in _DEAD_STATES:
        return None
    return ProcessId(pid, stat.start_ticks)


def is_alive(identity: ProcessId) -> bool:
    """Whether that very process still runs (a zombie has ended)."""
    return identify(identity.pid) == identity


def is_stopped(identity: ProcessId) -> bool:
    """Whether the process exists and is stopped (SIGSTOP, SIGTSTP) or held by a debugger."""
    stat = _read_stat(identity.pid)
    return (
        stat is not None
        and stat.start_ticks == identity.start_ticks
        and stat.state in _STOPPED_STATES
    )


def open_pidfd(identity: ProcessId) -> int | None:
    """File descriptor that becomes readable when the process ends; the caller closes it.

    None when the process has ended. Raises OSError when the kernel (before 5.3) or a sandbox
    has no pidfds.
    """
    if not hasattr(os, "pidfd_open"):
        raise OSError("this Python was built without pidfd_open")
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    # Only now is the number pinned to one process; checked earlier it could still change hands.
    if is_alive(identity):
        return descriptor
    os.close(descriptor)
    return None


def send_signal(identity: ProcessId, number: int) -> bool:
    """Send a signal to exactly this process; False when it has ended.

    Raises PermissionError when the process belongs to another account.
    """
    try:
        descriptor = open_pidfd(identity)
    except OSError:
        return _send_by_number(identity, number)
    if descriptor is None:
        return False
    try:
        # The public module `signal` builds enumerations that cost the fence 0.8 MiB.
        from _signal import pidfd_send_signal  # type: ignore[import-not-found]  # noqa: PLC0415

        pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def executable_of(pid: int) -> str | None:
    """Path of the program that a process runs; None when it ended or may not be looked at."""
    path = _read_link(f"/proc/{pid}/exe")
    return None if path is None else path.removesuffix(_DELETED)


def directory_of(pid: int) -> str | None:
    """Working directory of a process; None when it ended or may not be looked at.

    Asks the kernel only, never the disk: this cannot hang on a dead file system.
    """
    path = _read_link(f"/proc/{pid}/cwd")
    return None if path is None else path.removesuffix(_DELETED)


def read_postmaster(data_dir: str | os.PathLike[str]) -> ProcessId | None:
    """The postmaster (or single-user server) that postmaster.pid names, if it is really there.

    None when the file is missing, partial or garbage, or names a process that has ended or that
    works in another directory (its number was reused after a crash). When the file cannot be
    read at all, the running processes answer instead.
    """
    directory = os.path.realpath(data_dir)
    try:
        with open(f"{directory}/postmaster.pid", "rb") as file:
            first_line = file.readline(32)
    except FileNotFoundError:
        return None
    except OSError:
        return postmaster_among(scan({directory}, None))
    pid = _parse_pid(first_line)
    identity = identify(pid) if pid else None
    if identity is None:
        return None
    found = directory_of(identity.pid)
    if found is None:
        # Not ours to look at: a live process with the server's name is taken for the server,
        # because "nothing runs" would be the dangerous mistake.
        return identity if _has_server_name(identity.pid) else None
    return identity if found == directory else None


def processes_of(
    data_dir: str | os.PathLike[str], executable: str | None = None
) -> list[ProcessId]:
    """Every PostgreSQL process of a data directory: postmaster, backends, workers, orphans.

    PostgreSQL processes work in their data directory and run the postmaster's program
    (`executable`, or the one that postmaster.pid points to, or any named postgres). The second
    condition spares an administrator's shell.
    """
    directory = os.path.realpath(data_dir)
    return list(scan({directory}, executable or _executable_by_file(directory)))


def scan(directories: set[str], executable: str | None) -> list[ProcessId]:
    """Like processes_of, for directories already resolved; touches no disk."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = int(entry)
        if directory_of(pid) in directories and _runs_server(pid, executable):
            identity = identify(pid)
            if identity is not None:
                found.append(identity)
    return found


def postmaster_among(family: list[ProcessId]) -> ProcessId | None:
    """The postmaster of a server's processes: the oldest one whose parent is none of them."""
    pids = {identity.pid for identity in family}
    heads = [
        identity
        for identity in family
        if (stat := _read_stat(identity.pid)) is not None and stat.parent not in pids
    ]
    return min(heads, key=lambda identity: identity.start_ticks, default=None)


def kill_round(
    directories: set[str], executable: str | None, postmaster: ProcessId | None
) -> list[ProcessId]:
    """SIGKILL every server process once and return those that were still there.

    The postmaster is stopped first so that it cannot start new backends meanwhile, and killed
    last. Repeat until nothing is returned: a dying process may take a moment.
    """
    if postmaster is not None:
        _signal_quietly(postmaster, SIGNAL_NUMBERS["SIGSTOP"])
    found = scan(directories, executable)
    for identity in found:
        if identity != postmaster:
            _signal_quietly(identity, SIGNAL_NUMBERS["SIGKILL"])
    if postmaster is not None:
        _signal_quietly(postmaster, SIGNAL_NUMBERS["SIGKILL"])
        if postmaster not in found and is_alive(postmaster):
            found.append(postmaster)
    return found


def kill_all(
    data_dir: str | os.PathLike[str],
    *,
    executable: str | None = None,
    timeout_seconds: float = 5.0,
) -> list[ProcessId]:
    """SIGKILL the whole server of a data directory, orphaned backends included.

    Returns the processes that were still there after the timeout (in uninterruptible disk
    wait, or owned by another account); empty means: nothing is left.
    """
    directory = os.path.realpath(data_dir)
    executable = executable or _executable_by_file(directory)
    postmaster = read_postmaster(directory)
    deadline = now() + timeout_seconds
    while True:
        left = kill_round({directory}, executable, postmaster)
        if not left or now() >= deadline:
            return left
        time.sleep(0.01)


def _read_stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return _Stat(file.read().decode("utf-8", "replace"))
    except (OSError, ValueError, IndexError):
        return None


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _parse_pid(line: bytes) -> int:
    """Process number of postmaster.pid's first line; 0 for garbage or a line cut short."""
    text = line.strip()
    # PostgreSQL writes the file in one piece with more lines below: no newline, not complete.
    if not line.endswith(b"\n") or not text.lstrip(b"-").isdigit():
        return 0
    return abs(int(text))  # negative: a server in single-user mode


def _has_server_name(pid: int) -> bool:
    stat = _read_stat(pid)
    return stat is not None and _is_server_name(stat.name)


def _is_server_name(name: str) -> bool:
    # Also edb-postgres, but not postgres_exporter.
    return name.endswith("postgres") or name == "postmaster"


def _runs_server(pid: int, executable: str | None) -> bool:
    found = executable_of(pid)
    if found is None:
        return _has_server_name(pid)
    return found == executable or _is_server_name(found.rpartition("/")[2])


def _executable_by_file(directory: str) -> str | None:
    postmaster = read_postmaster(directory)
    return None if postmaster is None else executable_of(postmaster.pid)


def _send_by_number(identity: ProcessId, number: int) -> bool:
    if not is_alive(identity):
        return False
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    return True


def _signal_quietly(identity: ProcessId, number: int) -> None:
    try:
        send_signal(identity, number)
    except OSError:
        return  # another account's process: it stays among those reported as left
