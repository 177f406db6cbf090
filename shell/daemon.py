"""The main loop: observe, decide, publish, record, apply, sleep.

It owns the world.  Everything that takes long runs beside it; everything that happens wakes it.
No decision is made here.
"""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import dataclass
from types import FrameType

from engine import views
from engine.decide import Decision, run
from engine.rendering import is_routine, render_short
from engine.schedule import wake_at
from engine.state import Snapshot
from shell import layout
from shell.api.tls import TlsError
from shell.configured import Configured
from shell.desk import Publication
from shell.effects.executor import Executor
from shell.kept_memory import KeptMemory
from shell.listening import Listening
from shell.notify import Notifier
from shell.processes import ProcessId, now
from shell.recorder.codec import encode
from shell.recorder.recorder import Recorder
from shell.wakeup import Wakeup
from shell.world import World

_log = logging.getLogger(__name__)

# More cycles than this in a second are a mistake somewhere; the loop then takes a breath.
MOST_CYCLES_PER_SECOND = 50
BREATH_SECONDS = 0.1
AFTER_FAILURE_SECONDS = 1.0


@dataclass(slots=True)
class Pace:
    """Counts cycles, so that a mistake in a rule cannot burn a processor."""

    second: int = 0
    cycles: int = 0

    def may_go_on(self, moment: float) -> bool:
        """Whether another cycle may follow at once."""
        if int(moment) != self.second:
            self.second, self.cycles = int(moment), 0
        self.cycles += 1
        return self.cycles <= MOST_CYCLES_PER_SECOND


class Daemon:
    """One node's daemon."""

    def __init__(
        self, world: World, wakeup: Wakeup, recorder: Recorder, listening: Listening
    ) -> None:
        self._world = world
        self._wakeup = wakeup
        self._recorder = recorder
        self._listening = listening
        self._configured: Configured = world.configured
        self._executor = Executor(world, self._read_again)
        self._kept = KeptMemory(self._configured.settings.recorder.dir)
        self._notifier = Notifier()
        self._pace = Pace()
        self._cycles = 0
        self._hangup = False
        self._told = ""

    def run(self, hangup: threading.Event) -> int:
        """Cycle until a decision says Exit; the exit code.  `hangup`: a SIGHUP came before."""
        self._world.memory = self._kept.load()
        self._world.started_at = now()
        self._install_signals()
        self._hangup = self._hangup or hangup.is_set()
        self._world.store.watch(lambda: self._wakeup.wake("store changed"))
        while self._executor.exit is None:
            until = self._cycle()
            if self._cycles == 1:
                self._notifier.ready()
            if self._executor.exit is None:
                self._wakeup.sleep(until)
        return self._leave()

    def _cycle(self) -> float:
        """One decision, carried out; when the next one is due."""
        began = now()
        if self._hangup:
            self._hangup = False
            self._read_again()
        snapshot = self._look()
        decision = run(snapshot)
        self._publish(snapshot, decision, began)
        self._tell(decision)
        again, outcomes = self._executor.run(decision.actions)
        self._record(snapshot, decision, outcomes)
        self._kept.keep(self._world.memory)
        if again:
            moment = now()
            return moment if self._pace.may_go_on(moment) else moment + BREATH_SECONDS
        failed = any(outcome.endswith("not done") for outcome in outcomes)
        due = wake_at(snapshot, decision.actions)
        return min(due, now() + AFTER_FAILURE_SECONDS) if failed else due

    def _look(self) -> Snapshot:
        snapshot = self._world.snapshot()
        if self._configured.use_dynamic(layout.dynamic_config(self._world.entries)[0]):
            self._take_over()
            snapshot = self._world.snapshot()
        if self._configured.copy_is_old and views.has_data_of_the_cluster(snapshot):
            # Also what no file of PostgreSQL shows: the store may lose its keys, and we our memory.
            self._world.side.start("keep the configuration", self._configured.keep_copy)
        postmaster = snapshot.postgres.postmaster
        self._wakeup.watch_process(
            ProcessId(postmaster.pid, postmaster.start_ticks) if postmaster else None
        )
        return snapshot

    def _publish(self, snapshot: Snapshot, decision: Decision, began: float) -> None:
        self._cycles += 1
        self._world.desk.publish(
            Publication(
                sequence=self._cycles,
                snapshot=snapshot,
                published_at=now(),
                settings=self._configured.settings,
                dynamic_config=self._configured.dynamic,
                loop_count=self._cycles,
                loop_seconds=now() - began,
                fired_rules=decision.fired,
                decision=decision,
                numbers={
                    "store_requests_total": float(self._world.store.requests_sent),
                    "recorder_lost_records_total": float(self._recorder.lost_records),
                    "sql_statements_total": float(self._world.instance.statements_sent),
                },
            )
        )

    def _tell(self, decision: Decision) -> None:
        text = render_short(decision)
        if text != self._told:
            _log.log(logging.DEBUG if is_routine(decision) else logging.INFO, "%s", text)
        self._told = text

    def _record(self, snapshot: Snapshot, decision: Decision, outcomes: tuple[str, ...]) -> None:
        self._recorder.append(
            {
                "wall": snapshot.wall,
                "snapshot": encode(snapshot),
                "fired": list(decision.fired),
                "actions": encode(decision.actions),
                "outcomes": list(outcomes),
            }
        )

    # --- configuration and signals ----------------------------------------------------------------

    def _read_again(self) -> None:
        self._notifier.reloading()
        if self._configured.read_again():
            self._take_over()
            # PostgreSQL reads more than we write for it: certificates, included files.
            self._world.instance.must_reload()
        self._notifier.ready()

    def _take_over(self) -> None:
        settings = self._configured.settings
        self._world.instance.use(settings)
        try:
            self._world.peer_calls.use(settings)
        except TlsError as error:
            _log.error("calls to other members keep their former certificate: %s", error)
        self._listening.take_over(settings)

    def _install_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)

    def _on_stop(self, number: int, _: FrameType | None) -> None:
        self._world.stopping = True
        self._wakeup.wake(signal.Signals(number).name)

    def _on_hangup(self, _number: int, _: FrameType | None) -> None:
        self._hangup = True
        self._wakeup.wake("SIGHUP")

    def _leave(self) -> int:
        order = self._executor.exit
        assert order is not None
        _log.log(logging.ERROR if order.code else logging.INFO, "ending: %s", order.why)
        self._notifier.stopping()
        self._world.jobs.cancel(wait_seconds=5.0)
        self._listening.stop()
        self._recorder.close()
        self._world.instance.close()
        self._world.dismiss_fence()
        self._world.close()
        self._world.store.close()
        return order.code
