"""`--rewrite` records the outcomes of all scenarios again, before they are compared."""

from __future__ import annotations

import pytest

from tests.support import answers, details, near_misses, order
from tests.support.scenarios import FOLDER, all_scenarios, rewrite


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite`; known when the tests are run from the folder of the scenarios."""
    parser.addoption("--rewrite", action="store_true", help="record the scenarios' outcomes again")


def pytest_configure(config: pytest.Config) -> None:
    """Rewrite once, before the tests are collected; the workers of xdist compare only."""
    if config.getoption("--rewrite", default=False) and not hasattr(config, "workerinput"):
        for path in sorted(FOLDER.glob("*.txt")):
            rewrite(path)
        all_scenarios.cache_clear()
        near_misses.rewrite()
        order.rewrite()
        answers.rewrite()
        details.rewrite()
