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


def test_a_store_that_is_not_built_is_named(tmp_path: Path, minimal: str) -> None:
    """The error names the section, and what to use instead."""
    file = tmp_path / "node.yml"
    section = "etcd3:\n  hosts: 10.0.0.1:2379,10.0.0.2:2379\n"
    file.write_text(minimal.replace(section, "consul: {host: 10.0.0.9}\n"))
    (problem,) = unbuilt_problems(effective(load_local(file, {}), {})[0])
    assert (problem.path, problem.severity) == ("consul", "error")
    assert "use etcd3" in problem.message
