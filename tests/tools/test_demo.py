"""The demo counts rightly, ends only what it started, and writes node files that are valid."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.processes import kill_in, processes_in
from demo.site import CannotStartError, Site, demo_ports, document_of
from demo.story import excerpt
from demo.writer import Writer
from shell.config import effective, load_local, unbuilt_problems
from tests.support.wait import wait_for
from tools.node_file import Place


@pytest.fixture
def writer() -> Writer:
    """A writer that was told of five rows, with an outage between the third and the fourth."""
    writer = Writer("host=nowhere", "secret")
    rows = [(10.0, 1), (10.1, 2), (10.2, 3), (17.0, 5), (17.1, 6)]
    writer._acknowledged.extend(rows)
    return writer


def test_rows_are_compared_by_number(writer: Writer) -> None:
    """Acknowledged rows that are gone, and rows that nobody was told of, are kept apart."""
    count = writer.compare({1, 2, 4, 5, 6})
    assert (count.acknowledged, count.found) == (5, 5)
    assert (count.missing, count.unasked) == ((3,), (4,))
    assert writer.acknowledged_at(3) == 10.2


def test_an_outage_is_the_longest_gap_since_a_moment(writer: Writer) -> None:
    """It begins with the last acknowledgement before the moment."""
    assert writer.outage_seconds(10.15) == pytest.approx(6.8)
    assert writer.outage_seconds(17.05) == pytest.approx(0.1)
    assert writer.wrote_since(17.0)
    assert not writer.wrote_since(17.1)


def test_an_excerpt_keeps_what_concerns_the_members() -> None:
    """Of an explanation: its head, the rule, and the rules above it that looked at members."""
    text = (
        "n1: recorded\n\nn1 at noon\n\nrace.acquire: Nobody is ahead\n  why: Because.\n"
        "  ruled out above it:\n    race.paused: not paused (pause=False)\n"
        "    race.peer_ahead: not a_peer_is_ahead (mine 0/1)\n\nfiles.same: In force\n"
    )
    lines = excerpt(text, "race.acquire").splitlines()
    assert lines[0] == "n1: recorded"
    assert lines[-1].strip().startswith("race.peer_ahead")
    assert not any("race.paused" in line or "files.same" in line for line in lines)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the site's PostgreSQL that works below the demo's folder."""
    program, works_in = tmp_path / "bin" / "postgres", tmp_path / "demo" / "n1"
    program.parent.mkdir()
    works_in.mkdir(parents=True)
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    process = subprocess.Popen([str(program), "60"], cwd=works_in)
    yield process
    process.kill()
    process.wait()


def test_only_the_demos_own_processes_are_ended(
    tmp_path: Path, server: subprocess.Popen[bytes]
) -> None:
    """PostgreSQL in the folder is found and ended; somebody's shell in the folder is not."""
    folder, bin_dir = tmp_path / "demo", tmp_path / "bin"
    shell = subprocess.Popen(["sleep", "60"], cwd=folder / "n1")
    try:
        found = wait_for(lambda: processes_in(folder, bin_dir), 10, "the server to be seen")
        assert found == [server.pid]
        assert kill_in(folder, bin_dir)
        assert server.wait(10) == -9
        assert shell.poll() is None
    finally:
        shell.kill()
        shell.wait()


def test_node_files_are_valid(tmp_path: Path) -> None:
    """The files ask for nothing unknown, nothing unbuilt, and the short lease is in force."""
    place = Place("n1", 20001, 20002, tmp_path / "n1")
    site = Site(tmp_path, tmp_path / "bin", "16.1", "secret", (place,))
    place.file.write_text(yaml.safe_dump(document_of(site, place)))
    local = load_local(place.file, {})
    settings, texts = effective(local, local.bootstrap_dcs)
    assert (settings.dynamic.ttl, settings.dynamic.low_ttl) == (8, True)
    assert [*local.warnings, *texts, *unbuilt_problems(settings)] == []


def test_ports_come_from_the_given_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """HAE_DEMO_PORTS names the range; one that is too small, or no range, is told."""
    monkeypatch.setenv("HAE_DEMO_PORTS", "21000-21003")
    with pytest.raises(CannotStartError, match="free ports"):
        demo_ports(6)
    monkeypatch.setenv("HAE_DEMO_PORTS", "many")
    with pytest.raises(CannotStartError, match="first-last"):
        demo_ports(6)
