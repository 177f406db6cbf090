"""The generated pages say what the code says."""

from __future__ import annotations

import inspect

from engine.decide import TABLES
from tools.docs import PAGE, given_actions, page


def test_decision_table_page_is_up_to_date() -> None:
    """docs/decision-table.md is what `make docs` would write now."""
    assert PAGE.read_text() == page(), "run `make docs` and commit the page"


def test_every_rule_says_what_it_gives() -> None:
    """No rule is shown as giving nothing unless its function uses nothing at all."""
    silent = [
        rule.name
        for table in TABLES
        for rule in table.rules
        if not given_actions(rule) and inspect.unwrap(rule.then).__code__.co_names
    ]
    assert silent == []
