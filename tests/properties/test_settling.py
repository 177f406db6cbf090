"""In a world that stands still the engine comes to rest: no flapping, no spinning."""

from __future__ import annotations

from hypothesis import given

from engine.actions import Exit
from engine.decide import decide, run
from engine.schedule import wake_at
from engine.state import Snapshot
from engine.views import LOOK_AGAIN_SECONDS
from proof import checker
from tests.properties.strategies import snapshots
from tests.support.settling import applied, settle

MOST_STEPS = 12
REST_SECONDS = 0.2  # as often as a candidate is asked for our last record
ROUNDING = 1e-6


@given(snapshots())
def test_decisions_come_to_rest(s: Snapshot) -> None:
    """Applied again and again, decisions soon change nothing any more."""
    assert settle(s, MOST_STEPS) is not None


@given(snapshots())
def test_at_rest_the_loop_sleeps(s: Snapshot) -> None:
    """A decision that changes nothing is not due again at once, unless we wait for ourselves."""
    for _ in range(MOST_STEPS):
        s = applied(s, decide(s))
    actions = decide(s)
    if not checker.of(Exit, actions):
        rest = LOOK_AGAIN_SECONDS if "race.look" in run(s).fired else REST_SECONDS
        assert wake_at(s, tuple(actions)) - s.now >= rest - ROUNDING
