"""One life of a node's daemon: the loop of `shell/daemon.py` around the real engine.

Observe, decide, publish, apply, keep the memory, sleep.  What the shell's `World` holds is held
here; looks take time and are given up at the same moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine import vanished
from engine.decide import Decision, run
from engine.memory import after_restart
from engine.schedule import wake_at
from engine.state import (
    Cluster,
    FailsafeAnswer,
    FailsafeCall,
    Fence,
    JobResult,
    KeysLost,
    Known,
    LeaderTimeline,
    Lease,
    Memory,
    PeerAnswer,
    Postgres,
    Request,
    Snapshot,
    Unknown,
    Vanished,
)
from proof.world.effects import Executor
from proof.world.events import Life, Signal, Steps, Task, Wait
from proof.world.fence import FenceClient, FenceUnavailable
from proof.world.instance import Instance
from proof.world.lanes import JobLane, SideLane, StoreLane
from proof.world.questions import Questions
from proof.world.session import Session, View
from proof.world.watchdog import Watchdog
from shell.daemon import AFTER_FAILURE_SECONDS, BREATH_SECONDS, Pace
from shell.world import POSTGRES_PATIENCE_SECONDS, VIEW_PATIENCE_SECONDS

if TYPE_CHECKING:
    from proof.world.host import Host

WAKE_SECONDS = 0.001  # from an event to the look that it brings about
LOOK_SECONDS = 0.003  # from the look to the decision
EXIT_PATIENCE_SECONDS = 5.0


class Daemon:
    """A daemon from its start to its end; its `loop` can hang while the process goes on."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.world = host.world
        self.life = Life()
        self.loop = Life()
        self.policy = host.policy_of(host.disk.config)
        self.config = host.disk.config
        self.memory = after_restart(host.disk.memory)
        self.lease = Lease()
        self.published: Mapping[str, Any] | None = None
        self.published_at: float | None = None
        self.peers: dict[str, PeerAnswer] = {}
        self.leader_timeline: Known[LeaderTimeline] | Unknown | None = None
        self.requests: list[Request] = []
        self.failsafe_calls: list[tuple[FailsafeCall, Signal]] = []
        self.failsafe_answers: dict[str, FailsafeAnswer] = {}
        self.started_at = self.now()
        self.stopping = False
        self.known_cluster = Cluster()
        self.seen_cluster = False
        self.publication: tuple[Snapshot, float] | None = None
        self.decision: Decision | None = None
        self.carried_out: Snapshot | None = None  # of the last decision that was, to its end
        self.cycles = 0
        self.fence_client = FenceClient(host) if host.world.setup.fence else None
        self.watchdog = Watchdog(host)
        self.instance = Instance(host)
        self.session = Session(
            host.world.clock, host.world.network, host.world.store, host, self.life
        )
        self.store_lane = StoreLane(self)
        self.jobs = JobLane(self)
        self.side = SideLane(self)
        self.questions = Questions(self)
        self._executor = Executor(self)
        self._cluster: Known[Cluster] | Unknown = Unknown(self.now(), "not asked yet")
        self._postgres = host.unseen_postgres()
        self._seen_from = -1.0
        self._view_look: Task | None = None
        self._postgres_look: tuple[float, float, Postgres] | None = None
        self.vanished: tuple[Vanished, ...] = ()
        self._keys_lost: KeysLost | None = None
        self._pace = Pace()
        self._kept: Memory | None = None
        self.published_next = Signal()
        self._naps = Signal()
        self._wanted = False
        self._told = ""

    def start(self) -> None:
        """Begin to live."""
        self.session.watch(self.wake)
        Task(self.world.clock, self.loop, self._run()).start()

    def now(self) -> float:
        """CLOCK_BOOTTIME of its host."""
        return self.host.now()

    def deadline(self) -> float:
        """Until when one store operation may take."""
        return self.host.now() + self.policy.retry_timeout_seconds

    def task(self, steps: Steps) -> Task:
        """Begin something beside the loop."""
        return Task(self.world.clock, self.life, steps).start()

    def wake(self) -> None:
        """End the loop's sleep, now or at its next beginning."""
        self._wanted = True
        self._naps.fire()

    def job_ended(self, result: JobResult) -> None:
        """A job has ended by itself."""
        self.world.told(
            self.host.name, f"{result.kind.value} ended {'well' if result.ok else result.why}"
        )
        self.wake()

    def die(self) -> None:
        """Be gone at once: SIGKILL, or the end of the machine."""
        self.life.end()
        self.loop.end()
        self.session.close()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.life.freeze()
        self.loop.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.life.thaw()
        self.loop.thaw()

    @property
    def listens(self) -> bool:
        """Whether its REST API answers, if only that it knows nothing yet."""
        return self.life.alive and not self.life.frozen

    @property
    def replies(self) -> bool:
        """Whether its REST API answers with what it knows."""
        return self.listens and self.publication is not None

    # --- the loop ---------------------------------------------------------------------------------

    def _run(self) -> Steps:
        while True:
            due = yield from self._cycle()
            if self._executor.exit is not None:
                break
            seconds = self.host.true_seconds(due - self.now())
            if not self._wanted and seconds > 0:
                self._naps = Signal()
                yield Wait(self._naps, seconds)
            self._wanted = False
            yield WAKE_SECONDS
        yield from self._leave()

    def _cycle(self) -> Steps:
        self.world.cycles += 1
        self.cycles += 1
        snapshot = yield from self._look()
        self.note_pause(snapshot, carried_out=False)
        decision = run(snapshot)
        self.decision = decision
        self.publication = (snapshot, snapshot.now)
        if self.published_next.is_awaited:
            published, self.published_next = self.published_next, Signal()
            published.fire()
        self.world.decided(self.host.name, snapshot, decision)
        again, failed = yield from self._executor.run(decision.actions)
        self.carried_out = snapshot
        self.note_pause(snapshot, carried_out=True)
        if self.memory is not self._kept:
            self._kept = self.memory
            self.host.disk.memory = after_restart(self.memory)
        if again:
            moment = self.now()
            return moment if self._pace.may_go_on(moment) else moment + BREATH_SECONDS
        due = wake_at(snapshot, decision.actions)
        return min(due, self.now() + AFTER_FAILURE_SECONDS) if failed else due

    def note_pause(self, s: Snapshot, *, carried_out: bool) -> None:
        """In maintenance mode nothing guards the server, until a decision after it is carried out.

        That arms the fence again, or stops the server, which takes a moment.  A daemon that has
        just started learns only from the store whether that mode is over, and only by its first
        look what there is to be stopped.
        """
        server = self.host.server
        if server is None:
            return
        if s.policy.pause:
            server.left_in_pause = True
        elif carried_out and self.seen_cluster and server.phase != "stopping":
            server.left_in_pause = s.postgres.outdated and server.left_in_pause

    def _leave(self) -> Steps:
        exit_ = self._executor.exit
        assert exit_ is not None
        self.jobs.cancel()
        until = self.now() + EXIT_PATIENCE_SECONDS
        while self.jobs.job is not None and self.now() < until:
            yield 0.1
        if self.fence_client is not None:
            self.fence_client.quit()
        self.die()
        self.host.daemon_left(exit_)

    # --- observation ------------------------------------------------------------------------------

    def _look(self) -> Steps:
        snapshot = yield from self._snapshot()
        if self._config is not None and self._config != self.config:
            self.config = self._config
            self.policy = self.host.policy_of(self.config)
            snapshot = yield from self._snapshot()
        return snapshot

    _config: Mapping[str, Any] | None = None

    def _snapshot(self) -> Steps:
        job, last_job = self.jobs.job, self.jobs.last
        being_set = self.side.is_running("SetSyncNames")
        at_once = self._begin_view()
        self._begin_postgres()
        yield LOOK_SECONDS
        cluster = self._see_cluster(at_once or (yield from self._await_view()))
        postgres = yield from self._see_postgres(last_job.finished if last_job else 0.0)
        if being_set or self.side.is_running("SetSyncNames"):  # the look may have missed them
            postgres = replace(postgres, setting_sync_names=True)
        return Snapshot(
            now=self.host.now(),
            wall=self.host.wall(),
            me=self.host.me,
            policy=self.policy,
            cluster=cluster,
            lease=self.lease,
            postgres=postgres,
            fence=self._see_fence(),
            memory=self.memory,
            watchdog=self.watchdog.look(),
            job=job,
            last_job=last_job,
            store_busy_since=self.store_lane.busy_since,
            published=self.published,
            published_at=self.published_at,
            vanished=self.vanished,
            keys_lost=self._keys_lost,
            peers=tuple([self.peers[name] for name in sorted(self.peers)]),
            leader_timeline=self.leader_timeline,
            requests=tuple(self.requests),
            failsafe_calls=tuple([call for call, _ in self.failsafe_calls]),
            failsafe_answers=tuple(
                [self.failsafe_answers[name] for name in sorted(self.failsafe_answers)]
            ),
            started_at=self.started_at,
            stopping=self.stopping,
        )

    def _begin_view(self) -> View | None:
        if self._view_look is not None:
            return None
        at_once = self.session.view_now()
        if at_once is None:
            self._view_look = self.task(self.session.view(self.deadline()))
        return at_once

    def _await_view(self) -> Steps:
        look = self._view_look
        assert look is not None
        if not look.over:
            yield Wait(look.ended, VIEW_PATIENCE_SECONDS)
        if not look.over:
            return None
        self._view_look = None
        return look.ended.value

    def _see_cluster(self, view: View | None) -> Known[Cluster] | Unknown:
        if view is None:
            since = self._cluster.since if isinstance(self._cluster, Unknown) else self.now()
            self._cluster = Unknown(since, "no answer yet")
            return self._cluster
        if view.cluster is not self.known_cluster:
            before, self.known_cluster = self.known_cluster, view.cluster
            self._note_vanished(before if self.seen_cluster else None, view)
            self.seen_cluster = True
        self._config = view.config
        self._cluster = Known(view.cluster, view.seen_at)
        return self._cluster

    def _note_vanished(self, before: Cluster | None, view: View) -> None:
        me, at, after = self.host.name, self.now(), view.cluster
        unwatched = vanished.was_unwatched(
            self._cluster, view.seen_at, self.policy.loop_wait_seconds
        )
        self._keys_lost = vanished.keys_lost(
            self._keys_lost, before, after, me, at, unwatched=unwatched
        )
        if before is not None:
            if before.members is after.members and before.failsafe is after.failsafe:
                return  # nobody can have come or gone
            self.vanished = vanished.after(self.vanished, before, after, me, at)
        names = {member.name for member in after.members} | set(after.failsafe or ())
        names |= {gone.member.name for gone in self.vanished}
        names |= set(self.memory.failsafe_listed)
        if not names.issuperset(self.peers):
            self.peers = {name: a for name, a in self.peers.items() if name in names}

    def _begin_postgres(self) -> None:
        if self._postgres_look is None:
            until = self.world.clock.now + self.host.look_seconds()
            self._postgres_look = (self.now(), until, self.instance.observe())

    def _see_postgres(self, job_ended_at: float) -> Steps:
        until = self.world.clock.now + POSTGRES_PATIENCE_SECONDS
        seen = self._ended_postgres_look() or (yield from self._end_postgres_look(until))
        if seen is not None and seen[0] <= job_ended_at:
            self._begin_postgres()
            seen = self._ended_postgres_look() or (yield from self._end_postgres_look(until))
        if seen is None:
            answers = self._postgres.server
            since = answers.since if isinstance(answers, Unknown) else self.now()
            silent = Unknown(since, "no answer yet")
            self._postgres = self.host.with_server(self._postgres, silent)
        else:
            self._seen_from, self._postgres = seen[0], seen[2]
        outdated = self._seen_from <= job_ended_at
        checkpointing = self.side.is_running("RunCheckpoint")
        return self.host.marked(self._postgres, outdated=outdated, checkpointing=checkpointing)

    def _end_postgres_look(self, until: float) -> Steps:
        look, clock = self._postgres_look, self.world.clock
        assert look is not None
        yield min(look[1], until) - clock.now
        return self._ended_postgres_look()

    def _ended_postgres_look(self) -> tuple[float, float, Postgres] | None:
        look = self._postgres_look
        if look is None or look[1] > self.world.clock.now:
            return None
        self._postgres_look = None
        return look

    def _see_fence(self) -> Fence:
        client = self.fence_client
        if client is None:
            return Fence(ready=False, why="fence.mode is off")
        try:
            return client.guard().seen()
        except FenceUnavailable as error:
            self.side.start("start the fence", lambda: self._start_fence(client))
            return Fence(ready=False, why=str(error))

    def _start_fence(self, client: FenceClient) -> Steps:
        yield self.host.seconds_for("fence")
        client.start()

    # --- others -----------------------------------------------------------------------------------

    def answer(self, request_id: int, status: int, text: str) -> None:
        """An operator gets an answer."""
        self.requests = [r for r in self.requests if r.id != request_id]
        for call, answered in self.failsafe_calls:
            if call.id == request_id:
                answered.fire((status, text))
        self.failsafe_calls = [c for c in self.failsafe_calls if c[0].id != request_id]
        self.world.told(self.host.name, f"answers {status} {text}")

    def report(self, text: str) -> None:
        """Something is worth saying; once in a row is enough."""
        if text != self._told:
            self._told = text
            self.world.told(self.host.name, text)
