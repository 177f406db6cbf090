"""Tables made cheap to run: each becomes a tree of questions that means the very same.

A table is read from its top, so a fact that many of its rules need would be asked again and again.
Its tree asks what the first rule that may still fire needs next, and drops the rules that the
answer rules out: nothing is asked twice, or in vain, and the same rule is found.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from engine.rule import Table
from engine.state import Snapshot

Asks: TypeAlias = Callable[[Snapshot], bool]
# What is left to be read of a table: for each rule that may still fire, by its number, the facts
# that it still needs, as questions and the answers that it wants.
Reading: TypeAlias = tuple[tuple[int, tuple[tuple[Asks, bool], ...]], ...]
# (question, tree after yes, tree after no); where the way ends (None, rule or None, None).  A plain
# tuple, because nothing in Python is taken apart faster.
Tree: TypeAlias = tuple[Asks | None, Any, Any]


def tree_of(table: Table) -> Tree:
    """The tree that leads to the rule which reading the table leads to; None: it is passed over."""
    grown: dict[Reading, Tree] = {}

    def grow(left: Reading) -> Tree:
        if not left:
            return None, None, None
        number, needs = left[0]
        if not needs:
            return None, table.rules[number], None
        if left not in grown:
            asks = needs[0][0]
            yes, no = (grow(_left_after(left, asks, answer)) for answer in (True, False))
            grown[left] = (asks, yes, no)
        return grown[left]

    facts = (table.applies + rule.when for rule in table.rules)
    return grow(
        tuple((n, tuple((f.asks, not f.negated) for f in fs)) for n, fs in enumerate(facts))
    )


def _left_after(left: Reading, asks: Asks, answer: bool) -> Reading:
    """What is left to be read once that answer is known."""
    return tuple(
        (number, tuple(need for need in needs if need[0] is not asks))
        for number, needs in left
        if (asks, not answer) not in needs
    )
