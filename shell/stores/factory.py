"""Chooses and opens the store that a configuration or a URL names.

Belongs here: which section means which adapter. Does not belong here: the adapters themselves;
they are imported only when chosen, because each costs memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from shell.stores.base import Store, StoreMisconfigured

BUILT = ("etcd3", "etcd", "embedded")
KNOWN = ("consul", "zookeeper", "exhibitor", "kubernetes")


def open_store(config: Mapping[str, Any], *, namespace: str, scope: str) -> Store:
    """Open the store whose section the configuration has; connects only when first used.

    Raises `StoreMisconfigured` when there is no usable section or more than one.
    """
    present = [name for name in (*BUILT, *KNOWN) if config.get(name)]
    if not present:
        raise StoreMisconfigured(f"no store is configured; add one section of {', '.join(BUILT)}")
    if len(present) > 1:
        raise StoreMisconfigured(f"more than one store is configured: {', '.join(present)}")
    section = present[0]
    if section in KNOWN:
        raise StoreMisconfigured(
            f"section {section}: this store is not built yet; use one of {', '.join(BUILT)}"
        )
    if section == "embedded":
        return _open_embedded(config[section], namespace, scope)
    return _open_etcd(section, config[section], namespace, scope)


def open_store_url(url: str, namespace: str, scope: str) -> Store:
    """Open the store that a `--dcs-url` names.

    `etcd3://host:port`, `etcd://host:port` and `embedded:///path/of/file`. Without a scheme, port
    2379 (or none) means etcd3. A path after the host is the namespace, instead of the given one.
    """
    parts = urlsplit(url if "://" in url else f"//{url}")
    try:
        scheme, port = parts.scheme or _guessed(parts.port), parts.port
    except ValueError as error:
        raise StoreMisconfigured(f"{url}: {error}") from error
    if scheme == "embedded":
        return _open_embedded({"path": parts.netloc + parts.path}, namespace, scope)
    if scheme in KNOWN:
        raise StoreMisconfigured(f"{scheme}: this store is not built yet")
    if scheme not in BUILT:
        allowed = ", ".join(BUILT)
        raise StoreMisconfigured(f"{url}: unknown scheme {scheme!r}, allowed: {allowed}")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    settings = {
        "host": f"{host or '127.0.0.1'}:{port or 2379}",
        "username": parts.username,
        "password": parts.password,
    }
    namespace = parts.path if parts.path.strip("/") else namespace
    return _open_etcd(scheme, settings, namespace, scope)


def _guessed(port: int | None) -> str:
    by_port = {8500: "consul", 2181: "zookeeper", 8181: "exhibitor"}
    return by_port.get(port or 0, "etcd3")


def _open_etcd(section: str, settings: Any, namespace: str, scope: str) -> Store:
    from shell.stores.endpoints import parse_etcd_section  # noqa: PLC0415

    parsed = parse_etcd_section(section, settings)
    if section == "etcd3":
        from shell.stores.etcd3 import Etcd3Store  # noqa: PLC0415

        return Etcd3Store(parsed, namespace=namespace, scope=scope)
    from shell.stores.etcd2 import Etcd2Store  # noqa: PLC0415

    return Etcd2Store(parsed, namespace=namespace, scope=scope)


def _open_embedded(settings: Any, namespace: str, scope: str) -> Store:
    from shell.stores.embedded import EmbeddedStore  # noqa: PLC0415

    path = settings.get("path") if isinstance(settings, Mapping) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise StoreMisconfigured("embedded.path: expected the absolute path of the store's file")
    return EmbeddedStore(path, namespace=namespace, scope=scope)
