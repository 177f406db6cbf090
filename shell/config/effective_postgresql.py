"""The `postgresql` section of both sides as one `PostgresqlSettings` record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shell.config import parameters as guc
from shell.config.kinds import split_address
from shell.config.schema_postgresql import CALLBACKS, CONNECTION_OPTIONS, TOOLS
from shell.config.settings_postgresql import (
    Authentication,
    Callbacks,
    PgUser,
    PostgresqlSettings,
    ReplicaMethod,
)
from shell.config.values import Values

_COPIED = (
    "database",
    "custom_conf",
    "config_base_name",
    "use_unix_socket",
    "use_unix_socket_repl",
    "use_pg_rewind",
    "remove_data_directory_on_rewind_failure",
    "remove_data_directory_on_diverged_timelines",
    "pre_promote",
    "before_stop",
    "krbsrvname",
    "proxy_address",
)


def postgresql_settings(
    local: Mapping[str, Any], shared: Mapping[str, Any], scope: str
) -> PostgresqlSettings:
    """Return the record; both arguments are normalised trees without misplaced keys.

    A key of the node file replaces the same key of the store as a whole; only `parameters` are
    merged one by one.
    """
    here, there = local.get("postgresql", {}), shared.get("postgresql", {})
    both = Values({"postgresql": {**there, **here}})
    hosts, port = split_address(both.text("postgresql.listen"))
    connect_host, connect_port = split_address(both.text("postgresql.connect_address"))
    assert port is not None
    parameters = guc.merged(there.get("parameters", {}), here.get("parameters", {}))
    if any(slot["type"] == "logical" for slot in shared.get("slots", {}).values()):
        # A standby's copy of a logical slot is safe only while the primary keeps its rows.
        parameters["hot_standby_feedback"] = "on"
    parameters.update(listen_addresses=hosts, port=str(port), cluster_name=scope)
    data_dir = _absolute(both.text("postgresql.data_dir"))
    return PostgresqlSettings(
        data_dir=data_dir,
        config_dir=_absolute(both.get("postgresql.config_dir") or data_dir),
        bin_dir=both.text("postgresql.bin_dir"),
        bin_name={tool: both.text(f"postgresql.bin_name.{tool}") for tool in TOOLS},
        listen_hosts=tuple(hosts.split(",")),
        listen_port=port,
        connect_host=connect_host,
        connect_port=connect_port or port,
        authentication=_authentication(both),
        parameters=parameters,
        command_line_parameters=guc.on_command_line(parameters),
        pg_hba=_lines(both, "pg_hba"),
        pg_ident=_lines(both, "pg_ident"),
        recovery_conf={
            name: value
            for name, value in both.section("postgresql.recovery_conf").items()
            if not guc.is_own_recovery_setting(name)
        },
        pgpass=_absolute(both.text("postgresql.pgpass")),
        rewind_options=_options(both, "rewind"),
        create_replica_methods=_replica_methods(
            both, both.get("postgresql.create_replica_methods")
        ),
        remote_replica_methods=_replica_methods(
            both, shared.get("standby_cluster", {}).get("create_replica_methods") or ()
        ),
        basebackup_options=_options(both, "basebackup"),
        callbacks=Callbacks(
            **{name: both.get(f"postgresql.callbacks.{name}") for name in CALLBACKS}
        ),
        pg_ctl_timeout_seconds=both.get("postgresql.pg_ctl_timeout"),
        **{name: both.get(f"postgresql.{name}") for name in _COPIED},
    )


def _absolute(path: str) -> str:
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - resolve() follows links


def _lines(both: Values, name: str) -> tuple[str, ...] | None:
    lines = both.get(f"postgresql.{name}")
    return None if lines is None else tuple(lines)


def _options(both: Values, name: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((option, value) for option, value in both.get(f"postgresql.{name}"))


def _user(both: Values, user: str) -> PgUser:
    base = f"postgresql.authentication.{user}"
    found = {option: both.get(f"{base}.{option}") for option in CONNECTION_OPTIONS}
    sslpassword = found.pop("sslpassword")
    return PgUser(
        username=both.text(f"{base}.username"),
        password=both.get(f"{base}.password"),
        options={name: value for name, value in found.items() if value is not None},
        sslpassword=sslpassword,
    )


def _authentication(both: Values) -> Authentication:
    superuser = _user(both, "superuser")
    has_rewind = both.has("postgresql.authentication.rewind.username")
    return Authentication(
        superuser=superuser,
        replication=_user(both, "replication"),
        rewind=_user(both, "rewind") if has_rewind else superuser,
    )


def _replica_methods(both: Values, names: Iterable[str]) -> tuple[ReplicaMethod, ...]:
    return tuple(_replica_method(name, both) for name in names)


def _replica_method(name: str, both: Values) -> ReplicaMethod:
    if name == "basebackup":
        return ReplicaMethod(name, command="")
    section = both.section(f"postgresql.{name}")
    flags = ("no_params", "no_leader", "keep_data")
    return ReplicaMethod(
        name,
        command=section.get("command", name),
        options=tuple((k, v) for k, v in section.items() if k not in ("command", *flags)),
        **{flag: section.get(flag, False) for flag in flags},
    )
