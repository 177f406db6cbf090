"""Run a program to its end: bounded, cancellable, in its own process group, output captured.

Here: everything that runs for a while and is waited for (initdb, pg_basebackup, pg_rewind,
the operator's scripts).  Not here: the postmaster itself (`start.py`), which outlives the daemon.
Secrets never belong in `argv`: other accounts read it with ps.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from shell.postgres.errors import Cancelled, PostgresError
from shell.postgres.waiting import wait_readable
from shell.processes import now

TAIL_BYTES = 4000
KILL_WAIT_SECONDS = 2.0
FOREVER = 10**9
_PRIVATE = ("PATRONI_", "HAE_", "KUBERNETES_")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended; the texts are the last few kilobytes of what it wrote."""

    code: int
    output: str
    errors: str


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for PostgreSQL and its tools: ours without our own secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PRIVATE) and name not in {"NOTIFY_SOCKET", "PGPASSWORD"}
    }
    arenas = kept.pop("PG_MALLOC_ARENA_MAX", None)
    if arenas is not None:
        kept["MALLOC_ARENA_MAX"] = arenas
    return kept | dict(extra or {})


def run(
    argv: Sequence[str],
    what: str,
    *,
    cancel: threading.Event,
    timeout_seconds: float = FOREVER,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Finished:
    """Run to the end and return how it ended; a non-zero exit is not an error here.

    Raises PostgresError when the program cannot be started or takes too long, Cancelled when it
    was cancelled; in both cases its whole process group has been killed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=clean_environment(environment),
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise PostgresError(f"{what}: cannot run {argv[0]}: {error.strerror}") from None
        if on_start is not None:
            on_start(child.pid)
        _wait(child, what, now() + timeout_seconds, timeout_seconds, cancel)
        return Finished(child.returncode, _tail(output), _tail(errors))


def run_checked(
    argv: Sequence[str],
    what: str,
    *,
    cancel: threading.Event,
    timeout_seconds: float = FOREVER,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
) -> Finished:
    """Like `run`, but a non-zero exit raises PostgresError with the last lines it wrote."""
    done = run(
        argv,
        what,
        cancel=cancel,
        timeout_seconds=timeout_seconds,
        environment=environment,
        folder=folder,
    )
    if done.code != 0:
        raise PostgresError(f"{what} failed: {explain(done)}")
    return done


def explain(done: Finished) -> str:
    """Say how a program failed: its exit code and its last words, on one line."""
    text = last_lines(done.errors) or last_lines(done.output)
    ended = f"exit code {done.code}" if done.code >= 0 else f"killed by signal {-done.code}"
    return f"{ended}: {text}" if text else ended


def last_lines(text: str, count: int = 4) -> str:
    """Return the last non-empty lines joined by "; "."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[-count:])


def _wait(
    child: subprocess.Popen[bytes],
    what: str,
    deadline: float,
    timeout_seconds: float,
    cancel: threading.Event,
) -> None:
    descriptor = os.pidfd_open(child.pid)
    try:
        ended = wait_readable(descriptor, deadline, cancel, what)
    except Cancelled:
        end_group(child)
        raise
    finally:
        os.close(descriptor)
    if not ended:
        end_group(child)
        raise PostgresError(f"{what} did not end within {timeout_seconds:g} seconds: killed")
    child.wait()


def end_group(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL, to the process group that a child leads."""
    for number, seconds in ((signal.SIGTERM, 0.3), (signal.SIGKILL, KILL_WAIT_SECONDS)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    # Grandchildren that ignored SIGTERM would outlive a leader that obeyed it.
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    return file.read().decode("utf-8", "replace")
