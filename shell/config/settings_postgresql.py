"""The record of the `postgresql` section: one PostgreSQL server as this node runs it.

Only records belong here.  `parameters` is ready for postgresql.conf; see `parameters.for_version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Addresses to listen on that are no addresses to connect to.
_ANY_HOST = ("*", "0.0.0.0", "::", "127.0.0.1")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class PgUser:
    """A PostgreSQL account and libpq's options for its connections (`sslmode`, `sslcert`, ...)."""

    username: str
    password: str | None = field(default=None, repr=False, metadata={"secret": True})
    options: Mapping[str, str] = field(default_factory=dict)
    sslpassword: str | None = field(default=None, repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class Authentication:
    """The accounts that hae uses; `rewind` is the superuser when it is not configured."""

    superuser: PgUser
    replication: PgUser
    rewind: PgUser


@dataclass(frozen=True, slots=True)
class ReplicaMethod:
    """One way of making a replica; `options` become `--name=value`.

    The method `basebackup` without a section of its own is pg_basebackup.
    """

    name: str
    command: str
    no_params: bool = False
    no_leader: bool = False
    keep_data: bool = False
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Commands to run when something happened to the server; None means none."""

    on_start: str | None = None
    on_stop: str | None = None
    on_restart: str | None = None
    on_reload: str | None = None
    on_role_change: str | None = None


@dataclass(frozen=True, slots=True)
class PostgresqlSettings:
    """The server: where it is, how to reach it, and what goes into its files."""

    data_dir: str
    config_dir: str
    bin_dir: str
    bin_name: Mapping[str, str]
    listen_hosts: tuple[str, ...]
    listen_port: int
    connect_host: str
    connect_port: int
    proxy_address: str | None
    database: str
    authentication: Authentication
    parameters: Mapping[str, str]
    command_line_parameters: Mapping[str, str]
    pg_hba: tuple[str, ...] | None
    pg_ident: tuple[str, ...] | None
    recovery_conf: Mapping[str, str]
    custom_conf: str | None
    config_base_name: str
    pgpass: str
    use_unix_socket: bool
    use_unix_socket_repl: bool
    use_pg_rewind: bool
    rewind_options: tuple[tuple[str, str | None], ...]
    remove_data_directory_on_rewind_failure: bool
    remove_data_directory_on_diverged_timelines: bool
    create_replica_methods: tuple[ReplicaMethod, ...]
    remote_replica_methods: tuple[ReplicaMethod, ...]  # to copy a standby cluster's remote primary
    basebackup_options: tuple[tuple[str, str | None], ...]
    callbacks: Callbacks
    pre_promote: str | None
    before_stop: str | None
    pg_ctl_timeout_seconds: int
    krbsrvname: str | None

    @property
    def local_host(self) -> str:
        """Return the host for connections from this node to its own server over TCP."""
        first = self.listen_hosts[0]
        return "localhost" if first in _ANY_HOST else first

    @property
    def unix_socket_directory(self) -> str | None:
        """Return the first configured socket directory, None when it is PostgreSQL's default."""
        directories = self.parameters.get("unix_socket_directories", "")
        return directories.split(",")[0].strip() or None

    @property
    def conn_url(self) -> str:
        """Return the `conn_url` of the member key."""
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        return f"postgres://{host}:{self.connect_port}/{self.database}"

    @property
    def proxy_url(self) -> str | None:
        """Return the `proxy_url` of the member key, None when no proxy is configured."""
        return f"postgres://{self.proxy_address}/{self.database}" if self.proxy_address else None

    def tool(self, name: str) -> str:
        """Return the path of a PostgreSQL program, or its bare name without `bin_dir`."""
        program = self.bin_name.get(name, name)
        return str(Path(self.bin_dir) / program) if self.bin_dir else program
