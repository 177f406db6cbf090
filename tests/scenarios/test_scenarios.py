"""Recorded snapshots through today's rules: same input, same output."""

from __future__ import annotations

import pytest

from engine.decide import RULES, TABLES, run
from tests.support.scenarios import FOLDER, Scenario, all_scenarios

# Rules that no snapshot can reach today, and why they are there.
UNREACHABLE = {
    "request.unknown": "the table's last resort: every kind of request has a rule of its own",
}


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda x: x.rule)
def test_decides_as_recorded(scenario: Scenario) -> None:
    """A scenario gives the recorded rules and actions; `make rewrite` records them again."""
    assert scenario.outcome() == scenario.expected


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda x: x.rule)
def test_reaches_the_rule_that_it_guards(scenario: Scenario) -> None:
    """The rule in a scenario's head fires in it, and its promise is a sentence."""
    assert scenario.rule in run(scenario.snapshot).fired
    assert scenario.promise.endswith(".")


def test_every_rule_has_a_scenario() -> None:
    """No rule is without a scenario, but for those that are argued to be out of reach."""
    guarded = {scenario.rule for scenario in all_scenarios()}
    assert sorted(set(RULES) - guarded) == sorted(UNREACHABLE)


def test_every_file_is_short_and_belongs_to_one_table() -> None:
    """Each table has its file, or several (`table-part.txt`), of fewer than 300 lines each."""
    files = {path.stem.partition("-")[0] for path in FOLDER.glob("*.txt")}
    assert files == {table.name for table in TABLES}
    for path in FOLDER.glob("*.txt"):
        assert len(path.read_text().splitlines()) < 300, path.name
    for scenario in all_scenarios():
        assert scenario.rule.startswith(f"{scenario.path.stem.partition('-')[0]}."), scenario.rule
