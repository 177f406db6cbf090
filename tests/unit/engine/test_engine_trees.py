"""The trees by which tables are run, held against the tables as they are read."""

from __future__ import annotations

from collections.abc import Iterator

from engine.decide import TABLES, run
from engine.rule import Rule, Table
from engine.state import Snapshot
from tests.support.scenarios import all_scenarios


def read(table: Table, s: Snapshot) -> Rule | None:
    """The rule that reading the table from its top comes to; None if it does not apply."""
    if not all(fact.holds(s) for fact in table.applies):
        return None
    return next(rule for rule in table.rules if all(fact.holds(s) for fact in rule.when))


def fired(s: Snapshot) -> Iterator[str]:
    """The rules that reading the tables one after another comes to, up to one that ends it."""
    for table in TABLES:
        rule = read(table, s)
        if rule is not None:
            yield rule.name
            if rule.ends:
                return


def test_the_trees_decide_as_the_tables_are_read() -> None:
    """For every scenario the same rules, in the same order."""
    for scenario in all_scenarios():
        assert run(scenario.snapshot).fired == tuple(fired(scenario.snapshot)), scenario.rule
