"""The ways in which one request to etcd v3 fails, told apart by what may be done about them.

Belongs here: the mapping of gRPC and HTTP statuses to them. Does not belong here: retrying.
"""

from __future__ import annotations

from typing import Any

from shell.stores.attempts import AttemptFailed
from shell.stores.base import StoreError
from shell.stores.endpoints import EtcdSection

CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED = 1, 2, 4, 7
RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 13, 14, 16
TRY_ELSEWHERE = {CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE}
# Etcd answers these when the token is missing, expired or older than a change of the users.
TOKEN_ERRORS = (
    "etcdserver: user name is empty",
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
)
# Refused before anything was proposed to the cluster.
NOT_DONE = (
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: mvcc: database space exceeded",
)


class RequestRejected(StoreError):  # noqa: N818 - an answer of the server, for the caller to judge
    """The server understood the request and refused it; `code` is the gRPC status."""

    def __init__(self, url: str, code: int, message: str) -> None:
        super().__init__(f"etcd at {url}: {message}")
        self.code = code
        self.message = message

    @property
    def wants_token(self) -> bool:
        """Whether a (new) login may help."""
        return self.code == UNAUTHENTICATED or self.message.startswith(TOKEN_ERRORS)


def refusal(
    section: EtcdSection, url: str, code: int, message: str
) -> AttemptFailed | RequestRejected:
    """Return the exception for a gRPC error that the JSON gateway passed on."""
    if code == PERMISSION_DENIED:
        return AttemptFailed(
            f"etcd at {url}: {message} for user {section.username!r}; "
            "grant it a role with readwrite on the namespace's prefix",
            maybe_done=False,
            hopeless=True,
        )
    if code in TRY_ELSEWHERE:
        mend = "; compact, defragment and disarm the alarm" if "space exceeded" in message else ""
        return AttemptFailed(
            f"etcd at {url}: {message}{mend}", maybe_done=not message.startswith(NOT_DONE)
        )
    return RequestRejected(url, code, message)


def not_the_gateway(section: EtcdSection, url: str, status: int, data: bytes) -> AttemptFailed:
    """Return the exception for an answer that no etcd v3 JSON gateway gives."""
    name = section.section
    if b"HTTPS server" in data:
        text = f"{url} speaks TLS only; set {name}.protocol: https"
        return AttemptFailed(text, maybe_done=False, hopeless=True)
    if b"CommonName of client" in data:
        text = (
            f"etcd at {url} has logins switched on, and then takes no client certificate with a "
            f"Common Name over HTTP; set {name}.cert to one without"
        )
        return AttemptFailed(text, maybe_done=False, hopeless=True)
    if status == 404:
        text = (
            f"etcd at {url} does not serve the v3 API below /v3; "
            "it needs etcd 3.4 or newer with its gRPC gateway on (for the v2 API: section etcd)"
        )
        return AttemptFailed(text, maybe_done=False, hopeless=True)
    text = f"{url} answered status {status} with {shown(data)}, which is not etcd's JSON"
    return AttemptFailed(text, maybe_done=True)


def shown(data: bytes) -> str:
    """Return the start of an unexpected answer, safe to log."""
    return ascii(data[:60].decode("utf-8", "replace"))


def header_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the response header of a plain or a streamed answer, empty when there is none."""
    inner = body.get("result", body)
    header = inner.get("header") if isinstance(inner, dict) else None
    return header if isinstance(header, dict) else {}
