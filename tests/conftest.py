"""What all tests share: which real servers are used here, said at the top of every run."""

from __future__ import annotations

import signal

from tools.servers import coverage_lines


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, so that clusters under test are ended too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Name the servers under test, and the wanted versions that are not covered here."""
    return coverage_lines()
