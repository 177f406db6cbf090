"""Find answers of facts that tell mutants from the engine: `python -m tests.mutation.witness`.

Belongs here: the search, for mutants that lived, among the bases with one change and the scenarios.
What it finds goes into tests/scenarios/answers, to be read like any test: is that answer right?
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from engine.decide import RULES
from engine.rule import Fact
from engine.state import Snapshot
from tests.mutation.__main__ import RESULTS
from tests.mutation.imports import module_name
from tests.mutation.mutants import ROOT, Mutant, modules, mutants
from tests.mutation.swaps import code_of, functions_of, nested, swapped
from tests.mutation.trials import Results
from tests.support import answers
from tests.support.answers import Answer
from tests.support.near_misses import changes, starts
from tests.support.scenes import BASES

RAISED = "raised"
MOST_SCENARIOS = 16
MOST_FACTS = 8  # of a function that many facts call, each is asked about fewer snapshots
Search = tuple[list[tuple[str, str]], list[Snapshot], list[bool]]  # where, what, what is answered


class Finder:
    """Asks facts about every snapshot of the search, by the engine as it is and by a mutant."""

    def __init__(self) -> None:
        self._facts = answers.facts()
        self._where = [(base, text) for base in BASES for text in ("", *changes())]
        self._where += [(name, "") for name in starts()]
        self._what = [answers.changed(*x) for x in self._where]
        self._said: dict[str, list[bool]] = {}
        self._close: dict[str, Search] = {}
        self._asked_by = self._callers()

    def _callers(self) -> dict[CodeType, set[str]]:
        """For each function of the engine the facts that call it."""
        found: dict[CodeType, set[str]] = {}
        few = [s for (_, text), s in zip(self._where, self._what, strict=True) if not text]
        for name, fact in self._facts.items():

            def note(frame: FrameType, event: str, _: Any, name: str = name) -> None:
                if event == "call":
                    found.setdefault(frame.f_code, set()).add(name)

            sys.setprofile(note)
            for s in few:
                _ask(fact, s)
            sys.setprofile(None)
        return found

    def find(self, mutant: Mutant) -> Iterator[Answer]:
        """The shortest line of each fact that the mutant answers otherwise."""
        module = importlib.import_module(module_name(mutant.module))
        function = functions_of(module).get(mutant.function)
        if function is None:
            return
        inner = [function.__code__, *nested(function.__code__)]
        names = sorted(set().union(*(self._asked_by.get(x, set()) for x in inner)))
        code = code_of(compile(mutant.source, str(module.__file__), "exec"), mutant)
        for name in names:
            searches = (self._wide, self._near) if len(names) <= MOST_FACTS else (self._wide,)
            for where, what, said in (search(name) for search in searches):
                with swapped(function, code):
                    other = [_ask(self._facts[name], s) for s in what]
                differ = [n for n, (x, y) in enumerate(zip(said, other, strict=True)) if x != y]
                lines = [Answer(name, bool(said[n]), *where[n]) for n in differ]
                if lines:
                    yield min(lines, key=lambda x: (len(x.line), x.line))
                    break

    def _wide(self, name: str) -> Search:
        """The bases with one change, and the scenarios."""
        if name not in self._said:
            self._said[name] = [bool(_ask(self._facts[name], s)) for s in self._what]
        return self._where, self._what, self._said[name]

    def _near(self, name: str) -> Search:
        """The scenarios of rules that ask that fact, with one change."""
        if name not in self._close:
            asking = {
                rule.name
                for rule in RULES.values()
                if name in {fact.name.removeprefix("not ") for fact in rule.when}
            }
            named = [x for x in starts() if x.split(" ")[0] in asking][:MOST_SCENARIOS]
            where = [(x, text) for x in named for text in changes()]
            what = [answers.changed(*x) for x in where]
            self._close.clear()  # large
            said = [bool(_ask(self._facts[name], s)) for s in what]
            self._close[name] = (where, what, said)
        return self._close[name]


def _ask(fact: Fact, s: Snapshot) -> object:
    try:
        return fact.holds(s)
    except Exception:
        return RAISED


def main(names: list[str]) -> None:
    """Add a line for each mutant that lived and that one tells from the engine."""
    results, finder, found = Results(RESULTS), Finder(), answers.recorded()
    before = len(found)
    for path in modules():
        if names and path.relative_to(ROOT).as_posix() not in names:
            continue
        for mutant in mutants(path):
            result = results.of(mutant)
            if result is None or result.by:
                continue
            line = next(finder.find(mutant), None)
            if line is None:
                print(f"  nothing tells of {mutant.name}")
            elif line not in found:
                found.append(line)
    answers.write(found)
    print(f"{len(found) - before} lines more, {len(found)} in all")


if __name__ == "__main__":
    main(sys.argv[1:])
