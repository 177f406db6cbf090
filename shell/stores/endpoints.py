"""Turns an `etcd3` or `etcd` section into the addresses and credentials to connect with.

Belongs here: reading the section's keys and looking up SRV records. Does not belong here:
connecting, and anything that differs between the two versions of the API.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from shell.stores.base import StoreMisconfigured

log = logging.getLogger(__name__)

DEFAULT_PORT = 2379
SRV_LOOKUP_SECONDS = 5.0
SRV_NAMES = (
    ("_etcd-client-ssl", "https"),
    ("_etcd-client", "http"),
    ("_etcd-ssl", "https"),
    ("_etcd", "http"),
    ("_etcd-server-ssl", "https"),
    ("_etcd-server", "http"),
)

SrvLookup = Callable[[str], list[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class EtcdSection:
    """Where and how to reach an etcd cluster. `urls` have the form `http://host:port`."""

    section: str
    urls: tuple[str, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    discover: bool = True


def parse_etcd_section(
    section: str, settings: Any, *, srv_lookup: SrvLookup | None = None
) -> EtcdSection:
    """Read a section's keys; the first of proxy, url, srv, hosts, host that is set counts.

    Raises `StoreMisconfigured` naming the section and the wrong key.
    """
    if not isinstance(settings, Mapping):
        raise StoreMisconfigured(f"{section}: expected a mapping such as {{host: 127.0.0.1:2379}}")
    text = {key: str(value) for key, value in settings.items() if value is not None}
    protocol = text.get("protocol", "").lower() or ("https" if text.get("cacert") else "http")
    if protocol not in {"http", "https"}:
        raise StoreMisconfigured(f"{section}.protocol: found {protocol!r}, allowed: http, https")
    plain = EtcdSection(
        section=section,
        urls=(),
        username=text.get("username"),
        password=text.get("password"),
        cacert=text.get("cacert"),
        cert=text.get("cert"),
        key=text.get("key"),
        discover=not _is_true(settings.get("use_proxies")),
    )
    for name in ("proxy", "url"):
        if text.get(name):
            return _from_url(plain, name, text[name], protocol)
    if text.get("srv"):
        names = _srv_urls(text["srv"], text.get("srv_suffix"), srv_lookup or _resolve_srv)
        if not names:
            raise StoreMisconfigured(
                f"{section}.srv: no SRV record of etcd below {text['srv']!r}; "
                "create one or use hosts"
            )
        return replace(plain, urls=names)
    for name in ("hosts", "host"):
        if settings.get(name):
            hosts = _listed(settings[name])
            urls = tuple(_host_url(f"{section}.{name}", host, protocol) for host in hosts)
            return replace(plain, urls=tuple(dict.fromkeys(urls)))
    raise StoreMisconfigured(f"{section}: set one of host, hosts, url, proxy, srv")


def _from_url(plain: EtcdSection, name: str, text: str, protocol: str) -> EtcdSection:
    url = text if "://" in text else f"{protocol}://{text}"
    parts = urlsplit(url)
    return replace(
        plain,
        urls=(_host_url(f"{plain.section}.{name}", url, protocol),),
        username=unquote(parts.username) if parts.username else plain.username,
        password=unquote(parts.password) if parts.password else plain.password,
        discover=plain.discover and name != "proxy",
    )


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in {"on", "true", "yes", "1"}


def _listed(value: Any) -> list[str]:
    items = value if isinstance(value, (list, tuple)) else str(value).split(",")
    stripped = (str(item).strip().strip("'\"").strip() for item in items)
    return [item for item in stripped if item]


def _host_url(path: str, text: str, protocol: str) -> str:
    """Return `protocol://host:port`; IPv6 addresses may come with or without brackets."""
    bare_ipv6 = text.count(":") > 1 and "[" not in text and "://" not in text
    url = f"[{text}]" if bare_ipv6 else text
    parts = urlsplit(url if "://" in url else f"{protocol}://{url}")
    try:
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme not in {"http", "https"}:
        # The text may carry a password in its user part, so only the rest is shown.
        shown = text.rsplit("@", 1)[-1]
        raise StoreMisconfigured(f"{path}: found {shown!r}, expected host:port or http(s)://host")
    shown_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown_host}:{port}"


def _srv_urls(domain: str, suffix: str | None, lookup: SrvLookup) -> tuple[str, ...]:
    for service, protocol in SRV_NAMES:
        named = f"{service}-{suffix}" if suffix else service
        if found := lookup(f"{named}._tcp.{domain}"):
            # Server records carry the peer port; clients are served on the usual one.
            own_port = DEFAULT_PORT if "server" in service else None
            return tuple(f"{protocol}://{host}:{own_port or port}" for host, port in found)
    return ()


def _resolve_srv(name: str) -> list[tuple[str, int]]:
    # dnspython costs memory, and few installations look up SRV records.
    import dns.exception  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    try:
        answers = dns.resolver.resolve(name, "SRV", lifetime=SRV_LOOKUP_SECONDS)
    except dns.exception.DNSException as error:
        log.debug("no SRV records for %s: %s", name, error)
        return []
    return [(answer.target.to_text(omit_final_dot=True), answer.port) for answer in answers]
