"""Reading YAML into plain values, strictly, and remembering on which line each value stands.

Duplicate keys, tabs and syntax errors are reported with file and line.  No message repeats the
text of the file, because it may hold passwords.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shell.config.kinds import WrittenFloat, WrittenInt, as_key
from shell.config.problems import Problem

_LARGEST_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Loaded:
    """What was read: plain values, where each path was written, and what was wrong."""

    data: dict[Any, Any] = field(default_factory=dict)
    places: dict[tuple[str, ...], str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which dates stay text and numbers remember how they were written."""


def _number(loader: _Loader, node: yaml.ScalarNode) -> Any:
    text = node.value
    is_int = node.tag.endswith(":int")
    if ":" in text:  # YAML 1.1 reads 12:30 as 750 (base 60), which nobody means
        return text
    base = loader.construct_yaml_int(node) if is_int else loader.construct_yaml_float(node)
    if str(base) == text:
        return base
    value = WrittenInt(base) if is_int else WrittenFloat(base)
    value.text = text
    return value


def _timestamp(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _timestamp)


def load_text(text: str, name: str) -> Loaded:
    """Read one YAML document; `name` is what messages call it."""
    loaded = Loaded()
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return loaded
        if not isinstance(node, yaml.MappingNode):
            message = "found no mapping; a configuration is written `key: value`"
            loaded.problems.append(Problem("", message, where=_place(name, node.start_mark)))
            return loaded
        if _note_places(node, (), name, loaded, []):
            loaded.data = dict(loader.construct_document(node))
    except yaml.YAMLError as error:
        loaded.problems.extend(_tabs(text, name) or [_syntax(error, name)])
    except (ValueError, RecursionError) as error:
        what = "too deeply nested" if isinstance(error, RecursionError) else "a number is malformed"
        loaded.problems.append(Problem("", what, where=name))
    finally:
        if loader is not None:
            loader.dispose()
    return loaded


def load_path(path: Path) -> Loaded:
    """Read a file, or a directory whose *.yml and *.yaml are merged in the order of their names."""
    if not path.is_dir():
        return _load_file(path)
    files = sorted(p for p in path.iterdir() if p.suffix in (".yml", ".yaml") and p.is_file())
    merged = Loaded()
    if not files:
        merged.problems.append(Problem("", "no *.yml or *.yaml in this directory", where=str(path)))
    for file in files:
        loaded = _load_file(file)
        merged.data = merge(merged.data, loaded.data)
        merged.places.update(loaded.places)
        merged.problems.extend(loaded.problems)
    return merged


def merge(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return `base` with `over` laid upon it; mappings merge, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return result


def _load_file(path: Path) -> Loaded:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise OSError("larger than 4 MB: not a configuration")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        return Loaded(problems=[Problem("", message, where=str(path))])
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
        return Loaded(problems=[Problem("", message, where=str(path))])
    return load_text(text, str(path))


def _note_places(
    node: yaml.Node, path: tuple[str, ...], name: str, loaded: Loaded, above: list[yaml.Node]
) -> bool:
    """Note the line of every path; report duplicate keys; False when an alias contains itself."""
    if node in above:
        loaded.problems.append(
            Problem(".".join(path), "an alias contains itself", where=_place(name, node.start_mark))
        )
        return False
    if not isinstance(node, yaml.MappingNode):
        items = node.value if isinstance(node, yaml.SequenceNode) else []
        return all(_note_places(item, path, name, loaded, [*above, node]) for item in items)
    seen: dict[Hashable, int] = {}
    sound = True
    for key, value in node.value:
        label = key.value if isinstance(key.value, str) else "?"
        here = (*path, as_key(label))
        line = key.start_mark.line + 1
        if label in seen and key.tag != "tag:yaml.org,2002:merge":
            message = f"written twice, first on line {seen[label]}; YAML keeps only the last"
            loaded.problems.append(
                Problem(".".join(here), message, where=_place(name, key.start_mark))
            )
        seen.setdefault(label, line)
        loaded.places.setdefault(here, _place(name, key.start_mark))
        sound = _note_places(value, here, name, loaded, [*above, node]) and sound
    return sound


def _place(name: str, mark: yaml.Mark) -> str:
    return f"{name}:{mark.line + 1}"


def _tabs(text: str, name: str) -> list[Problem]:
    message = "indented with a tab; YAML allows only spaces there"
    return [
        Problem("", message, where=f"{name}:{number}")
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r" *\t", line) and line.strip()
    ]


def _syntax(error: yaml.YAMLError, name: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = str(getattr(error, "problem", None) or error).split("\n")[0]
    if "quoted scalar" in str(getattr(error, "context", "")):
        mark = getattr(error, "context_mark", mark)
        what = "the quote opened here is never closed"
    elif "undefined alias" in what:
        what = "a value that begins with * refers to an anchor that does not exist; quote it"
    elif "could not determine a constructor" in what or "tag" in what:
        what = "a value that begins with ! is a YAML tag, which is not supported; quote it"
    elif isinstance(error, yaml.reader.ReaderError):
        what = f"contains a character that YAML does not allow (position {error.position})"
    elif "mapping values are not allowed" in what:
        what = "a second `: ` on this line, or wrong indentation; quote a value that contains `: `"
    return Problem("", f"not valid YAML: {what}", where=_place(name, mark) if mark else name)
