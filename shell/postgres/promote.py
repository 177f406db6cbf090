"""Promote the running standby and wait until it accepts writes.

Not here: whether it may be promoted.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from shell.postgres.errors import PostgresError
from shell.postgres.session import Session, SqlError
from shell.postgres.waiting import check, wait_until
from shell.processes import now, read_postmaster, send_signal

POLL_SECONDS = 0.01
STATEMENT_SECONDS = 2.0


def promote(
    data_dir: Path,
    connect: Callable[[], Session],
    timeout_seconds: float,
    cancel: threading.Event,
) -> None:
    """Ask the postmaster to promote, then wait until pg_is_in_recovery() is false.

    Raises PostgresError (also when the server ends meanwhile) and Cancelled; a promotion that has
    begun cannot be taken back.
    """
    deadline = now() + timeout_seconds
    poll = _Poll(connect)
    try:
        # Connecting before the signal keeps the log-in out of the outage.
        if poll.writable():
            return
        check(cancel, "the promotion")
        request(data_dir)
        if not wait_until(
            lambda: poll.writable() or read_postmaster(data_dir) is None,
            deadline,
            cancel,
            "the promotion",
            step_seconds=POLL_SECONDS,
        ):
            raise PostgresError(f"the promotion did not end within {timeout_seconds:g} seconds")
        if not poll.done:
            raise PostgresError("PostgreSQL ended during the promotion: see its log")
    finally:
        poll.close()


def wait_for_writes(
    connect: Callable[[], Session], deadline: float, cancel: threading.Event
) -> bool:
    """Wait until a server that recovers to a target has promoted itself; False at the deadline."""
    poll = _Poll(connect)
    try:
        return wait_until(poll.writable, deadline, cancel, "the recovery to its target")
    finally:
        poll.close()


def request(data_dir: Path) -> None:
    """Write the signal file and wake the postmaster: what `pg_ctl promote` does."""
    postmaster = read_postmaster(data_dir)
    if postmaster is None:
        raise PostgresError(f"no PostgreSQL runs in {data_dir}: nothing to promote")
    try:
        (data_dir / "promote").touch(mode=0o600)
    except OSError as error:
        raise PostgresError(f"{data_dir}/promote cannot be written: {error.strerror}") from None
    send_signal(postmaster, signal.SIGUSR1)


class _Poll:
    """Asks the same question on one connection, reconnecting when it breaks."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._session: Session | None = None
        self.done = False

    def writable(self) -> bool:
        """Whether the server is out of recovery; "no answer" counts as no."""
        try:
            if self._session is None or self._session.closed:
                self._session = self._connect()
            rows = self._session.execute(
                "SELECT pg_is_in_recovery()", deadline=now() + STATEMENT_SECONDS
            )
        except SqlError:
            return False
        self.done = rows[0][0] is False
        return self.done

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
