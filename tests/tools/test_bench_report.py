"""The benchmark's page: medians, ranges, and whether a goal is met."""

from __future__ import annotations

from bench.case import Goal
from bench.report import ratio, render, shown, verdict


def test_median_range_and_count_are_shown() -> None:
    """A cell holds the median, the range and the number of runs."""
    assert shown([3.0, 1.0, 2.0], Goal("gap", "gap")) == "2 s (1-3; 3)"


def test_goal_by_ratio_is_judged_on_medians() -> None:
    """`times` compares the medians, in the direction that is better."""
    goal = Goal("gap", "gap", times=0.5)
    assert verdict(goal, [1.0], [2.0]) == "<= 0.5x: met"
    assert verdict(goal, [1.1], [2.0]) == "<= 0.5x: **not met**"
    more = Goal("rate", "rate", times=3.0, more_is_better=True)
    assert verdict(more, [3000.0], [1000.0]) == ">= 3x: met"


def test_absolute_goal_holds_for_every_run() -> None:
    """`at_most` is missed when a single run exceeds it."""
    assert verdict(Goal("lost", "lost", at_most=0), [0.0, 1.0], []) == "<= 0: **not met**"


def test_nothing_is_judged_without_runs_of_hae() -> None:
    """Patroni's numbers alone show the goal, and no ratio."""
    assert verdict(Goal("gap", "gap", times=0.5), [], [2.0]) == "<= 0.5x"
    assert ratio([], [2.0]) == ""


def test_failed_runs_are_named_on_the_page() -> None:
    """A run that ended with an error is listed, and not part of any number."""
    line = {"case": "switchover", "implementation": "hae", "run": 2, "error": "AssertionError: x"}
    page = render([line])
    assert "- switchover, hae, run 2: AssertionError: x" in page
