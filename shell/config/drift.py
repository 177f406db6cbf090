"""`bootstrap.dcs` against the live configuration: it is used once, and ignored ever after.

People edit it again and wonder; so the difference is told, with the command that applies it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from shell.config.checking import Check

Path = tuple[str, ...]
_PARAMETERS = ("postgresql", "parameters")


def bootstrap_drift(bootstrap: Mapping[str, Any], live: Mapping[str, Any], scope: str) -> list[str]:
    """Return a text per value of `bootstrap.dcs` that differs from the live one.

    The last text is the command that would apply them all.  Spelling (`on`, `1MB`) is no
    difference.
    """
    wanted, found = _normal(bootstrap), _normal(live)
    texts, options = [], []
    for path, value in wanted.items():
        if found.get(path) == value:
            continue
        now = _compact(found[path]) if path in found else "not set"
        name = ".".join(path)
        texts.append(f"{name}: {_compact(value)} is not in effect; the cluster has: {now}")
        option = "-p" if path[:2] == _PARAMETERS else "-s"
        shown = path[-1] if option == "-p" else name
        options.append(f"{option} {shlex.quote(f'{shown}={_compact(value)}')}")
    if options:
        texts.append(
            "it is read only when the cluster is first initialized; to apply it now: "
            f"hae ctl edit-config {shlex.quote(scope)} {' '.join(options)}"
        )
    return texts


def _normal(dynamic: Mapping[str, Any]) -> dict[Path, Any]:
    check = Check("dcs")
    check.walk(dynamic)
    return dict(_leaves(check.values, ()))


def _leaves(value: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            yield from _leaves(entry, (*path, key))
        else:
            yield (*path, key), entry


def _compact(value: Any) -> str:
    """Return a value as YAML on one line; text that needs no quotes stays bare."""
    if isinstance(value, str) and value and not set(value) & set("{}[],&*#?|<>=!%@`'\":\\ "):
        return value
    return json.dumps(value, separators=(",", ":"))
