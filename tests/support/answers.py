"""Answers of single facts: for each part of a fact a snapshot whose answer hangs on that part.

A near miss shows that a rule needs a fact; an answer shows that a fact needs each of its terms,
and what an unknown input means.  The snapshots are bases and scenarios with at most one change.
Lines are found by mutants that no other test notices (`make mutation-answers`), and kept when the
answer was read and is right; `make rewrite` records the answers again.

    fact: yes|no | start, change
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

from engine import decide
from engine.rule import Fact
from engine.state import Snapshot
from tests.support.near_misses import changes, starts
from tests.support.scenarios import FOLDER
from tests.support.scenes import BASES
from tests.support.variations import vary

FILE = FOLDER / "answers"
HEAD = """\
# What single facts answer, where one term of theirs or an unknown input decides it.
# Found by `make mutation-answers` for mutants that nothing else noticed; then read: each answer is
# what an operator would say of that snapshot.  `make rewrite` records them again, so a line that
# changes is a fact that means something else now, and has to be read again.
# fact: its answer | base or scenario, change\
"""


@dataclass(frozen=True, order=True)
class Answer:
    """What the fact answers about a start with that change (empty: as it is)."""

    fact: str
    yes: bool
    start: str
    change: str

    @property
    def line(self) -> str:
        """As it is written in the file."""
        change = f", {self.change}" if self.change else ""
        return f"{self.fact}: {'yes' if self.yes else 'no'} | {self.start}{change}"

    @property
    def snapshot(self) -> Snapshot:
        """What the fact is asked about."""
        return changed(self.start, self.change)


@cache
def facts() -> dict[str, Fact]:
    """Every fact of the engine by its name, as it was defined."""
    modules = [m for name, m in sys.modules.items() if name.startswith("engine.")]
    found = [x for m in modules for x in vars(m).values() if isinstance(x, Fact)]
    return {x.name: x for x in found if not x.negated} if decide.TABLES else {}


@cache
def _bases() -> dict[str, Snapshot]:
    return {name: make() for name, make in BASES.items()}


def changed(start: str, change: str) -> Snapshot:
    """A base, or a scenario, with that change."""
    s = _bases()[start] if start in BASES else starts()[start]
    return vary(s, changes()[change]) if change else s


def holds(answer: Answer) -> bool:
    """Whether the fact still answers so."""
    return facts()[answer.fact].holds(answer.snapshot) is answer.yes


def recorded() -> list[Answer]:
    """The lines of the file."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return [_read(line) for line in lines if line and not line.startswith("#")]


def _read(line: str) -> Answer:
    head, given = line.split(" | ", 1)
    fact, said = head.split(": ")
    start, _, change = given.partition(", ")
    return Answer(fact, said == "yes", start, change)


def write(answers: list[Answer]) -> None:
    """Write these lines, those of a fact together."""
    lines = sorted(set(answers))
    FILE.write_text("\n".join([HEAD, *(answer.line for answer in lines)]) + "\n")


def rewrite() -> None:
    """Record the answers again; lines of facts, or of starts, that are gone are left out."""
    known = {*BASES, *starts()}
    kept = [x for x in recorded() if x.fact in facts() and x.start in known]
    kept = [x for x in kept if not x.change or x.change in changes()]
    write([Answer(x.fact, facts()[x.fact].holds(x.snapshot), x.start, x.change) for x in kept])
