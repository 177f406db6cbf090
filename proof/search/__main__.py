"""`python -m proof.search`: walk through worlds, side by side, and say what was found.

Exit status 0: every world was explored completely and nothing is broken.  What was found is also
written to `build/search/WORLD.json`, a file for each world.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing import Manager, get_context
from pathlib import Path
from queue import Queue

from proof.search.explore import Result
from proof.search.liveness import search
from proof.search.model import World
from proof.search.worlds import LARGER, WORLDS

POLL_SECONDS = 1.0
_HEAD = ("world", "states", "transitions", "depth", "seconds", "MiB", "end", "broken", "stuck")
_ROW = "{:12} {:>12} {:>13} {:>6} {:>8} {:>6}  {:12} {:>6} {:>6}"


def main() -> int:
    """Search the worlds that are named, or those of the usual run."""
    options, began = _options(), time.monotonic()
    results = _search_all(_chosen(options), options)
    for result in results:
        _tell_trace(result)
    _tell_table(results, time.monotonic() - began)
    good = all(result.complete and not result.violations for result in results)
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.search", description=__doc__)
    parser.add_argument("worlds", nargs="*", help="names of worlds; the usual ones if none")
    parser.add_argument("--all", action="store_true", help="the larger worlds as well")
    parser.add_argument("--processes", type=int, default=2, help="worlds searched at a time")
    parser.add_argument("--output", type=Path, default=Path("build/search"), help="a folder")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[World]:
    known = {world.name: world for world in (*LARGER, *WORLDS)}
    unknown = [name for name in options.worlds if name not in known]
    if unknown:
        sys.exit(f"no world is named {', '.join(unknown)}; there are {', '.join(known)}")
    if options.worlds:
        return [known[name] for name in options.worlds]
    return list(known.values()) if options.all else list(WORLDS)


def _search_all(worlds: list[World], options: argparse.Namespace) -> list[Result]:
    """A process for each world, so that its memory is free again for the next one."""
    results = []
    pool = ProcessPoolExecutor(
        options.processes, mp_context=get_context("spawn"), max_tasks_per_child=1
    )
    with Manager() as manager, pool:
        said: Queue[str] = manager.Queue()
        running = {pool.submit(search, world, said.put) for world in worlds}
        while running:
            done, running = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            while not said.empty():
                print(said.get(), flush=True)
            for future in done:
                results.append(future.result())
                print(_line(results[-1]), flush=True)
                _write(results[-1], options.output)
    return results


def _write(result: Result, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = asdict(result) | {"rules": sorted(result.rules)}
    (folder / f"{result.world}.json").write_text(json.dumps(told, indent=2) + "\n")


def _line(result: Result) -> str:
    return _ROW.format(
        result.world,
        f"{result.states:,}",
        f"{result.transitions:,}",
        result.depth,
        f"{result.seconds:,.0f}",
        f"{result.peak_mib:,}",
        "complete" if result.complete else "NOT COMPLETE",
        len(result.violations),
        "-" if result.stuck is None else result.stuck,
    )


def _tell_trace(result: Result) -> None:
    for violation in result.violations:
        print(f"\n{result.world}: {violation}")
    for line in result.trace:
        print(line)


def _tell_table(results: list[Result], seconds: float) -> None:
    print(f"\n{_ROW.format(*_HEAD)}")
    for result in results:
        print(_line(result))
    states = sum(result.states for result in results)
    transitions = sum(result.transitions for result in results)
    rules = set().union(*(result.rules for result in results))
    worked = sum(result.seconds for result in results)
    print(
        f"\n{len(results)} worlds, {states:,} states, {transitions:,} transitions, "
        f"{worked:,.0f} processor seconds, {len(rules)} rules fired; it took {seconds:,.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
