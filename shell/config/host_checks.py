"""What can be seen on this host before a start: programs, folders, ports, account, passwords.

Each check only looks; none creates or changes anything, and each has a bounded wait.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shell.config.problems import Problem
from shell.config.settings import Settings
from shell.config.settings_postgresql import PgUser, PostgresqlSettings
from shell.ports import unusable
from shell.postgres.binaries import Binaries
from shell.postgres.errors import PostgresError

_VERSION_TIMEOUT_SECONDS = 10
_NEEDED_TOOLS = ("postgres", "pg_ctl", "initdb", "pg_controldata", "pg_basebackup")


def check_host(settings: Settings, *, ignore_listen_port: bool = False) -> list[Problem]:
    """Return every problem of this host with these settings."""
    problems = [
        *_account(),
        *_tools(settings.postgresql),
        *_data_directory(settings.postgresql),
        *_folders(settings),
        *_files(settings),
        *_passwords(settings.postgresql),
    ]
    if not ignore_listen_port:
        problems += _ports(settings)
    return problems


def server_major_version(postgres: str) -> str | None:
    """Return the major version that `postgres --version` tells, None when it tells none."""
    try:
        answer = subprocess.run(
            [postgres, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", answer)
    if match is None:
        return None
    return match[1] if int(match[1]) >= 10 else f"{match[1]}.{match[2]}"


def _account() -> Iterator[Problem]:
    if os.geteuid() == 0:
        message = "running as root, which PostgreSQL refuses; run as the account of the server"
        yield Problem("", message, "warning")


def _tools(pg: PostgresqlSettings) -> Iterator[Problem]:
    wanted = [*_NEEDED_TOOLS, *(["pg_rewind"] if pg.use_pg_rewind else [])]
    missing = [pg.tool(tool) for tool in wanted if _program(pg, tool) is None]
    where = "set it to the folder of PostgreSQL's programs"
    if missing:
        yield Problem("postgresql.bin_dir", f"no program {', '.join(missing)}; {where}")
    elif _programs_version(pg) is None:
        yield Problem("postgresql.bin_dir", f"{pg.tool('postgres')} does not tell its version")


def _program(pg: PostgresqlSettings, tool: str) -> str | None:
    """Return the path at which the daemon would find the tool, None when it would not."""
    try:
        return Binaries(pg.bin_dir, pg.bin_name).path(tool)
    except PostgresError:
        return None


def _programs_version(pg: PostgresqlSettings) -> str | None:
    postgres = _program(pg, "postgres")
    return None if postgres is None else server_major_version(postgres)


def _data_directory(pg: PostgresqlSettings) -> Iterator[Problem]:
    path, key = Path(pg.data_dir), "postgresql.data_dir"
    try:
        if not path.exists():
            yield from _creatable(key, path)
            return
        status, content = path.stat(), sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        yield Problem(key, f"{path} cannot be read: {error.strerror}")
        return
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        yield Problem(key, f"{path} belongs to account {status.st_uid}, not to {os.geteuid()}")
    if not content:
        return
    if "PG_VERSION" not in content:
        yield Problem(key, f"{path} is neither empty nor a data directory (no PG_VERSION)")
        return
    if status.st_mode & 0o777 not in (0o700, 0o750):
        yield Problem(key, f"{path} has mode {status.st_mode & 0o777:04o}, allowed: 0700 or 0750")
    try:
        version = (path / "PG_VERSION").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        yield Problem(key, f"{path}/PG_VERSION cannot be read")
        return
    programs = _programs_version(pg)
    if programs is not None and programs != version:
        yield Problem(key, f"{path} is of PostgreSQL {version}, the programs are of {programs}")


def _creatable(key: str, path: Path) -> Iterator[Problem]:
    """Report a folder that neither exists writable nor can be made."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        yield Problem(key, f"{nearest} is not a folder")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield Problem(key, f"{path} cannot be written: no permission in {nearest}")


def _folders(settings: Settings) -> Iterator[Problem]:
    yield from _creatable("recorder.dir", Path(settings.recorder.dir))
    yield from _creatable("postgresql.pgpass", Path(settings.postgresql.pgpass).parent)
    if settings.postgresql.config_dir != settings.postgresql.data_dir:
        yield from _creatable("postgresql.config_dir", Path(settings.postgresql.config_dir))
    if settings.log.dir:
        yield from _creatable("log.dir", Path(settings.log.dir))
    if settings.store.kind == "embedded":
        yield from _creatable("embedded.path", Path(settings.store.options["path"]).parent)


def _files(settings: Settings) -> Iterator[Problem]:
    rest, ctl, store = settings.restapi, settings.ctl, settings.store
    files = {
        "postgresql.custom_conf": settings.postgresql.custom_conf,
        "restapi.certfile": rest.certfile,
        "restapi.keyfile": rest.keyfile,
        "restapi.cafile": rest.cafile,
        "ctl.cacert": ctl.cacert,
        "ctl.certfile": ctl.certfile,
        "ctl.keyfile": ctl.keyfile,
        **{f"{store.kind}.{name}": store.options.get(name) for name in ("cacert", "cert", "key")},
    }
    for key, path in files.items():
        if path and not os.access(path, os.R_OK):
            yield Problem(key, f"{path} does not exist or cannot be read")


def _passwords(pg: PostgresqlSettings) -> Iterator[Problem]:
    users = {"superuser": pg.authentication.superuser, "replication": pg.authentication.replication}
    for name, user in users.items():
        if not _can_log_in(user):
            path = f"postgresql.authentication.{name}.password"
            message = "missing: connections work only if pg_hba.conf lets them in without one"
            yield Problem(path, message, "warning")


def _can_log_in(user: PgUser) -> bool:
    return bool(user.password or "sslcert" in user.options)


def _ports(settings: Settings) -> Iterator[Problem]:
    rest, pg = settings.restapi, settings.postgresql
    for host in rest.listen_hosts:
        yield from _unusable("restapi.listen", host, rest.listen_port)
    # A server that is already running there is adopted, so its port is rightly taken.
    if not (Path(pg.data_dir) / "postmaster.pid").exists():
        for host in pg.listen_hosts:
            yield from _unusable("postgresql.listen", host, pg.listen_port)


def _unusable(key: str, host: str, port: int) -> Iterator[Problem]:
    return (Problem(key, text) for text in unusable(host, port))
