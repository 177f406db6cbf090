"""What all tests share: which real servers are used here, said at the top of every run."""

from __future__ import annotations

from tools.servers import coverage_lines


def pytest_report_header() -> list[str]:
    """Name the servers under test, and the wanted versions that are not covered here."""
    return coverage_lines()
