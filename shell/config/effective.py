"""Putting defaults, dynamic and local configuration together into the one `Settings` record.

Precedence: default < dynamic configuration < node file < environment, except for what only one
side may set.  Bad dynamic values never fail: the default is used and a warning says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shell.config import parameters as guc
from shell.config.checking import Check, lookup
from shell.config.dynamic import check_dynamic, clamp_timing
from shell.config.effective_postgresql import postgresql_settings
from shell.config.kinds import split_address
from shell.config.local import LocalConfig, store_kinds
from shell.config.problems import Problem
from shell.config.settings import (
    BootstrapSettings,
    Credentials,
    CtlSettings,
    CustomBootstrap,
    DynamicSettings,
    FenceSettings,
    LogSettings,
    RecorderSettings,
    RestApiSettings,
    Settings,
    SlotMatcher,
    SlotSettings,
    StandbyClusterSettings,
    StoreSettings,
    WatchdogSettings,
)
from shell.config.tags import effective_tags
from shell.config.values import Values


def effective(config: LocalConfig, dynamic: Mapping[str, Any] | None) -> tuple[Settings, list[str]]:
    """Return the settings and a text for every value that was ignored, replaced or adjusted.

    `dynamic` is the content of the store's `config` key, None when there is none yet.
    """
    dynamic = {} if dynamic is None else dynamic
    problems = []
    if not isinstance(dynamic, Mapping):  # another program may have written anything there
        message = "the store's configuration is not a JSON object; the defaults are used"
        problems, dynamic = [Problem("", message, "warning")], {}
    problems += check_dynamic(dynamic)
    check = Check("dcs")
    check.walk(dynamic)
    local, shared = config.values, check.values
    low_ttl, low_ttl_problems = _low_ttl(local, shared)
    timing, adjusted = clamp_timing(shared, low_ttl=low_ttl)
    tags, tag_texts = effective_tags(lookup(local, ("tags",)) or {})
    node = Values(local)
    name, scope = node.text("name"), node.text("scope")
    postgresql = postgresql_settings(local, shared, scope)
    settings = Settings(
        scope=scope,
        namespace=node.text("namespace"),
        name=name,
        store=_store(local),
        restapi=_restapi(node),
        ctl=_ctl(node),
        log=_log(node),
        tags=tags,
        bootstrap=_bootstrap(node),
        postgresql=postgresql,
        dynamic=_dynamic(Values(shared), timing, low_ttl),
        watchdog=WatchdogSettings(
            mode=node.get("watchdog.mode"),
            device=node.text("watchdog.device"),
            safety_margin_seconds=node.get("watchdog.safety_margin"),
        ),
        fence=FenceSettings(mode=node.get("fence.mode")),
        recorder=RecorderSettings(
            dir=_absolute(
                node.get("recorder.dir") or _record_dir(postgresql.data_dir, scope, name)
            ),
            max_bytes=node.get("recorder.max_bytes"),
        ),
    )
    problems += [*_local_findings(local, shared), *low_ttl_problems]
    return settings, [*adjusted, *tag_texts, *(str(problem) for problem in problems)]


def _local_findings(local: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Problem]:
    parameters = lookup(local, ("postgresql", "parameters")) or {}
    found = {f"parameters.{k}": text for k, text in guc.local_findings(parameters).items()}
    for side in (local, shared):
        for name in lookup(side, ("postgresql", "recovery_conf")) or {}:
            if guc.is_own_recovery_setting(name):
                found[f"recovery_conf.{name}"] = "ignored: hae sets it itself"
    return [Problem(f"postgresql.{path}", text, "warning") for path, text in found.items()]


def _low_ttl(local: Mapping[str, Any], shared: Mapping[str, Any]) -> tuple[bool, list[Problem]]:
    here = lookup(local, ("hae", "low_ttl"))
    wanted = here if here is not None else lookup(shared, ("hae", "low_ttl"))
    if wanted and Values(local).get("fence.mode") == "off":
        message = "ignored: the lower limits need the fence, and fence.mode is off"
        return False, [Problem("hae.low_ttl", message, "warning")]
    return bool(wanted), []


def _absolute(path: str) -> str:
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - resolve() follows links


def _record_dir(data_dir: str, scope: str, name: str) -> str:
    """Beside the data directory: inside, it would be lost with every re-clone."""
    member = re.sub(r"[^\w.-]", "_", f"{scope}-{name}")
    return str(Path(data_dir).parent / f"hae-records-{member}")


def _store(local: Mapping[str, Any]) -> StoreSettings:
    kind = store_kinds(local)[0]
    node = Values(local)
    options = {name: node.get(f"{kind}.{name}") for name in node.names(kind)}
    if kind == "embedded":
        options["path"] = _absolute(options["path"])
    return StoreSettings(kind, options)


def _credentials(node: Values, section: str) -> Credentials | None:
    username = node.get(f"{section}.authentication.username")
    password = node.get(f"{section}.authentication.password")
    return Credentials(username, password or "") if username else None


def _restapi(node: Values) -> RestApiSettings:
    hosts, port = split_address(node.text("restapi.listen"))
    connect_host, connect_port = split_address(node.text("restapi.connect_address"))
    assert port is not None
    return RestApiSettings(
        listen_hosts=tuple(hosts.split(",")),
        listen_port=port,
        connect_host=connect_host,
        connect_port=connect_port or port,
        authentication=_credentials(node, "restapi"),
        allowlist=tuple(node.get("restapi.allowlist")),
        **{
            name: node.get(f"restapi.{name}")
            for name in (
                "certfile",
                "keyfile",
                "keyfile_password",
                "cafile",
                "ciphers",
                "verify_client",
                "allowlist_include_members",
                "http_extra_headers",
                "https_extra_headers",
                "request_queue_size",
                "server_tokens",
            )
        },
    )


def _ctl(node: Values) -> CtlSettings:
    names = ("insecure", "cacert", "certfile", "keyfile", "keyfile_password")
    return CtlSettings(
        authentication=_credentials(node, "ctl"),
        **{name: node.get(f"ctl.{name}") for name in names},
    )


def _log(node: Values) -> LogSettings:
    names = [name for name in node.names("log") if name != "file_size"]
    return LogSettings(
        file_size_bytes=node.get("log.file_size"),
        **{name: node.get(f"log.{name}") for name in names},
    )


def _bootstrap(node: Values) -> BootstrapSettings:
    method = node.text("bootstrap.method")
    section = node.section(f"bootstrap.{method}") if method != "initdb" else {}
    custom = None
    if section:
        known = ("command", "no_params", "keep_existing_recovery_conf", "recovery_conf")
        custom = CustomBootstrap(
            command=section["command"],
            no_params=section.get("no_params", False),
            keep_existing_recovery_conf=section.get("keep_existing_recovery_conf", False),
            recovery_conf=section.get("recovery_conf", {}),
            options=tuple((k, v) for k, v in section.items() if k not in known),
        )
    return BootstrapSettings(
        present=node.has("bootstrap"),
        method=method,
        dcs=node.get("bootstrap.dcs"),
        initdb=tuple((name, value) for name, value in node.get("bootstrap.initdb")),
        pg_hba=tuple(node.get("bootstrap.pg_hba")),
        post_bootstrap=node.get("bootstrap.post_bootstrap"),
        custom=custom,
    )


_COPIED = (
    "maximum_lag_on_failover",
    "maximum_lag_on_syncnode",
    "check_timeline",
    "max_timelines_history",
    "primary_start_timeout",
    "primary_stop_timeout",
    "primary_race_backoff",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "failsafe_mode",
    "pause",
    "member_slots_ttl",
)


def _dynamic(shared: Values, timing: Mapping[str, int], low_ttl: bool) -> DynamicSettings:
    slots = {name: SlotSettings(name, **slot) for name, slot in shared.section("slots").items()}
    return DynamicSettings(
        ttl=timing["ttl"],
        loop_wait=timing["loop_wait"],
        retry_timeout=timing["retry_timeout"],
        low_ttl=low_ttl,
        slots=slots,
        ignore_slots=tuple(SlotMatcher(**matcher) for matcher in shared.get("ignore_slots")),
        use_slots=shared.get("postgresql.use_slots"),
        standby_cluster=_standby_cluster(shared),
        slot_wal_budget=shared.get("hae.slot_wal_budget"),
        **{name: shared.get(name) for name in _COPIED},
    )


def _standby_cluster(shared: Values) -> StandbyClusterSettings | None:
    section = shared.section("standby_cluster")
    if not any(section.get(name) for name in ("host", "port", "restore_command")):
        return None
    names = [n for n in shared.names("standby_cluster") if n != "create_replica_methods"]
    fields = {name: section.get(name) for name in names}
    return StandbyClusterSettings(**fields)
