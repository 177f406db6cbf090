"""The kinds of values that describe replication slots in the dynamic configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shell.config.kinds import Kind, Refused, as_key, as_text

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "type": ("physical", "logical"),
    "database": (),
    "plugin": (),
    "cluster_type": ("primary", "standby"),
    "name": (),
}


def _fields(value: Any, allowed: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise Refused
    result = {}
    for key, entry in value.items():
        name = as_key(key)
        if name not in allowed:
            raise Refused(f"the fields {', '.join(allowed)}, not {name!r}")
        if entry is None:
            continue
        words = _FIELDS[name]
        if words and entry not in words:
            raise Refused(f"{name} one of {', '.join(words)}")
        result[name] = as_text(entry)
    return result


def _slot(value: Any) -> dict[str, str]:
    fields = _fields(value, ("type", "database", "plugin", "cluster_type"))
    logical = "database" in fields and "plugin" in fields
    fields.setdefault("type", "logical" if logical else "physical")
    if fields["type"] == "logical" and not logical:
        raise Refused("a logical slot with both database and plugin")
    return fields


def _matcher(value: Any) -> dict[str, str]:
    fields = _fields(value, ("name", "type", "database", "plugin"))
    if not fields:
        raise Refused
    return fields


def _matchers(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list):
        raise Refused
    return [_matcher(entry) for entry in value]


slot = Kind("a mapping with any of type, database, plugin, cluster_type", _slot)
ignored_slots = Kind(
    "a list of mappings, each with any of name, type, database, plugin", _matchers, "list"
)
