"""The slow stages of a trial: whole properties, and the simulator.

Belongs here: who is asked about a mutant that no single check notices.  Loaded after the mutant, in
a process of its own.  What only compares texts with the code (the generated pages, the layout) is
left out: it would notice any change of a rule, and say nothing about decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Killer = Callable[[], "str | None"]

# What a trial needs; all of it that does not depend on the mutant is loaded beforehand.
NEEDED = (
    *("tests.support.answers", "tests.support.near_misses", "tests.support.order"),
    *("tests.support.details", "tests.support.settling", "tests.support.sync_world"),
    *("tests.properties.test_safety", "proof.promises", "proof.simulator.run"),
    *("engine.rendering", "engine.schedule", "engine.memory", "shell.recorder.codec"),
    *("tests.mutation.checks", "tools.servers", "tests.conftest"),
)
EXAMPLES = 40  # of each property
SEEDS = 12


def _first(tests: Iterable[tuple[str, Callable[..., Any]]]) -> str | None:
    from tests.mutation.checks import calls

    for name, test in tests:
        for arguments in calls(test) or ():
            try:
                test(**arguments)
            except BaseException:
                return name
    return None


def explanations() -> str | None:
    """What `explain` says would change a decision, for every scenario."""
    from tests.mutation.checks import EXPLANATIONS, UNIT, tests_of

    return _first(x for x in tests_of(UNIT) if EXPLANATIONS in x[0])


def promises() -> str | None:
    """A promise that a decision about a scenario, or one with one change, breaks."""
    from engine.decide import run
    from proof.promises import broken_promises
    from tests.properties.test_safety import TURNS
    from tests.support.scenarios import all_scenarios
    from tests.support.scenes import BASES
    from tests.support.variations import vary

    starts = [*(make() for make in BASES.values()), *(x.snapshot for x in all_scenarios())]
    for s in (*starts, *(vary(s, turn) for s in starts for turn in TURNS)):
        if broken := broken_promises(s, run(s)):
            return broken[0]
    return None


def properties() -> str | None:
    """A property, with a few examples of each."""
    from hypothesis import settings

    from tests.mutation.checks import PAIRS, tests_of

    settings.register_profile("few", parent=settings.get_profile("ci"), max_examples=EXAMPLES)
    settings.load_profile("few")
    return _first(x for x in tests_of(("tests/properties",)) if PAIRS not in x[0])


def simulator() -> str | None:
    """A run of the simulator in which an invariant breaks."""
    from proof.simulator.draw import draw
    from proof.simulator.run import run

    for seed in range(1, SEEDS + 1):
        for violation in run(draw(seed)).violations:
            return f"seed {seed}: {violation.invariant}"
    return None


SLOW: dict[str, Killer] = {
    "an explanation": explanations,
    "a promise": promises,
    "a property": properties,
    "the simulator": simulator,
}
