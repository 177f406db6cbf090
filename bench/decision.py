"""How long a decision takes: `python -m bench.decision` (`make bench-decide`) writes the page.

Belongs here: steady snapshots of clusters of three and ten, and the time that decide() and
explain() take for them, in processor time, without any input or output.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from engine.decide import RULES, TABLES, decide, explain, run
from engine.document import member_document
from engine.state import Known, Member, ReplicationRow, Server, Slot, Snapshot
from engine.upstreams import slot_name
from tests.support.scenes import scene
from tests.support.snapshots import LSN, member

PAGE = Path(__file__).resolve().parent.parent / "docs" / "decision-speed.md"
RUNS = 4000
WARM_UP = 500
GOALS_MICROSECONDS = {3: 100, 10: 250}
INTRODUCTION = """\
# How long a decision takes

Written by `make bench-decide`; do not edit. Microseconds of processor time for one call, the median
of {runs} calls and the slowest of the fastest 99 %, on a steady cluster: everything is as it should
be, so all tables are gone through and nothing is to be done. There are {rules} rules in {tables}
tables. `decide()` formats no text; `explain()` is the same decision with what every fact saw, made
only when somebody asks for it.

| members | node | `decide()` | 99 % | goal | `explain()` | 99 % |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Median and 99th percentile of single calls, in microseconds."""

    median: float
    slow: float


def main() -> None:
    """Measure, print and write the page."""
    rows = []
    for members in sorted(GOALS_MICROSECONDS):
        goal = GOALS_MICROSECONDS[members]
        for node in ("leader", "replica"):
            s = steady(node, members)
            decided, explained = timed(decide, s), timed(explain, s)
            verdict = "met" if decided.median <= goal else "**not met**"
            rows.append(
                f"| {members} | {node} | {decided.median:.0f} | {decided.slow:.0f} "
                f"| <= {goal}: {verdict} | {explained.median:.0f} | {explained.slow:.0f} |"
            )
    head = INTRODUCTION.format(runs=RUNS, rules=len(RULES), tables=len(TABLES))
    machine = f"\n{platform.python_implementation()} {platform.python_version()}, {processor()}.\n"
    page = head + "\n".join(rows) + "\n" + machine
    print(page)
    PAGE.write_text(page)


def timed(work: Callable[[Snapshot], object], s: Snapshot) -> Timing:
    """Time single calls after a warm-up."""
    for _ in range(WARM_UP):
        work(s)
    taken = []
    for _ in range(RUNS):
        before = time.thread_time_ns()
        work(s)
        taken.append(time.thread_time_ns() - before)
    taken.sort()
    return Timing(median(taken) / 1000, taken[int(0.99 * RUNS)] / 1000)


def steady(node: str, members: int) -> Snapshot:
    """The leader (n1) or a replica (n2) of a cluster in which nothing is to be done."""
    s = scene("primary" if node == "leader" else "replica", {})
    assert isinstance(s.cluster, Known)
    assert isinstance(s.postgres.server, Known)
    more = tuple(member(f"n{n}", n, **_streaming()) for n in range(4, members + 1))
    everybody = (*s.cluster.value.members, *more)
    server = _with_slots(s.postgres.server.value, s.me.name, everybody)
    s = replace(
        s,
        cluster=Known(replace(s.cluster.value, members=everybody), s.now),
        postgres=replace(s.postgres, server=Known(server, s.now)),
    )
    s = replace(s, published=dict(member_document(s)), published_at=s.now - 3)
    idle = {"primary.leads", "standby.follows", "slots.right", "publish.same", "files.same"}
    assert len(idle & set(run(s).fired)) == 4, json.dumps(run(s).fired)
    return s


def _streaming() -> dict[str, object]:
    return {"receive_lsn": LSN, "replay_lsn": LSN, "replication_state": "streaming"}


def _with_slots(server: Server, me: str, everybody: tuple[Member, ...]) -> Server:
    others = [m.name for m in everybody if m.name != me]
    slots = tuple(Slot(slot_name(name), restart_lsn=LSN, active=True) for name in others)
    streams = () if server.in_recovery else others
    rows = tuple(ReplicationRow(name, "streaming", "async", flush_lsn=LSN) for name in streams)
    return replace(server, slots=slots, replication=rows)


def processor() -> str:
    """The processor's name, as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


if __name__ == "__main__":
    main()
