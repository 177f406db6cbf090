"""Try the engine's mutants: `python -m tests.mutation` (`make mutation`).

Goes on where it was stopped: build/mutation/results.jsonl keeps what was tried, and a function or
table that has changed since is tried again; what lived for no reason is, with `--again`, for new
tests.
What lives for no reason that is written down is asked the slow stages at the end; with `--deep`
everything that lives.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Container
from pathlib import Path

from tests.mutation.mutants import ROOT, Mutant, modules, mutants
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
        results.forget_survivors(reasons())
    _try(drawn, results)
    if not options.quick:
        _ask_slowly(drawn, results, () if options.deep else reasons())
    found = [results.of(mutant) for _, mutant in drawn]
    tried = [result for result in found if result is not None and result.by != "nothing"]
    counts = Counter(m.module for path in paths for m in made[path])
    if not options.sample and not options.modules:
        PAGE.write_text(page(tried, counts, reasons(), _revision()))
    return _tell(tried)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as engine/quorum.py; all of them if none")
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--again", action="store_true", help="also what lived for no reason")
    parser.add_argument("--quick", action="store_true", help="only the quick stages")
    parser.add_argument("--deep", action="store_true", help="the slow ones for all that lives")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def _is_named(path: Path, names: list[str]) -> bool:
    return path.relative_to(ROOT).as_posix() in names


Drawn = list[tuple[Path, Mutant]]


def _try(drawn: Drawn, results: Results) -> None:
    """Try what has no result yet."""
    new = [mutant for _, mutant in drawn if results.of(mutant) is None]
    began = time.monotonic()
    print(f"{len(drawn):,} mutants, {len(new):,} to try", flush=True)
    slow = {mutant.name for mutant in swap(new, results)}
    print(f"{len(new) - len(slow):,} tried in {time.monotonic() - began:.0f} s", flush=True)
    _load([(path, mutant) for path, mutant in drawn if mutant.name in slow], results, deep=False)


def _ask_slowly(drawn: Drawn, results: Results, known: Container[str]) -> None:
    """Ask the slow stages of what lives, but for what may live."""
    lived = [
        (path, mutant, results.of(mutant)) for path, mutant in drawn if mutant.name not in known
    ]
    todo = [(p, m) for p, m, found in lived if found and not found.by and not found.deep]
    _load(todo, results, deep=True)


def _load(drawn: Drawn, results: Results, *, deep: bool) -> None:
    for path in sorted({path for path, _ in drawn}):
        todo = [mutant for at, mutant in drawn if at == path]
        print(f"{path.relative_to(ROOT)}: {len(todo)} by loading", flush=True)
        load(path, todo, results, deep=deep)


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


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
