"""Overrides from the environment: which variable sets which key.

`PATRONI_` and `HAE_` are equal in names, `HAE_` wins.  The names come from the schema tables, so
a new key of a listed section has its variable at once; only irregular names are listed here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shell.config.key import Key
from shell.config.loading import Loaded, load_text
from shell.config.problems import Problem
from shell.config.schema import BY_PATH, KEYS
from shell.config.schema_postgresql import CONNECTION_OPTIONS, TOOLS, USERS
from shell.config.schema_stores import STORES

PREFIXES = ("PATRONI_", "HAE_")  # the later one wins

_OWN_ONLY = ("embedded", "fence", "recorder", "hae")
_PLAIN_SECTIONS = ("restapi", "ctl", "log", *STORES, *_OWN_ONLY)
_POSTGRESQL = (
    "listen",
    "connect_address",
    "proxy_address",
    "config_dir",
    "data_dir",
    "pgpass",
    "bin_dir",
)
# Spellings that do not follow the pattern: documented ones without effect, and old ones.
_IRREGULAR = {
    "LOGLEVEL": "log.level",
    "LOGFORMAT": "log.format",
    "LOG_DATEFMT": "log.dateformat",
    "POSTGRESQL_BIN_IS_READY": "postgresql.bin_name.pg_isready",
    "RETRIABLE_HTTP_CODES": "kubernetes.retriable_http_codes",
}


@dataclass(slots=True)
class Overrides:
    """What the environment sets: values, the variable of each path, and what to remove after."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[tuple[str, ...], str] = field(default_factory=dict)
    consumed: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def _names() -> dict[str, str]:
    names = {name.upper(): name for name in ("name", "namespace", "scope")}
    for key in KEYS:
        section, _, rest = key.path.partition(".")
        if section in _PLAIN_SECTIONS and rest and "*" not in rest and key.where != "dcs":
            short = rest.removeprefix("authentication.")
            names[f"{section}_{short}".upper()] = key.path
    for name in _POSTGRESQL:
        names[f"POSTGRESQL_{name}".upper()] = f"postgresql.{name}"
    for tool in TOOLS:
        names[f"POSTGRESQL_BIN_{tool}".upper()] = f"postgresql.bin_name.{tool}"
    for user in USERS:
        for option in ("username", "password", *CONNECTION_OPTIONS):
            names[f"{user}_{option}".upper()] = f"postgresql.authentication.{user}.{option}"
    return {**names, **_IRREGULAR}


NAMES: Mapping[str, str] = _names()


def whole_configuration(environ: Mapping[str, str]) -> str | None:
    """Return the variable that holds a whole YAML configuration, if one is set."""
    candidates = [f"{prefix}CONFIGURATION" for prefix in reversed(PREFIXES)]
    return next((name for name in candidates if environ.get(name, "").strip()), None)


def load_variable(environ: Mapping[str, str], variable: str) -> Loaded:
    """Read the whole configuration from one variable."""
    return load_text(environ[variable], f"environment {variable}")


def read_environment(environ: Mapping[str, str]) -> Overrides:
    """Return everything that `PATRONI_*` and `HAE_*` set.  Empty variables set nothing."""
    result = Overrides()
    for prefix in PREFIXES:
        for variable in sorted(environ):
            short = variable.removeprefix(prefix)
            if short in (variable, "CONFIGURATION"):
                continue
            if short in NAMES:
                result.consumed[variable] = environ[variable]
                if environ[variable].strip():
                    _set(result, BY_PATH[NAMES[short]], variable, environ[variable])
            else:
                result.problems.append(_unknown(prefix, short))
    return result


def _set(result: Overrides, key: Key, variable: str, text: str) -> None:
    value: Any = text
    if key.kind.shape != "scalar":
        loaded = load_text("value: " + _bracketed(text.strip(), key), f"environment {variable}")
        value = loaded.data.get("value")
        if loaded.problems:
            message = f"cannot be read; allowed: {key.kind.allowed}"
            result.problems.append(Problem(key.path, message, where=f"environment {variable}"))
            return
    parts = key.path.split(".")
    target = result.data
    for part in parts[:-1]:
        target = target.setdefault(part, {})
    target[parts[-1]] = value
    result.places[tuple(parts)] = f"environment {variable}"


def _bracketed(text: str, key: Key) -> str:
    """Return the text as a YAML list or mapping, brackets added when they were left out."""
    opening, closing = ("[", "]") if key.kind.shape == "list" else ("{", "}")
    return text if text.startswith(opening) else f"{opening}{text}{closing}"


def _unknown(prefix: str, short: str) -> Problem:
    close = difflib.get_close_matches(short, NAMES, 1, 0.8)
    hint = f"; did you mean {prefix}{close[0]}?" if close else ""
    where = f"environment {prefix}{short}"
    return Problem("", f"unknown variable, ignored{hint}", "warning", where)
