"""The three nodes while they run: starting, asking, killing, and ending everything.

Belongs here: what is done to, or asked of, the nodes.  Must not: print, or tell the story.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import psycopg2

from demo.processes import kill_in, processes_in, send
from demo.site import Site, program
from shell.recorder.reader import read_records
from tools.node_file import Place

T = TypeVar("T")
LOOK_AGAIN_SECONDS = 0.05
ANSWER_SECONDS = 2.0


def _environment() -> dict[str, str]:
    """Ours, without settings of hae or Patroni that would override the demo's files."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("HAE_", "PATRONI", "PG"))}


class DidNotHappenError(Exception):
    """Something that the demo waits for did not come about in time."""


class Cluster:
    """The nodes of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    # --- start and end ----------------------------------------------------------------------------

    def start(self, place: Place) -> None:
        """Start the node's daemon; what it prints goes to its log."""
        with place.log.open("ab") as log:
            self._daemons[place.name] = subprocess.Popen(
                [program("hae-daemon"), str(place.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=place.folder,
                env=_environment(),
                start_new_session=True,
            )

    def strike(self, place: Place) -> float:
        """SIGKILL all processes of a node, as a power failure would; when (CLOCK_MONOTONIC)."""
        daemon = self._daemons.pop(place.name)
        # All at once, as far as that goes; the daemon first, as it would start PostgreSQL again.
        pids = [daemon.pid, *processes_in(place.folder, self.site.bin_dir)]
        struck_at = time.monotonic()
        for pid in pids:
            send(pid, signal.SIGKILL)
        kill_in(place.folder, self.site.bin_dir)
        daemon.wait(10)
        return struck_at

    def end(self, patience_seconds: float) -> bool:
        """End all daemons, which end PostgreSQL, and then whatever is left; whether all is gone."""
        for daemon in self._daemons.values():
            send(daemon.pid, signal.SIGTERM)
            send(daemon.pid, signal.SIGCONT)  # the reader may have stopped it
        deadline = time.monotonic() + patience_seconds
        while any(daemon.poll() is None for daemon in self._daemons.values()):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_AGAIN_SECONDS)
        for daemon in self._daemons.values():
            send(daemon.pid, signal.SIGKILL)
            daemon.wait(10)
        return kill_in(self.site.folder, self.site.bin_dir)

    def remove_folder(self) -> None:
        """Delete what the demo wrote."""
        shutil.rmtree(self.site.folder, ignore_errors=True)

    # --- looking ----------------------------------------------------------------------------------

    def leader(self) -> Place | None:
        """The node that answers GET /primary with 200, if there is one."""
        for place in self.site.places:
            if self._status(place, "/primary") == 200:
                return place
        return None

    def others(self, leader: Place) -> list[Place]:
        """All nodes but that one."""
        return [place for place in self.site.places if place is not leader]

    def healthy_leader(self) -> Place | None:
        """The leader when all other nodes stream from it, else None."""
        leader = self.leader()
        if leader is None:
            return None
        streaming = all(self._streams(place) for place in self.others(leader))
        return leader if streaming else None

    def document(self, place: Place) -> dict[str, Any]:
        """GET /patroni of a node; empty when it does not answer."""
        url = f"http://127.0.0.1:{place.api_port}/patroni"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
                document = json.load(answer)
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def daemon_pid(self, place: Place) -> int:
        """The process of a node's daemon."""
        return self._daemons[place.name].pid

    def has_rows(self, place: Place, numbers: set[int]) -> bool:
        """Whether a node answers and has exactly these rows."""
        try:
            return self.row_numbers(place) == numbers
        except psycopg2.Error:
            return False

    def row_numbers(self, place: Place) -> set[int]:
        """The numbers of all rows that a node has; psycopg2.Error when it does not answer."""
        with closing(self._connect(place)) as connection, connection.cursor() as cursor:
            cursor.execute("select id from demo_rows")
            return {int(row[0]) for row in cursor.fetchall()}

    def decision_time(self, place: Place, rule: str, since_wall: float) -> float | None:
        """When a rule fired first on a node since that time, by its flight recorder."""
        for record in read_records(place.records, since=since_wall):
            if rule in record.get("fired", ()):
                return float(record["wall"])
        return None

    def wait_for(self, look: Callable[[], T | None], timeout_seconds: float, what: str) -> T:
        """The first answer that is not empty; DidNotHappenError after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            seen = look()
            if seen:
                return seen
            self._refuse_dead_daemon()
            time.sleep(LOOK_AGAIN_SECONDS)
        raise DidNotHappenError(f"{what}: not within {timeout_seconds:.0f} s")

    def _refuse_dead_daemon(self) -> None:
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None:
                raise DidNotHappenError(f"{name}'s daemon ended with code {daemon.returncode}")

    def _streams(self, place: Place) -> bool:
        document = self.document(place)
        return (
            document.get("role") == "replica" and document.get("replication_state") == "streaming"
        )

    def _status(self, place: Place, path: str) -> int:
        url = f"http://127.0.0.1:{place.api_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def _connect(self, place: Place) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host="127.0.0.1",
            port=place.postgres_port,
            user="postgres",
            password=self.site.password,
            dbname="postgres",
            connect_timeout=5,
            options="-c statement_timeout=30000",
        )

    # --- hae's own commands -----------------------------------------------------------------------

    def hae(self, *words: str, timeout_seconds: float = 60) -> str:
        """Run `hae WORDS` in the demo's folder; what it printed.

        Raises DidNotHappenError with that text when it ends with another code than 0.
        """
        ran = self._run(words, timeout_seconds, subprocess.PIPE)
        if ran.returncode:
            raise DidNotHappenError(
                f"hae {' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}"
            )
        return ran.stdout

    def show_hae(self, *words: str, timeout_seconds: float = 60) -> None:
        """Run `hae WORDS` on our own standard output, so that it adapts to a narrow terminal."""
        if self._run(words, timeout_seconds, None).returncode:
            raise DidNotHappenError(f"hae {' '.join(words)} failed")

    def _run(
        self, words: tuple[str, ...], timeout_seconds: float, stdout: int | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [program("hae"), *words],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT if stdout else None,
                text=True,
                timeout=timeout_seconds,
                check=False,
                cwd=self.site.folder,
                env=_environment(),
            )
        except subprocess.TimeoutExpired:
            raise DidNotHappenError(f"hae {' '.join(words)}: no end") from None
