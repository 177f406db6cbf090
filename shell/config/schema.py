"""The accepted configuration keys as one tree, put together from the tables of the sections.

A new key is one line in a `schema_*` table.  This module only defines what a line says and
arranges the lines; checking a configuration against them is done in `checking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shell.config import schema_dynamic, schema_node, schema_postgresql, schema_stores
from shell.config.key import Key, Where


@dataclass(slots=True)
class Node:
    """A place in the tree: a key, or a section with children, or both absent for a free name."""

    path: str
    key: Key | None = None
    children: dict[str, Node] = field(default_factory=dict)

    def all_keys(self) -> Iterator[Key]:
        """Yield every key at or below this place."""
        if self.key is not None:
            yield self.key
        for child in self.children.values():
            yield from child.all_keys()

    def allows(self, side: Where) -> bool:
        """Say whether anything at or below this place may be set by that side."""
        return any(key.where in (side, "both") for key in self.all_keys())


def build(keys: Iterable[Key]) -> Node:
    """Arrange keys by the parts of their paths; a wrong table is an assertion."""
    root = Node("")
    for key in keys:
        node = root
        for part in key.path.split("."):
            below = f"{node.path}.{part}" if node.path else part
            node = node.children.setdefault(part, Node(below))
        assert node.key is None, f"{key.path} is defined twice"
        assert not node.children, f"{key.path} is both a key and a section"
        node.key = key
    return root


KEYS: tuple[Key, ...] = (
    *schema_node.KEYS,
    *schema_stores.KEYS,
    *schema_dynamic.KEYS,
    *schema_postgresql.KEYS,
)
ROOT: Node = build(KEYS)
BY_PATH: Mapping[str, Key] = {key.path: key for key in KEYS}


def default_of(path: str) -> Any:
    """Return the default of the key at `path`; a KeyError means that there is no such key."""
    return BY_PATH[path].default
