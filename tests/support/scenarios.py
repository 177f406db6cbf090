"""Scenario files: what is read from them, and what is recorded in them.

A file belongs to one table.  Each scenario is headed by the rule that it guards and by what must
hold; then come the base and the changes laid over it (see `given`), a line of dashes, and every
rule that acts, with its actions.  `make rewrite` records the part below the dashes again.

    ## truce.disarm: In maintenance mode the fence has no deadline.
    from primary
    policy.pause = true
    ----
    truce.disarm: disarm the fence
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from engine.decide import RULES, run
from engine.rendering import action_text, shares
from engine.state import Snapshot
from tests.support.given import snapshot_of

FOLDER = Path(__file__).parent.parent / "scenarios"
DASHES = "----"


@dataclass(frozen=True)
class Scenario:
    """One recorded decision; `rule` is the rule that it guards."""

    path: Path
    rule: str
    promise: str
    given: tuple[str, ...]
    expected: tuple[str, ...]

    @cached_property
    def snapshot(self) -> Snapshot:
        """The input, put together from the lines above the dashes."""
        try:
            return snapshot_of(self.given)
        except ValueError as error:
            raise ValueError(f"{self.path.name}: {self.rule}: {error}") from error

    def outcome(self) -> tuple[str, ...]:
        """What today's rules make of it: the rules that act, and the guarded one in any case."""
        s = self.snapshot
        return tuple(
            f"{name}: {'; '.join(map(action_text, actions)) or 'nothing'}"
            for name, actions in shares(s, run(s).fired)
            if actions or name == self.rule
        )


@cache
def all_scenarios() -> tuple[Scenario, ...]:
    """Every scenario of every file, in the order of the files."""
    return tuple(x for path in sorted(FOLDER.glob("*.txt")) for x in read(path))


def read(path: Path) -> Iterator[Scenario]:
    """The scenarios of one file; ValueError names the place of a mistake."""
    for block in path.read_text().split("\n## ")[1:]:
        head, *lines = block.strip().splitlines()
        rule, colon, promise = head.partition(": ")
        if not colon or rule not in RULES:
            raise ValueError(f"{path.name}: {head!r} does not begin with the name of a rule")
        at = lines.index(DASHES) if DASHES in lines else len(lines)
        yield Scenario(path, rule, promise, tuple(lines[:at]), tuple(lines[at + 1 :]))


def rewrite(path: Path) -> None:
    """Record the outcomes of one file again."""
    preamble = path.read_text().partition("\n## ")[0].rstrip()
    blocks = [
        "\n".join((f"## {x.rule}: {x.promise}", *x.given, DASHES, *x.outcome())) for x in read(path)
    ]
    path.write_text("\n\n".join([preamble, *blocks]) + "\n")
