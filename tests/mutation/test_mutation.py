"""The mutants are what they say they are, and a sample of them is killed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cosmic_ray.ast import ast_nodes

from tests.mutation.imports import graph, reached
from tests.mutation.mutants import Mutant, modules, mutants, parsed
from tests.mutation.operators import OURS, operators
from tests.mutation.survivors import reasons
from tests.mutation.swaps import Swapper

SAMPLE = 40

EXAMPLES: tuple[tuple[str, str, list[str]], ...] = (
    ("DropFact", "Rule(when=(a, ~b))", ["without a", "without ~b"]),
    ("NegateFact", "Rule(when=(a, ~b))", ["opposite of a", "opposite of ~b"]),
    (
        "DropRule",
        'Table(rules=(Rule("t.a"), Rule("t.b"), Rule("t.c")))',
        ["without t.a", "without t.b"],
    ),
    (
        "SwapRules",
        'Table(rules=(Rule("t.a"), Rule("t.b"), Rule("t.c")))',
        ["t.b before t.a"],
    ),
    ("DropTable", "TABLES: tuple[Table, ...] = (A, B)", ["without A", "without B"]),
    ("SwapTables", "TABLES: tuple[Table, ...] = (A, B)", ["B before A"]),
    ("EndsTooEarly", "Rule('t.a', when=(), then=f, why='x')", ["ends the cycle"]),
    ("EndsTooEarly", "Rule('t.a', when=(), then=f, why='x', ends=True)", []),
    ("DropAction", "x = (Stop(1), *more)", ["without Stop(1)", "without *more"]),
    ("DropElement", "x in {1, 2}", ["without 1", "without 2"]),
    ("DropEntry", "x = {'a': 1}", ["without 'a': 1"]),
    ("DropTerm", "a and b", ["`a and b` without `a`", "`a and b` without `b`"]),
    ("SkipIf", "if a:\n    b()\n", ["`if a` is never so"]),
    ("NegateMembership", "a not in b", ["opposite of `a not in b`"]),
    ("NegateReturn", "def f() -> bool:\n    return g()\n", ["opposite of `return g()`"]),
    ("SwapBuiltin", "x = min(a, b)", ["max for `min(a, b)`"]),
)


@pytest.mark.parametrize(("operator", "source", "labels"), EXAMPLES)
def test_an_operator_says_what_it_changes(operator: str, source: str, labels: list[str]) -> None:
    """Each change once, in words that do not hang on where it stands."""
    one = operators()[operator]
    nodes = [node for node in ast_nodes(parsed(source)) if node.parent is not None]
    places = [(node, n) for node in nodes for n, _ in enumerate(one.mutation_positions(node))]
    assert [one.label(node, n) for node, n in places] == labels


def test_every_operator_of_ours_has_an_example() -> None:
    """So that none of them silently finds nothing."""
    assert {x.__name__ for x in OURS} == {operator for operator, _, _ in EXAMPLES}


@pytest.fixture(scope="module")
def everything() -> dict[str, tuple[Path, Mutant]]:
    """Every mutant by its name."""
    return {mutant.name: (path, mutant) for path in modules() for mutant in mutants(path)}


def test_names_tell_mutants_apart(everything: dict[str, tuple[Path, Mutant]]) -> None:
    """A reason is for one mutant; and every reason is for one that there is."""
    names = [mutant.name for mutant in mutants(modules()[0])]
    assert len(names) == len(set(names))
    assert [name for name in reasons() if name not in everything] == []


def test_every_mutant_of_a_sample_is_another_program(
    everything: dict[str, tuple[Path, Mutant]],
) -> None:
    """It compiles, and differs from the engine."""
    for path, mutant in random.Random(1).sample(list(everything.values()), SAMPLE):
        compile(mutant.source, str(path), "exec")
        assert mutant.source != path.read_text()


def test_most_mutants_of_a_sample_are_killed(everything: dict[str, tuple[Path, Mutant]]) -> None:
    """By the quick checks alone; each is taken back afterwards, else the next one would not run."""
    swapper = Swapper()
    drawn = random.Random(1).sample(list(everything.values()), SAMPLE)
    told = [answer for _, mutant in drawn if (answer := swapper.killer(mutant)) is not None]
    assert len(told) > SAMPLE / 2
    assert sum(bool(stage) for stage, _ in told) > 0.8 * len(told)


def test_what_depends_on_a_module_is_known() -> None:
    """A mutant of a fact's module is loaded before the tables that import it."""
    assert "engine.facts.lease" in graph()["engine.tables.safety"]
    assert "engine.facts.lease" in reached("engine.decide")
    assert "engine.decide" not in reached("engine.facts.lease")
