"""The command line: `python -m proof.simulator --seed N -v`, `--runs`, `--story`, `--save`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from proof.simulator.draw import Plan, draw
from proof.simulator.run import Outcome, run
from proof.simulator.shrink import explicit, shrink
from proof.simulator.story import FOLDER, read, to_text

YEAR_SECONDS = 365.25 * 86400


def revision() -> str:
    """The commit that this checkout is at, with a plus for changes; "unknown" outside of git."""
    here = Path(__file__).parent
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=here, capture_output=True, text=True, check=True, timeout=5,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip()


def _one(seed: int) -> tuple[int, Outcome | str, float]:
    began = time.process_time()
    try:
        outcome: Outcome | str = run(draw(seed))
    except Exception as error:  # a model that stumbles must name the seed, like a violation
        outcome = f"{type(error).__name__}: {error}"
    return seed, outcome, time.process_time() - began


def many(first: int, runs: int, seconds: float, jobs: int) -> int:
    """Run seeds side by side and print a summary; the exit status."""
    command = f"python -m proof.simulator --seed {first} --runs {runs}"
    print(f"simulator at {revision()}: seeds {first} to {first + runs - 1} ({command})")
    until = time.monotonic() + seconds
    total = Summary()
    with multiprocessing.Pool(jobs) as pool:
        for seed, outcome, spent in pool.imap_unordered(_one, range(first, first + runs)):
            total.add(seed, outcome, spent)
            if time.monotonic() > until:
                pool.terminate()
                break
    total.tell()
    return 1 if total.failures else 0


class Summary:
    """What many runs came to."""

    def __init__(self) -> None:
        self.runs = self.cycles = 0
        self.seconds = self.spent = 0.0
        self.counts: Counter[str] = Counter()
        self.fired: Counter[str] = Counter()
        self.failures: list[int] = []

    def add(self, seed: int, outcome: Outcome | str, spent: float) -> None:
        """Count one run, and say at once if it failed."""
        self.runs += 1
        self.spent += spent
        if isinstance(outcome, str):
            self.failures.append(seed)
            print(f"seed {seed}: the model failed: {outcome}", flush=True)
            return
        self.cycles += outcome.cycles
        self.seconds += outcome.seconds
        self.counts.update(outcome.counts)
        self.fired.update(outcome.fired)
        if outcome.violations:
            self.failures.append(seed)
            first = outcome.violations[0]
            print(f"seed {seed} after {outcome.seconds:.1f} s: {first}", flush=True)

    def tell(self) -> None:
        """Print everything."""
        years = self.seconds / YEAR_SECONDS
        speed = self.cycles / self.spent if self.spent else 0.0
        print(f"{self.runs} runs, {self.cycles} node-cycles, {years:.3f} years of simulated time")
        print(f"{speed:.0f} node-cycles per second of one core; {len(self.fired)} rules fired")
        for title, start in (("steps", "step "), ("jobs", "job ")):
            told = sorted((k.removeprefix(start), n) for k, n in self.counts.items() if start in k)
            print(f"{title}: " + ", ".join(f"{name} {n}" for name, n in told))
        others = sorted((k, n) for k, n in self.counts.items() if " " not in k or "fence" in k)
        print("seen: " + ", ".join(f"{name} {n}" for name, n in others))
        failed = ", ".join(map(str, sorted(self.failures)[:20])) or "none"
        print(f"violations: {len(self.failures)} (seeds: {failed})")


def one(plan: Plan, title: str, command: str, *, verbose: bool) -> int:
    """Live through one plan, telling of every event if asked to; the exit status."""
    head = f"{title} at {revision()}: {command}"
    print(head)
    told = (lambda at, who, what: print(f"{at:10.3f} {who:6} {what}")) if verbose else None
    outcome = run(plan, told)
    for violation in outcome.violations:
        print(f"VIOLATION {violation}")
    healed = outcome.healed_after
    after = "" if healed is None else f", healed after {healed:.0f} s"
    print(f"{len(outcome.violations)} violations in {outcome.cycles} cycles{after}; {head}")
    return 1 if outcome.violations else 0


def save(seed: int, name: str) -> int:
    """Shrink a failing seed and keep it as a story; the exit status."""
    plan = explicit(draw(seed))
    violations = run(plan).violations
    if not violations:
        print(f"seed {seed} breaks nothing, so there is no story to keep")
        return 1
    small = shrink(plan)
    heading = (
        violations[0].sentence,
        f"Found by seed {seed} at {revision()}.  Guarded by (name the rule once it is mended).",
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.txt"
    path.write_text(to_text(heading, small))
    print(f"{len(plan.steps)} steps became {len(small.steps)}: {path}")
    return 0


def main() -> int:
    """Read the command line and obey it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proof.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; drawn if it is not given")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after that time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side")
    parser.add_argument("--story", type=Path, help="live through that file instead")
    parser.add_argument("--save", metavar="NAME", help="shrink the seed and keep it as a story")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line for each event")
    asked = parser.parse_args()
    if asked.story is not None:
        command = f"python -m proof.simulator --story {asked.story} -v"
        return one(read(asked.story).plan, asked.story.stem, command, verbose=asked.verbose)
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    if asked.save:
        return save(seed, asked.save)
    if asked.runs > 1:
        return many(seed, asked.runs, asked.seconds, asked.jobs)
    command = f"python -m proof.simulator --seed {seed} -v"
    return one(draw(seed), f"seed {seed}", command, verbose=asked.verbose)


if __name__ == "__main__":
    sys.exit(main())
