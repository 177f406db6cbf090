"""Cases in which nothing happens, or only load: what the daemons cost, and false alarms."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from bench.case import Case, Goal, Measures
from bench.faults import ALLOW_LOW_TTL, LOWEST_TTL, pause
from bench.watch import LeaderKey
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.processes import own_processes
from tests.e2e.support.writer import Writer

STEADY_SECONDS = 60.0
ENDURANCE_MINUTES = float(os.environ.get("BENCH_ENDURANCE_MINUTES", "30"))
NOT_THE_DAEMON = ("postgres", "etcd")
COUNTING = "template1"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def steady(cluster: Cluster) -> Measures:
    """An idle cluster for a minute; every value per node but the store's requests."""
    assert cluster.store is not None
    _prepare_counting(cluster)
    pause(3 * float(cluster.dynamic["loop_wait"]))
    before = _counters(cluster)
    started = time.monotonic()
    pause(STEADY_SECONDS)
    elapsed = time.monotonic() - started
    after = _counters(cluster)
    cpu, requests, counted, logged = (b - a for a, b in zip(before, after, strict=True))
    pss, rss = _memory_mib(cluster)
    nodes = len(cluster.nodes)
    return {
        "pss": pss / nodes,
        "rss": rss / nodes,
        "cpu": cpu * 1000 / elapsed / nodes,
        "requests": requests / elapsed,
        "sql": max(counted, logged) / elapsed / nodes,
        "processes": len(_daemons(cluster)) / nodes,
    }


def _counters(cluster: Cluster) -> tuple[float, int, int, int]:
    """Return CPU seconds, store requests, and SQL statements counted in two ways.

    Twice, because a session can hide from either: hae's from the log, Patroni's from the view.
    """
    assert cluster.store is not None
    requests = cluster.store.requests()
    return _cpu_seconds(cluster), requests, _statements(cluster), _logged(cluster)


def _daemons(cluster: Cluster) -> list[int]:
    """Return the daemons and all their helpers, but neither PostgreSQL nor the store."""
    return [
        pid
        for pid in own_processes(cluster.mark, cluster.folder)
        if _program(pid) not in NOT_THE_DAEMON
    ]


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def _cpu_seconds(cluster: Cluster) -> float:
    """Return the CPU time used so far.

    Of living threads to the nanosecond; of helper processes that ended, in the kernel's ticks.
    """
    total = 0.0
    for pid in _daemons(cluster):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND
    return total


def _memory_mib(cluster: Cluster) -> tuple[float, float]:
    """Return the sums of PSS and RSS."""
    totals = {"Pss": 0, "Rss": 0}
    for pid in _daemons(cluster):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for name in totals:
                found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
                totals[name] += int(found[1]) if found else 0
    return totals["Pss"] / 1024, totals["Rss"] / 1024


def _prepare_counting(cluster: Cluster) -> None:
    """Create the view that counts statements, in a database that no daemon uses."""
    with cluster.leader().connect(database=COUNTING) as connection, connection.cursor() as cursor:
        cursor.execute("create extension pg_stat_statements")
    cluster.wait_for(lambda: _try_statements(cluster) is not None, 30, "the counting view")


def _try_statements(cluster: Cluster) -> int | None:
    try:
        return _statements(cluster)
    except psycopg2.Error:
        return None


def _statements(cluster: Cluster) -> int:
    """Return the number of statements on all nodes so far, but for those in this database."""
    text = (
        "select coalesce(sum(calls), 0) from pg_stat_statements "
        "where dbid <> (select oid from pg_database where datname = current_database())"
    )
    count = 0
    for node in cluster.nodes:
        with node.connect(database=COUNTING) as connection, connection.cursor() as cursor:
            cursor.execute(text)
            row = cursor.fetchone()
            count += int(row[0]) if row else 0
    return count


def _logged(cluster: Cluster) -> int:
    """Return the number of statements in the servers' logs, but for our own counting."""
    count = 0
    for node in cluster.nodes:
        for log in (node.place.data_dir / "log").glob("*.log"):
            lines = re.findall(rb"LOG:  (?:statement|execute ).*", log.read_bytes())
            count += sum(b"pg_stat_statements" not in line for line in lines)
    return count


def endurance(cluster: Cluster) -> Measures:
    """Saturated cores and a busy disk at the lowest ttl: every change of the leader is a fault."""
    assert cluster.store is not None
    leader = cluster.leader()
    with LeaderKey(cluster) as key, Writer(cluster.dsn()) as writer:
        cluster.wait_for(lambda: writer.count() > 200, 30, "the writer's first rows")
        started = time.monotonic()
        with _load(cluster.folder):
            pause(ENDURANCE_MINUTES * 60)
        pause(5)
        timeline = int(leader.sql("select timeline_id from pg_control_checkpoint()")[0][0])
        others = [name for name in key.holders() if name != leader.name]
        gap = writer.longest_gap(started)
    lost = len(writer.lost(cluster.wait_healthy()))
    return {
        "failovers": float(max(len(others), timeline - 1)),
        "gap": gap,
        "lost": lost,
        "minutes": ENDURANCE_MINUTES,
    }


@contextlib.contextmanager
def _load(folder: Path) -> Iterator[None]:
    """Keep every core busy, and one disk, until the block ends."""
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=_burn, daemon=True) for _ in range(os.cpu_count() or 2)]
    burners.append(context.Process(target=_write_disk, args=(folder / "load",), daemon=True))
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.join()
        (folder / "load").unlink(missing_ok=True)


def _burn() -> None:
    while True:
        sum(range(100_000))


def _write_disk(path: Path) -> None:
    block = os.urandom(4 * 1024 * 1024)
    while True:
        with path.open("wb") as file:
            for _ in range(64):
                file.write(block)
                file.flush()
                os.fsync(file.fileno())


_COUNT_STATEMENTS = {
    "both": {
        "postgresql": {
            "parameters": {
                "shared_preload_libraries": "pg_stat_statements",
                "pg_stat_statements.track_utility": "on",
                "logging_collector": "on",
                "log_directory": "log",
                "log_statement": "all",
            }
        }
    }
}

CASES = (
    Case(
        "steady",
        "idle for 60 s, per node",
        steady,
        (
            Goal("pss", "memory of daemon and helpers (PSS)", unit="MiB", times=1.5),
            Goal("rss", "the same as RSS", unit="MiB"),
            Goal("cpu", "CPU", unit="ms/s", times=2.0),
            Goal("requests", "store requests, all nodes", unit="1/s", times=1.0),
            Goal("sql", "SQL statements", unit="1/s"),
            Goal("processes", "processes", unit=""),
        ),
        node=_COUNT_STATEMENTS,
    ),
    Case(
        "endurance",
        "lowest ttl, both cores saturated, disk busy",
        endurance,
        (
            Goal("failovers", "false failovers", unit="", at_most=0),
            Goal("gap", "longest gap between acknowledged writes"),
            Goal("lost", "acknowledged rows lost", unit="rows", at_most=0),
            Goal("minutes", "minutes", unit="min"),
        ),
        dynamic=LOWEST_TTL,
        node=ALLOW_LOW_TTL,
        only=("hae",),
        in_all=False,
    ),
)
