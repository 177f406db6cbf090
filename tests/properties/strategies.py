"""Hypothesis strategies for whole snapshots: a scenario, and a few changes laid over it.

Noise would hardly ever own a lock with a crashed server and a candidate that has everything; a
scenario does, and what breaks a rule is mostly one or two changes away from one.
"""

from __future__ import annotations

from hypothesis import strategies as st

from engine.state import Snapshot
from tests.support.scenarios import all_scenarios
from tests.support.scenes import BASES
from tests.support.variations import PLACES, Variation, republished, vary

STARTS: tuple[Snapshot, ...] = (
    *(make() for make in BASES.values()),
    *(scenario.snapshot for scenario in all_scenarios()),
)


@st.composite
def variations(draw: st.DrawFn) -> Variation:
    """One change: first the place, so that places with many values are not drawn more often."""
    place = draw(st.sampled_from(sorted(PLACES)))
    return place, draw(st.sampled_from(PLACES[place]))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A scenario with up to eight changes."""
    s = draw(st.sampled_from(STARTS))
    for variation in draw(st.lists(variations(), max_size=8)):
        s = vary(s, variation)
    return republished(s) if draw(st.booleans()) else s
