"""What may catch a mistake: the promises of a decision, the recorded scenarios, single tests.

Belongs here: catchers that look until they find something, in a fixed order, and say how many
looks that took.  A catcher finds nothing in the engine as it is; other tests prove that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

from engine.decide import run
from engine.state import Snapshot
from proof.promises import broken_promises
from tests.properties.test_safety import TURNS
from tests.support.near_misses import outcome, recorded
from tests.support.scenarios import all_scenarios
from tests.support.scenes import BASES
from tests.support.variations import VARIATIONS, vary


@dataclass(frozen=True, slots=True)
class Caught:
    """What was found, and by how many looks of that kind."""

    what: str
    looks: int


Catcher = Callable[[], "Caught | None"]


@cache
def _worlds() -> tuple[tuple[str, Snapshot], ...]:
    bases = ((name, make()) for name, make in BASES.items())
    return (*bases, *((scenario.rule, scenario.snapshot) for scenario in all_scenarios()))


def _looks() -> Iterator[Snapshot]:
    """Every base and scenario as it is, then with every change that matters most, then with all."""
    for _, s in _worlds():
        yield s
    for changes in (TURNS, VARIATIONS):
        for _, s in _worlds():
            for variation in changes:
                yield vary(s, variation)


def promises(most: int = 100_000) -> Caught | None:
    """The first decision about a base or a scenario with one change that breaks a promise."""
    for number, s in enumerate(islice(_looks(), most), start=1):
        try:
            broken = broken_promises(s, run(s))
        except Exception as error:
            return Caught(f"decide() raises {type(error).__name__}: {error}", number)
        if broken:
            return Caught(broken[0].partition(" By ")[0], number)
    return None


def scenarios() -> Caught | None:
    """The first recorded scenario that is decided otherwise now."""
    for number, scenario in enumerate(all_scenarios(), start=1):
        if scenario.outcome() != scenario.expected:
            return Caught(f"{scenario.rule}: {scenario.promise}", number)
    return None


def near_misses() -> Caught | None:
    """The first fact without which a rule would decide where it must not, and now does."""
    for number, miss in enumerate(recorded(), start=1):
        if outcome(miss) != miss.instead:
            return Caught(f"{miss.rule} needs {miss.fact}", number)
    return None
