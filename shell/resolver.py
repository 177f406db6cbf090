"""Host names into addresses, in threads of their own: nothing bounds how long a resolver takes.

Belongs here: asking, one thread for each name.  Who asks decides how long to wait.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent.futures import Future

Addresses = tuple[str, ...]
_lock = threading.Lock()
_under_way: dict[str, Future[Addresses]] = {}


def is_name(host: str) -> bool:
    """Whether it has to be resolved: it is no address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def lookup(host: str) -> Future[Addresses]:
    """The addresses of that name, soon, or OSError; who asks for the same meanwhile shares it."""
    with _lock:
        call = _under_way.get(host)
        if call is None:
            call = Future()
            try:
                threading.Thread(
                    target=_ask, args=(host, call), name="resolver", daemon=True
                ).start()
            except RuntimeError as error:  # no thread is left; others will be
                call.set_exception(OSError(f"{host} cannot be asked for: {error}"))
            else:
                _under_way[host] = call
        return call


def _ask(host: str, call: Future[Addresses]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(_text(entry[4]) for entry in found))
    except Exception as error:  # whatever it was: a call without an end would hold the name up
        why = error.strerror if isinstance(error, OSError) else str(error)
        _end(host)
        call.set_exception(OSError(f"{host} is not known: {why}"))
    else:
        _end(host)
        call.set_result(addresses)


def _end(host: str) -> None:
    with _lock:
        del _under_way[host]


def _text(address: tuple[object, ...]) -> str:
    """The address, with the interface where it is a link-local one."""
    scope = address[3] if len(address) == 4 else 0
    return f"{address[0]}%{scope}" if scope else str(address[0])
