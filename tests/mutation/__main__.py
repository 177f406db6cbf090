"""Try the engine's mutants: `python -m tests.mutation` (`make mutation`).

Goes on where it was stopped: build/mutation/results.jsonl keeps what was tried, and a module that
has changed since is tried again; what lived is, with `--again`, for tests that are new.  Survivors
of the quick stages are asked the slow ones at the end.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.mutation.mutants import ROOT, Mutant, digest, modules, mutants
from tests.mutation.report import PAGE, page
from tests.mutation.survivors import reasons, unexplained
from tests.mutation.trials import Result, Results, load, swap

RESULTS = ROOT / "build" / "mutation" / "results.jsonl"
WANTED_PERCENT = 95.0


def main() -> int:
    """Try what is asked for; exit status 1 if too few were killed, or one lives for no reason."""
    options = _options()
    results = Results(options.results)
    paths = [x for x in modules() if not options.modules or _is_named(x, options.modules)]
    made = {path: list(mutants(path)) for path in paths}
    drawn = [(path, mutant) for path in paths for mutant in made[path]]
    if options.sample:
        drawn = random.Random(options.seed).sample(drawn, min(options.sample, len(drawn)))
    if options.again:
        results.forget_survivors()
    _try(drawn, results, quick=options.quick)
    found = [(mutant, results.of(mutant, digest(path))) for path, mutant in drawn]
    tried = [result for _, result in found if result is not None and result.by != "nothing"]
    counts = Counter(m.module for path in paths for m in made[path])
    if not options.sample and not options.modules:
        PAGE.write_text(page(tried, counts, reasons()))
    return _tell(tried)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as engine/quorum.py; all of them if none")
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--again", action="store_true", help="also what lived, for new tests")
    parser.add_argument("--quick", action="store_true", help="only the quick stages")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def _is_named(path: Path, names: list[str]) -> bool:
    return path.relative_to(ROOT).as_posix() in names


def _try(drawn: list[tuple[Path, Mutant]], results: Results, *, quick: bool) -> None:
    """Try what has no result yet, then ask the slow stages of what lives."""
    now = {path: digest(path) for path, _ in drawn}
    new = [mutant for path, mutant in drawn if results.of(mutant, now[path]) is None]
    began = time.monotonic()
    print(f"{len(drawn):,} mutants, {len(new):,} to try", flush=True)
    slow = {mutant.name for mutant in swap(new, results)}
    print(f"{len(new) - len(slow):,} tried in {time.monotonic() - began:.0f} s", flush=True)
    for deep in (False,) if quick else (False, True):
        for path in sorted(now):
            mine = [mutant for at, mutant in drawn if at == path]
            last = [(mutant, results.of(mutant, now[path])) for mutant in mine]
            if deep:
                todo = [m for m, x in last if x is not None and not x.by and not x.deep]
            else:
                todo = [m for m, x in last if x is None]
            if todo:
                print(f"{path.relative_to(ROOT)}: {len(todo)} by loading", flush=True)
                load(path, todo, results, deep=deep)


def _tell(tried: list[Result]) -> int:
    lived = [result.name for result in tried if not result.by]
    for name in sorted(lived):
        print(f"  lived: {name}")
    without = unexplained(lived, reasons())
    percent = 100 * (len(tried) - len(lived)) / max(1, len(tried))
    print(
        f"{len(tried)} tried, {len(tried) - len(lived)} killed ({percent:.1f} %), "
        f"{len(lived)} lived, {len(without)} of them without a reason"
    )
    return 1 if without or percent < WANTED_PERCENT else 0


if __name__ == "__main__":
    sys.exit(main())
