"""What may catch a mistake: promises, the exhaustive search, kept stories, recorded decisions.

Belongs here: catchers that look until they find something, in a fixed order, and say how many
looks that took.  A catcher finds nothing in the engine as it is; other tests prove that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice

from engine.decide import run
from engine.state import Snapshot
from proof import invariants
from proof.promises import broken_promises
from proof.search import liveness, space
from proof.search.explore import State, explore
from proof.search.model import World
from proof.simulator.run import run as live
from proof.simulator.story import FOLDER, read
from tests.gallery.breaking import function_is
from tests.properties.test_safety import TURNS
from tests.support.near_misses import outcome, recorded
from tests.support.scenarios import all_scenarios
from tests.support.scenes import BASES
from tests.support.variations import VARIATIONS, vary

MOST_STATES = 300_000


@dataclass(frozen=True, slots=True)
class Caught:
    """What was found, and by how many looks of that kind."""

    what: str
    looks: int


@dataclass(frozen=True, slots=True)
class Catcher:
    """Somebody who may notice: its kind, as the page tells it, and its search for something."""

    kind: str
    look: Callable[[], Caught | None]

    def __call__(self) -> Caught | None:
        """The first find, or None."""
        return self.look()


@cache
def _worlds() -> tuple[tuple[str, Snapshot], ...]:
    bases = ((name, make()) for name, make in BASES.items())
    return (*bases, *((scenario.rule, scenario.snapshot) for scenario in all_scenarios()))


def _looks(prefix: str) -> Iterator[Snapshot]:
    """Every base and scenario as it is, then with every change that matters most, then with all.

    Only those whose name, or whose rule's name, begins so.
    """
    worlds = [s for name, s in _worlds() if name.startswith(prefix)]
    yield from worlds
    for changes in (TURNS, VARIATIONS):
        for s in worlds:
            for variation in changes:
                yield vary(s, variation)


def broken_promise(most: int = 250_000, prefix: str = "") -> Caught | None:
    """The first decision about a base or a scenario with one change that breaks a promise."""
    for number, s in enumerate(islice(_looks(prefix), most), start=1):
        try:
            broken = broken_promises(s, run(s))
        except Exception as error:
            return Caught(f"decide() raises {type(error).__name__}: {error}", number)
        if broken:
            return Caught(broken[0].partition(" By ")[0], number)
    return None


def changed_scenario() -> Caught | None:
    """The first recorded scenario that is decided otherwise now."""
    for number, scenario in enumerate(all_scenarios(), start=1):
        if scenario.outcome() != scenario.expected:
            return Caught(f"{scenario.rule}: {scenario.promise}", number)
    return None


def changed_near_miss() -> Caught | None:
    """The first fact without which a rule would decide where it must not, and now does."""
    for number, miss in enumerate(recorded(), start=1):
        if outcome(miss) != miss.instead:
            return Caught(f"{miss.rule} needs {miss.fact}", number)
    return None


_silent = function_is(space, "broken_by_decision", lambda _: lambda *_: [])
_silent_in_stories = function_is(invariants, "broken_by_decision", lambda _: lambda *_: [])


def search(world: World, begin: State | None = None) -> Catcher:
    """The exhaustive search of that world, by what really happens: no promise is asked there."""

    def look() -> Caught | None:
        with _silent():
            result, _ = explore(world, MOST_STATES, begin=begin)
        return Caught(result.violations[0], result.states) if result.violations else None

    return Catcher("the search", look)


def search_to_heal(world: World) -> Catcher:
    """The same, and whether each of its states can come to a leader that everybody streams from."""

    def look() -> Caught | None:
        with _silent():
            result = liveness.search(world)
        return Caught(result.violations[0], result.states) if result.violations else None

    return Catcher("the search", look)


def story(name: str) -> Catcher:
    """A kept story of the simulator, by what really happens: no promise is asked there either."""

    def look() -> Caught | None:
        with _silent_in_stories():
            outcome = live(read(FOLDER / f"{name}.txt").plan)
        return Caught(str(outcome.violations[0]), outcome.cycles) if outcome.violations else None

    return Catcher("a story", look)


promises = Catcher("a promise", broken_promise)
promises_of_the_race = Catcher("a promise", partial(broken_promise, prefix="race"))
scenarios = Catcher("a scenario", changed_scenario)
near_misses = Catcher("a near miss", changed_near_miss)
