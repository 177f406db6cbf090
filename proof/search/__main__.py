"""`python -m proof.search`: walk through every world, side by side, and say what was found.

Exit status 0: every world was explored completely and nothing is broken.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import Manager
from queue import Queue

from proof.search.explore import Result
from proof.search.liveness import search
from proof.search.model import World
from proof.search.worlds import WORLDS

POLL_SECONDS = 1.0


def _search(world: World, said: Queue[str]) -> Result:
    return search(world, said.put)


def main() -> int:
    """Search the worlds that are named, or all of them."""
    options = _options()
    worlds = [world for world in WORLDS if not options.worlds or world.name in options.worlds]
    results = []
    with Manager() as manager, ProcessPoolExecutor(options.processes) as pool:
        said: Queue[str] = manager.Queue()
        running = {pool.submit(_search, world, said) for world in worlds}
        while running:
            done, running = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            while not said.empty():
                print(said.get(), flush=True)
            for future in done:
                results.append(future.result())
                print(_line(results[-1]), flush=True)
    for result in results:
        _tell_trace(result)
    _tell_total(results)
    good = all(result.complete and not result.violations for result in results)
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.search", description=__doc__)
    parser.add_argument("worlds", nargs="*", help="names of worlds; all when none is named")
    parser.add_argument("--processes", type=int, default=2, help="worlds searched at a time")
    return parser.parse_args()


def _line(result: Result) -> str:
    healing = "" if result.stuck is None else f", {result.stuck} cannot heal"
    end = "complete" if result.complete else "NOT COMPLETE"
    return (
        f"{result.world:12} {result.states:>12,} states {result.transitions:>13,} transitions "
        f"depth {result.depth:>4} {result.seconds:>7.1f} s  {end}, "
        f"{len(result.violations)} violations{healing}"
    )


def _tell_trace(result: Result) -> None:
    for violation in result.violations:
        print(f"\n{result.world}: {violation}")
    for line in result.trace:
        print(line)


def _tell_total(results: list[Result]) -> None:
    states = sum(result.states for result in results)
    transitions = sum(result.transitions for result in results)
    rules = set().union(*(result.rules for result in results))
    seconds = sum(result.seconds for result in results)
    print(
        f"{len(results)} worlds, {states:,} states, {transitions:,} transitions, "
        f"{seconds:,.0f} processor seconds, {len(rules)} rules fired"
    )


if __name__ == "__main__":
    sys.exit(main())
