"""What pg_controldata says about a data directory whose server is down, or starts as a standby.

Not here: when to look.  The result is kept per modification of global/pg_control, so that asking
again costs one stat(2).
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.state import ControlData
from shell.postgres.binaries import Binaries
from shell.postgres.commands import explain, run
from shell.postgres.errors import PostgresError
from shell.postgres.quoting import parse_lsn
from shell.postgres.waiting import NEVER

# Parameters that a standby must not set below what its primary used, by pg_controldata's label.
GUARDED = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


@dataclass(frozen=True, slots=True)
class Controlfile:
    """The engine's view, and what only the shell needs."""

    system_identifier: str
    control: ControlData
    settings: Mapping[str, int]
    whole: bool = True  # False: read while it was being written, or damaged


class ControlReader:
    """Reads pg_controldata's output, again only when the file has changed."""

    def __init__(self) -> None:
        self._key: tuple[str, int, int] | None = None
        self._value: Controlfile | None = None
        self._lock = threading.Lock()

    def read(self, binaries: Binaries, data_dir: Path) -> Controlfile:
        """Return the control data; raises PostgresError when it cannot be read."""
        with self._lock:
            try:
                found = (data_dir / "global/pg_control").stat()
            except OSError as error:
                raise PostgresError(
                    f"{data_dir}/global/pg_control cannot be read: {error.strerror}"
                ) from None
            key = (str(data_dir), found.st_mtime_ns, found.st_ino)
            if key != self._key or self._value is None:
                self._value = parse(_output(binaries, data_dir))
                self._key = key if self._value.whole else None
            return self._value


def parse(text: str) -> Controlfile:
    """Parse pg_controldata's output (in English); raises PostgresError for anything else."""
    fields = {}
    for line in text.splitlines():
        label, colon, value = line.partition(":")
        if colon:
            fields[label.strip()] = value.strip()
    try:
        control = ControlData(
            state=fields["Database cluster state"],
            checkpoint_lsn=_lsn(fields["Latest checkpoint location"]),
            timeline=int(fields["Latest checkpoint's TimeLineID"]),
            min_recovery_lsn=_lsn(fields["Minimum recovery ending location"]),
            min_recovery_timeline=int(fields["Min recovery ending loc's timeline"]),
            rewindable=fields["Data page checksum version"] != "0"
            or fields["wal_log_hints setting"] == "on",
        )
        settings = {guc: int(fields[label]) for label, guc in GUARDED.items()}
        whole = "CRC checksum does not match" not in text
        return Controlfile(fields["Database system identifier"], control, settings, whole)
    except (KeyError, ValueError) as error:
        raise PostgresError(f"pg_controldata's output is not understood: {error}") from None


def _lsn(text: str) -> int:
    lsn = parse_lsn(text)
    if lsn is None:
        raise ValueError(text)
    return lsn


def _output(binaries: Binaries, data_dir: Path) -> str:
    done = run(
        [binaries.path("pg_controldata"), "-D", os.fspath(data_dir)],
        "pg_controldata",
        cancel=NEVER,
        timeout_seconds=10,
        environment={"LC_ALL": "C"},
    )
    if done.code != 0:
        raise PostgresError(f"pg_controldata failed: {explain(done)}")
    return f"{done.output}\n{done.errors}"
