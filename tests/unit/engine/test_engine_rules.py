"""The rules as data: names, questions, reasons and facts are well told."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

import pytest

from engine import facts as facts_folder
from engine.decide import RULES, TABLES
from engine.rule import Fact, Rule, Table, nothing


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_tables_and_rules_are_told_in_sentences(table: Table) -> None:
    """A table asks a question, a rule has a title and a reason, a fact says what it asks."""
    assert table.question.endswith("?")
    for rule in table.rules:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", rule.name)
        assert rule.title
        assert not rule.title.endswith(".")
        assert rule.why.endswith("."), rule.name
        assert len({fact.name for fact in rule.when}) == len(rule.when), rule.name
    for fact in (*table.applies, *(fact for rule in table.rules for fact in rule.when)):
        assert fact.doc.strip().split("\n")[0].endswith((".", ":")), fact.name


def test_every_fact_is_asked() -> None:
    """No fact is left over that no rule asks any more."""
    asked = {
        fact.name.removeprefix("not ")
        for table in TABLES
        for facts in (table.applies, *(rule.when for rule in table.rules))
        for fact in facts
    }
    modules = [import_module(f"engine.facts.{m.name}") for m in iter_modules(facts_folder.__path__)]
    found = {x.name for module in modules for x in vars(module).values() if isinstance(x, Fact)}
    assert not found - asked


def test_facts_have_one_meaning() -> None:
    """No two facts share a name."""
    seen: dict[str, str] = {}
    for rule in RULES.values():
        for fact in rule.when:
            assert seen.setdefault(fact.name.removeprefix("not "), fact.doc) == fact.doc


def test_a_rule_is_named_after_its_table() -> None:
    """A table with a rule of another one's name is refused when it is made."""
    rule = Rule("other.one", "A title", when=(), then=nothing, why="A reason.")
    with pytest.raises(AssertionError, match="other"):
        Table("mine", "A question?", applies=(), rules=(rule,))
