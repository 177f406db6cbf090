"""Make every mistake and write docs/gallery.md: `python -m tests.gallery` (`make gallery`)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.gallery.carrying_out import CARRYING_OUT
from tests.gallery.catching import Catcher
from tests.gallery.mistake import Mistake
from tests.gallery.mistakes import DECIDING
from tests.gallery.mistakes_found import FOUND

MISTAKES = (*DECIDING, *FOUND, *CARRYING_OUT)
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "gallery.md"
INTRODUCTION = """\
# The gallery of mistakes

Written by `make gallery`; do not edit. A proof is worth what it catches. Each line is a mistake
that somebody could make in the engine, or in what carries its decisions out; a test makes it, and
must be told of it. The test fails when nothing notices any more.

- *A promise*: a sentence that must hold for every decision (`proof/promises.py`), asked of the
  decisions about all scenarios, as they are and with one change each. *After* counts decisions.
- *The search*: a small world in which every order of events is tried (`make search`), by what
  really happens and not by the promises. *After* counts states.
- *A story*: what was left of a seed that broke something (`tests/scenarios/stories/`), lived
  through by the simulator, by what really happens. *After* counts node-cycles.
- *A scenario*: a recorded decision (`tests/scenarios/`). *After* counts scenarios.
- *A near miss*: a recorded snapshot that one fact keeps from a rule. *After* counts near misses.

The page shows the first find of each that is named for the mistake, and how long it took.

| mistake | what is done wrong | what a user would see | caught by | after | what was found |
|---|---|---|---|---|---|
"""


def main() -> int:
    """Write the page; exit status 1 when a mistake was not caught."""
    rows, missed = [], []
    for mistake in MISTAKES:
        for catcher in mistake.caught_by:
            row = _row(mistake, catcher, first=catcher is mistake.caught_by[0])
            rows.append(row or f"| `{mistake.name}` | | | **nobody** | | |")
            missed += [] if row else [mistake.name]
    total = f"\n{len(MISTAKES)} mistakes, {len(MISTAKES) - len(set(missed))} caught.\n"
    PAGE.write_text(INTRODUCTION + "\n".join(rows) + "\n" + total)
    print(f"wrote {PAGE}{total}")
    return 1 if missed else 0


def _row(mistake: Mistake, catcher: Catcher, *, first: bool) -> str | None:
    began = time.process_time()
    with mistake.make():
        caught = catcher()
    took = time.process_time() - began
    if caught is None:
        return None
    told = (f"`{mistake.name}`", mistake.what, mistake.harm) if first else ("", "", "")
    after = f"{caught.looks:,} ({took:.2f} s)"
    cells = (*told, catcher.kind, after, caught.what)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
