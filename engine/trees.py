"""Tables made cheap to run: each becomes a tree of questions that means the very same.

A table is read from its top, so a fact that many of its rules need would be asked again and again.
Its tree asks what the first rule that may still fire needs next, and drops the rules that the
answer rules out: nothing is asked twice, or in vain, and the same rule is found.  What many tables
need is asked once for all of them.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from engine.rule import Fact, Table
from engine.state import Snapshot

Asks: TypeAlias = Callable[[Snapshot], bool]
Answers: TypeAlias = tuple[tuple[Asks, bool], ...]
# What is left to be read of a table: for each rule that may still fire, by its number, the facts
# that it still needs, as questions and the answers that it wants.
Reading: TypeAlias = tuple[tuple[int, Answers], ...]
# (question, tree after yes, tree after no); where the way ends (None, what is there, None).
# A plain tuple, because nothing in Python is taken apart faster.
Tree: TypeAlias = tuple[Asks | None, Any, Any]


def tree_of(table: Table, known: Answers = ()) -> Tree:
    """The tree that leads to the rule which reading the table leads to; None: it is passed over.

    What is `known` already is not asked.
    """
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
    left = tuple((n, tuple((f.asks, not f.negated) for f in fs)) for n, fs in enumerate(facts))
    for asks, answer in known:
        left = _left_after(left, asks, answer)
    return grow(left)


def tree_of_all(tables: Iterable[Table], usual: tuple[Fact, ...] = ()) -> Tree:
    """The tree that leads to the trees of the tables, in their order, which are to be climbed then.

    It asks the `usual` facts one after another, up to the first that does not hold.  What it has
    learned no later tree asks, and a table that is passed over then is not among them.
    """
    order = tuple(tables)

    def end(known: Answers) -> Tree:
        trees = (tree_of(table, known) for table in order)
        return None, tuple(tree for tree in trees if tree[:2] != (None, None)), None

    def grow(left: tuple[Fact, ...], known: Answers) -> Tree:
        if not left:
            return end(known)
        asks, wanted = left[0].asks, not left[0].negated
        holds = grow(left[1:], (*known, (asks, wanted)))
        fails = end((*known, (asks, not wanted)))
        return (asks, holds, fails) if wanted else (asks, fails, holds)

    return grow(usual, ())


def _left_after(left: Reading, asks: Asks, answer: bool) -> Reading:
    """What is left to be read once that answer is known."""
    return tuple(
        (number, tuple(need for need in needs if need[0] is not asks))
        for number, needs in left
        if (asks, not answer) not in needs
    )
