"""The order of rules and tables matters where two could speak, and is kept there."""

from __future__ import annotations

import pytest

from engine.decide import RULES, TABLES
from tests.support.order import ENDS, GOES_ON, Order, holds, recorded

# Nothing acts after the last table, and nobody reaches the last resort of the requests.
LAST = {"request.unknown", *(rule.name for rule in TABLES[-1].rules)}


@pytest.mark.parametrize("order", recorded(), ids=lambda x: f"{x.rule}{x.how}{x.other}")
def test_one_speaks_before_the_other(order: Order) -> None:
    """The recorded rule decides, and the other one does or waits; `make rewrite` records again."""
    assert holds(order)


def test_every_rule_that_ends_the_cycle_keeps_another_from_acting() -> None:
    """And every other one is followed, in some snapshot, by a rule of a table below that acts."""
    kept = {order.rule for order in recorded() if order.how == ENDS}
    followed = {order.rule for order in recorded() if order.how == GOES_ON}
    assert kept == {rule.name for rule in RULES.values() if rule.ends}
    assert followed == {rule.name for rule in RULES.values() if not rule.ends} - LAST
