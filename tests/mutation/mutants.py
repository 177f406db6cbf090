"""Which mutants there are: every change of every operator, but for what decides nothing.

Belongs here: the walk through a module, and what is left out by rule (`out_of_scope`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes

from tests.mutation.operators import Ours, code, items, named, operators

ROOT = Path(__file__).resolve().parent.parent.parent
# The most dangerous modules first: a run that is cut short has seen those.
FIRST = (
    *("quorum", "synchronous", "facts/lease", "facts/race", "tables/safety", "tables/lock"),
    *(
        "tables/note",
        "tables/race",
        "tables/primary",
        "tables/standby",
        "tables/down",
        "tables/sync",
        "tables/failsafe",
    ),
    *("facts/failsafe", "facts/sync", "facts/postgres", "agreement", "views", "candidates"),
    *("lineage", "upstreams"),
)
_TEXTS = frozenset({"title", "why", "question"})
_UNMUTATED = frozenset(
    {"import_name", "import_from", "assert_stmt", "decorator", "fstring", "raise_stmt"}
)


@dataclass(frozen=True)
class Mutant:
    """One change of one module; `name` tells it from all others, also when lines move."""

    module: str  # engine/quorum.py
    line: int
    place: str  # the function, or the rule
    function: str  # what it is in, such as `Cluster.member`; empty outside of functions
    operator: str
    label: str
    number: int  # of those that look alike
    change: tuple[int, int, str]  # from where to where in the module, and what stands there
    digest: str  # of the function, class or table that it changes, as that is without it

    @property
    def name(self) -> str:
        """Such as `engine/quorum.py keeps: SkipIf: ...`."""
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.module} {self.place}: {self.operator}: {self.label}{again}"

    @property
    def source(self) -> str:
        """The whole module with the change."""
        source, (first, last, text) = (ROOT / self.module).read_text(), self.change
        return source[:first] + text + source[last:]


def modules() -> list[Path]:
    """The modules of the engine, the most dangerous first."""
    found = sorted(x for x in (ROOT / "engine").rglob("*.py") if x.name != "__init__.py")
    places = {ROOT / f"engine/{name}.py": n for n, name in enumerate(FIRST)}
    return sorted(found, key=lambda x: (places.get(x, len(places)), x))


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module that is in scope."""
    source = path.read_text()
    lines, tree = source.splitlines(), parsed(source)
    offsets = [0, *accumulate(len(line) + 1 for line in lines)]
    nodes = [node for node in ast_nodes(tree) if not out_of_scope(node, path)]
    seen: Counter[tuple[str, str, str]] = Counter()
    for name, operator in operators().items():
        for node in nodes:
            for index, (start, _) in enumerate(operator.mutation_positions(node)):
                ours = isinstance(operator, Ours)
                if _is_type_expression(node) or (ours and operator.same(node, index)):
                    continue
                if name == "AddNot" and ":=" in code(node.children[1]):
                    continue  # no program
                label = operator.label(node, index) if ours else ""
                change = _change(offsets, node, operator, index)
                label = label or _line_label(lines, source, change, start[0])
                place = _place(node)
                seen[place, name, label] += 1
                number = seen[place, name, label]
                module = path.relative_to(ROOT).as_posix()
                where = (module, start[0], place, _function(node))
                yield Mutant(*where, name, label, number, change, digest(node))


def parsed(source: str) -> Any:
    """The tree of a module's source, with its spaces and comments."""
    return parso.parse(source)  # type: ignore[no-untyped-call]


def _change(offsets: list[int], node: Any, operator: Any, index: int) -> tuple[int, int, str]:
    """Where a module changes, and to what; the tree is as before afterwards."""
    parts = list(ast_nodes(node))
    values = [(x, x.value) for x in parts if not hasattr(x, "children")]
    children = [(x, list(x.children)) for x in parts if hasattr(x, "children")]
    (line, column), (last_line, last_column) = node.start_pos, node.end_pos
    changed = operator.mutate(node, index)
    text = node.get_code(include_prefix=False) if changed is node else ""
    text = text or ("" if changed is None else changed.get_code().strip())
    for x, value in values:
        x.value = value
    for x, before in children:
        x.children = before
    first, last = offsets[line - 1] + column, offsets[last_line - 1] + last_column
    return first, last, text


def _line_label(lines: list[str], source: str, change: tuple[int, int, str], line: int) -> str:
    old, (first, last, text) = lines[line - 1].strip(), change
    mutated = source[:first] + text + source[last:]
    new = mutated.split("\n", line)[line - 1]
    return f"`{old}` -> `{' '.join(new.split())}`"


def digest(node: Any) -> str:
    """What tells whether the statement of the module that a node is in is still the same."""
    while node.parent.parent is not None:
        node = node.parent
    return hashlib.sha256(node.get_code(include_prefix=False).encode()).hexdigest()[:16]


def _function(node: Any) -> str:
    """The qualified name of the outermost function that a node is in."""
    names: list[str] = []
    while node is not None:
        if node.type == "funcdef":
            names = [str(node.name.value)]
        elif node.type == "classdef":
            names = [str(node.name.value), *names] if names else []
        node = node.parent
    return ".".join(names)


def _place(node: Any) -> str:
    """The rule or the function that a node belongs to; else what its statement begins with."""
    top = node
    while node.parent is not None:
        if node.type == "trailer" and node.children[1].type == "arglist":
            first = node.children[1].children[0]
            if first.type == "string" and "." in first.value:
                return str(first.value.strip('"'))
        if node.type in {"funcdef", "classdef"}:
            return str(node.name.value)
        top, node = node, node.parent
    return code(top).partition(" ")[0].partition(":")[0]


def out_of_scope(node: Any, path: Path) -> bool:
    """Whether a node decides nothing: texts, types, assertions, imports, what `explain` shows."""
    if node.parent is None:
        return True
    at = node
    while at is not None:
        if at.type in _UNMUTATED or named(at) in _TEXTS or _is_annotation(at):
            return True
        if at.type == "funcdef" and at.annotation is not None:
            shows = code(at.annotation) == "str" and path.parent.name == "facts"
            if shows:
                return True
        at = at.parent
    return False


def _is_annotation(node: Any) -> bool:
    parent = node.parent
    if parent is None:
        return False
    if parent.type == "annassign":
        return parent.children[1] is node
    if parent.type == "tfpdef":
        return parent.children[0] is not node
    return parent.type == "funcdef" and parent.annotation is node


def _is_type_expression(node: Any) -> bool:
    """Whether `|` stands between types: a union, not a set."""
    if node.type != "operator" or node.value != "|":
        return False
    names = [code(x) for x in node.parent.children[::2]]
    return all(x[0].isupper() for x in names)


__all__ = ["ROOT", "Mutant", "items", "modules", "mutants"]
