"""Fill the empty data directory from another server: pg_basebackup or the operator's methods.

Not here: which server to copy from, and whether the directory may be emptied before.
"""

import logging
import shlex
import threading
from pathlib import Path

from engine.actions import Upstream
from shell.config.settings import Settings
from shell.config.settings_postgresql import ReplicaMethod
from shell.postgres import conninfo, pgpass, plans
from shell.postgres.binaries import Binaries
from shell.postgres.cleaning import empty_directory
from shell.postgres.commands import explain, run
from shell.postgres.errors import Cancelled, PostgresError
from shell.postgres.unfinished import is_unfinished, mark, unmark
from shell.postgres.waiting import NEVER, check

BASEBACKUP = "basebackup"
BASEBACKUP_ATTEMPTS = 2
ATTEMPT_PAUSE_SECONDS = 5.0
REFUSED_BASEBACKUP = frozenset(
    {
        "pgdata",
        "format",
        "wal-method",
        "gzip",
        "version",
        "dbname",
        "host",
        "port",
        "username",
        "password",
    }
)
_log = logging.getLogger(__name__)


def clone(
    settings: Settings,
    binaries: Binaries,
    source: Upstream | None,
    *,
    from_leader: bool,
    remote: bool,
    cancel: threading.Event,
) -> None:
    """Try the configured methods in order until one succeeds.

    `source` None: no member can be reached; only `no_leader` methods run.  `from_leader`: only
    pg_basebackup.  `remote`: the methods of `standby_cluster`, if it has some.  Raises
    PostgresError with what each method said, Cancelled; what a failed method made is removed,
    unless it has `keep_data`.
    """
    failures = []
    for method in _methods(settings, source, from_leader=from_leader, remote=remote):
        try:
            _run_method(settings, binaries, method, source, cancel)
        except Cancelled:
            _clean(settings, method)
            raise
        except PostgresError as error:
            _log.warning("creating a replica by %s: %s", method.name, error)
            failures.append(str(error))
            _clean(settings, method)
            continue
        unmark(Path(settings.postgresql.data_dir))
        return
    raise PostgresError("; ".join(failures) or "no method can create a replica without a leader")


def _methods(
    settings: Settings, source: Upstream | None, *, from_leader: bool, remote: bool
) -> list[ReplicaMethod]:
    configured = settings.postgresql.create_replica_methods
    if remote and settings.postgresql.remote_replica_methods:
        configured = settings.postgresql.remote_replica_methods
    if from_leader or not configured:
        configured = (ReplicaMethod(BASEBACKUP, ""),)
    return [method for method in configured if source is not None or method.no_leader]


def _run_method(
    settings: Settings,
    binaries: Binaries,
    method: ReplicaMethod,
    source: Upstream | None,
    cancel: threading.Event,
) -> None:
    data_dir = Path(settings.postgresql.data_dir)
    if not method.keep_data and is_unfinished(data_dir):
        empty_directory(data_dir, cancel)
    if method.name == BASEBACKUP and not method.command:
        assert source is not None, "pg_basebackup needs a server"
        _basebackup(settings, binaries, source, cancel)
    else:
        _script(settings, method, source, cancel)


def _basebackup(
    settings: Settings, binaries: Binaries, source: Upstream, cancel: threading.Event
) -> None:
    data_dir = Path(settings.postgresql.data_dir)
    target = plans.replication(settings, source, libpq=binaries.version())
    user = settings.postgresql.authentication.replication
    options = [
        (name, value)
        for name, value in settings.postgresql.basebackup_options
        if name not in REFUSED_BASEBACKUP and not _compresses_here(name, value)
    ]
    if "checkpoint" not in dict(options):
        # A spread checkpoint would let the clone wait for minutes before the first byte.
        options.append(("checkpoint", "fast"))
    words = [f"--{name}" if value is None else f"--{name}={value}" for name, value in options]
    program = binaries.path("pg_basebackup")
    what = f"pg_basebackup from {source.address}"
    with pgpass.for_tool(target, plans.replication_entries(settings, source), user.sslpassword) as (
        connection,
        environment,
    ):
        argv = [program, f"--dbname={connection}", "-D", str(data_dir), "-X", "stream", *words]
        for attempt in range(BASEBACKUP_ATTEMPTS):
            done = run(
                argv,
                what,
                cancel=cancel,
                environment=environment,
                on_start=lambda pid: mark(data_dir, "basebackup", pid),
            )
            if done.code == 0:
                return
            if attempt + 1 < BASEBACKUP_ATTEMPTS:
                _log.warning("%s failed: %s; once more", what, explain(done))
                cancel.wait(ATTEMPT_PAUSE_SECONDS)
                check(cancel, what)
                empty_directory(data_dir, cancel)
        raise PostgresError(f"{what} failed: {explain(done)}")


def _compresses_here(name: str, value: str | None) -> bool:
    """Client-side compression makes files that no server can start from."""
    return name == "compress" and not (value or "").startswith("server")


def _script(
    settings: Settings, method: ReplicaMethod, source: Upstream | None, cancel: threading.Event
) -> None:
    data_dir = Path(settings.postgresql.data_dir)
    target: dict[str, object] = {}
    entries: list[pgpass.Entry] = []
    if source is not None:
        target = {**plans.replication(settings, source, libpq=None)}
        target["dbname"] = settings.postgresql.database
        entries = plans.replication_entries(settings, source)
    argv = shlex.split(method.command or method.name)
    argv += [f"--{name}={value}" for name, value in method.options]
    if not method.no_params:
        argv += [f"--scope={settings.scope}", "--role=replica", f"--datadir={data_dir}"]
        argv.append(f"--connstring={conninfo.build(target)}")
    with pgpass.temporary(entries) as passfile:
        done = run(
            argv,
            f"postgresql.{method.name}",
            cancel=cancel,
            environment={"PGPASSFILE": str(passfile)},
            on_start=None if method.keep_data else lambda pid: mark(data_dir, "script", pid),
        )
    if done.code != 0:
        raise PostgresError(f"postgresql.{method.name} failed: {explain(done)}")


def _clean(settings: Settings, method: ReplicaMethod) -> None:
    if method.keep_data:
        return
    try:
        empty_directory(Path(settings.postgresql.data_dir), NEVER)
    except PostgresError as error:
        _log.warning("cleaning up after %s: %s", method.name, error)
