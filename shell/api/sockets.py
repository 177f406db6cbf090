"""Listening sockets, the limit of open files, and the probe that a client would make.

Here belongs the dealing with the operating system; no event loop, no HTTP beyond one request.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl

from shell.api.options import ApiOptions
from shell.ports import describe_failure

BACKLOG = 4096
# The listener must not use up the files that the main loop needs.
MOST_CONNECTIONS = 2000
FILES_FOR_OTHERS = 200


class ListenError(Exception):
    """The address cannot be listened on; the text names it and the mend."""


def open_sockets(options: ApiOptions) -> list[socket.socket]:
    """Return a listening socket for each configured host; raises ListenError."""
    opened: list[socket.socket] = []
    host = ""
    try:
        for host in options.rest.listen_hosts:
            opened += _open_host(host, options.rest.listen_port)
    except OSError as error:
        for listening in opened:
            listening.close()
        what = describe_failure(host, options.rest.listen_port, error)
        raise ListenError(
            f"restapi.listen: {what}; free the address or configure another one"
        ) from None
    return opened


def _open_host(host: str, port: int) -> list[socket.socket]:
    everywhere = host in {"", "*"}
    found = socket.getaddrinfo(
        None if everywhere else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # Asked for every address, a machine without IPv6 still has IPv4, and the other way round.
    opened, failed = [], None
    for family, kind, protocol, _name, address in dict.fromkeys(found):
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
            opened.append(listening)
        except OSError as error:
            listening.close()
            failed = error
            if not everywhere:
                break
    if failed is not None and (not everywhere or not opened):
        for listening in opened:
            listening.close()
        raise failed
    return opened


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one and return how many connections fit."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(50, min(MOST_CONNECTIONS, soft - FILES_FOR_OTHERS))


def answers(host: str, port: int, *, tls: bool, timeout_seconds: float) -> bool:
    """Whether a server there answers HTTP, or at least TLS, within the time."""
    try:
        connection = socket.create_connection((host, port), timeout_seconds)
    except OSError:
        return False
    with connection:
        try:
            return _talk_tls(connection) if tls else _talk(connection)
        except TimeoutError:
            return False
        except OSError:
            # With verify_client we are turned away for want of a certificate: that is an answer.
            return tls


def _talk(connection: socket.socket) -> bool:
    connection.sendall(b"GET /liveness HTTP/1.0\r\n\r\n")
    return connection.recv(5) == b"HTTP/"


def _talk_tls(connection: socket.socket) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connection) as channel:
        channel.sendall(b"GET /liveness HTTP/1.0\r\n\r\n")
        channel.recv(5)
    return True
