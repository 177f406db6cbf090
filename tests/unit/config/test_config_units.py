"""Booleans, sizes and times as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.config.units import parse_boolean, parse_bytes, parse_integer, parse_seconds


@pytest.mark.parametrize("word", ["on", "true", "yes", "1", "ON", " True ", True, 1])
def test_every_spelling_of_true_is_understood(word: Any) -> None:
    """All spellings of true give True, in any case."""
    assert parse_boolean(word) is True


@pytest.mark.parametrize("word", ["off", "false", "no", "0", "OFF", False, 0])
def test_every_spelling_of_false_is_understood(word: Any) -> None:
    """All spellings of false give False, in any case."""
    assert parse_boolean(word) is False


@pytest.mark.parametrize("word", ["", "maybe", 2, 1.0, None, [], {}])
def test_anything_else_is_no_boolean(word: Any) -> None:
    """A value that spells no boolean gives None instead of a guess."""
    assert parse_boolean(word) is None


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [(1048576, 1048576), ("1MB", 1048576), ("1kB", 1024), ("2 GB", 2 << 30), ("1.5kB", 1536)],
)
def test_sizes_with_units(written: Any, size_bytes: int) -> None:
    """A size is given in bytes, whatever unit it was written in."""
    assert parse_bytes(written) == size_bytes


@pytest.mark.parametrize(
    "written", ["1mb", "1 XB", "", "MB", True, None, [], "1e400", float("inf")]
)
def test_what_is_no_size(written: Any) -> None:
    """A wrong unit, a missing number, or another type is refused."""
    assert parse_bytes(written) is None


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(30, 30), ("30", 30), ("1min", 60), ("2h", 7200), ("1d", 86400), ("1500ms", 2), ("5 s", 5)],
)
def test_times_with_units(written: Any, seconds: int) -> None:
    """A time is given in whole seconds, whatever unit it was written in."""
    assert parse_seconds(written) == seconds


def test_whole_numbers_are_not_booleans_or_fractions() -> None:
    """Only whole numbers within 64 bits are integers."""
    assert parse_integer("-7") == -7
    assert [parse_integer(x) for x in (True, 1.5, "1.5", 2**70, "", None)] == [None] * 6


@given(st.integers(-(2**62), 2**62))
def test_bare_bytes_are_exact(number: int) -> None:
    """No size is rounded on its way through."""
    assert parse_bytes(number) == number == parse_bytes(f"{number}B")
