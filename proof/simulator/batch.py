"""Many seeds side by side: what they came to, how far they are, and going on where they stopped.

Belongs here: counting outcomes, telling of them, and the file from which a batch that was stopped
goes on.  The figures are sums over runs, so they do not depend on the order in which runs end.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from proof.simulator.draw import NO_WISH, Wish, draw
from proof.simulator.run import Outcome, run

DAY_SECONDS = 86400.0
PROGRESS_SECONDS = 60.0
SEEDS_TOLD = 20
# What an operator does is drawn as faults are, and told of apart from them.
OPERATORS = frozenset(
    {
        *("edit", "failover", "pause", "reinitialize", "restart", "retime", "stop-daemon"),
        *("switchover", "switchover-later"),
    }
)


@dataclass
class Summary:
    """What the runs of the seeds from `first` to before `following` came to."""

    revision: str
    first: int
    following: int
    wish: Wish = NO_WISH
    runs: int = 0
    cycles: int = 0
    seconds: float = 0.0  # of simulated time
    spent: float = 0.0  # of processor time
    counts: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=dict)  # by invariant: seeds

    @classmethod
    def read(cls, path: Path) -> Summary:
        """What a batch that was stopped has written."""
        told: dict[str, Any] = json.loads(path.read_text())
        told |= {name: Counter(told[name]) for name in ("counts", "fired")}
        pace, kinds = told["wish"]
        told["wish"] = Wish(pace, tuple(kinds))
        return cls(**told)

    def write(self, path: Path) -> None:
        """Keep it, so that a batch can go on from here; never half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(vars(self)))
        beside.replace(path)

    def add(self, seed: int, outcome: Outcome | str, spent: float) -> None:
        """Count the run of the following seed, and say at once if it failed."""
        self.following = seed + 1
        self.runs += 1
        self.spent += spent
        if isinstance(outcome, str):
            self.failures.setdefault("the model failed", []).append(seed)
            print(f"seed {seed}: the model failed: {outcome}", flush=True)
            return
        self.cycles += outcome.cycles
        self.seconds += outcome.seconds
        self.counts.update(outcome.counts)
        self.fired.update(outcome.fired)
        if outcome.violations:
            first = outcome.violations[0]
            self.failures.setdefault(first.invariant, []).append(seed)
            print(f"seed {seed} after {outcome.seconds:.1f} s: {first}", flush=True)

    @property
    def failed(self) -> int:
        """How many runs broke something."""
        return sum(map(len, self.failures.values()))

    def progress(self, runs: int) -> str:
        """One line on the way."""
        return (
            f"{self.runs} of {runs} runs, {self.cycles} node-cycles, {self._speed():.0f} per "
            f"second of one core, {self.failed} runs broke something"
        )

    def tell(self) -> str:
        """Everything, in some lines."""
        each = self.cycles / self.runs if self.runs else 0.0
        steps, jobs = self._counted("step "), self._counted("job ")
        faults = {name: n for name, n in steps.items() if name not in OPERATORS}
        acts = {name: n for name, n in steps.items() if name in OPERATORS}
        seen = {name: n for name, n in sorted(self.counts.items()) if not name.startswith(_KINDS)}
        days = self.seconds / DAY_SECONDS
        spoken = (
            f"{self.runs} runs, {self.cycles} node-cycles ({each:.0f} in a run)",
            f"{days:.2f} days of simulated time, {len(self.fired)} rules fired",
            f"{self._speed():.0f} node-cycles per second of one core",
            f"faults: {sum(faults.values())}: {_listed(faults)}",
            f"operators: {sum(acts.values())}: {_listed(acts)}",
            f"jobs: {_listed(jobs)}",
            f"seen: {_listed(seen)}",
            f"runs that broke something: {self.failed}",
            *(f"  {name}: {_told(seeds)}" for name, seeds in sorted(self.failures.items())),
        )
        return "\n".join(spoken)

    def _counted(self, kind: str) -> dict[str, int]:
        found = ((k.removeprefix(kind), n) for k, n in self.counts.items() if k.startswith(kind))
        return dict(sorted(found))

    def _speed(self) -> float:
        return self.cycles / self.spent if self.spent else 0.0


_KINDS = ("step ", "job ")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"


def _told(seeds: list[int]) -> str:
    named = ", ".join(map(str, seeds[:SEEDS_TOLD]))
    return f"{len(seeds)} (seeds {named}{', ...' if len(seeds) > SEEDS_TOLD else ''})"


def _one(wish: Wish, seed: int) -> tuple[int, Outcome | str, float]:
    began = time.process_time()
    try:
        outcome: Outcome | str = run(draw(seed, wish))
    except Exception as error:  # a model that stumbles must name the seed, like a violation
        outcome = f"{type(error).__name__}: {error}"
    return seed, outcome, time.process_time() - began


def many(total: Summary, runs: int, seconds: float, jobs: int, kept: Path | None) -> int:
    """Run what is left of so many seeds, at most so long; the exit status.

    What was found is written to `kept` now and then and at the end, also when the batch is stopped
    by SIGINT or SIGTERM.
    """
    now = time.monotonic()
    until, told = now + seconds, now
    gc.collect()
    with _stoppable(), multiprocessing.Pool(jobs, _begin_worker) as pool:
        try:
            for seed, outcome, spent in pool.imap(
                partial(_one, total.wish), range(total.following, total.first + runs), chunksize=4
            ):
                total.add(seed, outcome, spent)
                now = time.monotonic()
                if now > until:
                    break
                if now - told > PROGRESS_SECONDS:
                    told = now
                    print(total.progress(runs), flush=True)
                    if kept is not None:
                        total.write(kept)
        except KeyboardInterrupt:
            print(f"stopped before seed {total.following}", flush=True)
        pool.terminate()
    if kept is not None:
        total.write(kept)
    print(total.tell(), flush=True)
    return 1 if total.failures else 0


def _begin_worker() -> None:
    """Leave signals to the parent, and what is loaded by now out of the garbage collector's way.

    Signals first: the parent may end a worker that has only begun, and it must obey.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops a batch as SIGINT does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
