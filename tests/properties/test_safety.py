"""Who may write, who may lead, what may be removed: true for every snapshot."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from engine.decide import run
from engine.state import Snapshot
from proof.about import ABOUT
from proof.promises import broken_promises
from tests.properties.strategies import snapshots
from tests.support import guards, scenes
from tests.support.scenarios import Scenario, all_scenarios
from tests.support.snapshots import NOW
from tests.support.variations import PLACES, Variation, vary

# The changes that turn a decision most; every pair of them is laid over every scenario.
TURNS: tuple[Variation, ...] = (
    *(("cluster", view) for view in scenes.STORES.values()),
    *(("lease", lease) for lease in guards.LEASES.values()),
    *(("postgres", postgres) for postgres in scenes.POSTGRES.values()),
    *(("fence", fence) for fence in scenes.FENCES.values()),
    *(("job", job) for job in PLACES["job"] if job is not None),
    *(("cluster.value.failover", x) for x in PLACES["cluster.value.failover"][1:13:3]),
    *((f"policy.{flag}", True) for flag in ("pause", "fence_required", "remove_on_diverged")),
    *((f"memory.{flag}", True) for flag in ("reinitialize", "bootstrapping", "promoting")),
    *((f"memory.{since}", NOW - 2) for since in ("restarting_since", "standing_down_since")),
    ("policy.watchdog_mode", "required"),
    ("watchdog", guards.WATCHDOGS["fed"]),
    ("memory.consented_until", NOW + 12),
    ("failsafe_calls", PLACES["failsafe_calls"][1]),
    ("memory.failsafe_until", NOW + 18),
    ("memory.failsafe_lease", NOW - 31),
    ("failsafe_answers", guards.AGREEMENTS["n3 leads"]),
    ("memory.rewind_failed", "no WAL segment"),
    ("policy.primary_start_timeout_seconds", 0.0),
    ("stopping", True),
    ("store_busy_since", NOW - 1),
)


@settings(max_examples=3 * settings().max_examples)
@given(snapshots())
def test_drawn_snapshots_break_no_promise(s: Snapshot) -> None:
    """A scenario with a few changes drawn from all of them breaks no promise."""
    assert not broken_promises(s, run(s))


@given(snapshots())
def test_a_promise_about_some_actions_is_kept_by_whatever_lacks_them(s: Snapshot) -> None:
    """So it need not be asked of a decision without them."""
    actions = run(s).actions
    for promise, kinds in ABOUT.items():
        promise(s, [action for action in actions if not isinstance(action, kinds)])


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda x: x.rule)
def test_no_pair_of_changes_to_a_scenario_breaks_a_promise(scenario: Scenario) -> None:
    """Every scenario with every pair of the changes that matter most keeps every promise."""
    start = scenario.snapshot
    for n, one in enumerate(TURNS):
        once = vary(start, one)
        if once == start:
            continue
        assert not broken_promises(once, run(once)), one
        for other in TURNS[n + 1 :]:
            twice = vary(once, other)
            if one[0] != other[0] and twice != once:
                assert not broken_promises(twice, run(twice)), (one, other)
