"""The door to PostgreSQL control: one object for the local server of this node.

It holds the settings and what is remembered between calls; each method carries out one action of
the engine with plain values and may be called from any thread.  Not here: decisions.  Errors are
PostgresError with a text for the operator; long operations end soon after `cancel` is set.
"""

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from engine.actions import Upstream
from engine.restart_order import at_least
from engine.state import LeaderTimeline, Postgres
from shell.config.parameters import on_command_line
from shell.config.settings import Settings
from shell.postgres import bootstrap, cleaning, configuration, pgpass, plans, slots, sync_names
from shell.postgres import clone as cloning
from shell.postgres import promote as promotion
from shell.postgres import rewind as rewinding
from shell.postgres import start as starting
from shell.postgres import stop as stopping
from shell.postgres.archive import archive_shutdown
from shell.postgres.binaries import Binaries
from shell.postgres.callbacks import CallbackRunner, run_before_stop, run_pre_promote
from shell.postgres.configuration import FilesPlan
from shell.postgres.controldata import ControlReader
from shell.postgres.directory import make_private
from shell.postgres.errors import Cancelled, PostgresError
from shell.postgres.observe import Observer
from shell.postgres.session import CONNECT_SECONDS, Session
from shell.postgres.unfinished import is_unfinished, unmark
from shell.postgres.waiting import NEVER
from shell.processes import now, read_postmaster, send_signal

SQL_SECONDS = 5.0
CHECKPOINT_SECONDS = 3600.0
Role: TypeAlias = Literal["primary", "standby"]
_log = logging.getLogger(__name__)


