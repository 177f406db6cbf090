"""Make a new cluster: initdb or the operator's own command, then roles, then post_bootstrap.

Not here: whether to bootstrap, and starting the server in between.
"""

import contextlib
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg2 import extensions, sql

from shell.config.settings import Settings
from shell.config.settings_postgresql import PgUser
from shell.postgres import conninfo, pgpass, plans
from shell.postgres.binaries import Binaries
from shell.postgres.commands import explain, run, run_checked
from shell.postgres.configuration import RECOVERY_SETTINGS, Signal
from shell.postgres.errors import PostgresError
from shell.postgres.session import Session
from shell.postgres.unfinished import mark, unmark
from shell.processes import now

ROLE_SECONDS = 30.0
REFUSED_INITDB = frozenset({"pgdata", "nosync", "no-sync", "pwfile", "sync-only", "version"})
_REWIND_FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)


def initdb(settings: Settings, binaries: Binaries, cancel: threading.Event) -> None:
    """Fill the empty data directory.  Raises PostgresError, Cancelled."""
    data_dir = Path(settings.postgresql.data_dir)
    superuser = settings.postgresql.authentication.superuser
    argv = [binaries.path("initdb"), "-D", str(data_dir), f"--username={superuser.username}"]
    for name, value in settings.bootstrap.initdb:
        if name not in REFUSED_INITDB:
            argv.append(f"--{name}" if value is None else f"--{name}={value}")
    with contextlib.ExitStack() as stack:
        if superuser.password is not None:
            secret = pgpass.secret_file(superuser.password + "\n", "pwfile")
            argv.append(f"--pwfile={stack.enter_context(secret)}")
        done = run(
            argv, "initdb", cancel=cancel, on_start=lambda pid: mark(data_dir, "initdb", pid)
        )
    if done.code != 0:
        raise PostgresError(f"initdb failed: {explain(done)}")
    unmark(data_dir)


def custom(settings: Settings, cancel: threading.Event) -> None:
    """Run the operator's bootstrap command.  Raises PostgresError, Cancelled."""
    method = settings.bootstrap.custom
    assert method is not None, "called only when the method is the operator's own"
    data_dir = Path(settings.postgresql.data_dir)
    argv = shlex.split(method.command)
    if not method.no_params:
        argv += [f"--scope={settings.scope}", f"--datadir={data_dir}"]
    argv += [f"--{name}={value}" for name, value in method.options]
    what = f"bootstrap.{settings.bootstrap.method}"
    done = run(argv, what, cancel=cancel, on_start=lambda pid: mark(data_dir, "initdb", pid))
    if done.code != 0:
        raise PostgresError(f"{what} failed: {explain(done)}")
    unmark(data_dir)


@dataclass(frozen=True, slots=True)
class Target:
    """How the first start after a custom bootstrap recovers before it becomes a primary."""

    settings: Mapping[str, str] | None
    signal: Signal


def recovery_target(settings: Settings) -> Target | None:
    """Return it; None when the bootstrap command left a cluster that needs no recovery."""
    method = settings.bootstrap.custom
    if method is None or not (method.recovery_conf or method.keep_existing_recovery_conf):
        return None
    if method.keep_existing_recovery_conf:
        return Target(None, "keep")
    # Without a promotion at the target the new cluster would stay read-only, paused for ever.
    wanted = {"recovery_target_action": "promote", **method.recovery_conf}
    return Target(
        {name: value for name, value in wanted.items() if name in RECOVERY_SETTINGS}, "recovery"
    )


def create_roles(settings: Settings, cancel: threading.Event) -> None:
    """Create or adjust the roles that hae uses.  Raises PostgresError, Cancelled."""
    users = settings.postgresql.authentication
    deadline = now() + ROLE_SECONDS
    parameters = plans.local_superuser(settings.postgresql, int(ROLE_SECONDS * 1000))
    with Session(parameters, deadline, cancel=cancel) as session:
        rows = session.execute("SHOW password_encryption", deadline=deadline, cancel=cancel)
        # Only the hash travels, so that no log of the server ever sees the password.
        algorithm = "md5" if rows[0][0] in {"md5", "on"} else "scram-sha-256"
        roles = [(users.superuser, "LOGIN SUPERUSER"), (users.replication, "LOGIN REPLICATION")]
        if users.rewind.username not in {user.username for user, _ in roles}:
            roles.append((users.rewind, "LOGIN"))
        if users.replication.username == users.superuser.username:
            del roles[1]
        for user, attributes in roles:
            for statement in _role(session, user, attributes, algorithm, deadline):
                session.execute(
                    statement,
                    deadline=deadline,
                    cancel=cancel,
                    what=f"creating role {user.username}",
                )
        if users.rewind.username != users.superuser.username:
            _grant_rewind(session, users.rewind.username, deadline, cancel)


def post_bootstrap(settings: Settings, cancel: threading.Event) -> None:
    """Run `post_bootstrap` with a connection string.  Raises PostgresError, Cancelled."""
    command = settings.bootstrap.post_bootstrap
    if not command:
        return
    postgresql = settings.postgresql
    superuser = postgresql.authentication.superuser
    host = plans.local_host(postgresql) or ""
    target = {
        "host": host,
        "port": postgresql.listen_port,
        "user": superuser.username,
        "dbname": postgresql.database,
    }
    entries = []
    if superuser.password is not None:
        entries = [
            pgpass.Entry(host, postgresql.listen_port, superuser.username, superuser.password)
        ]
    with pgpass.temporary(entries) as passfile:
        run_checked(
            [*shlex.split(command), conninfo.build(target)],
            "bootstrap.post_bootstrap",
            cancel=cancel,
            environment={
                "PGPASSFILE": str(passfile),
                "PGOPTIONS": "-c synchronous_commit=local -c statement_timeout=0",
            },
        )


def _role(
    session: Session, user: PgUser, attributes: str, algorithm: str, deadline: float
) -> list[sql.Composable]:
    """Statements that make the role have these attributes and its password."""
    name = sql.Identifier(user.username)
    exists = session.execute(
        "SELECT 1 FROM pg_roles WHERE rolname = %s", (user.username,), deadline=deadline
    )
    verb = sql.SQL("ALTER ROLE {} WITH " if exists else "CREATE ROLE {} WITH ").format(name)
    statement = verb + sql.SQL(attributes)
    if user.password is not None:
        hashed = extensions.encrypt_password(user.password, user.username, session.raw, algorithm)
        statement += sql.SQL(" PASSWORD {}").format(sql.Literal(hashed))
    return [statement]


def _grant_rewind(
    session: Session, username: str, deadline: float, cancel: threading.Event
) -> None:
    for function in _REWIND_FUNCTIONS:
        session.execute(
            sql.SQL("GRANT EXECUTE ON FUNCTION pg_catalog.{} TO {}").format(
                sql.SQL(function), sql.Identifier(username)
            ),
            deadline=deadline,
            cancel=cancel,
            what=f"granting pg_rewind's functions to {username}",
        )
