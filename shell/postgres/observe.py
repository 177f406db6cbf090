"""Observe the local server: directory, process, and what it answers, each within a bound.

A kept connection and one statement for the facts; one fresh connection as proof that the
postmaster still serves.  What cannot be learned is `Unknown` with the moment of the first failure.
Not here: judging what was seen.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.state import DataDirectory, DirectoryKind, Known, Postmaster, Server, Unknown
from shell.postgres import query
from shell.postgres.binaries import Binaries
from shell.postgres.controldata import ControlReader
from shell.postgres.directory import look
from shell.postgres.errors import PostgresError
from shell.postgres.history import HistoryReader
from shell.postgres.pidfile import PidFile, read_pidfile
from shell.postgres.probe import accepts_connections
from shell.postgres.session import CONNECT_SECONDS, Row, Session, SqlError
from shell.postgres.walfiles import replay_timeline
from shell.processes import ProcessId, is_stopped, now, read_postmaster

STATEMENT_SECONDS = 2.0
PROBE_SECONDS = 1.0
CANNOT_CONNECT_NOW = "57P03"


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation of everything that the server and its directory show."""

    directory: DataDirectory
    postmaster: Postmaster | None
    server: Known[Server] | Unknown
    starting: bool
    must_reach: tuple[int, int] | None = None


class Observer:
    """Keeps what makes observing cheap: a connection, and files that were read before."""

    def __init__(self, connect: Callable[[float], Session]) -> None:
        """`connect(deadline)` opens a superuser connection to the local server."""
        self.statements_sent = 0
        self._connect = connect
        self._session: Session | None = None
        self._session_of: ProcessId | None = None
        self._failing_since: float | None = None
        self._identifier = ""
        self._history = HistoryReader()
        self._must_reach: tuple[ProcessId, tuple[int, int] | None] | None = None
        self._lock = threading.Lock()

    def observe(
        self,
        data_dir: Path,
        binaries: Binaries,
        control: ControlReader,
        wanted: Mapping[str, str],
        deadline: float,
    ) -> Seen:
        """Look at everything once.  Never raises for what it finds; ends soon after `deadline`."""
        with self._lock:
            identity = read_postmaster(data_dir)
            directory = look(data_dir, binaries, control, running=identity is not None)
            directory = self._with_identifier(directory)
            if identity is None:
                self._drop()
                return Seen(directory, None, self._unknown("PostgreSQL is not running"), False)
            postmaster = Postmaster(identity.pid, identity.start_ticks, is_stopped(identity))
            if postmaster.frozen:
                server = self._unknown(f"postmaster {identity.pid} is suspended (SIGSTOP)")
                return Seen(directory, postmaster, server, False)
            seen = self._ask(data_dir, directory, postmaster, wanted, deadline)
            if not (seen.starting and directory.standby_signal):
                return seen
            return replace(seen, must_reach=self._reach_of(identity, data_dir, binaries, control))

    def close(self) -> None:
        """Give the kept connection up, so that a stop need not end it."""
        # An observation under way has the connection; it notices by itself when the server ends.
        if self._lock.acquire(timeout=0.1):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _ask(
        self,
        data_dir: Path,
        directory: DataDirectory,
        postmaster: Postmaster,
        wanted: Mapping[str, str],
        deadline: float,
    ) -> Seen:
        pidfile = read_pidfile(data_dir)
        if pidfile is None or pidfile.status == "starting":
            server: Known[Server] | Unknown = self._unknown("the database system is starting up")
            return Seen(directory, postmaster, server, True)
        asked_at = now()  # what happens while the server answers may be missing in the answer
        try:
            value = self._server(
                data_dir,
                ProcessId(postmaster.pid, postmaster.start_ticks),
                pidfile,
                wanted,
                deadline,
            )
        except SqlError as error:
            # An end between the look and the question is no failure of its own.
            starting = error.code == CANNOT_CONNECT_NOW
            return Seen(directory, postmaster, self._unknown(str(error)), starting)
        self._failing_since = None
        directory = self._with_identifier(
            replace(directory, system_identifier=value.system_identifier)
        )
        return Seen(directory, postmaster, Known(value, asked_at), False)

    def _reach_of(
        self, identity: ProcessId, data_dir: Path, binaries: Binaries, control: ControlReader
    ) -> tuple[int, int] | None:
        """Before which position this starting standby can't answer; as it was at the first look."""
        if self._must_reach is None or self._must_reach[0] != identity:
            try:
                file = control.read(binaries, data_dir)
            except PostgresError:
                return None
            if not file.whole:
                return None
            at = (file.control.min_recovery_timeline, file.control.min_recovery_lsn)
            self._must_reach = identity, at if file.control.min_recovery_lsn else None
        return self._must_reach[1]

    def _server(
        self,
        data_dir: Path,
        identity: ProcessId,
        pidfile: PidFile,
        wanted: Mapping[str, str],
        deadline: float,
    ) -> Server:
        if self._session is not None and not self._session.closed and self._session_of == identity:
            # The facts come over an old connection, which says nothing about new ones.
            trouble = accepts_connections(pidfile, min(deadline, now() + PROBE_SECONDS))
            if trouble:
                raise SqlError(trouble)
        row = self._row(identity, wanted, deadline)
        server, walfile = query.parse(row, wanted)
        asks_files = server.in_recovery and server.replication_state != "streaming"
        if asks_files and server.timeline and server.replay_lsn is not None:
            timeline = replay_timeline(data_dir, server.replay_lsn, server.timeline)
            server = replace(server, timeline=timeline)
        if server.timeline is None or not (server.in_recovery or walfile):
            return server
        return replace(server, timeline_history=self._history.read(data_dir, server.timeline))

    def _row(self, identity: ProcessId, wanted: Mapping[str, str], deadline: float) -> Row:
        kept = self._session is not None and self._session_of == identity
        try:
            return self._execute(identity, wanted, deadline)
        except SqlError:
            # The kept connection may have been ended by anybody; a fresh one decides.
            if not kept or now() >= deadline:
                raise
            return self._execute(identity, wanted, deadline)

    def _execute(self, identity: ProcessId, wanted: Mapping[str, str], deadline: float) -> Row:
        if self._session is None or self._session.closed or self._session_of != identity:
            self._drop()
            self._session = self._connect(min(deadline, now() + CONNECT_SECONDS))
            self._session_of = identity
        self.statements_sent += 1
        rows = self._session.execute(
            query.STATEMENT,
            (list(wanted),),
            deadline=min(deadline, now() + STATEMENT_SECONDS),
            what="the observation",
        )
        return rows[0]

    def _with_identifier(self, directory: DataDirectory) -> DataDirectory:
        """Add the identifier seen before: a server that starts or hangs has not changed it."""
        if directory.kind is not DirectoryKind.VALID:
            self._identifier = ""
            return directory
        self._identifier = directory.system_identifier or self._identifier
        return replace(directory, system_identifier=self._identifier)

    def _unknown(self, why: str) -> Unknown:
        if self._failing_since is None:
            self._failing_since = now()
        return Unknown(self._failing_since, why)

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None
        self._session_of = None
