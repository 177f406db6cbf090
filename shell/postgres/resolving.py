"""Host names into addresses, before libpq would ask for them.

libpq waits for the resolver for as long as that takes, and psycopg2 lets no other thread of the
process run meanwhile: no lease is renewed, and no call answered.  Not here: connecting.
"""

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait

from shell.postgres.waiting import NOTICE_SECONDS, check
from shell.processes import now
from shell.resolver import Addresses, is_name, lookup


def with_addresses(
    parameters: Mapping[str, str], deadline: float, cancel: threading.Event
) -> dict[str, str]:
    """These libpq parameters with a `hostaddr` for each host, which stands once for each address.

    `host` stays what certificates and password files go by.  A host that is not known, or not in
    time, is left out.  Raises OSError when that is so for all of them, and Cancelled.
    """
    hosts = parameters.get("host", "").split(",")
    calls = {host: lookup(host) for host in hosts if _is_name(host)}
    if not calls:
        return dict(parameters)
    _wait(calls.values(), len(calls) < len(set(hosts)), deadline, cancel)
    ports = parameters.get("port", "").split(",")
    places: list[tuple[str, str, str]] = []
    problem = OSError("no host is known")
    for index, host in enumerate(hosts):
        port = ports[min(index, len(ports) - 1)]
        try:
            found = calls[host].result(0) if host in calls else ("",)
        except TimeoutError:
            problem = OSError(f"the resolver gives no answer for {host}")
        except OSError as error:
            problem = error
        else:
            places += [(host, address, port) for address in found]
    if not places:
        raise problem
    names = ("host", "hostaddr", "port")
    return {**parameters, **dict(zip(names, map(",".join, zip(*places, strict=True)), strict=True))}


def _is_name(host: str) -> bool:
    """Whether it is neither an address, nor a directory of sockets, nor the default one."""
    return bool(host) and not host.startswith(("/", "@")) and is_name(host)


def _wait(
    calls: Collection[Future[Addresses]],
    others: bool,
    deadline: float,
    cancel: threading.Event,
) -> None:
    """Wait for the resolver; for half the time only once there is a host to connect to."""
    halfway = (now() + deadline) / 2
    while waiting := [call for call in calls if not call.done()]:
        check(cancel, "the connection")
        usable = others or any(call.done() and call.exception() is None for call in calls)
        left = (halfway if usable else deadline) - now()
        if left <= 0:
            return
        wait(waiting, min(left, NOTICE_SECONDS), FIRST_COMPLETED)
