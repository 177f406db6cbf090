"""Keys of the node file outside the stores and `postgresql`: identity, log, REST API, and so on."""

from __future__ import annotations

from shell.config.key import Key
from shell.config.kinds import (
    address,
    anything,
    boolean,
    choice,
    file_mode,
    integer,
    list_of,
    mapping_of,
    options,
    secret_text,
    setting,
    size,
    text,
)

_LEVEL = choice("NOTSET", "DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")
_NOT_USED = "accepted for compatibility; it has no effect in hae"

IDENTITY = (
    Key("name", text, required=True, reload=False),
    Key("scope", text, required=True, reload=False),
    Key("namespace", text, "service", reload=False),
    Key("thread_pool_size", integer(5), 5),
    Key("thread_stack_size", size(0), 512 * 1024),
)

LOG = (
    Key("log.type", choice("plain", "json"), "plain"),
    Key("log.level", _LEVEL, "INFO"),
    Key("log.traceback_level", _LEVEL, "ERROR"),
    Key("log.format", anything, "%(asctime)s %(levelname)s: %(message)s"),
    Key("log.dateformat", text),
    Key("log.static_fields", mapping_of(anything), {}),
    Key("log.max_queue_size", integer(1), 1000),
    Key("log.dir", text),
    Key("log.mode", file_mode),
    Key("log.file_num", integer(0), 4),
    Key("log.file_size", size(0), 25_000_000),
    Key("log.loggers", mapping_of(_LEVEL), {}),
    Key("log.deduplicate_heartbeat_logs", boolean, False),
)

RESTAPI = (
    Key("restapi.listen", address(port_required=True, many=True), required=True),
    Key("restapi.connect_address", address(), required=True),
    Key("restapi.authentication.username", text),
    Key("restapi.authentication.password", secret_text, secret=True),
    Key("restapi.certfile", text),
    Key("restapi.keyfile", text),
    Key("restapi.keyfile_password", secret_text, secret=True),
    Key("restapi.cafile", text),
    Key("restapi.ciphers", text),
    Key("restapi.verify_client", choice("none", "optional", "required"), "none"),
    Key("restapi.allowlist", list_of(text, comma_text=True), []),
    Key("restapi.allowlist_include_members", boolean, False),
    Key("restapi.http_extra_headers", mapping_of(secret_text), {}),
    Key("restapi.https_extra_headers", mapping_of(secret_text), {}),
    Key("restapi.request_queue_size", integer(0, 4096), 5),
    Key("restapi.server_tokens", choice("original", "productonly", "minimal"), "original"),
    Key("restapi.thread_pool_size", integer(1), 5),
)

CTL = (
    Key("ctl.authentication.username", text),
    Key("ctl.authentication.password", secret_text, secret=True),
    Key("ctl.insecure", boolean, False),
    Key("ctl.cacert", text),
    Key("ctl.certfile", text),
    Key("ctl.keyfile", text),
    Key("ctl.keyfile_password", secret_text, secret=True),
)

WATCHDOG = (
    Key("watchdog.mode", choice("off", "automatic", "required"), "automatic"),
    Key("watchdog.device", text, "/dev/watchdog"),
    Key("watchdog.safety_margin", integer(-1), 5),
    Key("watchdog.driver", text, verdict="ignore", note=_NOT_USED),
)

TAGS = (
    Key("tags.nofailover", boolean),
    Key("tags.failover_priority", integer()),
    Key("tags.noloadbalance", boolean, False),
    Key("tags.clonefrom", boolean, False),
    Key("tags.replicatefrom", text),
    Key("tags.nosync", boolean),
    Key("tags.sync_priority", integer()),
    Key("tags.nostream", boolean, False),
    Key("tags.*", anything),
)

BOOTSTRAP = (
    Key("bootstrap.dcs", mapping_of(anything), {}),
    Key("bootstrap.method", text, "initdb"),
    Key(
        "bootstrap.initdb",
        options("pgdata", "nosync", "pwfile", "sync-only", "version"),
        [],
    ),
    Key("bootstrap.pg_hba", list_of(text), []),
    Key("bootstrap.post_bootstrap", text),
    Key("bootstrap.post_init", text, renamed="bootstrap.post_bootstrap"),
    Key(
        "bootstrap.users",
        anything,
        verdict="ignore",
        note="creating users here was removed in Patroni 4; create roles in post_bootstrap",
    ),
)

# What only hae knows; other members of the cluster never see it.
HAE = (
    Key("hae.low_ttl", boolean, False, where="both"),
    Key("hae.slot_wal_budget", size(0), 10 * 1024**3, where="dcs"),
    Key("fence.mode", choice("required", "automatic", "off"), "automatic", reload=False),
    Key("recorder.dir", text, reload=False),
    Key("recorder.max_bytes", size(1024 * 1024), 64 * 1024 * 1024),
)

REFUSED = (
    Key(
        "citus",
        anything,
        verdict="refuse",
        where="both",
        note="hae does not manage Citus clusters; keep Patroni for this one, or remove the section",
    ),
    Key(
        "raft",
        anything,
        verdict="refuse",
        note="hae has no built-in Raft; use etcd3, or `embedded` for several nodes on one machine",
    ),
)

# The shape of `bootstrap.<method>`; its remaining keys are passed on as options.
CUSTOM_BOOTSTRAP = (
    Key("command", text, required=True),
    Key("no_params", boolean, False),
    Key("keep_existing_recovery_conf", boolean, False),
    Key("recovery_conf", mapping_of(setting), {}),
    Key("*", setting),
)

KEYS = (
    *IDENTITY,
    *LOG,
    *RESTAPI,
    *CTL,
    *WATCHDOG,
    *TAGS,
    *BOOTSTRAP,
    *HAE,
    *REFUSED,
)
