"""The trees by which tables are run mean what the tables say, whatever the facts answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide import TABLES, TREES, USUAL
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot
from engine.trees import Tree, tree_of, tree_of_all
from tests.properties.strategies import STARTS, snapshots

EACH = tuple(map(tree_of, TABLES))


def read(table: Table, s: Snapshot) -> Rule | None:
    """The rule that reading the table from its top comes to; None if the table does not apply."""
    if not all(fact.holds(s) for fact in table.applies):
        return None
    return next(rule for rule in table.rules if all(fact.holds(s) for fact in rule.when))


def climb(tree: Tree, s: Snapshot) -> Rule | None:
    """The rule that the tree leads to."""
    return cast(Rule | None, end_of(tree, s))


def end_of(tree: Tree, s: Snapshot) -> object:
    """What is at the end of the tree that the snapshot leads to."""
    asks, yes, no = tree
    while asks is not None:
        asks, yes, no = yes if asks(s) else no
    return yes


def climb_all(tree: Tree, s: Snapshot) -> list[Rule]:
    """The rules that the trees lead to which the tree leads to."""
    trees = cast(tuple[Tree, ...], end_of(tree, s))
    return [rule for rule in (climb(tree, s) for tree in trees) if rule is not None]


def read_all(tables: Iterable[Table], s: Snapshot) -> list[Rule]:
    """The rules that reading all tables comes to."""
    return [rule for rule in (read(table, s) for table in tables) if rule is not None]


def name_of(fact: Fact) -> str:
    """What the fact asks, without the answer that it wants."""
    return fact.name.removeprefix("not ")


def with_facts(table: Table, change: Callable[[Fact], Fact]) -> Table:
    """The same table of other facts."""
    rules = tuple(replace(rule, when=tuple(map(change, rule.when))) for rule in table.rules)
    return replace(table, applies=tuple(map(change, table.applies)), rules=rules)


@given(snapshots())
def test_a_tree_leads_where_its_table_does(s: Snapshot) -> None:
    """For every snapshot, in every table, the tree comes to the rule that reading comes to."""
    for table, tree in zip(TABLES, EACH, strict=True):
        assert climb(tree, s) is read(table, s), table.name


@given(snapshots())
def test_all_trees_lead_where_all_tables_do(s: Snapshot) -> None:
    """What is asked once for all tables changes nothing."""
    assert climb_all(TREES, s) == read_all(TABLES, s)


class Answers:
    """Stands for the snapshot: answers by the tables' facts, drawn freely, and which were asked."""

    def __init__(self, *tables: Table) -> None:
        facts = [f for t in tables for f in (*t.applies, *(f for r in t.rules for f in r.when))]
        self._names = sorted({name_of(fact) for fact in facts})
        self._drawn: dict[str, bool] = {}
        self.asked: list[str] = []
        self._asks = {name: self._asking(name) for name in self._names}
        self.tables = tuple(with_facts(table, self.instead_of) for table in tables)
        self.tree = tree_of(self.tables[0])

    def instead_of(self, fact: Fact) -> Fact:
        """The same fact with a drawn answer."""
        return replace(fact, asks=self._asks[name_of(fact)])

    def _asking(self, name: str) -> Callable[[Snapshot], bool]:
        def asks(_: Snapshot) -> bool:
            self.asked.append(name)
            return self._drawn[name]

        return asks

    def draw(self, data: st.DataObject) -> None:
        """Let every fact have an answer, whether they go together or not."""
        bits = data.draw(st.integers(0, 2 ** len(self._names) - 1))
        self._drawn = {name: bool(bits >> n & 1) for n, name in enumerate(self._names)}
        self.asked.clear()


@pytest.mark.parametrize("answers", [Answers(x) for x in TABLES], ids=lambda x: x.tables[0].name)
@given(data=st.data())
def test_it_does_so_whatever_the_facts_answer(answers: Answers, data: st.DataObject) -> None:
    """Also for answers that no snapshot gives; and it asks nothing that reading would not ask."""
    answers.draw(data)
    expected = read(answers.tables[0], STARTS[0])
    by_reading = set(answers.asked)
    answers.asked.clear()
    assert climb(answers.tree, STARTS[0]) is expected
    assert by_reading.issuperset(answers.asked)


ALL = Answers(*TABLES)
FIRST = tuple(map(ALL.instead_of, USUAL))
ALL_TREES = tree_of_all(ALL.tables, FIRST)


@given(data=st.data())
def test_all_trees_do_so_too_and_ask_the_usual_once(data: st.DataObject) -> None:
    """The usual facts are asked first, up to the first that does not hold, and never again."""
    ALL.draw(data)
    expected = read_all(ALL.tables, STARTS[0])
    ALL.asked.clear()
    assert climb_all(ALL_TREES, STARTS[0]) == expected
    times = Counter(ALL.asked)
    for fact in FIRST:
        assert times[name_of(fact)] == 1
        if not fact.holds(STARTS[0]):
            break


def paths(tree: Tree, asked: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every way through a tree: what it asks, and the name of the rule at its end."""
    asks, yes, no = tree
    if asks is not None:
        so_far = (*asked, asks.__name__)
        yield from paths(yes, so_far)
        yield from paths(no, so_far)
    else:
        yield asked, "" if yes is None else yes.name


@pytest.mark.parametrize(
    "table", [table for table in TABLES if len(table.rules) < 20], ids=lambda table: table.name
)
def test_nothing_is_asked_twice_and_no_rule_is_lost(table: Table) -> None:
    """On no way through a tree a fact is asked again; every rule of the table is at some end."""
    found = set()
    for asked, rule in paths(tree_of(table)):
        assert not [name for name, times in Counter(asked).items() if times > 1]
        found.add(rule)
    assert found - {""} == {rule.name for rule in table.rules}
