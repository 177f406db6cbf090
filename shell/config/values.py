"""Reading a normalised tree by dotted paths, with the defaults of the schema filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shell.config.checking import lookup
from shell.config.schema import ROOT, default_of


class Values:
    """A view of one tree of normalised values; it changes nothing."""

    __slots__ = ("_tree",)

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def get(self, path: str) -> Any:
        """Return the value at `path`, else the default of that key."""
        found = lookup(self._tree, path.split("."))
        return default_of(path) if found is None else found

    def text(self, path: str) -> str:
        """Return a value that is text, or has a default that is."""
        found = self.get(path)
        assert isinstance(found, str), path
        return found

    def section(self, path: str) -> Mapping[str, Any]:
        """Return the mapping at `path`, empty when there is none."""
        return lookup(self._tree, path.split(".")) or {}

    def has(self, path: str) -> bool:
        """Say whether anything is written at `path`."""
        return lookup(self._tree, path.split(".")) is not None

    @staticmethod
    def names(section: str) -> list[str]:
        """Return the names of the keys directly in a section of the schema."""
        return list(ROOT.children[section].children)
