"""The copy of a checkout for an unprivileged account: what goes over, what stays, what goes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tools.copies import checkout_files, pack, unpack


def copy(source: Path, target: Path) -> None:
    """Copy as the two processes do, through one buffer."""
    stream = io.BytesIO()
    pack(stream, source, target, sorted(checkout_files(source)), None)
    stream.seek(0)
    unpack(stream, target)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree with a program and a link, readable by its owner only."""
    folder = tmp_path / "source"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/text").write_text("one")
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(0o700)
    (folder / "deep/er/text").chmod(0o600)
    (folder / "link").symlink_to("deep/er/text")
    return folder


def test_everything_arrives_readable(source: Path, tmp_path: Path) -> None:
    """Contents, links and the right to execute are copied; others may read the copy."""
    copy(source, tmp_path / "target")
    target = tmp_path / "target"
    assert (target / "link").read_text() == "one"
    assert (target / "link").is_symlink()
    assert (target / "deep/er/text").stat().st_mode & 0o777 == 0o644
    assert (target / "program").stat().st_mode & 0o777 == 0o755


def test_vanished_files_go_and_foreign_ones_stay(source: Path, tmp_path: Path) -> None:
    """A file gone from the checkout goes from the copy; what a run created there stays."""
    target = tmp_path / "target"
    copy(source, target)
    (target / "made-by-a-run").write_text("kept")
    (source / "deep/er/text").unlink()
    (source / "link").unlink()
    copy(source, target)
    assert not (target / "deep").exists()
    assert (target / "made-by-a-run").read_text() == "kept"


def test_only_changed_files_are_written(source: Path, tmp_path: Path) -> None:
    """An unchanged file keeps its inode, a changed one gets the new content."""
    target = tmp_path / "target"
    copy(source, target)
    before = (target / "program").stat().st_ino
    (source / "deep/er/text").write_text("two, and longer")
    copy(source, target)
    assert (target / "program").stat().st_ino == before
    assert (target / "deep/er/text").read_text() == "two, and longer"


def test_a_file_may_become_a_folder(source: Path, tmp_path: Path) -> None:
    """A path that changes its kind between two runs is replaced, either way."""
    target = tmp_path / "target"
    copy(source, target)
    (source / "program").unlink()
    (source / "program").mkdir()
    (source / "program/main").write_text("x")
    copy(source, target)
    assert (target / "program/main").read_text() == "x"
