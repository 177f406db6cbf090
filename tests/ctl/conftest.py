"""Fixtures of the command line's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ctl.support import World


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests see neither a person's configuration nor their variables."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HAE_CONFIG_FILE", "PATRONICTL_CONFIG_FILE", "DCS_URL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty store."""
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def demo(world: World) -> World:
    """Three healthy members."""
    world.healthy()
    return world
