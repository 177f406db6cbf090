"""Asking the members, over REST, to let this primary go on without the store.

Belongs here: the calls, side by side, and their answers.  Whom to ask, and what follows from the
answers, is the engine's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from engine.actions import AskFailsafe
from engine.state import FailsafeAnswer
from shell import layout
from shell.peers import Peers, short
from shell.processes import now

MOST_THREADS = 16
# Status 500 with one of these: by our rules (tables/failsafe.py), and by Patroni.  Every other 500
# is of a member that is broken, or of something before it, and must not end our lease.
LEADS = (" is running as the primary itself", " owns the leader lock", "Running as a leader")


class FailsafeCalls:
    """One call to each member at a time; the newest answer of each is kept."""

    def __init__(self, peers: Peers, wake: Callable[[str], None]) -> None:
        self._peers = peers
        self._wake = wake
        self._pool = ThreadPoolExecutor(MOST_THREADS, "failsafe")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._answers: dict[str, FailsafeAnswer] = {}

    @property
    def answers(self) -> tuple[FailsafeAnswer, ...]:
        """The newest answer of each member that was ever asked, by name."""
        with self._lock:
            return tuple(self._answers[name] for name in sorted(self._answers))

    def ask(self, question: AskFailsafe, about_us: Mapping[str, Any]) -> None:
        """Begin to ask; a member whose answer is still awaited is left out."""
        body = {**about_us, "slots": dict(question.slots), "ttl": question.ttl_seconds}
        for name, url in question.members.items():
            with self._lock:
                if name in self._under_way:
                    continue
                self._under_way.add(name)
            self._pool.submit(self._ask_one, name, url, question, body)

    def _ask_one(self, name: str, url: str, question: AskFailsafe, body: Mapping[str, Any]) -> None:
        asked_at, agreed, leads, lsn = now(), False, False, None
        try:
            status, text, headers = self._peers.post(
                url, "failsafe", body, question.timeout_seconds
            )
            lsn = layout.integer(headers.get("lsn"))
            said = text.strip()
            agreed = status == 200 and said == "Accepted"
            leads = status == 500 and said.endswith(LEADS)
            why = "" if agreed else f"{status} {said[:160]}"
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            why = short(error)
        with self._lock:
            self._under_way.discard(name)
            self._answers[name] = FailsafeAnswer(
                name, asked_at, question.ttl_seconds, agreed, leads, why, lsn
            )
        self._wake(f"failsafe: {name} {'agreed' if agreed else 'did not agree'}")

    def close(self) -> None:
        """Ask no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
