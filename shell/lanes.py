"""Where actions run: the store's lane, the lane of long work, and small work at the side.

Belongs here: threads, cancelling, what is under way.  Does not belong here: what the work is, or
whether it should be done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from engine.state import Job, JobKind, JobResult
from shell.processes import now

_log = logging.getLogger(__name__)

Wake = Callable[[str], None]
Work = Callable[[threading.Event], None]

NOTICE_SECONDS = 0.2
SIDE_THREADS = 3
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
QUESTION_SECONDS = (0.5,)  # a server that gives no answer may be asked every second


class StoreLane:
    """Requests to the store, one after another, in a thread of their own."""

    def __init__(self, wake: Wake) -> None:
        self._pool = ThreadPoolExecutor(1, "store")
        self._wake = wake
        self._pending: Future[bool] | None = None
        self._since: float | None = None

    @property
    def busy_since(self) -> float | None:
        """Since when a request that nobody waits for is under way."""
        if self._pending is not None and self._pending.done():
            self._pending = self._since = None
        return self._since

    def run(self, work: Callable[[], bool], patience_seconds: float) -> bool | None:
        """Run `work`; its result, or None if it is not there after `patience_seconds`.

        Work that outlasts the patience goes on, keeps the lane busy and wakes the loop at its end.
        """
        if self.busy_since is not None:
            return None
        began = now()
        future = self._pool.submit(work)
        try:
            return future.result(patience_seconds)
        except FutureTimeout:
            self._pending, self._since = future, began
            future.add_done_callback(lambda _: self._wake("store request ended"))
            return None

    def close(self) -> None:
        """Take no more work; what is under way is left behind."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class JobLane:
    """Long work on PostgreSQL: one job at a time, cancellable."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._cancelled: list[threading.Thread] = []
        self._last: JobResult | None = None

    @property
    def job(self) -> Job | None:
        """The job under way."""
        return self._job

    @property
    def last(self) -> JobResult | None:
        """How the last job ended."""
        return self._last

    @property
    def state(self) -> tuple[Job | None, JobResult | None]:
        """Both, of one moment."""
        with self._lock:
            return self._job, self._last

    def start(self, kind: JobKind, detail: str, work: Work) -> bool:
        """Begin a job; False while another one runs."""
        with self._lock:
            if self._job is not None:
                return False
            self._begin(kind, detail, work)
            return True

    def replace(self, kind: JobKind, detail: str, work: Work, kill_at: float | None = None) -> bool:
        """Cancel the job under way and begin this one at once, without waiting for its end.

        A stop for safety has no time to wait.  But it counts as running until what it cancelled
        has ended too, so that nothing else begins beside work that has not noticed its end yet.
        """
        with self._lock:
            self._cancel.set()
            former = (*self._cancelled, self._thread)
            self._cancelled = alive = [x for x in former if x is not None and x.is_alive()]

            def beside_the_former(cancel: threading.Event) -> None:
                try:
                    work(cancel)
                finally:
                    while not cancel.is_set() and any(x.is_alive() for x in alive):
                        cancel.wait(NOTICE_SECONDS)

            self._begin(kind, detail, beside_the_former, kill_at)
            return True

    def cancel(self, wait_seconds: float) -> None:
        """Cancel the job under way and wait a little for its end."""
        self._cancel.set()
        thread = self._thread
        if thread is not None:
            thread.join(wait_seconds)

    def _begin(self, kind: JobKind, detail: str, work: Work, kill_at: float | None = None) -> None:
        self._cancel = cancel = threading.Event()
        self._job = job = Job(kind, now(), detail, kill_at)
        self._thread = threading.Thread(
            target=self._run, args=(job, work, cancel), name=f"job {kind.value}", daemon=True
        )
        self._thread.start()

    def _run(self, job: Job, work: Work, cancel: threading.Event) -> None:
        why = ""
        try:
            work(cancel)
        except Exception as error:
            why = str(error) or type(error).__name__
            _log.debug("job %s failed", job.kind.value, exc_info=True)
        with self._lock:
            if self._job is not job:  # cancelled and replaced: its end means nothing any more
                return
            self._last = JobResult(job.kind, not why, now(), why)
            self._job = None
        self._wake(f"job ended: {job.kind.value}")


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    rests_until: float
    why: str
    about: object


class SideLane:
    """Small bounded work beside the loop: one of each name at a time, with a rest after a failure.

    A failure is logged here, once per text; the engine sees its effect (or its absence) in the
    next snapshot and asks again.
    """

    def __init__(self, wake: Wake) -> None:
        self._pool = ThreadPoolExecutor(SIDE_THREADS, "side")
        self._wake = wake
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._failures: dict[str, _Failure] = {}

    def is_running(self, name: str) -> bool:
        """Whether work of that name is under way."""
        return name in self._running

    def start(
        self,
        name: str,
        work: Callable[[], None],
        about: object = None,
        rests: Sequence[float] = BACKOFF_SECONDS,
    ) -> None:
        """Begin the work, unless the same is under way or failed a moment ago.

        `about` tells one piece of work of that name from another: a failure about something else
        does not make it wait.  `rests`: how long the first, the second, ... failure makes it wait.
        """
        with self._lock:
            failed = self._failures.get(name)
            waits = failed is not None and failed.about == about and now() < failed.rests_until
            if name in self._running or waits:
                return
            self._running.add(name)
        self._pool.submit(self._run, name, work, about, rests)

    def _run(
        self, name: str, work: Callable[[], None], about: object, rests: Sequence[float]
    ) -> None:
        why = ""
        try:
            work()
        except Exception as error:
            why = str(error) or type(error).__name__
            _log.debug("%s failed", name, exc_info=True)
        with self._lock:
            self._running.discard(name)
            if why:
                self._note_failure(name, why, about, rests)
            else:
                self._failures.pop(name, None)
        if not why:
            self._wake(f"done: {name}")

    def _note_failure(self, name: str, why: str, about: object, rests: Sequence[float]) -> None:
        former = self._failures.get(name)
        count = former.count + 1 if former is not None and former.about == about else 1
        rest = rests[min(count, len(rests)) - 1]
        self._failures[name] = _Failure(count, now() + rest, why, about)
        if former is None or former.why != why:
            _log.warning("%s: %s", name, why)

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)
