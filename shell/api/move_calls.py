"""Switchover and failover by hand: checked, written into the store, and watched to their end.

Here belong the checks that the contract puts before the request.  Whether and how the leader
moves is decided by the engines that read the `failover` key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.policy import Policy
from engine.state import Cluster, Known, Member, PeerAnswer
from shell import layout
from shell.api.messages import BadRequest, Call, Response, answer
from shell.api.office import Office, not_ready, store_deadline, unavailable
from shell.api.operator_calls import scheduled_epoch
from shell.processes import now
from shell.stores.base import StoreError

PEER_SECONDS = 2.0
LOOK_SECONDS = 1.0

Kind = Literal["switchover", "failover"]
_DONE = {"switchover": "Successfully switched over to", "failover": "Successfully failed over to"}
_OTHER = {"switchover": "Switched over to", "failover": "Failed over to"}


@dataclass(frozen=True, slots=True)
class Move:
    """What was asked for."""

    kind: Kind
    leader: str | None
    candidate: str | None
    scheduled_epoch: float | None = None

    @property
    def title(self) -> str:
        """The kind as the first word of a sentence."""
        return self.kind.capitalize()


def parse_move(kind: Kind, body: Mapping[str, Any], policy: Policy, wall: float) -> Move:
    """Return the request; raises BadRequest.  A failover that names a leader is a switchover."""
    leader = _name(body, "leader")
    candidate = _name(body, "candidate") or _name(body, "member")
    if kind == "failover" and leader:
        kind = "switchover"
    if kind == "switchover" and not leader:
        raise BadRequest(400, "Switchover could be performed only from a specific leader")
    if kind == "failover" and not candidate:
        raise BadRequest(400, "Failover could be performed only to a specific candidate")
    scheduled = body.get("scheduled_at")
    if scheduled and kind == "failover":
        raise BadRequest(400, "Failover can't be scheduled")
    if scheduled and policy.pause:
        raise BadRequest(400, "Can't schedule switchover in the paused state")
    if policy.pause and not candidate:
        raise BadRequest(
            400, "Switchover is possible only to a specific candidate in a paused state"
        )
    if candidate and candidate == leader:
        raise BadRequest(400, "Switchover target and source are the same")
    return Move(kind, leader, candidate, scheduled_epoch(scheduled, wall, kind))


def _name(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRequest(400, f"{key} must be text")
    return value or None


def impossible(move: Move, cluster: Cluster, policy: Policy) -> str:
    """Return why the store's view speaks against the move; empty when it does not."""
    if move.kind == "switchover" and cluster.leader != move.leader:
        return "leader name does not match"
    if move.candidate is not None:
        if cluster.member(move.candidate) is None:
            return "candidate does not exists"
        if move.candidate == cluster.leader:
            return "candidate is the leader already"
        if move.kind == "switchover" and not _synchronous(cluster, policy, move.candidate):
            return "candidate name does not match with sync_standby"
        return ""
    if not [m for m in cluster.members if m.name != cluster.leader]:
        return f"{move.kind} is not possible: cluster does not have members except leader"
    if not possible_candidates(move, cluster, policy):
        return f"{move.kind} is not possible: can not find sync_standby"
    return ""


def possible_candidates(move: Move, cluster: Cluster, policy: Policy) -> list[Member]:
    """Return the members that the request allows to take over."""
    if move.candidate is not None:
        named = cluster.member(move.candidate)
        return [] if named is None else [named]
    others = [m for m in cluster.members if m.name != cluster.leader]
    return [m for m in others if _synchronous(cluster, policy, m.name)]


def _synchronous(cluster: Cluster, policy: Policy, name: str) -> bool:
    if policy.synchronous_mode != "on":
        return True
    standbys = cluster.sync.standbys if cluster.sync is not None else ()
    return name.lower() in {standby.lower() for standby in standbys}


def ineligible(found: PeerAnswer) -> str:
    """Return why a peer's own answer rules it out; empty when it does not."""
    if not found.reachable:
        return f"{found.name}: not reachable {found.why}".rstrip()
    if found.nofailover or found.failover_priority <= 0:
        return f"{found.name}: not allowed to promote"
    return f"{found.name}: not watchdog capable" if found.watchdog_failed else ""


