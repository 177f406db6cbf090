"""From the settings to what PostgreSQL is given: file contents, connections, password entries.

Pure translation, so that the rest of this package never looks at a configuration key.  Not here:
writing, connecting, running.
"""

from collections.abc import Mapping
from pathlib import Path

from engine.actions import Upstream
from shell.config.parameters import for_version
from shell.config.settings import Settings
from shell.config.settings_postgresql import PgUser, PostgresqlSettings
from shell.postgres import conninfo
from shell.postgres.configuration import RECOVERY_SETTINGS, FilesPlan
from shell.postgres.pgpass import Entry
from shell.postgres.pidfile import read_pidfile

# Our own sessions: bounded, quiet in the server's log, and never waiting for a sync standby.
SESSION_OPTIONS = (
    "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic "
    "-c synchronous_commit=local -c search_path=pg_catalog -c datestyle=ISO -c jit=off"
)
_OWN_RECOVERY = frozenset({"primary_conninfo", "primary_slot_name"})


def files_plan(postgresql: PostgresqlSettings, parameters: Mapping[str, str]) -> FilesPlan:
    """Return what the configuration files must say, with these parameters."""
    return FilesPlan(
        data_dir=Path(postgresql.data_dir),
        config_dir=Path(postgresql.config_dir),
        base_name=postgresql.config_base_name,
        custom_conf=postgresql.custom_conf,
        parameters=parameters,
        pg_hba=postgresql.pg_hba,
        pg_ident=postgresql.pg_ident,
    )


def parameters_for(postgresql: PostgresqlSettings, major_version: int) -> dict[str, str]:
    """Return the parameters that a server of this version knows of the two that were renamed."""
    return for_version(postgresql.parameters, major_version * 10000)


def local_superuser(
    postgresql: PostgresqlSettings, statement_timeout_ms: int, *, database: str | None = None
) -> dict[str, object]:
    """Connection parameters of the superuser to the local server, password included."""
    superuser = postgresql.authentication.superuser
    return {
        "host": local_host(postgresql),
        "port": postgresql.listen_port,
        "dbname": database or postgresql.database,
        "user": superuser.username,
        "password": superuser.password,
        "application_name": "hae",
        "connect_timeout": 3,
        "options": f"-c statement_timeout={statement_timeout_ms} {SESSION_OPTIONS}",
        **_options(superuser, None),
    }


def local_host(postgresql: PostgresqlSettings) -> str | None:
    """Return the host for local connections; None means libpq's default socket directory."""
    if not postgresql.use_unix_socket:
        return postgresql.local_host
    pidfile = read_pidfile(Path(postgresql.data_dir))
    found = pidfile.socket_directory if pidfile else ""
    return postgresql.unix_socket_directory or found or None


def replication(settings: Settings, source: Upstream, *, libpq: int | None) -> dict[str, object]:
    """Connection parameters of the replication user to a server, without its password.

    `libpq` is the major version of the library that reads them, None for psycopg2's.
    """
    postgresql = settings.postgresql
    user = postgresql.authentication.replication
    return {
        "host": source.host,
        "port": source.port,
        "user": user.username,
        "application_name": settings.name,
        "krbsrvname": postgresql.krbsrvname,
        **_which_of_several(source),
        **_options(user, libpq),
    }


def primary_conninfo(settings: Settings, upstream: Upstream, version: int) -> str:
    """Return the primary_conninfo for that upstream."""
    user = settings.postgresql.authentication.replication
    parameters = replication(settings, upstream, libpq=version)
    if user.password is not None:
        parameters["passfile"] = settings.postgresql.pgpass
    if user.sslpassword is not None:
        parameters["sslpassword"] = user.sslpassword
    if version >= 17:
        parameters["dbname"] = settings.postgresql.database
    return conninfo.build(parameters)


def recovery_settings(
    settings: Settings, upstream: Upstream | None, version: int
) -> dict[str, str]:
    """Return the recovery settings of a standby of `upstream` (None: it follows nobody)."""
    found = {
        name: value
        for name, value in settings.postgresql.recovery_conf.items()
        if name in RECOVERY_SETTINGS - _OWN_RECOVERY and not name.startswith("recovery_target")
    }
    found["recovery_target_timeline"] = "latest"
    found |= _of_standby_cluster(settings, upstream)
    if upstream is not None:
        found["primary_conninfo"] = primary_conninfo(settings, upstream, version)
        if upstream.slot:
            found["primary_slot_name"] = upstream.slot
    return found


def _of_standby_cluster(settings: Settings, upstream: Upstream | None) -> dict[str, str]:
    """The archive is for every member; the delay and the cleaning for whom the remote feeds."""
    section = settings.dynamic.standby_cluster
    if section is None:
        return {}
    found = {"restore_command": section.restore_command}
    if upstream is None or upstream.host == section.host:
        found["archive_cleanup_command"] = section.archive_cleanup_command
        found["recovery_min_apply_delay"] = section.recovery_min_apply_delay
    return {name: value for name, value in found.items() if value}


def _which_of_several(source: Upstream) -> dict[str, object]:
    """Of several hosts, the one that is writable."""
    return {"target_session_attrs": "read-write"} if "," in source.host else {}


def restore_command(settings: Settings) -> str | None:
    """The command that fetches WAL from an archive, if one is configured."""
    section = settings.dynamic.standby_cluster
    own = section.restore_command if section is not None else None
    return own or settings.postgresql.recovery_conf.get("restore_command")


def upstream_of(recovery: Mapping[str, str] | None) -> Upstream | None:
    """Return the upstream that written recovery settings name; its member name is unknown."""
    found = conninfo.parse((recovery or {}).get("primary_conninfo", ""))
    host = found.get("host")
    if recovery is None or not host:
        return None
    slot = recovery.get("primary_slot_name") or None
    port = found.get("port", "5432")
    return Upstream("", host, int(port) if port.isdigit() else 5432, slot)


def replication_entries(settings: Settings, source: Upstream) -> list[Entry]:
    """Return the password file entries of the replication user for that server."""
    return _entries(settings.postgresql.authentication.replication, source)


def rewind(settings: Settings, source: Upstream, *, libpq: int | None) -> dict[str, object]:
    """Connection parameters of the rewind user to a server, without its password."""
    user = settings.postgresql.authentication.rewind
    return {
        "host": source.host,
        "port": source.port,
        "user": user.username,
        "dbname": settings.postgresql.database,
        "krbsrvname": settings.postgresql.krbsrvname,
        **_which_of_several(source),
        **_options(user, libpq),
    }


def rewind_entries(settings: Settings, source: Upstream) -> list[Entry]:
    """Return the password file entries of the rewind user for that server."""
    return _entries(settings.postgresql.authentication.rewind, source)


def secrets_of(user: PgUser) -> dict[str, object]:
    """Return the parameters that may only be given to libpq inside this process."""
    found = {"password": user.password, "sslpassword": user.sslpassword}
    return {name: value for name, value in found.items() if value is not None}


def _options(user: PgUser, libpq: int | None) -> dict[str, object]:
    options: dict[str, object] = {"sslmode": "prefer", **user.options}
    return options if libpq is None else conninfo.known_options(options, libpq)


def _entries(user: PgUser, source: Upstream) -> list[Entry]:
    if user.password is None:
        return []
    return [Entry(source.host, source.port, user.username, user.password)]
