"""What is wrong with a configuration, as values that can be collected and shown all at once.

Only the records and their text belong here; finding problems is the business of the checkers.
A problem never carries the value of a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]

HIDDEN = "********"
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    `path` is the dotted path of the value ("" for the whole file), `message` says what was found
    and what is allowed, `where` is "file:line" or the environment variable, when known.
    """

    path: str
    message: str
    severity: Severity = "error"
    where: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds every finding, errors and warnings."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def shown(value: Any, *, secret: bool = False) -> str:
    """Return `value` as it may be shown in a message: short, with its type when not plain text."""
    if secret:
        return HIDDEN
    if isinstance(value, dict):
        return f"a mapping with {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} items"
    text = repr(value)
    if len(text) > _LONGEST_SHOWN:
        text = text[: _LONGEST_SHOWN - 3] + "..."
    kinds = {bool: "boolean", int: "integer", float: "number"}
    name = next((kinds[t] for t in (bool, int, float) if isinstance(value, t)), "")
    return f"{text} ({name})" if name else text


def has_errors(problems: Iterable[Problem]) -> bool:
    """Say whether any of the problems forbids the use of the configuration."""
    return any(problem.severity == "error" for problem in problems)
