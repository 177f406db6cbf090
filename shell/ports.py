"""TCP addresses of this host: can they be listened on, and if not, who does.

Only looks, and never waits. Not here: listening, and what follows from a taken address.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def taken(hosts: Iterable[str], port: int) -> list[str]:
    """Say for each of these addresses that another server listens on who that is."""
    return [text for host in hosts for text, why in _failures(host, port) if _in_use(why)]


def unusable(host: str, port: int) -> list[str]:
    """Say why that host's addresses cannot be listened on; empty when they can."""
    return [text for text, _ in _failures(host, port)]


def describe_failure(host: str, port: int, error: OSError) -> str:
    """Return a sentence for an address that could not be listened on."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if _in_use(error):
        return f"{place} is in use{_by_whom(port)}"
    return f"cannot listen on {place}: {error.strerror or error}"


def _failures(host: str, port: int) -> Iterator[tuple[str, OSError]]:
    name = None if host in {"", "*"} else host
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        yield f"host {host!r} is not known: {error.strerror}", error
        return
    for family, kind, protocol, _, address in dict.fromkeys(found):
        with suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                if name is not None or _in_use(error):
                    yield describe_failure(str(address[0]), port, error), error


def _in_use(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def _by_whom(port: int) -> str:
    """Name the process that listens there, or its account; empty when the kernel tells neither."""
    for account, inode in _users(port):
        for pid in (entry for entry in os.listdir("/proc") if entry.isdigit()):  # noqa: PTH208
            if _holds(Path("/proc", pid), inode):
                return f" by process {pid} ({_name(pid)})"
        return f" by a process of account {account}"
    return ""


def _users(port: int) -> list[tuple[str, str]]:
    """Account and inode of each socket on the port, those that listen first."""
    found: list[tuple[bool, str, str]] = []
    for table in _TABLES:
        with suppress(OSError, ValueError, IndexError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if int(words[1].rpartition(":")[2], 16) == port:
                    found.append((words[3] != _LISTENING, _account(int(words[7])), words[9]))
    return [(account, inode) for _, account, inode in sorted(found)]


def _holds(process: Path, inode: str) -> bool:
    with suppress(OSError):  # another account's process, or it has just ended
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return True
    return False


def _name(pid: str) -> str:
    try:
        return Path("/proc", pid, "comm").read_text().strip()
    except OSError:
        return "ended meanwhile"


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
