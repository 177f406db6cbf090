"""What a mutant changes: cosmic-ray's operators, and ours for rules and for conditions.

Belongs here: the list of operators.  Ours keep cosmic-ray's interface: `mutation_positions` yields
a place for each change of a node, `mutate` makes one of them.  A rule is data, so what can be wrong
with it is a fact too few, a fact turned round, a rule that is missing or in the wrong order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.python.tree import Name

Place = tuple[tuple[int, int], tuple[int, int]]

# Of cosmic-ray's operators those whose mutants say something.  A comparison becomes its opposite,
# or includes or leaves out the limit; `is` for `==`, `+` for `-` on sets and the like only raise.
CORE = (
    *(f"ReplaceComparisonOperator_{x}" for x in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceComparisonOperator_{x}" for x in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt")),
    *(f"ReplaceComparisonOperator_{x}" for x in ("Lt_GtE", "LtE_Gt", "Gt_LtE", "GtE_Lt")),
    *(f"ReplaceBinaryOperator_{x}" for x in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul")),
    *(f"ReplaceBinaryOperator_{x}" for x in ("BitOr_BitAnd", "BitAnd_BitOr")),
    *(f"ReplaceBinaryOperator_{x}" for x in ("RShift_LShift", "LShift_RShift", "FloorDiv_Mul")),
    *(f"ReplaceUnaryOperator_Delete_{x}" for x in ("Not", "USub")),
    *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    "ExceptionReplacer",
)


def code(node: Any) -> str:
    """The text of a node on one line."""
    return " ".join(node.get_code().split())


def named(node: Any) -> str:
    """The keyword of an argument, such as `when` of `when=(...)`; empty for anything else."""
    if node is not None and node.type == "argument" and code(node.children[1]) == "=":
        return str(node.children[0].value)
    return ""


def items(display: Any) -> list[str]:
    """The items of a tuple, list, set or dict display, as text; empty for anything else."""
    if display.type != "atom" or len(display.children) != 3:
        return []
    inner = display.children[1]
    if inner.type not in {"testlist_comp", "dictorsetmaker"}:
        return []
    if any(child.type in {"sync_comp_for", "comp_for"} for child in inner.children):
        return []
    found = [""]
    for child in inner.children:
        if child.type == "operator" and child.value == ",":
            found.append("")
        else:
            found[-1] += child.get_code()
    return [item.strip() for item in found if item.strip()]


def leaf(at: Any, text: str) -> Any:
    """A node of that text in the place of another one; not parsed, since it is only written."""
    return Name(text, at.start_pos, prefix=" ")


def display_of(like: Any, parts: Sequence[str]) -> Any:
    """A display with the brackets of that one, and with these items."""
    opening, closing = like.children[0].value, like.children[-1].value
    if opening == "{" and not parts and ":" not in code(like):
        return leaf(like, "set()")
    return leaf(like, f"{opening}{''.join(parts_of(parts))}{closing}")


def parts_of(parts: Sequence[str]) -> Iterator[str]:
    """Each item with its comma, on lines of their own, since an item may have a comment."""
    return (f"\n{part},\n" for part in parts)


class Ours(Operator):  # type: ignore[misc]
    """An operator that says in words what it changed."""

    def label(self, node: Any, index: int) -> str:
        """What the mutant is, for people; stable when lines move."""
        raise NotImplementedError

    def same(self, node: Any, index: int) -> bool:
        """Whether the mutant is provably the same as the engine, and so is none."""
        return False

    @classmethod
    def examples(cls) -> Any:
        """None: tests/mutation/test_mutation.py has them."""
        return ()


class _Items(Ours):
    """Changes one item of a display."""

    verb = "without"

    def wanted(self, node: Any) -> int:
        """How many of the items, from the first, are changed; 0 for another display."""
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        for _ in range(self.wanted(node) if node.type == "atom" else 0):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        parts = items(node)
        return display_of(node, self.changed(parts, index))

    def changed(self, parts: list[str], index: int) -> list[str]:
        """The items of the mutant."""
        return parts[:index] + parts[index + 1 :]

    def label(self, node: Any, index: int) -> str:
        item = " ".join(items(node)[index].split())
        return f"{self.verb} {item if len(item) < 90 else item[:90] + '...'}"


class DropFact(_Items):
    """A rule, or a table, does not ask one of its facts."""

    def wanted(self, node: Any) -> int:
        return len(items(node)) if named(node.parent) in {"when", "applies"} else 0


class NegateFact(Ours):
    """A rule asks for the opposite of one of its facts."""

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        display = node.parent if node.parent and node.parent.type == "atom" else node.parent.parent
        asked = display is not None and named(display.parent) in {"when", "applies"}
        if asked and node.type in {"name", "factor"} and code(node) in items(display):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        fact = node.get_code()
        return leaf(node, fact.strip()[1:] if node.type == "factor" else f"~{fact.strip()}")

    def label(self, node: Any, index: int) -> str:
        return f"opposite of {code(node)}"


def _facts_of(rule: str) -> set[str]:
    when = rule.partition("when=(")[2].partition(")")[0]
    return set(when.replace(",", " ").split())


def _rule_name(text: str) -> str:
    return text.partition('"')[2].partition('"')[0] or text


class DropRule(_Items):
    """A table lacks a rule; the last one has to stay."""

    def wanted(self, node: Any) -> int:
        return max(0, len(items(node)) - 1) if named(node.parent) == "rules" else 0

    def label(self, node: Any, index: int) -> str:
        return f"without {_rule_name(items(node)[index])}"


class SwapRules(_Items):
    """Two neighbouring rules of a table change places; the last one stays the last."""

    def wanted(self, node: Any) -> int:
        return max(0, len(items(node)) - 2) if named(node.parent) == "rules" else 0

    def same(self, node: Any, index: int) -> bool:
        """Rules of which one asks for the opposite of what the other asks never meet."""
        both = set().union(*map(_facts_of, items(node)[index : index + 2]))
        return any(f"~{fact}" in both for fact in both)

    def changed(self, parts: list[str], index: int) -> list[str]:
        return [*parts[:index], parts[index + 1], parts[index], *parts[index + 2 :]]

    def label(self, node: Any, index: int) -> str:
        one, other = map(_rule_name, items(node)[index : index + 2])
        return f"{other} before {one}"


def _is_tables(node: Any) -> bool:
    parent = node.parent
    return parent.type == "annassign" and code(parent.parent.children[0]) == "TABLES"


class DropTable(_Items):
    """A table is not run."""

    def wanted(self, node: Any) -> int:
        return len(items(node)) if _is_tables(node) else 0


class SwapTables(_Items):
    """Two neighbouring tables are run in the other order."""

    def wanted(self, node: Any) -> int:
        return max(0, len(items(node)) - 1) if _is_tables(node) else 0

    def changed(self, parts: list[str], index: int) -> list[str]:
        return [*parts[:index], parts[index + 1], parts[index], *parts[index + 2 :]]

    def label(self, node: Any, index: int) -> str:
        one, other = items(node)[index : index + 2]
        return f"{other} before {one}"


class EndsTooEarly(Ours):
    """A rule ends the cycle although the tables below have to speak."""

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        if self._is_rule(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        text = node.get_code().rstrip()[:-1].rstrip().rstrip(",")
        return leaf(node, f"{text.strip()}, ends=True)")

    def label(self, node: Any, index: int) -> str:
        return "ends the cycle"

    @staticmethod
    def _is_rule(node: Any) -> bool:
        if node.type != "trailer" or node.children[1].type != "arglist":
            return False
        keywords = {named(x) for x in node.children[1].children}
        return {"when", "then", "why"} <= keywords and "ends" not in keywords


class DropAction(_Items):
    """A rule does not give one of its actions."""

    def wanted(self, node: Any) -> int:
        parts = items(node)
        made = any(x[0].isupper() and "(" in x for x in parts)
        given = node.children[0].value == "(" and named(node.parent) != "rules"
        return len(parts) if made and given else 0


class DropElement(_Items):
    """One of the values that a value is compared with is missing."""

    def wanted(self, node: Any) -> int:
        if node.parent.type != "comparison" or node.parent.children[0] is node:
            return 0
        parts = items(node)
        return len(parts) if len(parts) > 1 and "in" in code(node.parent.children[1]) else 0


class DropEntry(_Items):
    """One entry of a dict is missing: not remembered, not published."""

    def wanted(self, node: Any) -> int:
        return len(items(node)) if node.children[0].value == "{" and ":" in code(node) else 0


class DropTerm(Ours):
    """One term of `and` or `or` is missing."""

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        if node.type in {"and_test", "or_test"}:
            for _ in node.children[::2]:
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        terms = [x.get_code().strip() for x in node.children[::2]]
        word = node.children[1].value
        kept = f" {word} ".join(terms[:index] + terms[index + 1 :])
        return leaf(node, f"({kept})")

    def label(self, node: Any, index: int) -> str:
        return f"`{code(node)}` without `{code(node.children[2 * index])}`"


class SkipIf(Ours):
    """What an `if` guards is never done."""

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        if node.type == "if_stmt":
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = leaf(node.children[1], "False")
        return node

    def label(self, node: Any, index: int) -> str:
        return f"`if {code(node.children[1])}` is never so"


class NegateMembership(Ours):
    """`in` becomes `not in`, and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        if node.type == "comparison" and code(node.children[1]) in {"in", "not in"}:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        word = "in" if code(node.children[1]) == "not in" else "not in"
        node.children[1] = leaf(node.children[1], word)
        return node

    def label(self, node: Any, index: int) -> str:
        return f"opposite of `{code(node)}`"


