"""What a daemon asks others over REST: for their role and position, and for their consent.

Belongs here: the way of question and answer, and what the shell reads from it.  Does not belong
here: when is asked, which the engine decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine import agreement, views, watchdog
from engine.actions import AskFailsafe
from engine.state import FailsafeAnswer, FailsafeCall, Known, PeerAnswer
from proof.world.events import Signal, Steps, Wait
from shell.api.facts import facts_of, state_and_role
from shell.api.node_calls import BETWEEN_POKES_SECONDS, FRESH_WAIT_SECONDS
from shell.desk import Publication

if TYPE_CHECKING:
    from proof.world.daemon import Daemon


class Questions:
    """One daemon's questions, and how it answers those of others."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._world = daemon.world
        self._asked: set[str] = set()

    def ask_peers(self, members: Sequence[str], timeout_seconds: float) -> Steps:
        """Ask these members side by side; the answers are there when the last one is."""
        known = {m.name for m in self._daemon.known_cluster.members}
        known |= {gone.member.name for gone in self._daemon.vanished}
        known |= set(self._daemon.known_cluster.failsafe or ())
        known |= set(self._daemon.memory.failsafe_listed)
        calls = [
            self._daemon.task(self._ask_peer(name, timeout_seconds))
            for name in members
            if name in known and name in self._world.hosts
        ]
        for call in calls:
            if not call.over:
                yield Wait(call.ended)
        for call in calls:
            answer = call.ended.value
            self._daemon.peers[answer.name] = answer

    def _ask_peer(self, name: str, timeout_seconds: float) -> Steps:
        asked_at, network, me = self._daemon.now(), self._world.network, self._daemon.host.name
        nothing = PeerAnswer(name, asked_at, reachable=False, why="no answer")
        seconds = network.seconds(me, name) + network.seconds(name, me)
        silent = not network.both_ways(me, name) or self._world.is_silent(name)
        if silent or seconds >= timeout_seconds:
            yield timeout_seconds
            return nothing
        yield seconds / 2
        peer = self._world.hosts[name].daemon
        if peer is None or not peer.listens:
            return nothing
        if peer.publication is None:  # shell.api.office.not_ready
            yield seconds / 2
            return replace(nothing, reachable=True, role="uninitialized", state="unknown", why="")
        arrived_at = peer.now()
        yield from peer.questions.look_freshly(arrived_at, timeout_seconds - seconds)
        yield seconds / 2
        if not network.both_ways(me, name) or not peer.replies:
            return nothing
        return self._read_answer(name, asked_at, peer, arrived_at)

    def look_freshly(self, arrived_at: float, patience_seconds: float) -> Steps:
        """Before its position is told: look again, unless it leads or has looked since.

        Who asks has a clock of its own: a machine that crashes here begins its clock anew.
        """
        clock = self._world.clock
        until = clock.now + patience_seconds
        while self._daemon.now() - arrived_at < FRESH_WAIT_SECONDS and clock.now < until:
            assert self._daemon.publication is not None
            facts = facts_of(Publication(0, *self._daemon.publication, settings=None))
            looked_at = facts.published_at if facts.observed_at is None else facts.observed_at
            if self._daemon.now() < facts.primary_until or looked_at >= arrived_at:
                return
            self._daemon.wake()
            yield Wait(self._daemon.published_next, BETWEEN_POKES_SECONDS)

    def _read_answer(
        self, name: str, asked_at: float, peer: Daemon, arrived_at: float
    ) -> PeerAnswer:
        assert peer.publication is not None
        s, published_at = peer.publication
        seen = s.postgres.server
        age = max(0.0, arrived_at - seen.when) if isinstance(seen, Known) else None
        state, role = state_and_role(s, standby_cluster=False)
        server = views.server(s) if state == "running" else None
        tags = s.me.tags
        return PeerAnswer(
            name=name,
            asked_at=asked_at,
            reachable=True,
            role=role,
            state=state,
            lsn=views.position(server),
            unread_wal=server is not None and server.unread_wal,
            timeline=server.timeline if server else None,
            nofailover=tags.nofailover,
            failover_priority=tags.failover_priority,
            watchdog_failed=watchdog.is_missing(s),
            stale=peer.now() - published_at > self._daemon.policy.ttl_seconds,
            paused=s.policy.pause,
            failsafe=agreement.active_until(s) > s.now,
            looked_at=None if age is None else asked_at - age,
        )

    def ask_failsafe(self, question: AskFailsafe) -> None:
        """Ask whom an answer is not awaited of already, all side by side."""
        for name in question.members:
            if name not in self._asked and name in self._world.hosts:
                self._asked.add(name)
                self._daemon.task(self._ask_consent(name, question))

    def _ask_consent(self, name: str, question: AskFailsafe) -> Steps:
        asked_at, network, me = self._daemon.now(), self._world.network, self._daemon.host.name
        agreed, leads, why = False, False, "no answer"
        silent = not network.open(me, name) or self._world.is_silent(name)
        if silent:
            yield question.timeout_seconds
        else:
            yield network.seconds(me, name)
            peer = self._world.hosts[name].daemon
            if peer is not None and peer.replies:
                about = peer.now(), question.ttl_seconds, question.slots
                call = FailsafeCall(self._world.new_pid(), me, *about)
                answered = Signal()
                peer.failsafe_calls.append((call, answered))
                peer.wake()
                came = yield Wait(answered, question.timeout_seconds)
                peer.failsafe_calls = [c for c in peer.failsafe_calls if c[0] is not call]
                if came and network.open(name, me) and peer.replies:
                    yield network.seconds(name, me)
                    status, why = answered.value
                    agreed, leads = status == 200 and why == "Accepted", status == 500
        self._asked.discard(name)
        self._daemon.failsafe_answers[name] = FailsafeAnswer(
            name, asked_at, question.ttl_seconds, agreed, leads, "" if agreed else why
        )
        self._daemon.wake()
