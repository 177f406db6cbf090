"""PostgreSQL's own parameters: which of them are under control, and what becomes of each.

The table says what the dynamic configuration may set for the cluster as a whole.  Which values a
running server really has, and whether it must be restarted, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shell.config.kinds import as_setting
from shell.config.units import parse_boolean, parse_bytes, parse_integer

_SEGMENT_BYTES = 16 * 1024 * 1024
_FIRST_VERSION_WITH_KEEP_SIZE = 130000


def _at_least(low: int) -> Callable[[Any], str | None]:
    def parse(value: Any) -> str | None:
        number = parse_integer(value)
        return str(number) if number is not None and number >= low else None

    return parse


def _boolean(value: Any) -> str | None:
    parsed = parse_boolean(value)
    return None if parsed is None else ("on" if parsed else "off")


def _only_on(value: Any) -> str | None:
    return "on" if parse_boolean(value) else None


def _wal_level(value: Any) -> str | None:
    word = str(value).strip().lower()
    # hot_standby is the spelling before 9.6 of what is called replica since.
    return {"hot_standby": "replica", "replica": "replica", "logical": "logical"}.get(word)


def _keep_size(value: Any) -> str | None:
    size_bytes = parse_bytes(value, "MB")
    return None if size_bytes is None or size_bytes < 16 else f"{size_bytes}MB"


@dataclass(frozen=True, slots=True)
class Controlled:
    """A parameter that has one value in the whole cluster, taken from the store only."""

    default: str
    allowed: str
    parse: Callable[[Any], str | None]
    on_command_line: bool = True


CONTROLLED: Mapping[str, Controlled] = {
    "hot_standby": Controlled("on", "on", _only_on),
    "wal_level": Controlled("replica", "hot_standby, replica or logical", _wal_level),
    "max_connections": Controlled("100", ">= 25", _at_least(25)),
    "max_wal_senders": Controlled("10", ">= 3", _at_least(3)),
    "max_replication_slots": Controlled("10", ">= 4", _at_least(4)),
    "max_worker_processes": Controlled("8", ">= 2", _at_least(2)),
    "max_prepared_transactions": Controlled("0", ">= 0", _at_least(0)),
    "max_locks_per_transaction": Controlled("64", ">= 32", _at_least(32)),
    "track_commit_timestamp": Controlled("off", "on or off", _boolean),
    "wal_log_hints": Controlled("on", "on or off", _boolean),
    "wal_keep_size": Controlled("128MB", ">= 16MB", _keep_size, on_command_line=False),
    "wal_keep_segments": Controlled("8", ">= 1", _at_least(1), on_command_line=False),
}

# Derived from `postgresql.listen` and `scope`, on every side.
NOT_SETTABLE: Mapping[str, str] = {
    "listen_addresses": "set postgresql.listen instead",
    "port": "set postgresql.listen instead",
    "cluster_name": "it is always the scope",
}


def dynamic_findings(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return, for each parameter in the dynamic configuration that is ignored, the reason."""
    findings = {}
    for name, value in parameters.items():
        if name in NOT_SETTABLE:
            findings[name] = f"ignored: {NOT_SETTABLE[name]}"
        elif name in CONTROLLED and CONTROLLED[name].parse(value) is None:
            rule = CONTROLLED[name]
            findings[name] = f"found {value!r}, allowed: {rule.allowed}; {rule.default} is used"
    return findings


def local_findings(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return, for each parameter in the node file that is ignored there, the reason."""
    findings = {
        name: f"ignored: {NOT_SETTABLE[name]}" for name in parameters if name in NOT_SETTABLE
    }
    for name in parameters:
        if name in CONTROLLED:
            findings[name] = (
                "ignored here: all members must agree on it; "
                f"use `hae ctl edit-config --pg {name}=...`"
            )
    return findings


def is_own_recovery_setting(name: str) -> bool:
    """Say whether hae itself sets this one on a standby, so that `recovery_conf` cannot."""
    return name.startswith("recovery_target") or name in ("primary_conninfo", "standby_mode")


def merged(dynamic: Mapping[str, Any], local: Mapping[str, Any]) -> dict[str, str]:
    """Return all parameters for the server except those that come from `listen` and `scope`.

    The local ones win, except for the controlled ones, which only the store sets; a controlled
    value that is not allowed becomes its default.
    """
    free = {**dynamic, **local}
    result = {
        name: as_setting(value)
        for name, value in free.items()
        if name not in CONTROLLED and name not in NOT_SETTABLE
    }
    for name, rule in CONTROLLED.items():
        value = rule.parse(dynamic[name]) if name in dynamic else None
        result[name] = rule.default if value is None else value
    if "wal_keep_size" not in dynamic and "wal_keep_segments" in dynamic:
        result["wal_keep_size"] = f"{int(result['wal_keep_segments']) * 16}MB"
    elif "wal_keep_size" in dynamic and "wal_keep_segments" not in dynamic:
        size_bytes = parse_bytes(result["wal_keep_size"]) or 0
        result["wal_keep_segments"] = str(max(1, size_bytes // _SEGMENT_BYTES))
    return result


def for_version(parameters: Mapping[str, str], server_version: int) -> dict[str, str]:
    """Return the parameters without the one of the two WAL-keeping ones that is not the server's.

    `server_version` is PostgreSQL's number, such as 150004.
    """
    newer = server_version >= _FIRST_VERSION_WITH_KEEP_SIZE
    other = "wal_keep_segments" if newer else "wal_keep_size"
    return {name: value for name, value in parameters.items() if name != other}


def on_command_line(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return those that are also passed as `--name=value`, so that nothing can override them."""
    fixed = [*NOT_SETTABLE, *(name for name, rule in CONTROLLED.items() if rule.on_command_line)]
    return {name: parameters[name] for name in fixed if name in parameters}
