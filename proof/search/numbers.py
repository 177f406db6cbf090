"""Values by number, so that what a state consists of is small and quickly compared."""

from __future__ import annotations

from typing import Any


class Numbers:
    """Numbers for values, in the order of their first appearance."""

    def __init__(self) -> None:
        self._of: dict[Any, int] = {}
        self.values: list[Any] = []

    def of(self, value: Any) -> int:
        """The number of that value."""
        number = self._of.get(value)
        if number is None:
            number = self._of[value] = len(self.values)
            self.values.append(value)
        return number
