"""Booleans, sizes and times as people write them, in the one place that understands them.

The spellings are those of PostgreSQL and of existing node files: `B kB MB GB TB`,
`us ms s min h d`, `on/off true/false yes/no 1/0` in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BYTES_PER_UNIT: Mapping[str, int] = {
    "B": 1,
    "kB": 1024,
    "MB": 1024**2,
    "GB": 1024**3,
    "TB": 1024**4,
}
MICROSECONDS_PER_UNIT: Mapping[str, int] = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_BOOLEANS = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}
_QUANTITY = re.compile(r"^\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*$")
_LARGEST = 2**63 - 1


def parse_boolean(value: Any) -> bool | None:
    """Return the boolean that `value` spells, or None when it spells none."""
    if isinstance(value, bool):
        return value
    return _BOOLEANS.get(str(value).strip().lower()) if isinstance(value, int | str) else None


def parse_integer(value: Any) -> int | None:
    """Return a whole number written as a number or as decimal digits, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value) if abs(value) <= _LARGEST else None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,19}\s*", value, re.ASCII):
        return int(value)
    return None


def parse_quantity(value: Any, units: Mapping[str, int], base_unit: str) -> int | None:
    """Return `value` in `base_unit`, rounded to a whole number, else None.

    `units` maps a unit's name to its size in the smallest unit; a bare number is taken to be in
    `base_unit` already.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _QUANTITY.match(str(value))
    if match is None:
        return None
    number, unit = float(match[1]), match[2] or base_unit
    if not unit.isascii() or unit not in units:
        return None
    result = number * units[unit] / units[base_unit]
    if abs(result) > _LARGEST:
        return None
    whole = parse_integer(match[1])
    if whole is not None and (whole * units[unit]) % units[base_unit] == 0:
        return whole * units[unit] // units[base_unit]
    return round(result)


def parse_bytes(value: Any, base_unit: str = "B") -> int | None:
    """Return a size in `base_unit` (default bytes), else None."""
    return parse_quantity(value, BYTES_PER_UNIT, base_unit)


def parse_seconds(value: Any) -> int | None:
    """Return a duration in whole seconds, else None."""
    return parse_quantity(value, MICROSECONDS_PER_UNIT, "s")
