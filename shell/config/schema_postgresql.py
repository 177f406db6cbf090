"""Keys of the `postgresql` section."""

from __future__ import annotations

from typing import Any

from shell.config.key import Key
from shell.config.kinds import (
    Kind,
    address,
    basebackup_options,
    boolean,
    list_of,
    options,
    seconds,
    secret_text,
    setting,
    text,
)

TOOLS = (
    "pg_ctl",
    "initdb",
    "pg_controldata",
    "pg_basebackup",
    "postgres",
    "pg_isready",
    "pg_rewind",
)
USERS = ("superuser", "replication", "rewind")
CALLBACKS = ("on_start", "on_stop", "on_restart", "on_reload", "on_role_change")
ROLES = ("primary", "replica", "standby_leader")

# libpq's connection options that may be given for each of the users, in libpq's own spelling.
CONNECTION_OPTIONS = (
    "sslmode",
    "sslkey",
    "sslpassword",
    "sslcert",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "gssencmode",
    "channel_binding",
)


def _both(path: str, kind: Kind, default: Any = None, renamed: str = "") -> Key:
    renamed = renamed and f"postgresql.{renamed}"
    return Key(f"postgresql.{path}", kind, default, where="both", renamed=renamed)


def _user(user: str) -> tuple[Key, ...]:
    base = f"postgresql.authentication.{user}"
    name = {"superuser": "postgres"}.get(user)
    return (
        Key(f"{base}.username", text, name, required=user == "replication"),
        Key(f"{base}.password", secret_text, secret=True),
        *(
            Key(f"{base}.{option}", text, secret=option == "sslpassword")
            for option in CONNECTION_OPTIONS
        ),
    )


_LOCAL = (
    Key("postgresql.listen", address(many=True, port_required=True), required=True),
    Key("postgresql.connect_address", address(), required=True),
    Key("postgresql.proxy_address", address()),
    Key("postgresql.data_dir", text, required=True, reload=False),
    Key("postgresql.config_dir", text, reload=False),
    Key("postgresql.pgpass", text, "~/pgpass"),
    *(key for user in USERS for key in _user(user)),
)

_BOTH = (
    _both("bin_dir", text, ""),
    *(_both(f"bin_name.{tool}", text, tool) for tool in TOOLS),
    _both("parameters.*", setting),
    _both("pg_hba", list_of(text)),
    _both("pg_ident", list_of(text)),
    *(_both(f"parameters_{role}.*", setting) for role in ROLES),
    *(_both(f"{file}_{role}", list_of(text)) for file in ("pg_hba", "pg_ident") for role in ROLES),
    _both("use_pg_rewind", boolean, False),
    _both("remove_data_directory_on_rewind_failure", boolean, False),
    _both("remove_data_directory_on_diverged_timelines", boolean, False),
    _both(
        "rewind",
        options(
            "target-pgdata",
            "source-pgdata",
            "source-server",
            "write-recovery-conf",
            "dry-run",
            "restore-target-wal",
            "config-file",
            "no-ensure-shutdown",
        ),
        [],
    ),
    _both("create_replica_methods", list_of(text, comma_text=True), ["basebackup"]),
    _both(
        "create_replica_method", list_of(text, comma_text=True), renamed="create_replica_methods"
    ),
    _both("basebackup", basebackup_options(), []),
    _both("recovery_conf.*", setting),
    _both("custom_conf", text),
    *(_both(f"callbacks.{callback}", text) for callback in CALLBACKS),
    _both("pre_promote", text),
    _both("before_stop", text),
    _both("pg_ctl_timeout", seconds(1), 60),
    _both("use_unix_socket", boolean, False),
    _both("use_unix_socket_repl", boolean, False),
    Key("postgresql.use_slots", boolean, True, where="dcs"),
    _both("database", text, "postgres"),
    _both("krbsrvname", text),
    _both("config_base_name", text, "postgresql"),
)

# The shape of `postgresql.<method>`; its remaining keys are passed on as options.
REPLICA_METHOD = (
    Key("command", text),
    Key("no_params", boolean, False),
    Key("no_leader", boolean, False),
    Key("keep_data", boolean, False),
    Key("*", setting),
)

KEYS = (*_LOCAL, *_BOTH)
