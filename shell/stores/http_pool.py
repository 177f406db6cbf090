"""Connections to HTTP stores: TLS material, keep-alive, dead-peer detection, bounded reads.

Belongs here: what every HTTP store needs from urllib3. Does not belong here: requests of a
particular store.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    InsecureRequestWarning,
    NewConnectionError,
    ReadTimeoutError,
)
from urllib3.response import BaseHTTPResponse

from shell.processes import now
from shell.resolver import Addresses, is_name, lookup
from shell.stores.base import StoreError, StoreMisconfigured
from shell.stores.endpoints import EtcdSection

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.05  # for one address
MAX_REPLY_BYTES = 64 * 1024 * 1024
# A peer that vanished without closing is noticed after about 5 + 3 * 2 seconds.
SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 11_000),
]


def pool_settings(section: EtcdSection) -> dict[str, Any]:
    """Return the urllib3 pool's settings; raises `StoreMisconfigured` for unreadable files."""
    settings: dict[str, Any] = {
        "maxsize": 4,
        "retries": False,
        "socket_options": SOCKET_OPTIONS,
    }
    if not any(url.startswith("https:") for url in section.urls):
        return settings
    named = {"cacert": section.cacert, "cert": section.cert, "key": section.key}
    for key, path in named.items():
        if path and not os.access(path, os.R_OK):
            raise StoreMisconfigured(
                f"{section.section}.{key}: cannot read {path}; "
                "correct the path or let this account read the file"
            )
    if section.cacert:
        settings |= {"ca_certs": section.cacert, "cert_reqs": "CERT_REQUIRED"}
    else:
        log.warning("%s: no cacert, so the server's certificate is not verified", section.section)
        urllib3.disable_warnings(InsecureRequestWarning)
        settings |= {"cert_reqs": "CERT_NONE"}
    if section.cert:
        settings |= {"cert_file": section.cert, "key_file": section.key}
    return settings


class _BoundedConnection(HTTPConnection):
    """A connection whose timeout holds for the resolver, too, and for all addresses together."""

    def _new_conn(self) -> socket.socket:
        name, seconds = self._dns_host, self.timeout
        if not seconds or not is_name(name.strip("[]")):
            return super()._new_conn()
        give_up_at = now() + seconds
        addresses = self._addresses(name, seconds)
        problem: Exception | None = None
        for tried, address in enumerate(addresses):
            # Its share of the time: the next one may be of a host that is there.
            share = (give_up_at - now()) / (len(addresses) - tried)
            self._dns_host, self.timeout = address, max(share, SHORTEST_SECONDS)
            try:
                connected = super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as error:
                problem = error
            else:
                connected.settimeout(seconds)
                return connected
            finally:
                # The certificate is of the name.
                self._dns_host, self.timeout = name, seconds
        raise problem or NewConnectionError(self, f"{name} has no address")

    def _addresses(self, name: str, seconds: float) -> Addresses:
        try:
            return lookup(name).result(seconds)
        except TimeoutError as error:
            raise NewConnectionError(self, f"no answer of the resolver for {name}") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


class _BoundedTlsConnection(_BoundedConnection, HTTPSConnection):
    """The same with TLS, for which the name counts."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTlsConnection


def open_pool(section: EtcdSection) -> urllib3.PoolManager:
    """Return a pool of keep-alive connections that never retries by itself."""
    manager = urllib3.PoolManager(**pool_settings(section))
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def read_all(response: BaseHTTPResponse, give_up_at: float) -> bytes:
    """Read a whole answer; a server that dribbles it past `give_up_at` is a timeout."""
    parts: list[bytes] = []
    size = 0
    while part := response.read1(65536):
        parts.append(part)
        size += len(part)
        if now() > give_up_at:
            raise ReadTimeoutError(None, response.url or "", "the answer came too slowly")  # type: ignore[arg-type]
        if size > MAX_REPLY_BYTES:
            raise StoreError(f"{response.url} sent more than {MAX_REPLY_BYTES} bytes; not a store")
    return b"".join(parts)


def tls_may_mend_itself(error: Exception) -> bool:
    """Whether a server that is just going down would have caused the same."""
    return "EOF" in str(error)


def tls_mend(url: str, error: Exception, section: EtcdSection) -> str:
    """Say in one sentence what is wrong with the TLS connection, and the mend."""
    text = str(error)
    name = section.section
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER" in text:
        return f"{url} does not speak TLS; set {name}.protocol: http"
    if tls_may_mend_itself(error):
        return f"{url} hung up on TLS; if it speaks plain HTTP, set {name}.protocol: http"
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return f"the certificate of {url} is not trusted by {name}.cacert ({section.cacert})"
    if "ALERT" in text.upper():
        return f"{url} refused our TLS client certificate; set {name}.cert and {name}.key"
    return f"TLS to {url} failed ({text}); check {name}.cacert, cert and key"


def is_local(url: str) -> bool:
    """Return whether a URL means whichever host uses it."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "0.0.0.0", "::", "::1"} or host.startswith("127.")  # noqa: S104


def unanswered(url: str, error: Exception, section: EtcdSection) -> str:
    """Say that a request got no answer, and the mend where the way of failing hints at one."""
    text = f"no answer from {url} ({type(error).__name__})"
    if url.startswith("http:") and "without response" in str(error):
        text += f"; if it speaks TLS only, set {section.section}.protocol: https"
    if url.startswith("https:") and "aborted" in str(error):
        text += f"; if it speaks plain HTTP, set {section.section}.protocol: http"
    return text
