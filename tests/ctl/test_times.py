"""Times as people type them: unambiguous ones are understood, with a zone; others are refused."""

import time
from collections.abc import Iterator

import pytest

from ctl.times import parse_moment


@pytest.fixture(autouse=True)
def _in_rome(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local zone that is not UTC."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-09-01T02:00:00+02:00", "2026-09-01T02:00:00+02:00"),
        ("2026-09-01T00:00Z", "2026-09-01T00:00:00+00:00"),
        ("2026-09-01 02:00", "2026-09-01T02:00:00+02:00"),
        ("2026-12-01 02:00", "2026-12-01T02:00:00+01:00"),
        ("2026/09/01 02:00", "2026-09-01T02:00:00+02:00"),
        ("1 Sep 2026 02:00", "2026-09-01T02:00:00+02:00"),
        ("Sep 1, 2026  02:00 -0300", "2026-09-01T02:00:00-03:00"),
        ("September 1 2026 02:00Z", "2026-09-01T02:00:00+00:00"),
        ("1788220800", "2026-09-01T02:00:00+02:00"),
    ],
)
def test_unambiguous_times_are_understood(text: str, expected: str) -> None:
    """An offset is kept; without one the local zone of that day is meant."""
    moment = parse_moment(text)
    assert moment is not None
    assert moment.isoformat() == expected


@pytest.mark.parametrize("text", ["", "03/04/2026 10:00", "tomorrow", "2026-13-01", "25:00", "+02"])
def test_ambiguous_times_are_refused(text: str) -> None:
    """What could mean two days, or none, is not guessed."""
    assert parse_moment(text) is None
