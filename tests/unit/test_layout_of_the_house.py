"""The layout of the code: what engine/ may import, how long things are, names that must resolve."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.decide import RULES, TABLES

ROOT = Path(__file__).parent.parent.parent
MOST_LINES = 450
MOST_LINES_OF_A_FUNCTION = 60
# Nothing here can read a clock, draw a number, log, or touch the world.
PURE = {
    *("collections", "collections.abc", "dataclasses", "enum", "functools"),
    *("itertools", "math", "operator", "re", "types", "typing"),
}
FOLDERS = ("engine", "shell", "ctl", "proof", "tests/support", "tests/gallery")
FILES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py"))
ENGINE = [path for path in FILES if path.is_relative_to(ROOT / "engine")]
NAMED = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_RULE = re.compile(
    rf"(?<![\w./\"'-])(?:{'|'.join(table.name for table in TABLES)})\.[a-z][a-z_]+\b(?![(\w=])"
)
# They read like rules, and are keys of the node file.
_SETTINGS = {
    "fence.mode",
    "watchdog.mode",
    "watchdog.device",
    "watchdog.safety_margin",
    "watchdog.driver",
}
_FILE_ENDINGS = (".signal", ".log", ".py", ".md", ".txt", ".yml", ".yaml", ".json")


def short(path: Path) -> str:
    """The path as a test's name."""
    return str(path.relative_to(ROOT))


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that a file imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("path", ENGINE, ids=short)
def test_the_engine_imports_nothing_but_itself_and_pure_modules(path: Path) -> None:
    """engine/ uses a short list of the standard library, and nothing that looks at the world."""
    tree = ast.parse(path.read_text())
    modules = set(imported(tree))
    foreign = {name for name in modules - PURE if name.partition(".")[0] != "engine"}
    assert not foreign
    called = {
        n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and hasattr(n.func, "attr")
    }
    assert not called & {"now", "utcnow", "today"}, "a clock is read"


@pytest.mark.parametrize("path", ENGINE, ids=short)
def test_the_engine_has_no_hidden_state(path: Path) -> None:
    """engine/ knows no `global`, no `nonlocal`, and makes no cache that outlives a decision."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Global | ast.Nonlocal), f"line {node.lineno}"
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            assert name not in {"cache", "lru_cache", "cached_property"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_files_and_functions_are_short_and_modules_say_what_they_are(path: Path) -> None:
    """A module opens with a docstring; files and functions stay short enough to be read."""
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "no docstring at the top"
    assert len(text.splitlines()) <= MOST_LINES, "split it by concern"
    long = [
        f"{node.name}, line {node.lineno}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert not long


def prose(path: Path) -> str:
    """The comments and docstrings of a Python file."""
    text = path.read_text()
    found = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found += [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
    ]
    return "\n".join(found)


def unresolved(text: str) -> set[str]:
    """What reads like the name of a rule and is none."""
    return {
        name
        for name in _RULE.findall(text)
        if name not in _SETTINGS | set(RULES) and not name.endswith(_FILE_ENDINGS)
    }


@pytest.mark.parametrize("path", NAMED, ids=short)
def test_rules_named_in_documents_exist(path: Path) -> None:
    """A hand-written or generated page names only rules of today (between backquotes)."""
    assert not unresolved(" ".join(re.findall(r"`([^`\n]+)`", path.read_text())))


def test_rules_named_in_comments_exist() -> None:
    """Comments and docstrings name only rules of today."""
    lost = {short(path): names for path in FILES if (names := unresolved(prose(path)))}
    assert not lost
