"""Near misses: for each fact of each rule, a snapshot that is decided otherwise by that fact alone.

A scenario shows that a rule fires; a near miss shows that it does not fire when one fact fails.
They are found among the neighbours of the scenarios (one change each, see `variations`), and kept
in a file, so that a fact that is lost from a rule is noticed.  `make rewrite` finds them again.

    rule: fact | scenario, change | the rule that decides instead
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from engine.decide import TABLES
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot
from shell.recorder.codec import encode
from tests.support.scenarios import FOLDER, all_scenarios
from tests.support.scenes import PIECES
from tests.support.variations import VARIATIONS, vary

FILE = FOLDER / "near-misses"
HEAD = "# rule: fact | scenario, change | the rule that decides instead.  By `make rewrite`."
LONG = 110


@dataclass(frozen=True)
class NearMiss:
    """`rule` would decide the scenario with this change, were it not for `fact`."""

    rule: str
    fact: str
    start: str
    change: str
    instead: str

    @property
    def line(self) -> str:
        """As it is written in the file."""
        return f"{self.rule}: {self.fact} | {self.start}, {self.change} | {self.instead}"


@cache
def starts() -> dict[str, Snapshot]:
    """The scenarios by the rule that they guard; a second one of the same rule is `rule 2`."""
    named: dict[str, Snapshot] = {}
    for scenario in all_scenarios():
        number = sum(name.split(" ")[0] == scenario.rule for name in named) + 1
        named[scenario.rule if number == 1 else f"{scenario.rule} {number}"] = scenario.snapshot
    return named


@cache
def changes() -> dict[str, tuple[str, Any]]:
    """Every variation by its text."""
    return {_text(place, value): (place, value) for place, value in VARIATIONS}


def _text(place: str, value: Any) -> str:
    for name, piece in PIECES.get(place, {}).items():
        if piece == value and type(piece) is type(value):
            return f"{place} = {name}"
    return f"{place} = {json.dumps(encode(value), sort_keys=True, separators=(',', ':'))}"


def missed(table: Table, rule: Rule, holds: Callable[[Fact], bool]) -> str | None:
    """The one fact but for which `rule` would decide; None if there is no such fact."""
    failing = list(itertools.islice((f for f in rule.when if not holds(f)), 2))
    if len(failing) != 1 or not all(map(holds, table.applies)):
        return None
    above = table.rules[: table.rules.index(rule)]
    return None if any(all(map(holds, other.when)) for other in above) else failing[0].name


def _all(facts: tuple[Fact, ...], s: Snapshot) -> bool:
    return all(fact.holds(s) for fact in facts)


def decides(table: Table, s: Snapshot) -> str:
    """The rule of that table which decides; `nothing` when the table does not apply."""
    if not _all(table.applies, s):
        return "nothing"
    return next(rule.name for rule in table.rules if _all(rule.when, s))


def find() -> Iterator[NearMiss]:
    """A near miss for every fact that has one, in the order of the tables."""
    for table in TABLES:
        yield from _find(table)


def _find(table: Table) -> Iterator[NearMiss]:
    """Each rule's own scenarios come first, then the table's, each with one change."""
    found: dict[tuple[str, str], NearMiss] = {}
    wanted = {rule.name: {fact.name for fact in rule.when} for rule in table.rules}
    names = [name for name in starts() if name.startswith(f"{table.name}.")]
    for own, name in itertools.product((True, False), names):
        rules = [r for r in table.rules if wanted[r.name] and (name.split(" ")[0] == r.name) is own]
        for text, variation in changes().items() if rules else ():
            s = vary(starts()[name], variation)
            answers: dict[str, bool] = {}
            holds = partial(_answer, s, answers)
            for rule in rules:
                fact = missed(table, rule, holds)
                if fact is None or fact not in wanted[rule.name]:
                    continue
                miss = NearMiss(rule.name, fact, name, text, decides(table, s))
                known = found.setdefault((rule.name, fact), miss)
                if len(miss.line) < len(known.line):
                    known = found[rule.name, fact] = miss
                if len(known.line) <= LONG:
                    wanted[rule.name].discard(fact)
    keys = [(rule.name, fact.name) for rule in table.rules for fact in rule.when]
    yield from (found[key] for key in keys if key in found)


def _answer(s: Snapshot, answers: dict[str, bool], fact: Fact) -> bool:
    if fact.name not in answers:
        answers[fact.name] = fact.holds(s)
    return answers[fact.name]


def recorded() -> list[NearMiss]:
    """The near misses of the file; ValueError for a line that can't be read."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return [_read(line) for line in lines if line and not line.startswith("#")]


def _read(line: str) -> NearMiss:
    head, given, instead = line.split(" | ")
    rule, fact = head.split(": ")
    start, change = given.split(", ", 1)
    return NearMiss(rule, fact, start, change, instead)


def outcome(miss: NearMiss) -> str:
    """The rule that decides there today."""
    table = next(t for t in TABLES if t.name == miss.rule.partition(".")[0])
    return decides(table, vary(starts()[miss.start], changes()[miss.change]))


def rewrite() -> None:
    """Find the near misses again and write them down."""
    FILE.write_text("\n".join([HEAD, *(miss.line for miss in find())]) + "\n")
