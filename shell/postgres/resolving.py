"""Host names into addresses, before libpq would ask for them.

libpq waits for the resolver for as long as that takes, and psycopg2 lets no other thread of the
process run meanwhile: no lease is renewed, and no call answered.  Not here: connecting.
"""

import ipaddress
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait

from shell.postgres.waiting import NOTICE_SECONDS, check
from shell.processes import now

Addresses = tuple[str, ...]
_lock = threading.Lock()
_under_way: dict[str, Future[Addresses]] = {}


def with_addresses(
    parameters: Mapping[str, str], deadline: float, cancel: threading.Event
) -> dict[str, str]:
    """These libpq parameters with a `hostaddr` for each host, which stands once for each address.

    Raises OSError when no host is known, or none before the deadline, and Cancelled.
    """
    hosts = parameters.get("host", "").split(",")
    if not any(_is_name(host) for host in hosts):
        return dict(parameters)
    ports = parameters.get("port", "").split(",")
    places: list[tuple[str, str, str]] = []
    problem = OSError("no host is known")
    for index, host in enumerate(hosts):
        port = ports[min(index, len(ports) - 1)]
        try:
            found = _addresses(host, deadline, cancel) if _is_name(host) else ("",)
        except OSError as error:
            problem = error
            continue
        places += [(host, address, port) for address in found]
    if not places:
        raise problem
    names = ("host", "hostaddr", "port")
    return {**parameters, **dict(zip(names, map(",".join, zip(*places, strict=True)), strict=True))}


def _is_name(host: str) -> bool:
    """Whether it has to be resolved: it is no address, and no directory of sockets."""
    if not host or host.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _addresses(host: str, deadline: float, cancel: threading.Event) -> Addresses:
    call = _begin(host)
    while not call.done():
        check(cancel, "the connection")
        left = deadline - now()
        if left <= 0:
            raise TimeoutError(f"the resolver gives no answer for {host}")
        wait([call], min(left, NOTICE_SECONDS))
    return call.result()


def _begin(host: str) -> Future[Addresses]:
    """Ask the resolver in a thread of its own, unless it is being asked for that name."""
    with _lock:
        call = _under_way.get(host)
        if call is None:
            call = _under_way[host] = Future()
            threading.Thread(target=_ask, args=(host, call), name="resolver", daemon=True).start()
        return call


def _ask(host: str, call: Future[Addresses]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        _end(host)
        why = error.strerror if isinstance(error, OSError) else str(error)
        call.set_exception(OSError(f"{host} is not known: {why}"))
    else:
        _end(host)
        call.set_result(tuple(dict.fromkeys(_text(entry[4]) for entry in found)))


def _end(host: str) -> None:
    with _lock:
        del _under_way[host]


def _text(address: tuple[object, ...]) -> str:
    """The address, with the interface where it is a link-local one."""
    scope = address[3] if len(address) == 4 else 0
    return f"{address[0]}%{scope}" if scope else str(address[0])
