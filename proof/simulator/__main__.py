"""The command line: `python -m proof.simulator --seed N -v`, `--runs`, `--story`, `--save`."""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

from proof.simulator import batch
from proof.simulator.draw import KINDS, Plan, Wish, draw
from proof.simulator.run import run
from proof.simulator.shrink import explicit, shrink
from proof.simulator.story import FOLDER, read, to_text


def revision() -> str:
    """The commit that this checkout is at, with a plus for changes; "unknown" outside of git.

    A copy of a checkout is told it by whoever made the copy.
    """
    if told_by_copier := os.environ.get("SIM_REVISION"):
        return told_by_copier
    here = Path(__file__).parent
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=here, capture_output=True, text=True, check=True, timeout=5,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip()


def seed_of(commit: str) -> int:
    """The first seed for that commit: others than for the last one, and the same when repeated."""
    return int(hashlib.sha256(commit.encode()).hexdigest()[:7], 16)


def command_of(seed: int, wish: Wish) -> str:
    """What draws that seed's plan again; options may follow."""
    return f"python -m proof.simulator --seed {seed}{wish.options}"


def _kinds(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    if unknown := ", ".join(sorted(set(wanted) - KINDS)):
        raise argparse.ArgumentTypeError(f"{unknown}: choose from {', '.join(sorted(KINDS))}")
    return wanted


def many(first: int, wish: Wish, asked: argparse.Namespace) -> int:
    """Run seeds side by side, or go on with those of a batch that was stopped; the exit status."""
    runs: int = asked.runs
    command = f"{command_of(first, wish)} --runs {runs}"
    total = batch.Summary(revision(), first, first, wish)
    if asked.keep is not None and asked.keep.exists():
        total = batch.Summary.read(asked.keep)
        if (total.revision, total.first, total.wish) != (revision(), first, wish):
            print(f"{asked.keep} is of seed {total.first} at {total.revision}: remove it first")
            return 2
    print(f"simulator at {total.revision}: seeds {first} to {first + runs - 1} ({command})")
    status = batch.many(total, runs, asked.seconds, asked.jobs, asked.keep)
    lived = f"seeds {first} to {total.following - 1}: {total.failed} broke something"
    again = min((seed for seeds in total.failures.values() for seed in seeds), default=None)
    if again is not None:
        command = f"{command_of(again, wish)} -v"
    print(f"simulator at {total.revision}: {lived} ({command})")
    return status


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


def save(seed: int, wish: Wish, name: str) -> int:
    """Shrink a failing seed and keep it as a story; the exit status."""
    plan = explicit(draw(seed, wish))
    violations = run(plan).violations
    if not violations:
        print(f"seed {seed} breaks nothing, so there is no story to keep")
        return 1
    small = shrink(plan)
    found = f"Found by seed {seed}{wish.options} at {revision()}."
    heading = (
        violations[0].sentence,
        f"{found}  Guarded by (name the rule once it is mended).",
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
    parser.add_argument("--of-commit", action="store_true", help="the commit draws that seed")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--pace", type=float, help="a fault about every so many seconds, not drawn")
    parser.add_argument("--only", type=_kinds, default=(), help="faults of these kinds: a,b,c")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after that time")
    parser.add_argument("--keep", type=Path, help="file to write to, and to go on from")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side")
    parser.add_argument("--story", type=Path, help="live through that file instead")
    parser.add_argument("--save", metavar="NAME", help="shrink the seed and keep it as a story")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line for each event")
    asked = parser.parse_args()
    if asked.story is not None:
        command = f"python -m proof.simulator --story {asked.story} -v"
        return one(read(asked.story).plan, asked.story.stem, command, verbose=asked.verbose)
    drawn = seed_of(revision()) if asked.of_commit else secrets.randbelow(10**9)
    seed = drawn if asked.seed is None else asked.seed
    wish = Wish(asked.pace, asked.only)
    if asked.save:
        return save(seed, wish, asked.save)
    if asked.runs > 1:
        return many(seed, wish, asked)
    command = f"{command_of(seed, wish)} -v"
    return one(draw(seed, wish), f"seed {seed}", command, verbose=asked.verbose)


if __name__ == "__main__":
    sys.exit(main())
