"""Host names into addresses, before libpq would ask for them.

libpq waits for the resolver for as long as that takes, and psycopg2 lets no other thread of the
process run meanwhile: no lease is renewed, and no call answered.  Not here: connecting.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import wait

from shell.postgres.waiting import NOTICE_SECONDS, check
from shell.processes import now
from shell.resolver import Addresses, is_name, lookup


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
    """Whether it is neither an address, nor a directory of sockets, nor the default one."""
    return bool(host) and not host.startswith(("/", "@")) and is_name(host)


def _addresses(host: str, deadline: float, cancel: threading.Event) -> Addresses:
    call = lookup(host)
    while not call.done():
        check(cancel, "the connection")
        left = deadline - now()
        if left <= 0:
            raise TimeoutError(f"the resolver gives no answer for {host}")
        wait([call], min(left, NOTICE_SECONDS))
    return call.result()
