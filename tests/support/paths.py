"""Places in a snapshot as the recorder writes it, by paths such as `memory.retry_at`."""

from __future__ import annotations

import re
from typing import Any


def set_at(form: dict[str, Any], path: str, value: Any) -> None:
    """Put a value where the path leads: by names of fields, of items, and through observations."""
    *folders, last = re.split(r"[.]", path)
    here: Any = form
    for name in folders:
        here = _enter(here, name)
    if isinstance(here, dict) and here.get("@") == "Known" and last not in here:
        here = here["value"]
    if isinstance(here, list):
        here[_index(here, last)] = value
    else:
        here[last] = value


def _enter(here: Any, name: str) -> Any:
    """One step down a path: by name of a field, or of an item; through an observation's value."""
    if isinstance(here, dict) and here.get("@") == "Known" and name not in here:
        here = here["value"]
    if isinstance(here, list):
        return here[_index(here, name)]
    return here.setdefault(name, {})


def _index(items: list[Any], name: str) -> int:
    return next(n for n, item in enumerate(items) if item.get("name") == name)
