"""Who may call the unsafe methods: allowlist, client certificate, password, in this order.

Here belongs only the judging of one request.  GET, HEAD and OPTIONS never come here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from shell.api.options import ApiOptions

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAMES_STAY_VALID_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a caller who may not."""

    status: int
    text: str
    ask_for_password: bool = False


def certificate_and_password(
    options: ApiOptions, *, has_certificate: bool, authorization: bytes | None
) -> Refusal | None:
    """Judge what the request itself carries; None lets it in."""
    if options.tls and options.rest.verify_client != "none" and not has_certificate:
        return Refusal(403, "client certificate required")
    login = options.rest.authentication
    if login is None:
        return None
    if authorization is None:
        return Refusal(401, "no auth header received", ask_for_password=True)
    wanted = f"{login.username}:{login.password}".encode()
    if not hmac.compare_digest(_login(authorization), wanted):
        return Refusal(401, "not authenticated", ask_for_password=True)
    return None


def _login(authorization: bytes) -> bytes:
    scheme, _, text = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return b""


def _address(client: str) -> Address | None:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Allowlist:
    """Addresses that may call; host names are resolved, and resolved again after a while.

    `permits` may block on the resolver: it is to be called in a worker thread.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: list[Network] = []
        self._names: list[str] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._names.append(entry)
        self._resolved: dict[str, tuple[float, frozenset[str]]] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing is listed."""
        return not self._networks and not self._names

    def lists(self, client: str) -> bool:
        """Whether that address is listed as one; does not block."""
        address = _address(client)
        return address is not None and any(address in network for network in self._networks)

    def permits(self, client: str, member_urls: Iterable[str] = ()) -> bool:
        """Whether that address is listed, or is where one of `member_urls` leads."""
        address = _address(client)
        if address is None:
            return False
        if self.lists(client):
            return True
        hosts = [urlsplit(url).hostname or "" for url in member_urls]
        return any(str(address) in self._addresses(name) for name in (*self._names, *hosts) if name)

    def _addresses(self, name: str) -> frozenset[str]:
        known = self._resolved.get(name)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = frozenset(str(entry[4][0]) for entry in found)
        except (OSError, UnicodeError):
            addresses = known[1] if known is not None else frozenset()
        if len(self._resolved) > 1000:
            self._resolved.clear()
        self._resolved[name] = (time.monotonic() + NAMES_STAY_VALID_SECONDS, addresses)
        return addresses
