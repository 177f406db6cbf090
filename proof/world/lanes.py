"""The three lanes of `shell/lanes.py`, with tasks where the shell has threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.state import Job, JobKind, JobResult
from proof.world.events import Steps, Task, Wait
from shell.lanes import BACKOFF_SECONDS, NOTICE_SECONDS, SIDE_THREADS

if TYPE_CHECKING:
    from proof.world.daemon import Daemon


class StoreLane:
    """Requests to the store, one after another."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._pending: Task | None = None
        self._since: float | None = None

    @property
    def busy_since(self) -> float | None:
        """Since when a request that nobody waits for is under way."""
        if self._pending is not None and self._pending.over:
            self._pending = self._since = None
        return self._since

    def run(self, work: Steps, patience_seconds: float) -> Steps:
        """The work's result, or None if it is not there after the patience; raises its error."""
        if self.busy_since is not None:
            return None
        daemon, began = self._daemon, self._daemon.now()
        task = daemon.task(work)
        came = yield Wait(task.ended, patience_seconds)
        if not came:
            self._pending, self._since = task, began
            daemon.task(self._wake_at_end(task))
            return None
        if task.error is not None:
            raise task.error
        return task.ended.value

    def _wake_at_end(self, task: Task) -> Steps:
        yield Wait(task.ended)
        self._daemon.wake()


class JobLane:
    """Long work on PostgreSQL: one job at a time, cancellable."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.job: Job | None = None
        self.last: JobResult | None = None
        self._task: Task | None = None
        self._former: list[Task] = []

    def start(self, kind: JobKind, detail: str, work: Steps) -> bool:
        """Begin a job; False while another one runs."""
        if self.job is not None:
            return False
        self._begin(kind, detail, work)
        return True

    def replace(self, kind: JobKind, detail: str, work: Steps, kill_at: float | None) -> bool:
        """Cancel the job under way and begin this one at once, without waiting for its end."""
        self.cancel()
        former = [x for x in (*self._former, self._task) if x is not None and not x.over]
        self._former = former
        self._begin(kind, detail, self._beside(work, former), kill_at)
        return True

    def cancel(self) -> None:
        """Let the job under way notice soon that it is not wanted any more."""
        task = self._task
        if task is not None and not task.over:
            daemon = self._daemon
            notice = daemon.host.between(0.0, NOTICE_SECONDS)
            daemon.world.clock.after(notice, daemon.life, task.cancel)

    def _beside(self, work: Steps, former: list[Task]) -> Steps:
        yield from work
        while not all(task.over for task in former):
            yield NOTICE_SECONDS

    def _begin(self, kind: JobKind, detail: str, work: Steps, kill_at: float | None = None) -> None:
        self.job = job = Job(kind, self._daemon.now(), detail, kill_at)
        self._task = task = self._daemon.task(work)
        self._daemon.task(self._finish(job, task))

    def _finish(self, job: Job, task: Task) -> Steps:
        yield Wait(task.ended)
        if self.job is not job:  # cancelled and replaced: its end means nothing any more
            return
        why = "" if task.error is None else str(task.error) or type(task.error).__name__
        self.last = JobResult(job.kind, not why, self._daemon.now(), why)
        self.job = None
        self._daemon.job_ended(self.last)


class SideLane:
    """Small bounded work beside the loop: one of each name at a time, a rest after a failure."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._running: set[str] = set()
        self._queue: list[tuple[str, Steps, object, Sequence[float]]] = []
        self._busy = 0
        self._failures: dict[str, tuple[int, float, object]] = {}

    def is_running(self, name: str) -> bool:
        """Whether work of that name is under way."""
        return name in self._running

    def start(
        self,
        name: str,
        work: Callable[[], Steps],
        about: object = None,
        rests: Sequence[float] = BACKOFF_SECONDS,
    ) -> None:
        """Begin the work, unless the same is under way or failed a moment ago."""
        count, until, subject = self._failures.get(name, (0, 0.0, None))
        waits = count and subject == about and self._daemon.now() < until
        if name in self._running or waits:
            return
        self._running.add(name)
        self._queue.append((name, work(), about, rests))
        self._next()

    def _next(self) -> None:
        while self._queue and self._busy < SIDE_THREADS:
            self._busy += 1
            self._daemon.task(self._run(*self._queue.pop(0)))

    def _run(self, name: str, work: Steps, about: object, rests: Sequence[float]) -> Steps:
        task = self._daemon.task(work)
        if not task.over:
            yield Wait(task.ended)
        self._busy -= 1
        self._running.discard(name)
        if task.error is None:
            self._failures.pop(name, None)
            self._daemon.wake()
        else:
            count, _, subject = self._failures.get(name, (0, 0.0, None))
            count = count + 1 if subject == about else 1
            rest = rests[min(count, len(rests)) - 1]
            self._failures[name] = (count, self._daemon.now() + rest, about)
        self._next()
