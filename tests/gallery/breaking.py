"""How the engine is broken on purpose: a fact, a rule, a function, for as long as a block lasts.

Belongs here: small ways to change the rules and to put them back.  Facts, rules and tables are
frozen values that many modules hold, so they are changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from engine import decide
from engine import facts as facts_folder
from engine.actions import Action
from engine.decide import RULES, TABLES
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot
from engine.trees import tree_of_all

Breaking = Callable[[], AbstractContextManager[object]]


@contextmanager
def _changed(thing: object, field: str, value: object) -> Iterator[None]:
    before = getattr(thing, field)
    _set(thing, field, value)
    try:
        yield
    finally:
        _set(thing, field, before)


def _set(thing: object, field: str, value: object) -> None:
    object.__setattr__(thing, field, value)
    decide.TREES = tree_of_all(TABLES)


def _facts(name: str) -> list[Fact]:
    """Every copy of that fact: in its module, and in each rule that asks it or its negation."""
    modules = [import_module(f"engine.facts.{m.name}") for m in iter_modules(facts_folder.__path__)]
    asked = [x for module in modules for x in vars(module).values() if isinstance(x, Fact)]
    for table in TABLES:
        for facts in (table.applies, *(rule.when for rule in table.rules)):
            asked += facts
    found = {id(x): x for x in asked if x.name.removeprefix("not ") == name}
    assert found, name
    return list(found.values())


def _table_of(rule: Rule) -> Table:
    return next(table for table in TABLES if rule in table.rules)


def fact_is(name: str, asks: Callable[[Snapshot], bool]) -> Breaking:
    """The fact asks something else."""

    @contextmanager
    def broken() -> Iterator[None]:
        with ExitStack() as stack:
            for fact in _facts(name):
                stack.enter_context(_changed(fact, "asks", asks))
            yield

    return broken


def rule_without(name: str, *facts: str) -> Breaking:
    """The rule no longer asks these facts."""
    rule = RULES[name]
    kept = tuple(fact for fact in rule.when if fact.name not in facts)
    assert len(kept) == len(rule.when) - len(facts), name
    return lambda: _changed(rule, "when", kept)


def rule_also_asks(name: str, fact: Fact) -> Breaking:
    """The rule fires only if that fact holds too."""
    rule = RULES[name]
    return lambda: _changed(rule, "when", (*rule.when, fact))


def no_rule(*names: str) -> Breaking:
    """These rules, of one table, are missing."""
    table = _table_of(RULES[names[0]])
    kept = tuple(rule for rule in table.rules if rule.name not in names)
    assert len(kept) == len(table.rules) - len(names), names
    return lambda: _changed(table, "rules", kept)


def rule_before(name: str, other: str) -> Breaking:
    """The rule stands above the other, which should come first."""
    rule, table = RULES[name], _table_of(RULES[name])
    rest = [x for x in table.rules if x is not rule]
    at = rest.index(RULES[other])
    assert at < table.rules.index(rule), "it stands there already"
    return lambda: _changed(table, "rules", (*rest[:at], rule, *rest[at:]))


def rule_gives(name: str, then: Callable[[Snapshot], Sequence[Action]]) -> Breaking:
    """The rule gives other actions."""
    return lambda: _changed(RULES[name], "then", then)


def rule_reverses(name: str) -> Breaking:
    """The rule gives its actions in the opposite order."""
    rule = RULES[name]
    before = rule.then
    return lambda: _changed(rule, "then", lambda s: tuple(before(s))[::-1])


def function_is(module: Any, name: str, wrong: Callable[[Callable[..., Any]], Any]) -> Breaking:
    """A function of a module, or a method, is another one, made of the right one by `wrong`."""

    @contextmanager
    def broken() -> Iterator[None]:
        right = getattr(module, name)
        setattr(module, name, wrong(right))
        try:
            yield
        finally:
            setattr(module, name, right)

    return broken


def all_of(*breakings: Breaking) -> Breaking:
    """Several of these at once."""

    @contextmanager
    def broken() -> Iterator[None]:
        with ExitStack() as stack:
            for breaking in breakings:
                stack.enter_context(breaking())
            yield

    return broken
