"""Comparing what was written with the schema tables; every finding is collected.

One walk gives the normalised values and the problems.  Rules that concern several keys at once
are not here but where the keys are used (`local`, `dynamic`, `effective`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shell.config.key import Key, Where
from shell.config.kinds import Refused, as_key
from shell.config.problems import Problem, Severity, shown
from shell.config.schema import BY_PATH, KEYS, ROOT, Node, build
from shell.config.schema_node import CUSTOM_BOOTSTRAP
from shell.config.schema_postgresql import REPLICA_METHOD

Path = tuple[str, ...]

# Sections in which a mapping under a free name describes a method of the user's own.
_METHODS = {
    "postgresql": (build(REPLICA_METHOD), "create_replica_methods", "create_replica_method"),
    "bootstrap": (build(CUSTOM_BOOTSTRAP), "method", "method"),
}

# What a free name may look like, by the section that it stands in.
_SLOT_NAME = (re.compile(r"[a-z0-9_]{1,63}"), "up to 63 lower-case letters, digits and _")
_GUC_NAME = (re.compile(r"[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)*", re.ASCII), "a parameter's name")
_FREE_NAMES = {"slots": _SLOT_NAME, "parameters": _GUC_NAME, "recovery_conf": _GUC_NAME}


@dataclass(slots=True)
class Check:
    """One walk over a configuration; `values` and `problems` are its results.

    `places` tells where each path was written.  `unknown` is the severity of unknown keys.
    """

    side: Where
    places: Mapping[Path, str] = field(default_factory=dict)
    unknown: Severity = "warning"
    prefix: Path = ()
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, path: Path, message: str, severity: Severity = "error") -> None:
        """Note one problem, with the place of the nearest path that has one."""
        full = self.prefix + path
        where = next(
            (self.places[full[:n]] for n in range(len(full), 0, -1) if full[:n] in self.places), ""
        )
        self.problems.append(Problem(".".join(full), message, severity, where))

    def walk(self, data: Mapping[Any, Any], node: Node = ROOT, path: Path = ()) -> None:
        """Check a mapping against a section of the tree."""
        for raw, value in data.items():
            name = as_key(raw)
            child = node.children.get(name) or node.children.get("*")
            here = (*path, name)
            if child is not None:
                self._visit(child, here, value)
            elif _is_method(node.path, name, value, data):
                self._method(_METHODS[node.path][0], here, value)
            else:
                self._unknown(node, here, value)

    def _unknown(self, node: Node, path: Path, value: Any) -> None:
        hint = self._hint(node, path[-1])
        self.report(path, "unknown key" + hint, self.unknown)
        if not hint and node.path in _METHODS and isinstance(value, Mapping):
            # It may be a method that only the other side lists; kept, it can do no harm.
            self._method(_METHODS[node.path][0], path, value)

    def _method(self, tree: Node, path: Path, value: Mapping[Any, Any]) -> None:
        self._put(path, {})
        self.walk(value, tree, path)
        for key in tree.all_keys():
            if key.required and value.get(key.path) is None:
                self._missing(key, (*path, key.path))

    def _visit(self, node: Node, path: Path, value: Any) -> None:
        if value is None:
            return
        key = node.key
        if key is not None and key.verdict != "accept":
            self.report(path, key.note, "error" if key.verdict == "refuse" else "warning")
        elif not node.allows(self.side):
            self.report(path, _misplaced(self.side), "warning")
        elif key is not None:
            self._leaf(key, path, value)
        elif isinstance(value, Mapping):
            if self.side == "local" and len(path) == 1:
                self.values.setdefault(path[0], {})  # an empty section is present all the same
            self.walk(value, node, path)
        else:
            secret = any(key.secret for key in node.all_keys())
            self.report(path, f"found {shown(value, secret=secret)}, allowed: {_section(node)}")

    def _leaf(self, key: Key, path: Path, value: Any) -> None:
        try:
            normal = key.kind.parse(value)
        except Refused as error:
            allowed = str(error) or key.kind.allowed
            self.report(path, f"found {shown(value, secret=key.secret)}, allowed: {allowed}")
            return
        pattern, allowed = _free_name(key)
        if not pattern.fullmatch(path[-1]):
            self.report(path, f"the name is not allowed here; allowed: {allowed}")
            return
        if key.renamed:
            target = tuple(path[-1] if p == "*" else p for p in key.renamed.split("."))
            self._put(target, normal, keep=True)
        else:
            self._put(path, normal)

    def _put(self, path: Path, value: Any, *, keep: bool = False) -> None:
        values = self.values
        for part in path[:-1]:
            values = values.setdefault(part, {})
        if not (keep and path[-1] in values):
            values[path[-1]] = value

    def require(self) -> None:
        """Report every required key of the schema that has no usable value."""
        for key in KEYS:
            if key.required:
                self._missing(key, tuple(key.path.split(".")))

    def _missing(self, key: Key, path: Path) -> None:
        reported = {problem.path for problem in self.problems if problem.severity == "error"}
        parents = {".".join((*self.prefix, *path[:n])) for n in range(1, len(path) + 1)}
        if lookup(self.values, path) is None and not reported & parents:
            self.report(path, f"missing, required: {key.kind.allowed}")

    def _hint(self, node: Node, name: str) -> str:
        siblings = [n for n, child in node.children.items() if child.allows(self.side)]
        close = difflib.get_close_matches(name.lower(), siblings, 1, 0.7)
        if close:
            return f"; did you mean {'.'.join(filter(None, (node.path, close[0])))!r}?"
        elsewhere = [path for path in BY_PATH if path.split(".")[-1] == name]
        if len(elsewhere) == 1:
            return f"; did you mean {elsewhere[0]!r}?"
        return ""


def lookup(values: Mapping[str, Any], path: Iterable[str]) -> Any:
    """Return the value at a path of nested mappings, or None."""
    found: Any = values
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _is_method(section: str, name: str, value: Any, data: Mapping[Any, Any]) -> bool:
    if section not in _METHODS or not isinstance(value, Mapping):
        return False
    listed = " ".join(str(data.get(key)) for key in _METHODS[section][1:])
    return "command" in value or name in re.findall(r"[\w.-]+", listed)


def _free_name(key: Key) -> tuple[re.Pattern[str], str]:
    section = key.path.removesuffix(".*").split(".")[-1]
    if key.path.endswith(".*"):
        for name, rule in _FREE_NAMES.items():
            if section == name or section.startswith(f"{name}_") or section.endswith(f"_{name}"):
                return rule
    return re.compile(r"(?s).*"), "any"


def _misplaced(side: Where) -> str:
    if side == "dcs":
        return "ignored here: only the node file may set it"
    return "ignored here: only the dynamic configuration may set it; use `hae ctl edit-config`"


def _section(node: Node) -> str:
    if "*" in node.children and len(node.children) == 1:
        return "a mapping, written `name: value` on lines of their own"
    return "a mapping with the keys " + ", ".join(name for name in node.children if name != "*")
