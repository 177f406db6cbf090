"""Archive the WAL that waits for it, while the server is down.

A crashed primary's last segments would be lost to point-in-time recovery if pg_rewind came first.
Not here: archiving by a running server.
"""

import logging
import re
import threading
from pathlib import Path

from shell.postgres.binaries import Binaries
from shell.postgres.commands import explain, run
from shell.postgres.configuration import FilesPlan
from shell.postgres.errors import Cancelled, PostgresError
from shell.postgres.walfiles import segment_of

COMMAND_SECONDS = 60.0
READY = ".ready"
_log = logging.getLogger(__name__)


def archive_waiting(binaries: Binaries, plan: FilesPlan, cancel: threading.Event) -> None:
    """Run archive_command for each waiting segment; the first failure ends it, and is only logged.

    Raises Cancelled.
    """
    waiting = sorted((plan.data_dir / "pg_wal/archive_status").glob(f"*{READY}"))
    if not waiting:
        return
    try:
        if _setting(binaries, plan, "archive_mode", cancel) not in {"on", "always"}:
            return
        command = _setting(binaries, plan, "archive_command", cancel)
        for path in waiting if command else []:
            _archive(plan.data_dir, command, path, cancel)
    except Cancelled:
        raise
    except (PostgresError, OSError) as error:
        _log.warning("WAL that waits for archiving stays: %s", error)


def archive_shutdown(
    binaries: Binaries, plan: FilesPlan, timeline: int, lsn: int, cancel: threading.Event
) -> None:
    """Archive what waits, and the segment with the shutdown checkpoint at `lsn`.

    PostgreSQL leaves that segment for later, but who follows from the archive needs it now.
    Failures are only logged.  Raises Cancelled.
    """
    segment = segment_of(plan.data_dir, timeline, lsn)
    try:
        on = _setting(binaries, plan, "archive_mode", cancel) in {"on", "always"}
        if not on or segment is None:
            return
        (plan.data_dir / "pg_wal/archive_status" / f"{segment}{READY}").touch(mode=0o600)
    except (PostgresError, OSError) as error:
        _log.warning("the WAL of the shutdown is not archived: %s", error)
        return
    archive_waiting(binaries, plan, cancel)


def expand(command: str, segment: str) -> str:
    """Replace %p, %f and %% as PostgreSQL does."""
    values = {"%p": f"pg_wal/{segment}", "%f": segment, "%%": "%"}
    return re.sub(r"%[pf%]", lambda found: values[found[0]], command)


def _archive(data_dir: Path, command: str, path: Path, cancel: threading.Event) -> None:
    segment = path.name.removesuffix(READY)
    done = run(
        ["/bin/sh", "-c", expand(command, segment)],
        f"archive_command for {segment}",
        cancel=cancel,
        timeout_seconds=COMMAND_SECONDS,
        folder=str(data_dir),
    )
    if done.code != 0:
        raise PostgresError(f"archive_command for {segment} failed: {explain(done)}")
    path.rename(path.with_suffix(".done"))


def _setting(binaries: Binaries, plan: FilesPlan, name: str, cancel: threading.Event) -> str:
    argv = [binaries.path("postgres"), "-D", str(plan.data_dir), f"--config-file={plan.main}"]
    done = run([*argv, "-C", name], f"postgres -C {name}", cancel=cancel, timeout_seconds=10)
    if done.code != 0:
        raise PostgresError(f"{name} is not known: {explain(done)}")
    return done.output.strip()
