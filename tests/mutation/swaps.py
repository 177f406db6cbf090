"""The quick trial: a function gets the mutant's code, or a table its rules, for a moment.

Nothing has to be loaded anew, so most mutants are killed within milliseconds.  What changes neither
a function nor the rules of a table, and whatever lives, is tried again from its source
(`trials`): a function may have been called when its module was loaded.
"""

from __future__ import annotations

import importlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

from engine import decide
from engine.rule import Fact, Table
from engine.trees import tree_of
from tests.mutation.checks import Check, all_checks, passes, runs
from tests.mutation.imports import module_name
from tests.mutation.mutants import ROOT, Mutant

SECONDS = 60  # of a check; without a mutant it takes milliseconds


class Timeout(BaseException):
    """A check did not end."""


# Their functions make what decides while modules are loaded.
MAKERS = frozenset({"engine.rule", "engine.trees", "engine.decide"})
UNTOUCHED = tuple(map(tree_of, decide.TABLES))
Answer = tuple[str, str]


class Swapper:
    """Tries mutants in this process."""

    def __init__(self) -> None:
        self._checks = all_checks()
        self._runs = runs(self._checks, str(ROOT / "engine"))
        signal.signal(signal.SIGALRM, _interrupt)

    def killer(self, mutant: Mutant, former: str = "") -> Answer | None:
        """(the stage, the check) that notices, both empty when nobody does; None: not to be told.

        The check `former`, which noticed this mutant before, is asked first.  A function that no
        check runs, or that makes rules, may have done its work already.
        """
        module = importlib.import_module(module_name(mutant.module))
        function = functions_of(module).get(mutant.function)
        path = str(module.__file__)
        if function is not None:
            numbers = self._running(function.__code__)
            if function.__code__ not in self._runs or module.__name__ in MAKERS:
                return None
            code = code_of(compile(mutant.source, path, "exec"), mutant)
            with swapped(function, code):
                found = self._ask(self._first(former, numbers))
        elif not mutant.function and module.__name__.startswith("engine.tables."):
            if not _is_in_a_table(mutant, module):
                return (
                    None  # a number that functions read as well, rules that others make tables of
                )
            try:
                changed = _executed(module, mutant.source)
            except Exception as error:
                return "loading", f"{type(error).__name__}: {error}"
            table = mutant.module.rpartition("/")[2].removesuffix(".py")
            with _rules_of(module, changed):
                found = self._ask(self._first(former, self._near(table)))
        else:
            return None
        if found is None:
            return "", ""
        if not passes(found[1]):
            raise RuntimeError(f"{mutant.name} was not taken back: {found[1].name} fails")
        return found[0] or found[1].stage, found[1].name

    def _first(self, name: str, numbers: list[int]) -> list[int]:
        return sorted(numbers, key=lambda n: self._checks[n].name != name)

    def _near(self, table: str) -> list[int]:
        names = [check.name for check in self._checks]
        return sorted(range(len(names)), key=lambda n: not names[n].startswith(table))

    def _running(self, code: CodeType) -> list[int]:
        inner = [x for x in self._runs if x is code or x in nested(code)]
        return sorted({number for x in inner for number in self._runs[x]})

    def _ask(self, numbers: list[int]) -> tuple[str, Check] | None:
        for number in numbers:
            check = self._checks[number]
            signal.alarm(SECONDS)
            try:
                if not passes(check):
                    return "", check
            except Timeout:
                return "the time limit", check
            finally:
                signal.alarm(0)
        return None


def _is_in_a_table(mutant: Mutant, module: ModuleType) -> bool:
    tables = {name: x for name, x in vars(module).items() if isinstance(x, Table)}
    return mutant.place in tables or any(
        rule.name == mutant.place for table in tables.values() for rule in table.rules
    )


def _interrupt(*_: object) -> None:
    raise Timeout


def functions_of(module: ModuleType) -> dict[str, FunctionType]:
    """The functions and methods of a module by their names; a fact's is what it asks."""
    values = [x.asks if isinstance(x, Fact) else x for x in vars(module).values()]
    values += [member for x in values if isinstance(x, type) for member in vars(x).values()]
    values = [x.fget if isinstance(x, property) else x for x in values]
    functions = [x for x in values if isinstance(x, FunctionType)]
    return {x.__qualname__: x for x in functions if x.__module__ == module.__name__}


def nested(code: CodeType) -> list[CodeType]:
    """The code objects within that one."""
    inner = [x for x in code.co_consts if isinstance(x, CodeType)]
    return [*inner, *(y for x in inner for y in nested(x))]


def code_of(module: CodeType, mutant: Mutant) -> CodeType:
    """The code of the function that the mutant changes, in its module's."""
    found = [x for x in nested(module) if x.co_qualname == mutant.function]
    return found[-1]


@contextmanager
def swapped(function: FunctionType, code: CodeType) -> Iterator[None]:
    """Let the function have that code for as long as a block lasts."""
    before = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = before


def _executed(module: ModuleType, source: str) -> ModuleType:
    changed = ModuleType(module.__name__)
    changed.__file__ = module.__file__
    exec(compile(source, module.__file__ or "", "exec"), vars(changed))
    return changed


@contextmanager
def _rules_of(module: ModuleType, changed: ModuleType) -> Iterator[None]:
    """Put the rules of the changed module's tables where the decision reads them."""
    rules, before_all = dict(decide.RULES), decide.TREES
    tables = [(x, getattr(changed, n)) for n, x in vars(module).items() if isinstance(x, Table)]
    before = [(table, table.applies, table.rules) for table, _ in tables]
    for table, new in tables:
        _set(table, new.applies, new.rules)
        for rule in new.rules:
            decide.RULES[rule.name] = rule
    for name in set(rules) - {rule.name for table in decide.TABLES for rule in table.rules}:
        del decide.RULES[name]
    touched = {id(table) for table, _ in tables}
    trees = (
        tree_of(table) if id(table) in touched else tree
        for table, tree in zip(decide.TABLES, UNTOUCHED, strict=True)
    )
    decide.TREES = (None, tuple(trees), None)
    try:
        yield
    finally:
        for table, applies, old in before:
            _set(table, applies, old)
        decide.TREES = before_all
        decide.RULES.clear()
        decide.RULES.update(rules)


def _set(table: Table, applies: Any, rules: Any) -> None:
    object.__setattr__(table, "applies", applies)
    object.__setattr__(table, "rules", rules)
