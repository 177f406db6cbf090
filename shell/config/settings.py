"""The one typed record of everything that is configured, as the rest of the program uses it.

Only records belong here, no reading and no merging.  Times are in seconds and sizes in bytes
unless the name says otherwise.  Secrets are left out of every repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shell.config.settings_postgresql import PostgresqlSettings


def secret() -> Any:
    """Return a field that is None by default and that neither repr nor rendering shows."""
    return field(default=None, repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password for basic authentication."""

    username: str
    password: str = field(repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Which store, and the options of its section, normalised by the schema (`options["hosts"]`).

    `kind` is one of etcd3, etcd, embedded, consul, zookeeper, exhibitor, kubernetes.
    """

    kind: str
    options: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RestApiSettings:
    """The REST API: where it listens, what it publishes, who may use it."""

    listen_hosts: tuple[str, ...]
    listen_port: int
    connect_host: str
    connect_port: int
    authentication: Credentials | None
    certfile: str | None
    keyfile: str | None
    keyfile_password: str | None = field(repr=False, metadata={"secret": True})
    cafile: str | None
    ciphers: str | None
    verify_client: Literal["none", "optional", "required"]
    allowlist: tuple[str, ...]
    allowlist_include_members: bool
    http_extra_headers: Mapping[str, str]
    https_extra_headers: Mapping[str, str]
    request_queue_size: int
    server_tokens: Literal["original", "productonly", "minimal"]

    @property
    def base_url(self) -> str:
        """Return the address that other members call, such as http://10.0.0.1:8008."""
        scheme = "https" if self.certfile else "http"
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        return f"{scheme}://{host}:{self.connect_port}"

    @property
    def api_url(self) -> str:
        """Return the `api_url` of the member key."""
        return f"{self.base_url}/patroni"


@dataclass(frozen=True, slots=True)
class CtlSettings:
    """How this node, and the control tool that uses its file, calls the REST API of others."""

    authentication: Credentials | None
    insecure: bool
    cacert: str | None
    certfile: str | None
    keyfile: str | None
    keyfile_password: str | None = secret()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Logging; `dir` None means standard error, `format` is text or, for json, a list."""

    type: Literal["plain", "json"]
    level: str
    traceback_level: str
    format: Any
    dateformat: str | None
    static_fields: Mapping[str, Any]
    max_queue_size: int
    dir: str | None
    mode: int | None
    file_num: int
    file_size_bytes: int
    loggers: Mapping[str, str]
    deduplicate_heartbeat_logs: bool


@dataclass(frozen=True, slots=True)
class Tags:
    """The effective tags; `published` is what the member key and the status document show."""

    nofailover: bool = False
    failover_priority: int = 1
    noloadbalance: bool = False
    clonefrom: bool = False
    replicatefrom: str | None = None
    nosync: bool = False
    sync_priority: int = 1
    nostream: bool = False
    published: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CustomBootstrap:
    """A bootstrap method of the user's own; `options` become `--name=value`."""

    command: str
    no_params: bool
    keep_existing_recovery_conf: bool
    recovery_conf: Mapping[str, str]
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """How a new cluster is made.

    `present` is false without a `bootstrap` section: such a node never initializes a cluster.
    `initdb` holds (option, value or None).  `custom` is None when `method` is initdb.
    """

    present: bool
    method: str
    dcs: Mapping[str, Any]
    initdb: tuple[tuple[str, str | None], ...]
    pg_hba: tuple[str, ...]
    post_bootstrap: str | None
    custom: CustomBootstrap | None


@dataclass(frozen=True, slots=True)
class SlotSettings:
    """A permanent replication slot."""

    name: str
    type: Literal["physical", "logical"]
    database: str | None = None
    plugin: str | None = None
    cluster_type: Literal["primary", "standby"] | None = None


@dataclass(frozen=True, slots=True)
class SlotMatcher:
    """A slot that is left alone when every given field is equal."""

    name: str | None = None
    type: str | None = None
    database: str | None = None
    plugin: str | None = None


@dataclass(frozen=True, slots=True)
class StandbyClusterSettings:
    """The remote primary that a standby cluster follows; `host` may be a comma list.

    How it is copied is `postgresql.remote_replica_methods`.
    """

    host: str | None
    port: int | None
    primary_slot_name: str | None
    restore_command: str | None
    archive_cleanup_command: str | None
    recovery_min_apply_delay: str | None


@dataclass(frozen=True, slots=True)
class DynamicSettings:
    """What all members share, after defaults and limits.

    Times in seconds, lags in bytes; `maximum_lag_on_syncnode` -1 is off, `max_timelines_history`
    0 keeps all, `primary_stop_timeout` and `slot_wal_budget` 0 are off.  `low_ttl` tells that the
    lower limits apply.
    """

    ttl: int
    loop_wait: int
    retry_timeout: int
    low_ttl: bool
    maximum_lag_on_failover: int
    maximum_lag_on_syncnode: int
    check_timeline: bool
    max_timelines_history: int
    primary_start_timeout: int
    primary_stop_timeout: int
    primary_race_backoff: int
    synchronous_mode: Literal["off", "on", "quorum"]
    synchronous_mode_strict: bool
    synchronous_node_count: int
    failsafe_mode: bool
    pause: bool
    member_slots_ttl: int
    slots: Mapping[str, SlotSettings]
    ignore_slots: tuple[SlotMatcher, ...]
    use_slots: bool
    standby_cluster: StandbyClusterSettings | None
    slot_wal_budget: int


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """The watchdog device; `safety_margin_seconds` -1 means half of ttl."""

    mode: Literal["off", "automatic", "required"]
    device: str
    safety_margin_seconds: int


@dataclass(frozen=True, slots=True)
class FenceSettings:
    """The fence process: `required` refuses to be primary without it."""

    mode: Literal["required", "automatic", "off"]


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """The flight recorder: its folder, and how much of the disk it may use."""

    dir: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured on this node."""

    scope: str
    namespace: str
    name: str
    store: StoreSettings
    restapi: RestApiSettings
    ctl: CtlSettings
    log: LogSettings
    tags: Tags
    bootstrap: BootstrapSettings
    postgresql: PostgresqlSettings
    dynamic: DynamicSettings
    watchdog: WatchdogSettings
    fence: FenceSettings
    recorder: RecorderSettings

    @property
    def base_path(self) -> str:
        """Return the cluster's place in the store, such as /service/demo."""
        parts = f"{self.namespace}/{self.scope}".split("/")
        return "/" + "/".join(part for part in parts if part)
