"""What is not built yet is named, before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shell.config import Settings, effective, load_local, unbuilt_problems

Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path, minimal: str) -> Read:
    """Return a reader of the minimal node file with lines added, and a dynamic configuration."""

    def reader(more: str = "", **dynamic: object) -> Settings:
        file = tmp_path / "node.yml"
        file.write_text(minimal + more)
        return effective(load_local(file, {}), dynamic)[0]

    return reader


def test_a_plain_node_asks_for_nothing_unbuilt(read: Read) -> None:
    """Defaults give no problem."""
    assert unbuilt_problems(read()) == []


@pytest.mark.parametrize(
    ("dynamic", "named"),
    [
        ({"slots": {"s1": {"database": "d", "plugin": "pgoutput"}}}, "logical slots (s1)"),
    ],
)
def test_what_is_missing_is_named(read: Read, dynamic: dict[str, object], named: str) -> None:
    """A feature that is merely missing gives a warning."""
    (problem,) = unbuilt_problems(read(**dynamic))
    assert problem.severity == "warning"
    assert problem.message.startswith(named)
