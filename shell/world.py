"""Observation: everything that one snapshot needs, gathered side by side, each with a bound.

Belongs here: looking, and turning failures into `Unknown`.  Does not belong here: any conclusion
from what was seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Any

from engine import vanished
from engine.state import (
    Cluster,
    DataDirectory,
    DirectoryKind,
    Fence,
    KeysLost,
    Known,
    LeaderSlots,
    LeaderTimeline,
    Lease,
    Member,
    Memory,
    PeerAnswer,
    Postgres,
    Snapshot,
    Unknown,
    Vanished,
)
from shell import layout
from shell.configured import Configured
from shell.desk import Desk
from shell.failsafe import FailsafeCalls
from shell.fence.client import Fence as FenceClient
from shell.fence.client import FenceUnavailable
from shell.lanes import JobLane, SideLane, StoreLane
from shell.peers import Peers
from shell.postgres.errors import PostgresError
from shell.postgres.instance import Instance
from shell.processes import now
from shell.stores.base import Store, StoreError, View
from shell.watchdog.device import WatchdogDevice

_log = logging.getLogger(__name__)

VIEW_PATIENCE_SECONDS = 0.5
POSTGRES_PATIENCE_SECONDS = 1.0
POSTGRES_TIMEOUT_SECONDS = 5.0


class Look:
    """One thing to look at, in a thread of its own; a slow look goes on beside the loop.

    `began_at` tells when the newest look began: what happened later it may have missed.
    """

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(1, f"look {name}")
        self._pending: Future[Any] | None = None
        self.began_at = 0.0

    def begin(self) -> None:
        """Look, unless a former look has not ended."""
        if self._pending is None:
            self.began_at = now()
            self._pending = self._pool.submit(self._function)

    def end(self, patience_seconds: float) -> Any:
        """What was seen; raises TimeoutError if it is not there after the patience."""
        assert self._pending is not None
        try:
            seen = self._pending.result(patience_seconds)
        except FutureTimeout as error:
            if self._pending.done():  # the function itself timed out
                self._pending = None
            raise TimeoutError("no answer yet") from error
        except BaseException:
            self._pending = None
            raise
        self._pending = None
        return seen

    def close(self) -> None:
        """Look no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class World:
    """What this daemon sees, and what it was told since the last cycle."""

    def __init__(
        self,
        configured: Configured,
        store: Store,
        instance: Instance,
        fence: FenceClient | None,
        desk: Desk,
        peer_calls: Peers,
        wake: Callable[[str], None],
    ) -> None:
        self.peer_calls = peer_calls
        self.configured = configured
        self.store = store
        self.instance = instance
        self.fence_client = fence
        self.desk = desk
        self.store_lane = StoreLane(wake)
        self.jobs = JobLane(wake)
        self.side = SideLane(wake)
        self.failsafe = FailsafeCalls(peer_calls, wake)
        self.started_at = 0.0
        self.watchdog = WatchdogDevice(configured.settings.watchdog.device)
        self.memory = Memory()
        self.lease = Lease()
        self.published: dict[str, Any] | None = None
        self.published_at: float | None = None
        self.peers: dict[str, PeerAnswer] = {}
        self.leader_timeline: Known[LeaderTimeline] | Unknown | None = None
        self.leader_slots: Known[LeaderSlots] | Unknown | None = None
        self.stopping = False
        self.entries: Any = {}
        self._view_look = Look("store", self._read_view)
        self._postgres_look = Look("postgres", self._look_at_postgres)
        self._cluster: Known[Cluster] | Unknown = Unknown(now(), "not asked yet")
        self._parsed: tuple[Any, Cluster] | None = None
        self._vanished: tuple[Vanished, ...] = ()
        self._keys_lost: KeysLost | None = None
        self._seen_from = 0.0
        self._postgres = Postgres(
            DataDirectory(DirectoryKind.ALIEN, "not looked at yet"), None, Unknown(now(), "not yet")
        )

    def snapshot(self) -> Snapshot:
        """Everything at once; takes about a second at most, whatever is slow."""
        # Before the looks: a job that ends meanwhile still runs in this snapshot.
        job, last_job = self.jobs.state
        names_being_set = self.side.is_running("SetSyncNames")
        self._view_look.begin()
        self._postgres_look.begin()
        cluster = self._see_cluster()
        postgres = self._see_postgres(last_job.finished if last_job else 0.0)
        # Set meanwhile, the look may have missed them.
        postgres = replace(
            postgres, setting_sync_names=names_being_set or self.side.is_running("SetSyncNames")
        )
        fence = self._see_fence()
        configured = self.configured
        return Snapshot(
            now=now(),
            wall=time.time(),
            me=configured.me,
            policy=configured.policy,
            cluster=cluster,
            lease=self.lease,
            postgres=postgres,
            fence=fence,
            memory=self.memory,
            watchdog=self.watchdog.look(),
            job=job,
            last_job=last_job,
            store_busy_since=self.store_lane.busy_since,
            published=self.published,
            published_at=self.published_at,
            vanished=self._vanished,
            keys_lost=self._keys_lost,
            peers=tuple(self.peers[name] for name in sorted(self.peers)),
            leader_timeline=self.leader_timeline,
            leader_slots=self.leader_slots,
            requests=self.desk.pending(),
            failsafe_calls=self.desk.failsafe_calls(),
            failsafe_answers=self.failsafe.answers,
            started_at=self.started_at,
            stopping=self.stopping,
        )

    # --- the store --------------------------------------------------------------------------------

    def _read_view(self) -> View:
        return self.store.view(self.deadline())

    def deadline(self) -> float:
        """Until when one store operation may take."""
        return now() + self.configured.policy.retry_timeout_seconds

    def _see_cluster(self) -> Known[Cluster] | Unknown:
        try:
            view: View = self._view_look.end(VIEW_PATIENCE_SECONDS)
        except Exception as error:  # whatever an adapter stumbled over: nothing was seen
            if not isinstance(error, (StoreError, TimeoutError)):
                _log.exception("looking at the store failed")
            since = self._cluster.since if isinstance(self._cluster, Unknown) else now()
            self._cluster = Unknown(since, str(error))
            return self._cluster
        if self._parsed is None or self._parsed[0] is not view.entries:
            before = self.known_cluster()
            self._parsed = (view.entries, layout.parse_cluster(view.entries))
            self.entries = view.entries
            self._note_vanished(before, self._parsed[1], view.seen_at)
        self._cluster = Known(self._parsed[1], view.seen_at)
        return self._cluster

    def known_cluster(self) -> Cluster | None:
        """The cluster as it was seen last, if it ever was."""
        return self._parsed[1] if self._parsed else None

    def _note_vanished(self, before: Cluster | None, after: Cluster, seen_at: float) -> None:
        """Keep whose keys have gone; forget answers of whom nobody knows any more."""
        me, at = self.configured.me.name, now()
        unwatched = vanished.was_unwatched(
            self._cluster, seen_at, self.configured.policy.loop_wait_seconds
        )
        self._keys_lost = vanished.keys_lost(
            self._keys_lost, before, after, me, at, unwatched=unwatched
        )
        if before is not None:
            self._vanished = vanished.after(self._vanished, before, after, me, at)
        names = {member.name for member in after.members} | set(after.failsafe or ())
        names |= {gone.member.name for gone in self._vanished}
        names |= set(self.memory.failsafe_listed)
        # Of a copy: a thread that asks may add an answer at any moment.
        self.peers = {name: a for name, a in dict(self.peers).items() if name in names}

    def members_named(self, names: Iterable[str]) -> list[Member]:
        """The members of these names, as they were seen last."""
        cluster = self.known_cluster()
        listed = {**self.memory.failsafe_listed, **((cluster and cluster.failsafe) or {})}
        known = {name: Member(name, api_url=url) for name, url in listed.items()}
        known |= {gone.member.name: gone.member for gone in self._vanished}
        known |= {m.name: m for m in cluster.members} if cluster else {}
        return [known[name] for name in names if name in known]

    # --- PostgreSQL -------------------------------------------------------------------------------

    def _look_at_postgres(self) -> Postgres:
        return self.instance.observe(POSTGRES_TIMEOUT_SECONDS)

    def _see_postgres(self, job_ended_at: float) -> Postgres:
        """The newest look; one that began before the last job ended is done again."""
        until, look = now() + POSTGRES_PATIENCE_SECONDS, self._postgres_look
        try:
            seen: Postgres = look.end(POSTGRES_PATIENCE_SECONDS)
            if look.began_at <= job_ended_at:
                look.begin()
                seen = look.end(max(0.0, until - now()))
            self._postgres, self._seen_from = seen, look.began_at
        except Exception as error:  # whatever went wrong: nothing was seen
            if not isinstance(error, (PostgresError, OSError)):
                _log.exception("looking at PostgreSQL failed")
            answers = self._postgres.server
            since = answers.since if isinstance(answers, Unknown) else now()
            self._postgres = replace(self._postgres, server=Unknown(since, str(error)))
        return replace(
            self._postgres,
            outdated=self._seen_from <= job_ended_at,
            checkpointing=self.side.is_running("RunCheckpoint"),
        )

    # --- the fence --------------------------------------------------------------------------------

    def _see_fence(self) -> Fence:
        client = self.fence_client
        if client is None:
            return Fence(ready=False, why="fence.mode is off")
        try:
            status = client.status()
        except FenceUnavailable as error:
            self.side.start("start the fence", client.ensure_running)
            return Fence(ready=False, why=str(error))
        return Fence(status.ready, "", status.armed_pid, status.kill_at)

    def dismiss_fence(self) -> None:
        """End the fence process, unless it guards a server: then it stays, as long as it must."""
        if self.fence_client is not None:
            try:
                self.fence_client.quit()
            except FenceUnavailable:
                self.fence_client.close()

    def close(self) -> None:
        """Stop looking; what is under way is left behind."""
        for lane in (
            self.store_lane,
            self.side,
            self.failsafe,
            self._view_look,
            self._postgres_look,
            self.peer_calls,
        ):
            lane.close()
