"""Which modules of the checkout import which, so that a mutant loads anew only what it changes.

Belongs here: the graph of imports, read from the files, and a loader for a changed module.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("engine", "shell", "ctl", "proof", "tests", "tools")


def module_name(path: str) -> str:
    """`engine/quorum.py` as `engine.quorum`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def graph() -> dict[str, frozenset[str]]:
    """What each module of the checkout imports of the checkout; also the packages it is in."""
    paths = [x for folder in FOLDERS for x in (ROOT / folder).rglob("*.py")]
    files = {module_name(x.relative_to(ROOT).as_posix()): x for x in paths}
    found = {}
    for name, path in files.items():
        wanted = {*_imported(ast.parse(path.read_text())), name}
        packages = {x.rpartition(".")[0] for x in wanted}
        found[name] = frozenset((wanted | packages) & set(files)) - {name}
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(start: str) -> set[str]:
    """The modules that are loaded with that one, itself included."""
    found, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += graph()[name]
    return found


def load_all_but(changed: str, wanted: tuple[str, ...]) -> None:
    """Load whatever the wanted modules need, except what depends on the changed one."""
    needed = set().union(*(reached(name) for name in wanted))
    for name in sorted(needed):
        if changed not in reached(name):
            importlib.import_module(name)
    assert changed not in sys.modules, changed


class Changed(MetaPathFinder):
    """Gives one module another source; install it before the module is imported."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """The changed module's spec, and none for any other."""
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(self._path), self._source)
        return spec_from_file_location(fullname, self._path, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec")
