"""What all tests share: the real servers used here, and how thoroughly Hypothesis looks.

`make test` has two workers; clusters run on one of them, one at a time.

Hypothesis: `ci` by default, `HYPOTHESIS_PROFILE=long` by hand; never with a deadline, because how
long an example takes is the machine's affair.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tools.servers import coverage_lines

_COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.large_base_example],
}
settings.register_profile("ci", max_examples=300, derandomize=True, database=None, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("long", max_examples=20_000, **_COMMON)  # type: ignore[arg-type]
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


TESTS = Path(__file__).parent
GROUPS = {"e2e": "clusters", "stores": "servers", "fence": "servers", "postgres": "servers"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that start servers one after the other, where workers share the tests out."""
    for item in items:
        layer = item.path.relative_to(TESTS).parts[0]
        if layer in GROUPS:
            item.add_marker(pytest.mark.xdist_group(GROUPS[layer]))


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, so that clusters under test are ended too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Name the servers under test, and the wanted versions that are not covered here."""
    return coverage_lines()
