"""Why a mutant may live: the file of reasons, read and compared with the results.

Belongs here: the reading of `survivors.txt`.  Each block is a reason, as a sentence after `## `,
and the names of the mutants that live for it, one a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FILE = Path(__file__).parent / "survivors.txt"


def reasons(path: Path = FILE) -> dict[str, str]:
    """The reason for each mutant that is known to live; ValueError for a name that comes twice."""
    found: dict[str, str] = {}
    for block in path.read_text().split("\n## ")[1:]:
        reason, *names = (line.strip() for line in block.strip().splitlines() if line.strip())
        for name in names:
            if name in found:
                raise ValueError(f"{path.name}: {name} comes twice")
            found[name] = reason
    return found


def unexplained(survived: Iterable[str], known: dict[str, str]) -> list[str]:
    """Mutants that live for no reason that is written down."""
    return sorted(set(survived) - set(known))
