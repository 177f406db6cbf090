"""What one line of a schema table says.

Only the record belongs here; the tables are in the `schema_*` modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shell.config.kinds import Kind

Where = Literal["local", "dcs", "both"]


@dataclass(frozen=True, slots=True)
class Key:
    """One accepted key.

    `path` is dotted, a part `*` stands for any name.  `where` says which side may set it.
    `reload` false: a change applies only after a restart of the daemon.  `renamed`: an old
    spelling of that path.  `note` with verdict "refuse" or "ignore" is the sentence to show.
    """

    path: str
    kind: Kind
    default: Any = None
    where: Where = "local"
    required: bool = False
    secret: bool = False
    reload: bool = True
    renamed: str = ""
    verdict: Literal["accept", "ignore", "refuse"] = "accept"
    note: str = ""
