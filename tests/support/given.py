"""The lines above the dashes of a scenario: a base, and what is different from it.

Apart from `scenarios`, since nothing here depends on the rules: `from primary`, then a place and
its value on each line (see `scenes`), as JSON, as an LSN, or as the name of a known piece.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from engine.state import Snapshot
from tests.support.scenes import BASES, PIECES, scene

_LSN = re.compile(r"([0-9A-F]+)/([0-9A-F]+)")


@cache
def snapshot_of(given: tuple[str, ...]) -> Snapshot:
    """The snapshot that these lines describe; ValueError names the line that can't be read."""
    base = given[0].removeprefix("from ")
    if base not in BASES:
        raise ValueError(f"{base!r} is none of {list(BASES)}")
    return scene(base, dict(_change(line) for line in given[1:]))


def _change(line: str) -> tuple[str, Any]:
    path, equals, text = line.partition(" = ")
    if not equals:
        raise ValueError(f"no ' = ' in {line!r}")
    return path, _value(path, text)


def _value(path: str, text: str) -> Any:
    if text in PIECES.get(path, {}):
        return text
    if lsn := _LSN.fullmatch(text):
        return (int(lsn[1], 16) << 32) + int(lsn[2], 16)
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} = {text}: neither JSON, an LSN nor a known piece") from error
