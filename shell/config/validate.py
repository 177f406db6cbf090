"""`hae-daemon --validate`: the whole check of a node file, and the print of what it means.

The single checks of this host are in `host_checks`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from shell.config.drift import bootstrap_drift
from shell.config.effective import effective
from shell.config.host_checks import check_host
from shell.config.local import read_local
from shell.config.problems import HIDDEN, Problem, has_errors
from shell.config.schema import BY_PATH
from shell.config.settings import Settings, StoreSettings
from shell.config.unbuilt import unbuilt_problems

_TELLING = ("password", "secret", "token")


def validate_file(
    path: str | Path | None,
    *,
    ignore_listen_port: bool = False,
    live_dynamic: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return every problem of a node file and of this host with it; an empty list means none.

    Unknown keys are errors here.  `live_dynamic` is the store's configuration, when the caller
    could read it: then the difference to `bootstrap.dcs` is reported too.
    """
    environ = os.environ if environ is None else environ
    config, problems = read_local(path, environ, unknown="error")
    if has_errors(problems):
        return problems
    settings, texts = effective(config, live_dynamic)
    problems += [Problem("", text, "warning") for text in texts]
    shared = config.bootstrap_dcs if live_dynamic is None else live_dynamic
    problems += unbuilt_problems(effective(config, shared)[0])
    if live_dynamic is not None:
        drift = bootstrap_drift(config.bootstrap_dcs, live_dynamic, settings.scope)
        problems += [Problem("bootstrap.dcs", text, "warning") for text in drift]
    return problems + check_host(settings, ignore_listen_port=ignore_listen_port)


def render_effective(settings: Settings) -> str:
    """Return the effective configuration as YAML, every secret as ********."""
    return yaml.safe_dump(_plain(settings), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, StoreSettings):
        return {"kind": value.kind, "options": _store_options(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _field(getattr(value, field.name), secret="secret" in field.metadata)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {
            k: _field(v, secret=any(w in k.lower() for w in _TELLING)) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _field(value: Any, *, secret: bool) -> Any:
    # A setting such as password_encryption is no secret, but hiding it costs little.
    return HIDDEN if secret and value is not None else _plain(value)


def _store_options(store: StoreSettings) -> dict[str, Any]:
    return {
        name: _field(value, secret=BY_PATH[f"{store.kind}.{name}"].secret)
        for name, value in store.options.items()
        if value is not None
    }
