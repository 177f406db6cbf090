"""Each rule fires only when all its facts hold, and each fact is needed."""

from __future__ import annotations

import pytest

from engine.decide import TABLES
from tests.support.near_misses import NearMiss, outcome, recorded

# Facts that another fact, or the rules above, imply.  They stay because a rule is read aloud: by
# whom the lock is owned, or what was asked, should not have to be worked out from the others.
IMPLIED: dict[str, tuple[str, ...]] = {
    "not i_own_the_lock": ("write.refused",),
    "not store_answers": ("job.cut_off", "silent.cut_off"),
    "lease_is_known": ("fence.arm",),
    "restarting": ("request.restart_done", "request.restart_failed", "request.restart_slow"),
    "restart_is_requested": ("request.restart_skipped",),
    "reinitialize_is_requested": (
        *("request.reinit_leader", "request.reinit_primary", "request.reinit_no_leader"),
        *("request.reinit_early", "request.reinit_busy", "request.reinitialize"),
        *("request.reinit_leave_sync", "request.reinit_synchronous"),
    ),
    "another_owns_the_lock": ("request.reinit_leave_sync",),
    "store_answers": ("down.replica_without_cluster",),
    "paused": ("down.no_time_paused",),
    "somebody_is_to_be_followed": ("down.rewind_begins",),
    "handover_is_to_another": ("race.give_way_to_named",),
    "runs_as_primary": ("files.checkpoint",),
}


@pytest.mark.parametrize("miss", recorded(), ids=lambda x: f"{x.rule}: {x.fact}")
def test_one_fact_decides(miss: NearMiss) -> None:
    """Where a rule misses by one fact only, another rule decides; `make rewrite` records again."""
    assert outcome(miss) == miss.instead != miss.rule


def test_no_fact_can_be_dropped() -> None:
    """Every fact of every rule has a near miss, but for those that are implied and only read."""
    asked = {(r.name, fact.name) for table in TABLES for r in table.rules for fact in r.when}
    implied = {(rule, fact) for fact, rules in IMPLIED.items() for rule in rules}
    near = {(miss.rule, miss.fact) for miss in recorded()}
    assert asked - near == implied
    assert near <= asked
