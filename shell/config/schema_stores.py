"""Keys of the sections that name the store in which the members agree."""

from __future__ import annotations

from shell.config.key import Key
from shell.config.kinds import (
    address,
    anything,
    boolean,
    choice,
    integer,
    list_of,
    mapping_of,
    seconds,
    secret_text,
    text,
)

# In the order in which they are offered to a newcomer.
STORES = ("etcd3", "etcd", "embedded", "consul", "zookeeper", "exhibitor", "kubernetes")

# One of these is needed, otherwise the section does not say where the store is.
NEEDS_ONE_OF = {
    "etcd3": ("host", "hosts", "url", "proxy", "srv"),
    "etcd": ("host", "hosts", "url", "proxy", "srv"),
    "embedded": ("path",),
    "consul": ("host", "url"),
    "zookeeper": ("hosts",),
    "exhibitor": ("hosts",),
}


def _etcd(section: str) -> tuple[Key, ...]:
    return (
        Key(f"{section}.host", address()),
        Key(f"{section}.hosts", list_of(address(), comma_text=True)),
        Key(f"{section}.url", text, secret=True),
        Key(f"{section}.proxy", text, secret=True),
        Key(f"{section}.srv", text),
        Key(f"{section}.srv_suffix", text),
        Key(f"{section}.use_proxies", boolean, False),
        Key(f"{section}.protocol", choice("http", "https"), "http"),
        Key(f"{section}.username", text),
        Key(f"{section}.password", secret_text, secret=True),
        Key(f"{section}.cacert", text),
        Key(f"{section}.cert", text),
        Key(f"{section}.key", text),
    )


_CONSUL = (
    Key("consul.host", address()),
    Key("consul.port", integer(1, 65535)),
    Key("consul.url", text, secret=True),
    Key("consul.scheme", choice("http", "https"), "http"),
    Key("consul.token", secret_text, secret=True),
    Key("consul.verify", boolean),
    Key("consul.cacert", text),
    Key("consul.cert", text),
    Key("consul.key", text),
    Key("consul.dc", text),
    Key("consul.checks", list_of(text, comma_text=True), []),
    Key("consul.consistency", choice("default", "consistent", "stale"), "default"),
    Key("consul.register_service", boolean, False),
    Key("consul.service_tags", list_of(text, comma_text=True), []),
    Key("consul.service_check_interval", text, "5s"),
    Key("consul.service_check_tls_server_name", text),
)

_ZOOKEEPER = (
    Key("zookeeper.hosts", list_of(address(), comma_text=True)),
    Key("zookeeper.use_ssl", boolean, False),
    Key("zookeeper.cacert", text),
    Key("zookeeper.cert", text),
    Key("zookeeper.key", text),
    Key("zookeeper.key_password", secret_text, secret=True),
    Key("zookeeper.verify", boolean, True),
    Key("zookeeper.set_acls", mapping_of(list_of(text)), {}),
    Key("zookeeper.auth_data", mapping_of(secret_text), {}, secret=True),
    Key("exhibitor.hosts", list_of(address(), comma_text=True)),
    Key("exhibitor.port", integer(1, 65535), 8181),
    Key("exhibitor.poll_interval", seconds(1), 300),
)

_KUBERNETES = (
    Key("kubernetes.labels", mapping_of(text), {}),
    Key("kubernetes.namespace", text, "default"),
    Key("kubernetes.scope_label", text, "cluster-name"),
    Key("kubernetes.role_label", text, "role"),
    Key("kubernetes.leader_label_value", text, "primary"),
    Key("kubernetes.follower_label_value", text, "replica"),
    Key("kubernetes.standby_leader_label_value", text, "primary"),
    Key("kubernetes.tmp_role_label", text),
    Key("kubernetes.use_endpoints", boolean, False),
    Key("kubernetes.pod_ip", text),
    Key("kubernetes.ports", list_of(anything), []),
    Key("kubernetes.bypass_api_service", boolean, False),
    Key("kubernetes.cacert", text),
    Key("kubernetes.retriable_http_codes", list_of(integer(100, 599), comma_text=True), []),
    Key("kubernetes.bootstrap_labels", mapping_of(text), {}),
)

KEYS = (
    *_etcd("etcd3"),
    *_etcd("etcd"),
    Key("embedded.path", text, reload=False),
    *_CONSUL,
    *_ZOOKEEPER,
    *_KUBERNETES,
)
