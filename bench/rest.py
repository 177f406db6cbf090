"""Cases of the REST API under load: GET /primary as load balancers send it.

The load comes from ApacheBench (`ab`), without keep-alive, because a client in Python would be
slower than the servers that it measures.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from bench.case import Case, Goal, Measures
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.processes import children_of, send
from tests.support.freezing import freeze

CONNECTIONS = 50
SECONDS = 10
SILENT_WAIT_SECONDS = 20.0
FROZEN_SECONDS = 40.0


def many_requests(cluster: Cluster) -> Measures:
    """50 connections for 10 s."""
    return _load(cluster.leader())


def silent_connections(cluster: Cluster) -> Measures:
    """One GET, then the load, while 5 clients hold connections on which they send nothing."""
    return _beside_silent(cluster, 5)


def many_silent_connections(cluster: Cluster) -> Measures:
    """The same with 500 of them."""
    return _beside_silent(cluster, 500)


def _beside_silent(cluster: Cluster, count: int) -> Measures:
    leader = cluster.leader()
    with _silent(leader, count):
        started = time.monotonic()
        answer = leader.get("/primary", SILENT_WAIT_SECONDS)
        waited = time.monotonic() - started
        if answer is None or answer.status != 200:
            return {"answered": 0.0, "answer": waited}
        return {"answered": 1.0, "answer": waited, **_load(leader)}


@contextlib.contextmanager
def _silent(node: Node, count: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.settimeout(1)
            # A full backlog refuses the rest: then fewer of them were enough.
            with contextlib.suppress(OSError):
                client.connect(("127.0.0.1", node.place.api_port))
        time.sleep(1)
        yield


def frozen_postgres(cluster: Cluster) -> Measures:
    """GET /primary every 100 ms while all processes of the primary's PostgreSQL are stopped."""
    leader = cluster.leader()
    postmaster = leader.postmaster_pid()
    assert postmaster is not None
    frozen = [postmaster, *children_of(postmaster)]
    waits: list[float] = []
    statuses: list[tuple[float, int]] = []
    for pid in frozen:
        freeze(pid)
    started = time.monotonic()
    try:
        while time.monotonic() - started < FROZEN_SECONDS:
            asked = time.monotonic()
            answer = leader.get("/primary", 15)
            waits.append(time.monotonic() - asked)
            statuses.append((asked - started, answer.status if answer else 0))
            time.sleep(0.1)
    finally:
        for pid in frozen:
            send(pid, signal.SIGCONT)
    cluster.wait_healthy(120)
    not_primary = next((at for at, status in statuses if status != 200), FROZEN_SECONDS)
    return {
        "slowest": max(waits),
        "unanswered": float(sum(1 for _, status in statuses if status == 0)),
        "primary_for": not_primary,
    }


def _load(node: Node) -> Measures:
    program = shutil.which("ab")
    assert program, "this case needs ApacheBench: apt-get install apache2-utils"
    url = f"http://127.0.0.1:{node.place.api_port}/primary"
    command = [program, "-q", "-r", "-l", "-s", "30", "-c", str(CONNECTIONS)]
    command += ["-t", str(SECONDS), "-n", "10000000", url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    text = ran.stdout
    return {
        "rate": _number(r"Requests per second:\s+([\d.]+)", text),
        "p50": _number(r"^\s+50%\s+(\d+)", text),
        "p99": _number(r"^\s+99%\s+(\d+)", text),
        "slowest": _number(r"^\s+100%\s+(\d+)", text),
        "failed": _number(r"Failed requests:\s+(\d+)", text)
        + _number(r"Non-2xx responses:\s+(\d+)", text, 0.0),
    }


def _number(pattern: str, text: str, otherwise: float | None = None) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None and otherwise is not None:
        return otherwise
    assert found is not None, f"ab did not print {pattern!r}:\n{text}"
    return float(found[1])


_LOAD_GOALS = (
    Goal("rate", "requests", unit="1/s", times=3.0, more_is_better=True),
    Goal("p50", "median", unit="ms"),
    Goal("p99", "99 of 100", unit="ms", times=0.5),
    Goal("slowest", "slowest", unit="ms", at_most=100),
    Goal("failed", "failed or not 200", unit="requests", at_most=0),
)
_SILENT_GOALS = (
    Goal("answered", "answered within 20 s", unit="runs"),
    Goal("answer", "a single GET", unit="s", at_most=0.1),
    Goal("rate", "requests", unit="1/s"),
    Goal("p99", "99 of 100", unit="ms"),
    Goal("slowest", "slowest", unit="ms", at_most=100),
)

CASES = (
    Case(
        "http-load",
        "GET /primary, 50 connections without keep-alive, 10 s",
        many_requests,
        _LOAD_GOALS,
    ),
    Case(
        "http-silent", "GET /primary beside 5 silent connections", silent_connections, _SILENT_GOALS
    ),
    Case(
        "http-silent-500",
        "GET /primary beside 500 silent connections",
        many_silent_connections,
        _SILENT_GOALS,
        only=("hae",),
    ),
    Case(
        "http-frozen",
        "GET /primary while PostgreSQL is SIGSTOPped for 40 s",
        frozen_postgres,
        (
            Goal("slowest", "slowest answer", unit="s", at_most=0.1),
            Goal("unanswered", "no answer in 15 s", unit="requests", at_most=0),
            Goal("primary_for", "answers 200 for", unit="s"),
        ),
    ),
)
