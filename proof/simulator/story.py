"""A run as text: what a failing seed becomes, so that it is lived through again for ever.

    # A primary that crashed right after its promotion is not started as if nothing had happened.
    # Found by seed 17 at 3bea27d.  Guarded by standby.promotion_begins.
    nodes = 3
    config = {"ttl_seconds": 30.0}
    heal_at = 95.0
    ----
    53.843: stop-daemon n2 36.87

Above the dashes the setup, one field a line, as JSON; below them the steps, with names and moments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.state import Tags
from proof.simulator.draw import Plan
from proof.simulator.steps import parse_step
from proof.world.setup import Setup

DASHES = "----"
FOLDER = Path(__file__).parent.parent.parent / "tests" / "scenarios" / "stories"
_GUARD = re.compile(r"Guarded by ([a-z]+\.[a-z_]+)")


@dataclass(frozen=True)
class Story:
    """A plan with its heading.  `guard` is the rule that must fire in it; empty: none is named."""

    name: str
    heading: tuple[str, ...]
    plan: Plan

    @property
    def guard(self) -> str:
        """The rule that guards what must hold."""
        found = _GUARD.search(" ".join(self.heading))
        return found[1] if found else ""


def to_text(heading: tuple[str, ...], plan: Plan) -> str:
    """The story as it is kept in a file."""
    lines = [f"# {line}" for line in heading]
    for name, value in _changed(plan.setup):
        lines.append(f"{name} = {json.dumps(value, sort_keys=True)}")
    lines.append(f"heal_at = {plan.heal_at}")
    return "\n".join([*lines, DASHES, *(str(step) for step in plan.steps)]) + "\n"


def _changed(setup: Setup) -> Iterator[tuple[str, Any]]:
    for field in fields(Setup):
        value = getattr(setup, field.name)
        default = field.default if field.default is not MISSING else None
        if value != default and not (field.name == "seconds" and value == Setup().seconds):
            yield field.name, [asdict(tag) for tag in value] if field.name == "tags" else value


def read(path: Path) -> Story:
    """The story in that file; raises ValueError that names the file and the line."""
    heading, values, steps, below = [], {}, [], False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            if line.startswith("#"):
                heading.append(line.lstrip("# "))
            elif line == DASHES:
                below = True
            elif below:
                steps.append(parse_step(line))
            elif line.strip():
                name, _, text = line.partition(" = ")
                values[name] = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    heal_at = float(values.pop("heal_at"))
    values["tags"] = tuple(Tags(**tag) for tag in values.get("tags", ()))
    values["rates"] = tuple(values.get("rates", ()))
    return Story(path.stem, tuple(heading), Plan(Setup(**values), tuple(steps), heal_at))


def all_stories() -> list[Path]:
    """The files of all stories that are kept."""
    return sorted(FOLDER.glob("*.txt"))
