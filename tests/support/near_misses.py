"""Near misses: for each fact of each rule, a snapshot that is decided otherwise by that fact alone.

A scenario shows that a rule fires; a near miss shows that it does not fire when one fact fails.
They are found among the neighbours of the scenarios (one change each, see `variations`), and kept
in a file, so that a fact that is lost from a rule is noticed.  `make rewrite` finds them again.

    rule: fact | scenario, change | the rule that decides instead
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
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


def neighbours(table: Table, rule: Rule) -> Iterator[tuple[str, str, Snapshot]]:
    """The rule's scenarios, then the table's, each with one change."""
    named = starts()
    own = [name for name in named if name.split(" ")[0] == rule.name]
    others = [name for name in named if name.startswith(f"{table.name}.") and name not in own]
    for name in (*own, *others):
        for text, variation in changes().items():
            yield name, text, vary(named[name], variation)


def missed(table: Table, rule: Rule, s: Snapshot) -> str | None:
    """The one fact but for which `rule` would decide here; None if there is no such fact."""
    failing = [fact for fact in rule.when if not fact.holds(s)]
    if len(failing) != 1 or not _all(table.applies, s):
        return None
    above = table.rules[: table.rules.index(rule)]
    return None if any(_all(other.when, s) for other in above) else failing[0].name


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
        for rule in table.rules:
            yield from _find(table, rule)


def _find(table: Table, rule: Rule) -> Iterator[NearMiss]:
    found: dict[str, NearMiss] = {}
    wanted = {fact.name for fact in rule.when}
    for start, change, s in neighbours(table, rule):
        if not wanted:
            break
        fact = missed(table, rule, s)
        if fact is None or fact not in wanted:
            continue
        miss = NearMiss(rule.name, fact, start, change, decides(table, s))
        if fact not in found or len(miss.line) < len(found[fact].line):
            found[fact] = miss
        if len(found[fact].line) <= LONG:
            wanted.discard(fact)
    yield from (found[fact.name] for fact in rule.when if fact.name in found)


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
