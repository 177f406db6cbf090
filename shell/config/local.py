"""The node's own configuration: file and environment together, checked, or refused as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shell.config.checking import Check, lookup
from shell.config.dynamic import check_dynamic, clamp_timing, merge_patch
from shell.config.environment import (
    load_variable,
    read_environment,
    whole_configuration,
)
from shell.config.kinds import split_address
from shell.config.loading import Loaded, load_path, merge
from shell.config.problems import ConfigError, Problem, Severity, has_errors
from shell.config.schema import KEYS
from shell.config.schema_stores import NEEDS_ONE_OF, STORES

RESERVED_NAME = "__patroni_strict_sync_replica_placeholder__"


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """The checked local part.

    `source` names where it was read from.  `values` is a tree in the layout of the node file,
    normalised by the schema, without defaults.  `environment` holds the consumed variables: the
    daemon removes them from its environment and passes them to `load_local` again on a reload.
    """

    source: str
    values: Mapping[str, Any] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    warnings: tuple[Problem, ...] = ()

    @property
    def bootstrap_dcs(self) -> Mapping[str, Any]:
        """The dynamic configuration to write at the first initialization, as it was written."""
        return merge_patch({}, lookup(self.values, ("bootstrap", "dcs")) or {})


def load_local(path: str | Path | None, environ: Mapping[str, str]) -> LocalConfig:
    """Read and check the node's configuration.

    `path` is a file or a directory; without it `HAE_CONFIGURATION`, `PATRONI_CONFIGURATION` or
    the single variables are used.  Raises ConfigError with every problem found.
    """
    config, problems = read_local(path, environ)
    if has_errors(problems):
        raise ConfigError(problems)
    return config


def read_local(
    path: str | Path | None, environ: Mapping[str, str], unknown: Severity = "warning"
) -> tuple[LocalConfig, list[Problem]]:
    """Read and check, and return the problems beside whatever could be understood."""
    loaded, consumed = _read(path, environ)
    source = _source(path, environ)
    problems = list(loaded.problems)
    if has_errors(problems) and not loaded.data:
        return LocalConfig(source, {}, consumed, tuple(problems)), problems
    check = Check("local", loaded.places, unknown)
    check.walk(loaded.data)
    check.require()
    problems += check.problems
    problems += _store_problems(check)
    problems += _identity_problems(check.values)
    problems += _bootstrap_problems(check.values, loaded, unknown)
    warnings = tuple(problem for problem in problems if problem.severity == "warning")
    return LocalConfig(source, check.values, consumed, warnings), problems


def needs_daemon_restart(old: LocalConfig, new: LocalConfig) -> list[str]:
    """Return the paths that differ and that a reload cannot apply."""
    fixed = [tuple(key.path.split(".")) for key in KEYS if not key.reload]
    changed = [p for p in fixed if lookup(old.values, p) != lookup(new.values, p)]
    if store_kinds(old.values) != store_kinds(new.values):
        changed += [(kind,) for kind in store_kinds(new.values)]
    return [".".join(path) for path in changed]


def store_kinds(values: Mapping[str, Any]) -> list[str]:
    """Return the names of the store sections that are present."""
    return [kind for kind in STORES if values.get(kind) is not None]


def _read(path: str | Path | None, environ: Mapping[str, str]) -> tuple[Loaded, dict[str, str]]:
    variable = whole_configuration(environ)
    if path is None and variable is not None:
        return load_variable(environ, variable), {variable: environ[variable]}
    overrides = read_environment(environ)
    consumed = overrides.consumed
    if variable is not None:
        consumed[variable] = environ[variable]
    if path is None and not overrides.data:
        message = "no configuration: give a node file, or set HAE_CONFIGURATION"
        return Loaded(problems=[Problem("", message)]), consumed
    loaded = Loaded() if path is None else load_path(Path(path))
    if not has_errors(loaded.problems) or loaded.data:
        loaded.data = merge(loaded.data, overrides.data)
        loaded.places.update(overrides.places)
    loaded.problems.extend(overrides.problems)
    return loaded, consumed


def _source(path: str | Path | None, environ: Mapping[str, str]) -> str:
    if path is not None:
        return str(path)
    variable = whole_configuration(environ)
    return f"environment {variable}" if variable else "environment"


def _store_problems(check: Check) -> list[Problem]:
    values, kinds = check.values, store_kinds(check.values)
    if not kinds:
        message = f"no store is configured; add one of the sections {', '.join(STORES)}"
        return [Problem("", message)]
    if len(kinds) > 1:
        # Two members that use two stores elect two primaries: nothing may be guessed here.
        return [Problem("", f"several stores are configured ({', '.join(kinds)}); keep one")]
    needed = NEEDS_ONE_OF.get(kinds[0], ())
    reported = any(problem.path.startswith(f"{kinds[0]}.") for problem in check.problems)
    if needed and not reported and not any(values[kinds[0]].get(name) for name in needed):
        return [Problem(kinds[0], f"needs one of {', '.join(needed)}")]
    return []


def _identity_problems(values: Mapping[str, Any]) -> list[Problem]:
    problems = []
    if values.get("name") == RESERVED_NAME:
        problems.append(Problem("name", "this name is reserved; choose another"))
    problems += [
        Problem(key, "found a /, allowed: text without / (it is a part of the store's keys)")
        for key in ("name", "scope")
        if "/" in str(values.get(key, ""))
    ]
    if _same_port(lookup(values, ("restapi", "listen")), lookup(values, ("postgresql", "listen"))):
        message = "PostgreSQL listens on the same address and port; choose another port"
        problems.append(Problem("restapi.listen", message))
    low_ttl = lookup(values, ("hae", "low_ttl"))
    if low_ttl and lookup(values, ("fence", "mode")) == "off":
        message = "needs the fence: set fence.mode to automatic or required, or remove low_ttl"
        problems.append(Problem("hae.low_ttl", message))
    return problems


def _same_port(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return False
    (one_hosts, one_port), (other_hosts, other_port) = split_address(one), split_address(other)
    return (one_hosts, one_port) == (other_hosts, other_port)


def _bootstrap_problems(
    values: Mapping[str, Any], loaded: Loaded, unknown: Severity
) -> list[Problem]:
    method = lookup(values, ("bootstrap", "method")) or "initdb"
    if method != "initdb" and not lookup(values, ("bootstrap", method)):
        message = f"found {method!r}, but there is no section bootstrap.{method} with a command"
        return [Problem("bootstrap.method", message)]
    dcs = lookup(values, ("bootstrap", "dcs"))
    if not dcs:
        return []
    prefix = ("bootstrap", "dcs")
    problems = check_dynamic(dcs, places=loaded.places, prefix=prefix, unknown=unknown)
    low_ttl = bool(lookup(values, ("hae", "low_ttl")) or lookup(dcs, ("hae", "low_ttl")))
    _, adjusted = clamp_timing(dcs, low_ttl=low_ttl)
    return problems + [Problem("bootstrap.dcs", text, "warning") for text in adjusted]