def outcome(
    move: Move, old_leader: str | None, view: Known[Cluster], written_at: float
) -> Response | None:
    """Return the answer that a view of the store gives, None while the move is under way."""
    cluster = view.value
    if view.when <= written_at:
        return None
    if cluster.leader and cluster.leader != old_leader:
        if move.candidate in (None, cluster.leader):
            return answer(200, f'{_DONE[move.kind]} "{cluster.leader}"')
        text = f'{_OTHER[move.kind]} "{cluster.leader}" instead of "{move.candidate}"'
        return answer(200, text)
    if cluster.failover is None and cluster.leader == old_leader:
        return answer(503, f"{move.title} failed")
    return None


class MoveCalls:
    """Handlers of one listener."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def switchover(self, call: Call) -> Response:
        """Answer `POST /switchover`."""
        return await self._move("switchover", call)

    async def failover(self, call: Call) -> Response:
        """Answer `POST /failover`."""
        return await self._move("failover", call)

    async def _move(self, kind: Kind, call: Call) -> Response:
        latest = self._office.desk.latest()
        if latest is None:
            return not_ready()
        assert call.body is not None
        policy = latest.snapshot.policy
        move = parse_move(kind, call.body, policy, time.time())
        try:
            view = await self._office.in_pool(self._office.store.read, store_deadline())
        except (StoreError, OSError) as error:
            return unavailable(error)
        cluster = layout.parse_cluster(view.entries)
        if why := impossible(move, cluster, policy):
            return answer(412, why)
        if move.scheduled_epoch is None and (why := await self._nobody_can(move, cluster, policy)):
            return answer(412, why)
        return await self._write(move, cluster.leader, policy)

    async def _nobody_can(self, move: Move, cluster: Cluster, policy: Policy) -> str:
        members = possible_candidates(move, cluster, policy)
        found = await self._office.in_pool(self._office.services.ask_peers, members, PEER_SECONDS)
        reasons = {answered.name: ineligible(answered) for answered in found}
        silent = {m.name: f"{m.name}: not reachable" for m in members if m.name not in reasons}
        if "" in reasons.values():
            return ""
        listed = "; ".join(sorted((reasons | silent).values()))
        if move.candidate is not None:
            return listed
        return f"{move.kind} is not possible: no good candidates have been found ({listed})"

    async def _write(self, move: Move, old_leader: str | None, policy: Policy) -> Response:
        epoch = move.scheduled_epoch
        at = layout.iso_from_epoch(epoch) if epoch is not None else None
        text = layout.failover_text(move.leader, move.candidate, at)
        written_at = now()
        try:
            await self._office.in_pool(
                self._office.store.put, layout.FAILOVER, text, store_deadline()
            )
        except (StoreError, OSError) as error:
            return answer(503, f"failed to write {move.kind} key into DCS: {error}")
        self._office.desk.poke(f"{move.kind} asked for")
        if epoch is not None:
            return answer(202, f"{move.title} scheduled")
        deadline = written_at + policy.handover_patience_seconds
        return await self._watch(move, old_leader, now(), deadline)

    async def _watch(
        self, move: Move, old_leader: str | None, written_at: float, deadline: float
    ) -> Response:
        """Follow the publications; when none comes for a while, look into the store itself."""
        while now() < deadline:
            latest = self._office.desk.latest()
            seen = latest.snapshot.cluster if latest is not None else None
            if isinstance(seen, Known) and (done := outcome(move, old_leader, seen, written_at)):
                return done
            sequence = latest.sequence if latest is not None else 0
            if not await self._office.newer_than(sequence, LOOK_SECONDS):
                view = await self._look()
                if view is not None and (done := outcome(move, old_leader, view, written_at)):
                    return done
        return answer(503, f"{move.title} status unknown")

    async def _look(self) -> Known[Cluster] | None:
        try:
            view = await self._office.in_pool(self._office.store.view, store_deadline())
        except (StoreError, OSError):
            return None
        return Known(layout.parse_cluster(view.entries), view.seen_at)

    async def cancel(self, _call: Call) -> Response:
        """Answer `DELETE /switchover`."""
        try:
            view = await self._office.in_pool(self._office.store.read, store_deadline())
            asked = layout.parse_cluster(view.entries).failover
            if asked is None or asked.scheduled_epoch is None:
                return answer(404, "no switchover is scheduled")
            gone = await self._office.in_pool(
                self._office.store.delete, layout.FAILOVER, store_deadline(), asked.revision
            )
        except (StoreError, OSError) as error:
            return unavailable(error)
        if not gone:
            return answer(409, "the switchover was changed by somebody else")
        self._office.desk.poke("scheduled switchover deleted")
        return answer(200, "scheduled switchover deleted")
