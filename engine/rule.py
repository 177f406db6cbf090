"""What a fact, a rule and a table are.  Nothing about PostgreSQL belongs here.

A fact answers yes or no, and can show what it looked at.  The two are apart so that a decision
that nobody asks to explain formats no text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.actions import Action
from engine.state import Snapshot


@dataclass(frozen=True, slots=True)
class Fact:
    """A named question about a snapshot.  `doc` says what an unknown input means.

    A `negated` fact holds when the answer is no.
    """

    name: str
    asks: Callable[[Snapshot], bool]
    shows: Callable[[Snapshot], str]
    doc: str
    negated: bool = False

    def holds(self, s: Snapshot) -> bool:
        """Whether the fact is true of that snapshot."""
        return not self.asks(s) if self.negated else self.asks(s)

    def __invert__(self) -> "Fact":
        """Turn the question round: `~paused` is the fact `not paused`."""
        assert not self.negated, f"{self.name} is negated twice"
        return Fact(f"not {self.name}", self.asks, self.shows, self.doc, negated=True)


def fact(shows: Callable[[Snapshot], str]) -> Callable[[Callable[[Snapshot], bool]], Fact]:
    """Make a function of the snapshot into a fact; `shows` renders the values that it compared."""

    def make(function: Callable[[Snapshot], bool]) -> Fact:
        assert function.__doc__, f"fact {function.__name__} must say what it asks"
        return Fact(function.__name__, function, shows, function.__doc__)

    return make


@dataclass(frozen=True, slots=True)
class Rule:
    """`when` all facts hold, `then` these actions, `why` in one sentence an operator can read.

    `ends` says that nothing further is decided in this cycle.
    """

    name: str
    title: str
    when: tuple[Fact, ...]
    then: Callable[[Snapshot], Sequence[Action]]
    why: str
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Ordered rules that answer one question; the first that matches wins.

    A table whose `applies` facts do not all hold is passed over.
    """

    name: str
    question: str
    applies: tuple[Fact, ...]
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        assert self.rules, self.name
        assert not self.rules[-1].when, f"{self.name}: the last rule must have no conditions"
        for rule in self.rules:
            assert rule.name.startswith(f"{self.name}."), rule.name


def nothing(_: Snapshot) -> tuple[Action, ...]:
    """The actions of a rule that leaves everything as it is."""
    return ()
