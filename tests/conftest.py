"""What all tests share: the real servers used here, and how thoroughly Hypothesis looks.

Hypothesis: `ci` by default, `HYPOTHESIS_PROFILE=long` by hand; never with a deadline, because how
long an example takes is the machine's affair.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

from tools.servers import coverage_lines

_COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.large_base_example],
}
settings.register_profile("ci", max_examples=300, derandomize=True, database=None, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("long", max_examples=20_000, **_COMMON)  # type: ignore[arg-type]
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, so that clusters under test are ended too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Name the servers under test, and the wanted versions that are not covered here."""
    return coverage_lines()