class Instance:
    """The local PostgreSQL server."""

    def __init__(self, settings: Settings, *, inherit_output: bool = False) -> None:
        """`inherit_output`: the server writes to our standard error instead of a file."""
        self._inherit_output = inherit_output
        self._child = starting.Child()
        self._control = ControlReader()
        self._callbacks = CallbackRunner()
        self._files_lock = threading.RLock()
        self._programs: object = None
        self._loaded = True
        self._bootstrap_target: bootstrap.Target | None = None
        self._plan: FilesPlan | None = None
        self._planned_for: Settings | None = None
        self._digest_key: object = None
        self._digests: tuple[str, str, Upstream | None, str | None] = ("", "", None, None)
        self._observer = Observer(self._connect_observing)
        self.use(settings)
        self.slots = slots.SlotKeeper(lambda: self._settings)

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on; nothing is written, reloaded or waited for."""
        postgresql = settings.postgresql
        programs = (postgresql.bin_dir, postgresql.bin_name)
        if programs != self._programs:
            self._binaries, self._programs = Binaries(*programs), programs
        self._settings = settings

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return Path(self._settings.postgresql.data_dir)

    @property
    def log_file(self) -> Path | None:
        """Where the server's own output goes; None: where the daemon's goes."""
        if self._inherit_output:
            return None
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    @property
    def statements_sent(self) -> int:
        """How many SQL statements observations have sent so far."""
        return self._observer.statements_sent

    # --- looking ----------------------------------------------------------------------------------

    def observe(self, timeout_seconds: float = 5.0) -> Postgres:
        """Look at the directory, the process and the server; takes little more than the timeout."""
        self._child.reap()
        self._callbacks.reap()
        wanted, applied, upstream, names = self._compare()
        seen = self._observer.observe(
            self.data_dir,
            self._binaries,
            self._control,
            self._settings.postgresql.command_line_parameters,
            now() + timeout_seconds,
        )
        return Postgres(
            directory=seen.directory,
            postmaster=seen.postmaster,
            server=seen.server,
            starting=seen.starting,
            must_reach=seen.must_reach,
            wanted_config=wanted,
            applied_config=applied,
            configured_upstream=upstream.address if upstream else None,
            configured_slot=upstream.slot if upstream else None,
            written_sync_names=names,
        )

    def leader_timeline(
        self, leader: Upstream, ours: tuple[int, int] | None = None, timeout_seconds: float = 5.0
    ) -> LeaderTimeline:
        """Ask another server for its timeline, its history, and whether it has our WAL."""
        until = now() + timeout_seconds
        return rewinding.leader_timeline(self._settings, leader, ours, self.data_dir, until)

    # --- start, stop, promote ---------------------------------------------------------------------

    def start(
        self,
        role: Role,
        upstream: Upstream | None,
        timeout_seconds: float,
        cancel: threading.Event = NEVER,
        *,
        begin_before: float | None = None,
    ) -> bool:
        """Write the configuration and start; False when it still starts at the timeout.

        A server that runs already keeps its configuration; only its readiness is waited for.
        """
        deadline = now() + timeout_seconds
        target = self._bootstrap_target if role == "primary" else None
        if read_postmaster(self.data_dir) is None:
            starting.clear_left_overs(self.data_dir)
            starting.refuse_taken_port(self._settings.postgresql)
            if target is None:
                self.write_configuration(role, upstream)
            else:
                self._write(target.settings, signal=target.signal)
        plan = starting.StartPlan(
            program=self._binaries.path("postgres"),
            data_dir=self.data_dir,
            config_file=self._files().main,
            parameters=self._command_line("standby" if target else role),
            log_file=self.log_file,
            begin_before=begin_before,
        )
        accepts = starting.start(plan, self._child, timeout_seconds, cancel)
        if accepts and target is not None:
            accepts = promotion.wait_for_writes(self._connect_polling(cancel), deadline, cancel)
            if accepts:
                self._bootstrap_target = None
                self.write_configuration("primary", None)
        if accepts:
            self._loaded = True
            unmark(self.data_dir)
            self._back_up()
        return accepts

    def stop(
        self,
        mode: stopping.StopMode,
        cancel: threading.Event = NEVER,
        *,
        checkpoint_first: bool = False,
        archive_last: bool = False,
        timeout_seconds: float | None = None,
        kill_at: float | None = None,
    ) -> None:
        """Stop; an immediate one ends with SIGKILL if it must.  Nothing running is fine.

        `archive_last`: also the segment with the shutdown checkpoint; a failure is only logged.
        """
        seconds = timeout_seconds or self._settings.postgresql.pg_ctl_timeout_seconds
        if mode == "fast" and read_postmaster(self.data_dir) is not None:
            run_before_stop(self._settings.postgresql.before_stop, cancel)
            if checkpoint_first:
                self._checkpoint_if_possible(seconds, cancel)
        child = self._child.identity()
        stopping.stop(self.data_dir, mode, seconds, cancel, child=child, kill_at=kill_at)
        self._child.reap()
        if archive_last:
            self._archive_last(cancel)

    def promote(self, timeout_seconds: float, cancel: threading.Event = NEVER) -> None:
        """Promote the running standby; returns when it accepts writes."""
        run_pre_promote(self._settings.postgresql.pre_promote, cancel)
        promotion.promote(
            self.data_dir,
            self._connect_polling(cancel),
            timeout_seconds,
            cancel,
        )

    def checkpoint(
        self, cancel: threading.Event = NEVER, *, timeout_seconds: float = CHECKPOINT_SECONDS
    ) -> None:
        """Run CHECKPOINT and wait for its end."""
        with self._connect(timeout_seconds, cancel) as session:
            session.execute(
                "CHECKPOINT", deadline=now() + timeout_seconds, cancel=cancel, what="CHECKPOINT"
            )

    def reload(self) -> bool:
        """Let a running server read its files again; False when none runs."""
        postmaster = read_postmaster(self.data_dir)
        sent = postmaster is not None and send_signal(postmaster, signal.SIGHUP)
        self._loaded = True
        return sent

    def must_reload(self) -> None:
        """Count the configuration as not loaded: a reload was asked for, whatever has changed."""
        self._loaded = False

    # --- configuration ----------------------------------------------------------------------------

    def write_configuration(
        self, role: Role, upstream: Upstream | None, *, running: bool = False
    ) -> None:
        """Write all files for that role, and the password file; nothing is reloaded."""
        with self._files_lock:
            recovery = None
            if role == "standby":
                recovery = self._recovery(upstream)
                entries = plans.replication_entries(self._settings, upstream) if upstream else []
                if entries:
                    pgpass.write(Path(self._settings.postgresql.pgpass), entries)
            self._write(recovery, signal="running" if running else None)

    def _write(
        self, recovery: Mapping[str, str] | None, *, signal: configuration.Signal | None = None
    ) -> None:
        """Write all files, and synchronous_standby_names as it was written before."""
        with self._files_lock:
            names = configuration.sync_names_of(self._files())
            configuration.write(self._files(), recovery, sync_names=names, signal=signal)

    def set_sync_names(self, text: str | None) -> None:
        """Write these names into the files of the running server, reload, and see them in force."""
        with self._files_lock:
            recovery = configuration.recovery_of(self._files())
            configuration.write(self._files(), recovery, sync_names=text, signal="running")
            self.reload()
        if text is not None:
            deadline = now() + SQL_SECONDS
            with self._connect(SQL_SECONDS) as session:
                sync_names.wait_until_in_force(session, text, deadline)

    def apply_configuration(self) -> str:
        """Write the files for the current role and upstream, reload; return their digest."""
        with self._files_lock:
            self._loaded = False
            written = configuration.recovery_of(self._files())
            role: Role = "primary" if written is None else "standby"
            running = read_postmaster(self.data_dir) is not None
            self.write_configuration(role, plans.upstream_of(written), running=running)
            self.reload()
            return self._compare()[0]

    def follow(self, upstream: Upstream | None) -> None:
        """Point the running standby at that upstream by a reload."""
        self.write_configuration("standby", upstream, running=True)
        self.reload()

    # --- making and unmaking the data directory ---------------------------------------------------

    def initdb(self, cancel: threading.Event = NEVER) -> None:
        """Create a new cluster by initdb or the operator's own method."""
        starting.refuse_taken_port(self._settings.postgresql)
        self._bootstrap_target = None
        if is_unfinished(self.data_dir):
            cleaning.empty_directory(self.data_dir, cancel)
        if self._settings.bootstrap.custom is not None:
            bootstrap.custom(self._settings, cancel)
            make_private(self.data_dir)
            self._bootstrap_target = bootstrap.recovery_target(self._settings)
        else:
            bootstrap.initdb(self._settings, self._binaries, cancel)
        configuration.append_hba(self._files(), self._settings.bootstrap.pg_hba)

    def create_roles(self, cancel: threading.Event = NEVER) -> None:
        """Create the roles in the new cluster, then run post_bootstrap."""
        bootstrap.create_roles(self._settings, cancel)
        bootstrap.post_bootstrap(self._settings, cancel)

    def clone(
        self,
        source: Upstream | None,
        cancel: threading.Event = NEVER,
        *,
        from_leader: bool = False,
        remote: bool = False,
    ) -> None:
        """Fill the empty data directory; it is a standby's afterwards."""
        starting.refuse_taken_port(self._settings.postgresql)
        cloning.clone(
            self._settings,
            self._binaries,
            source,
            from_leader=from_leader,
            remote=remote,
            cancel=cancel,
        )
        make_private(self.data_dir)
        with self._files_lock:
            configuration.restore_missing(self._files())
            # Until it is started this directory must not look like a primary's.
            configuration.write_signal(self._files(), "standby")

    def recover_from_crash(self, cancel: threading.Event = NEVER) -> None:
        """Run single-user recovery."""
        with self._files_lock:
            standby = configuration.recovery_of(self._files()) is not None
            if not standby:
                self._write(None)
        rewinding.recover_from_crash(
            self._binaries, self._files(), self._command_line("standby"), cancel
        )

    def rewind(self, source: Upstream, cancel: threading.Event = NEVER) -> None:
        """Run pg_rewind against that server."""
        # pg_rewind takes restore_command from the files.
        self.write_configuration("standby", source)
        rewinding.rewind(self._settings, self._binaries, self._files(), source, cancel)

    def remove_data_directory(self, cancel: threading.Event = NEVER) -> None:
        """Empty the data directory."""
        cleaning.empty_directory(self.data_dir, cancel)

    def move_data_directory(self) -> Path | None:
        """Set the data directory aside as `<data_dir>.failed`; return its new place."""
        return cleaning.move_aside(self.data_dir)

    # --- slots that are copied, callbacks --------------------------------------------------------

    def copy_slots(
        self, source: Upstream, names: tuple[str, ...], cancel: threading.Event = NEVER
    ) -> None:
        """Take over logical slots of that primary; this standby is stopped afterwards."""
        states = slots.fetch(self._settings, source, names, now() + SQL_SECONDS, cancel)
        self.stop("fast", cancel)
        slots.install(self.data_dir, states)

    def run_callback(self, action: str, role: str) -> None:
        """Start the operator's callback, if there is one."""
        command = getattr(self._settings.postgresql.callbacks, action)
        if command:
            self._callbacks.call(command, action, role, self._settings.scope)

    def close(self) -> None:
        """Give the kept connection up; the server runs on."""
        self._observer.close()

    # --- inside -----------------------------------------------------------------------------------

    def _connect(self, statement_seconds: float, cancel: threading.Event = NEVER) -> Session:
        parameters = plans.local_superuser(self._settings.postgresql, int(statement_seconds * 1000))
        return Session(parameters, now() + CONNECT_SECONDS, cancel=cancel)

    def _connect_polling(self, cancel: threading.Event) -> Callable[[], Session]:
        return lambda: self._connect(promotion.STATEMENT_SECONDS, cancel)

    def _connect_observing(self, deadline: float) -> Session:
        return Session(plans.local_superuser(self._settings.postgresql, 2000), deadline)

    def _files(self) -> FilesPlan:
        with self._files_lock:
            settings = self._settings
            if self._plan is None or self._planned_for is not settings:
                parameters = plans.parameters_for(settings.postgresql, self._binaries.version())
                unknown = [n for n in parameters if not self._binaries.knows_parameter(n)]
                for name in unknown:
                    _log.warning(
                        "postgresql.parameters.%s is dropped: PostgreSQL %d has no such parameter",
                        name,
                        self._binaries.version(),
                    )
                    del parameters[name]
                self._plan = plans.files_plan(settings.postgresql, parameters)
                self._planned_for, self._digest_key = settings, None
            return self._plan

    def _recovery(self, upstream: Upstream | None) -> dict[str, str]:
        return plans.recovery_settings(self._settings, upstream, self._binaries.version())

    def _command_line(self, role: Role) -> dict[str, str]:
        """Controlled parameters; a standby must not have less than its primary had."""
        parameters = on_command_line(self._files().parameters)
        if role == "standby":
            needed = self._control.read(self._binaries, self.data_dir).settings
            configured, parameters = parameters, at_least(parameters, needed)
            for name, value in parameters.items():
                if value != configured[name]:
                    _log.warning("%s is %s as on the primary until the next restart", name, value)
        return parameters

    def _compare(self) -> tuple[str, str, Upstream | None, str | None]:
        """Digest wanted, digest applied, the upstream and the synchronous names as written."""
        with self._files_lock:
            try:
                plan = self._files()
                key = (configuration.stamp(plan), self._loaded)
                if key != self._digest_key:
                    written = configuration.recovery_of(plan)
                    upstream = plans.upstream_of(written)
                    recovery = None if written is None else self._recovery(upstream)
                    names = configuration.sync_names_of(plan)
                    self._digests = (
                        configuration.wanted_digest(plan, recovery, names),
                        configuration.written_digest(plan) if self._loaded else "not loaded",
                        upstream,
                        names,
                    )
                    self._digest_key = key
            except PostgresError as error:
                _log.debug("the configuration files cannot be compared: %s", error)
                return "", "", None, None
            return self._digests

    def _checkpoint_if_possible(self, timeout_seconds: float, cancel: threading.Event) -> None:
        try:
            self.checkpoint(cancel, timeout_seconds=timeout_seconds)
        except Cancelled:
            raise
        except PostgresError as error:
            _log.warning("the checkpoint before the stop failed: %s", error)

    def _archive_last(self, cancel: threading.Event) -> None:
        control = self._control.read(self._binaries, self.data_dir).control
        if control.state == "shut down":
            archive_shutdown(
                self._binaries, self._files(), control.timeline, control.checkpoint_lsn, cancel
            )

    def _back_up(self) -> None:
        try:
            with self._files_lock:
                configuration.back_up(self._files())
        except PostgresError as error:
            _log.warning("the configuration files could not be backed up: %s", error)
