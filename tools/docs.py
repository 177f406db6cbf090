"""Write docs/decision-table.md from the rules and their scenarios: `python -m tools.docs`.

Belongs here: turning the rule objects into a page. Must not: add anything that the rules and the
scenarios do not say. A test compares the page with what this module would write.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, get_args

from engine import actions
from engine.decide import TABLES
from engine.rule import Fact, Rule, Table
from tests.support.scenarios import all_scenarios

PAGE = Path(__file__).resolve().parent.parent / "docs" / "decision-table.md"
INTRODUCTION = """\
# The decision table

Written by `make docs` from the rules in `engine/tables/`; do not edit.

In every cycle the tables are asked in this order, safety first. A table whose condition does not
hold is passed over. In a table, the first rule whose facts all hold gives the actions; a rule
marked **ends** leaves the tables below it for the next cycle. `hae explain` names the rules that
decided, with what their facts saw. The facts are described at the end.

*Then* names the actions that a rule may give, *shown by* what its scenario promises, and what was
decided there; the scenarios are in `tests/scenarios/`. A test proves for every rule that its
scenario reaches it, so none is hidden by those above it, and for every fact that some decision
depends on it (`tests/scenarios/near-misses`).
"""


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    print(f"wrote {PAGE}")


def page() -> str:
    """Return the whole page."""
    overview = ["| | table | question |", "|---|---|---|"]
    overview += [
        f"| {place} | [{table.name}](#{table.name}) | {table.question} |"
        for place, table in enumerate(TABLES, start=1)
    ]
    tables = [section(table) for table in TABLES]
    return "\n".join([INTRODUCTION, *overview, "", *tables, facts_section()])


def section(table: Table) -> str:
    """Return one table's section: its rules in order."""
    lines = [f"## {table.name}", "", table.question, ""]
    if table.applies:
        lines += [f"Asked only when {names(table.applies)}.", ""]
    lines += ["| | rule | when | then | why | shown by |", "|---|---|---|---|---|---|"]
    for place, rule in enumerate(table.rules, start=1):
        ends = " **ends**" if rule.ends else ""
        cells = (
            f"`{rule.name}`{ends}<br>{rule.title}",
            names(rule.when) or "otherwise",
            ", ".join(f"`{name}`" for name in given_actions(rule)) or "nothing",
            rule.why,
            "<br>".join(shown_by(rule)) or "no scenario: no snapshot reaches it",
        )
        lines.append(
            f"| {place} | " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def shown_by(rule: Rule) -> list[str]:
    """Return what each scenario of the rule promises, and what the rule did in the first one."""
    own = [scenario for scenario in all_scenarios() if scenario.rule == rule.name]
    shown = [scenario.promise for scenario in own]
    if own:
        recorded = (line.partition(": ") for line in own[0].expected)
        shown[0] += "".join(
            f" *{done}*" for name, _, done in recorded if name == rule.name and done != "nothing"
        )
    return shown


def names(facts: tuple[Fact, ...]) -> str:
    """Return the facts as text; a negated one reads `not ...`."""
    return ", ".join(f"`{fact.name}`" for fact in facts)


def facts_section() -> str:
    """Return every fact that a rule asks, with its own words."""
    found: dict[str, str] = {}
    for table in TABLES:
        for facts in (table.applies, *(rule.when for rule in table.rules)):
            for fact in facts:
                found[fact.name.removeprefix("not ")] = " ".join(fact.doc.split())
    lines = ["## Facts", "", "| fact | holds when |", "|---|---|"]
    lines += [f"| `{name}` | {found[name]} |" for name in sorted(found)]
    return "\n".join(lines) + "\n"


def given_actions(rule: Rule) -> list[str]:
    """Return the names of the actions that a rule's function can construct, sorted."""
    known = {action.__name__ for action in get_args(actions.Action)}
    return sorted(known & set(_mentioned(rule.then, set())))


def _mentioned(function: Callable[..., Any], seen: set[int]) -> Iterator[str]:
    """Yield the names of classes that a function uses, through the engine's own helpers."""
    function = inspect.unwrap(getattr(function, "func", function))
    if not isinstance(function, FunctionType) or id(function) in seen:
        return
    seen.add(id(function))
    reachable = [function.__globals__.get(name) for name in _global_names(function.__code__)]
    reachable += [cell.cell_contents for cell in function.__closure__ or ()]
    for value in reachable:
        if isinstance(value, type):
            yield value.__name__
        elif callable(value) and getattr(value, "__module__", "").startswith("engine"):
            yield from _mentioned(value, seen)


def _global_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


if __name__ == "__main__":
    main()
