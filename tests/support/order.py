"""What the order of rules and tables decides: recorded snapshots in which two rules could speak.

Four kinds of lines, each with a snapshot (a scenario and perhaps one change, see `near_misses`):

    RULE over OTHER | snapshot        the next rule of the table could decide as well, and does not
    RULE goes on to OTHER | snapshot  a table below acts in the same cycle, after it
    RULE ends before OTHER | snapshot a table below would act, and has to wait
    TABLE silent without FACT | ...   the table would act, were it not for one fact of `applies`

The lines of the second and third kind at the end of the file are for neighbouring tables.  `make
rewrite` finds them all again.  Neighbours without a line can never decide about one snapshot, as
far as one change to a scenario shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from engine.decide import RULES, TABLES, run
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot
from tests.support.near_misses import LONG, changes, decides, starts
from tests.support.scenarios import FOLDER
from tests.support.variations import vary

FILE = FOLDER / "order"
HEAD = "# RULE over|goes on to|ends before OTHER | scenario, change.  By `make rewrite`."
OVER, GOES_ON, ENDS = " over ", " goes on to ", " ends before "
SILENT = " silent without "


@dataclass(frozen=True)
class Order:
    """In that snapshot `rule` speaks; `how` says what becomes of `other`."""

    rule: str
    how: str
    other: str
    start: str
    change: str  # empty: the scenario as it is

    @property
    def line(self) -> str:
        """As it is written in the file."""
        change = f", {self.change}" if self.change else ""
        return f"{self.rule}{self.how}{self.other} | {self.start}{change}"

    @property
    def snapshot(self) -> Snapshot:
        """The scenario with its change."""
        s = starts()[self.start]
        return vary(s, changes()[self.change]) if self.change else s


def holds(order: Order) -> bool:
    """Whether today's rules still speak in that order."""
    s, fired = order.snapshot, run(order.snapshot).fired
    if order.how == OVER:
        could = _all(RULES[order.other].when, s)
        return could and decides(_table(order.rule), s) == order.rule
    if order.how == SILENT:
        return not any(name.startswith(f"{order.rule}.") for name in fired)
    if order.how == GOES_ON:
        both = [name for name in fired if name in {order.rule, order.other}]
        return both == [order.rule, order.other]
    return fired[-1] == order.rule and order.other not in fired and _speaks(order.other, s)


def _table(rule: str) -> Table:
    return next(table for table in TABLES if table.name == rule.partition(".")[0])


def _all(facts: tuple[Fact, ...], s: Snapshot) -> bool:
    return all(fact.holds(s) for fact in facts)


def _speaks(rule: str, s: Snapshot) -> bool:
    return decides(_table(rule), s) == rule and bool(RULES[rule].then(s))


def _snapshots(*rules: Rule) -> Iterator[tuple[str, str, Snapshot]]:
    """The scenarios of these rules as they are, then with each change."""
    names = {rule.name for rule in rules}
    own = {name: s for name, s in starts().items() if name.split(" ")[0] in names}
    yield from ((name, "", s) for name, s in own.items())
    for name, s in own.items():
        yield from ((name, text, vary(s, change)) for text, change in changes().items())


def find() -> Iterator[Order]:
    """A line for whatever has one, in the order of the tables."""
    for table in TABLES:
        for fact in table.applies:
            yield from _short(_silent(table, fact))
        for rule, below in itertools.pairwise(table.rules):
            if below.when:
                yield from _short(_over(table, rule, below))
        for rule in table.rules:
            yield from _short(_ends(rule) if rule.ends else _goes_on(rule))
    for table, next_one in itertools.pairwise(TABLES):
        yield from _short(_before(table, next_one))


def _short(orders: Iterator[Order]) -> list[Order]:
    """The first whose line is short, else the first; none if there is none."""
    first = next(orders, None)
    if first is None or len(first.line) <= LONG:
        return [first] if first else []
    return [next((order for order in orders if len(order.line) <= LONG), first)]


def _acts(rule: Rule, s: Snapshot) -> bool:
    """Whether the rule gives actions; one that counts on what its table asks may raise instead."""
    try:
        return bool(rule.then(s))
    except (AssertionError, AttributeError):
        return True


def _silent(table: Table, without: Fact) -> Iterator[Order]:
    others = tuple(fact for fact in table.applies if fact is not without)
    above = {t.name for t in TABLES[: TABLES.index(table)]}
    for start, change, s in _snapshots(*table.rules):
        if without.holds(s) or not _all(others, s):
            continue
        last = run(s).fired[-1]
        if RULES[last].ends and last.partition(".")[0] in above:
            continue
        if _acts(next(rule for rule in table.rules if _all(rule.when, s)), s):
            yield Order(table.name, SILENT, without.name, start, change)


def _over(table: Table, rule: Rule, below: Rule) -> Iterator[Order]:
    both = {*rule.when, *below.when}
    if any(~fact in both for fact in both if not fact.negated):
        return
    for start, change, s in _snapshots(below, rule):
        if _all(below.when, s) and _all(rule.when, s) and decides(table, s) == rule.name:
            yield Order(rule.name, OVER, below.name, start, change)


def _goes_on(rule: Rule) -> Iterator[Order]:
    for start, change, s in _snapshots(rule):
        fired = run(s).fired
        if rule.name not in fired:
            continue
        for other in fired[fired.index(rule.name) + 1 :]:
            if RULES[other].then(s):
                yield Order(rule.name, GOES_ON, other, start, change)


def _ends(rule: Rule) -> Iterator[Order]:
    below = TABLES[TABLES.index(_table(rule.name)) + 1 :]
    for start, change, s in _snapshots(rule):
        if run(s).fired[-1] != rule.name:
            continue
        for table in below:
            other = decides(table, s)
            if other != "nothing" and RULES[other].then(s):
                yield Order(rule.name, ENDS, other, start, change)


def _before(table: Table, below: Table) -> Iterator[Order]:
    """Where both tables would act: the one above comes first, or alone."""
    for start, change, s in _snapshots(*table.rules, *below.rules):
        fired = {name.partition(".")[0]: name for name in run(s).fired}
        rule, other = fired.get(table.name), decides(below, s)
        if rule is None or other == "nothing" or not RULES[rule].then(s):
            continue
        if not _speaks(other, s):
            continue
        if other in fired.values():
            yield Order(rule, GOES_ON, other, start, change)
        elif RULES[rule].ends:
            yield Order(rule, ENDS, other, start, change)


def recorded() -> list[Order]:
    """The lines of the file."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return [_read(line) for line in lines if line and not line.startswith("#")]


def _read(line: str) -> Order:
    head, given = line.split(" | ", 1)
    how = next(word for word in (OVER, GOES_ON, ENDS, SILENT) if word in head)
    rule, other = head.split(how)
    start, _, change = given.partition(", ")
    return Order(rule, how, other, start, change)


def rewrite() -> None:
    """Find the lines again and write them down."""
    FILE.write_text("\n".join([HEAD, *(order.line for order in find())]) + "\n")
