"""The acts of the demo, in order, and whether what they show held.

Belongs here: what happens and what is said about it.  Must not: know how things are done.
"""

from __future__ import annotations

import time
from datetime import datetime

from demo.cluster import Cluster, DidNotHappenError
from demo.site import TTL_SECONDS
from demo.telling import Telling
from demo.writer import ROWS_PER_SECOND, Count, Writer
from tools.node_file import Place

START_SECONDS = 90.0
TAKEOVER_SECONDS = TTL_SECONDS + 30.0
REJOIN_SECONDS = 60.0
# What asynchronous replication may lose in a crash: what was committed just before it.
TAIL_SECONDS = 1.0
# Written between two acts, so that each begins from a quiet state.
ROWS_BETWEEN_ACTS = 2 * ROWS_PER_SECOND
# The rules by which a dead primary comes back, and what they do.
RETURN_STEPS = {
    "down.recover": "crash recovery",
    "down.rewind": "pg_rewind",
}
# Of the rules that were ruled out before the lock was taken, those that look at the members.
TELLING_RULES = ("race.peer_writable", "race.lagging", "race.peer_ahead")


class Story:
    """One run through all acts."""

    def __init__(self, cluster: Cluster, writer: Writer, telling: Telling) -> None:
        self._cluster = cluster
        self._writer = writer
        self._telling = telling
        self._struck_at = self._dead_at = 0.0

    def run(self) -> bool:
        """Tell it all; whether everything held."""
        leader = self._begin()
        victim, leader = leader, self._lose(leader)
        self._return(victim)
        self._switch(leader, victim)
        return self._count()

    # --- the acts ---------------------------------------------------------------------------------

    def _begin(self) -> Place:
        self._telling.chapter("Three daemons, three empty data directories")
        for place in self._cluster.site.places:
            self._cluster.start(place)
        names = ", ".join(place.name for place in self._cluster.site.places)
        self._telling.line(f"{names} start; the first to create the cluster's key runs initdb.")
        leader = self._cluster.wait_for(
            self._cluster.healthy_leader, START_SECONDS, "one primary and two replicas streaming"
        )
        others = " and ".join(place.name for place in self._cluster.others(leader))
        self._telling.line(f"{leader.name} is primary, {others} stream from it.")
        self._writer.start()
        self._write_some()
        self._telling.line(
            f"A client inserts {ROWS_PER_SECOND} rows a second and notes what is acknowledged."
        )
        self._topology()
        return leader

    def _lose(self, victim: Place) -> Place:
        self._telling.chapter(f"The host of the primary, {victim.name}, dies")
        struck_wall = time.time()
        self._struck_at = self._cluster.strike(victim)
        self._dead_at = time.monotonic()
        self._telling.line(
            f"SIGKILL to every process of {victim.name}: daemon, fence, PostgreSQL. Its lease "
            f"of {TTL_SECONDS} s runs on; nobody may take over before it has ended."
        )
        self._cluster.wait_for(
            lambda: self._writer.wrote_since(self._dead_at),
            TAKEOVER_SECONDS,
            "acknowledged rows again",
        )
        leader = self._cluster.wait_for(self._cluster.leader, TAKEOVER_SECONDS, "a new primary")
        self._telling.line(f"{leader.name} is the new primary.")
        took = self._cluster.decision_time(leader, "race.acquire", struck_wall)
        if took is None:
            raise DidNotHappenError(f"{leader.name} has no record of why it took the lock")
        self._telling.line(
            f"No write was acknowledged for {self._writer.outage_seconds(self._struck_at):.1f} s; "
            f"{took - struck_wall:.1f} s of them were the rest of the lease."
        )
        self._explain(leader, took)
        return leader

    def _explain(self, leader: Place, took: float) -> None:
        # The next millisecond: a time cut to milliseconds would lie before the decision.
        at = datetime.fromtimestamp(took + 0.001).isoformat(timespec="milliseconds")
        words = ("explain", f"{leader.name}/records", "--at", at)
        self._telling.command("hae " + " ".join(words) + "   (in part)")
        self._telling.verbatim(excerpt(self._cluster.hae(*words), "race.acquire"))

    def _return(self, victim: Place) -> None:
        self._telling.chapter(f"{victim.name} comes back")
        began, began_wall = time.monotonic(), time.time()
        self._cluster.start(victim)
        self._telling.line(f"{victim.name}'s daemon starts, as its unit would after a reboot.")
        self._cluster.wait_for(
            self._cluster.healthy_leader, REJOIN_SECONDS, f"{victim.name} streaming again"
        )
        steps = [
            what
            for rule, what in RETURN_STEPS.items()
            if self._cluster.decision_time(victim, rule, began_wall)
        ]
        self._telling.line(
            f"It streams after {time.monotonic() - began:.1f} s: {', '.join([*steps, 'start'])}."
        )
        self._topology()

    def _switch(self, leader: Place, candidate: Place) -> None:
        self._telling.chapter("A planned switchover")
        self._write_some()
        words = ["switchover", "--leader", leader.name, "--candidate", candidate.name, "--force"]
        command = ("ctl", "-c", f"{candidate.name}.yml", *words)
        self._telling.command("hae " + " ".join(command))
        began, began_wall = time.monotonic(), time.time()
        text = self._cluster.hae(*command)
        if self._cluster.leader() is not candidate:
            raise DidNotHappenError(f"the switchover to {candidate.name} failed:\n{text}")
        self._write_some()
        gap = self._writer.outage_seconds(began)
        self._telling.line(f"{candidate.name} is primary. Writes were out for {gap:.2f} s.")
        self._cluster.wait_for(
            self._cluster.healthy_leader, REJOIN_SECONDS, f"{leader.name} streaming"
        )
        rewound = self._cluster.decision_time(leader, "down.rewind", began_wall)
        self._telling.line(
            f"{leader.name} streams from it, {'after' if rewound else 'without'} a pg_rewind."
        )

    def _count(self) -> bool:
        self._telling.chapter("Rows acknowledged against rows found")
        self._writer.close()
        leader = self._cluster.wait_for(
            self._cluster.healthy_leader, REJOIN_SECONDS, "all nodes streaming"
        )
        found = self._cluster.row_numbers(leader)
        count = self._writer.compare(found)
        self._telling.line(f"{count.acknowledged} acknowledged, {count.found} found.")
        if count.unasked:
            self._telling.note(
                f"{len(count.unasked)} were committed although the connection broke before the "
                "client heard of it."
            )
        return self._lost(count) and self._all_have(found)

    def _lost(self, count: Count) -> bool:
        """Say what is missing; whether it is no more than a crash may cost."""
        if not count.missing:
            self._telling.line("Every acknowledged row is there.")
            return True
        times = [self._writer.acknowledged_at(number) for number in count.missing]
        before = self._struck_at - min(times)
        if before > TAIL_SECONDS or max(times) > self._dead_at:
            self._telling.line(
                f"FAILED: {len(count.missing)} acknowledged rows are gone: {count.missing[:10]} ..."
            )
            return False
        self._telling.line(
            f"{len(count.missing)} acknowledged rows are gone: those of the last "
            f"{max(1.0, 1000 * before):.0f} ms before the crash."
        )
        self._telling.note(
            "Replication is asynchronous here: what the dead primary had acknowledged but not "
            "yet sent is lost in a failover. The switchover lost nothing."
        )
        return True

    def _all_have(self, found: set[int]) -> bool:
        """Wait until every node has the same rows."""
        self._cluster.wait_for(
            lambda: all(self._cluster.has_rows(p, found) for p in self._cluster.site.places),
            REJOIN_SECONDS,
            "the same rows on every node",
        )
        self._telling.line("All three nodes have the same rows.")
        return True

    # --- parts ------------------------------------------------------------------------------------

    def _write_some(self) -> None:
        enough = self._writer.count() + ROWS_BETWEEN_ACTS
        self._cluster.wait_for(
            lambda: self._writer.count() >= enough, TAKEOVER_SECONDS, "acknowledged rows"
        )

    def _topology(self) -> None:
        words = ("ctl", "-c", f"{self._cluster.site.places[0].name}.yml", "list")
        self._telling.command("hae " + " ".join(words))
        self._cluster.show_hae(*words)


def excerpt(text: str, rule: str) -> str:
    """The head of an explanation, and of one rule's paragraph what concerns the other members."""
    paragraphs = text.split("\n\n")
    chosen = [part for part in paragraphs if part.lstrip().startswith(f"{rule}:")]
    lines = [line for part in chosen for line in part.splitlines() if _tells(line)]
    return "\n".join([paragraphs[0], *lines])


def _tells(line: str) -> bool:
    name = line.strip().partition(":")[0]
    return not line.startswith("    ") or name in TELLING_RULES