class NegateReturn(Ours):
    """A function that answers yes or no answers the opposite."""

    SIMPLE = frozenset({"comparison", "not_test", "keyword"})

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        if node.type != "return_stmt" or node.children[1].type in self.SIMPLE:
            return
        at = node
        while at is not None and at.type != "funcdef":
            at = at.parent
        if at is not None and at.annotation is not None and code(at.annotation) == "bool":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        answer = node.children[1]
        node.children[1] = leaf(answer, f"not ({answer.get_code().strip()})")
        return node

    def label(self, node: Any, index: int) -> str:
        return f"opposite of `{code(node)}`"


class SwapBuiltin(Ours):
    """`min` for `max`, `any` for `all`, and the other way round."""

    OTHER = {"min": "max", "max": "min", "any": "all", "all": "any"}  # noqa: RUF012

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        calls = node.type == "name" and node.value in self.OTHER
        following = node.get_next_sibling() if calls and node.parent.type != "argument" else None
        if following is not None and following.type == "trailer":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.value = self.OTHER[node.value]
        return node

    def label(self, node: Any, index: int) -> str:
        return f"{self.OTHER[node.value]} for `{code(node.parent)}`"


OURS = (
    *(DropFact, NegateFact, DropRule, SwapRules, DropTable, SwapTables, EndsTooEarly, DropAction),
    *(DropElement, DropEntry, DropTerm, SkipIf, NegateMembership, NegateReturn, SwapBuiltin),
)


def operators() -> dict[str, Operator]:
    """Every operator by its name."""
    core = OperatorProvider()
    return {name: core[name]() for name in CORE} | {x.__name__: x() for x in OURS}
