"""Does the postmaster still accept connections?  Eight bytes there, one byte back.

A kept connection says nothing about a postmaster that is stopped or stuck: its backends go on.
The answer to an SSLRequest comes from a freshly forked backend and is logged nowhere.  Not here:
SQL, and whether logins work.
"""

import contextlib
import socket
import struct

from shell.postgres.pidfile import PidFile
from shell.processes import now

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_EVERYWHERE = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104 - addresses listened on


def addresses(pidfile: PidFile) -> list[tuple[int, str]]:
    """Where that server listens, as (family, path or host); the socket file is preferred.

    Over TCP a server with TLS logs the abandoned handshake; over the socket file it does not.
    """
    found: list[tuple[int, str]] = []
    if pidfile.socket_directory:
        found.append((socket.AF_UNIX, f"{pidfile.socket_directory}/.s.PGSQL.{pidfile.port}"))
    host = pidfile.listen_address
    if not found or host:
        host = "127.0.0.1" if host in _EVERYWHERE else host
        found.append((socket.AF_INET6 if ":" in host else socket.AF_INET, host))
    return found


def accepts_connections(pidfile: PidFile, deadline: float) -> str:
    """Return "" when a fresh connection was answered before the deadline, else what happened."""
    trouble = ""
    for family, host in addresses(pidfile):
        trouble = _ask(family, host, pidfile.port, deadline)
        # A socket file that somebody removed is no sign of a stuck server; silence is.
        if not trouble.startswith("cannot connect"):
            break
    return trouble


def _ask(family: int, host: str, port: int, deadline: float) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(0.01, deadline - now()))
        try:
            connection.connect(host if family == socket.AF_UNIX else (host, port))
            connection.sendall(_SSL_REQUEST)
            connection.settimeout(max(0.01, deadline - now()))
            answer = connection.recv(1)
        except TimeoutError:
            return f"no answer to a fresh connection at {host}"
        except OSError as error:
            return f"cannot connect to {host}: {error.strerror or error}"
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    return "" if answer in {b"S", b"N", b"E"} else f"an unexpected answer at {host}: {answer!r}"
