"""The end of the log, where its writer hangs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shell import logs
from tests.support.wait import wait_for

SETTINGS: Any = SimpleNamespace(
    dir=None, type="plain", format=None, dateformat=None, level="INFO", loggers={}, max_queue_size=1
)


class _Pipe:
    """A standard error that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go, self.text = threading.Event(), threading.Event(), ""

    def write(self, text: str) -> None:
        """Hang, then take it."""
        self.asked.set()
        self.let_go.wait(60)
        self.text += text

    def flush(self) -> None:
        """There is nothing to do."""


@pytest.fixture
def _handlers() -> Iterator[None]:
    """The handlers of the test run come back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("_handlers")
def test_a_log_that_hangs_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that must end does so although nobody reads its log, and the queue is full."""
    pipe, closed = _Pipe(), threading.Event()
    monkeypatch.setattr("sys.stderr", pipe)
    monkeypatch.setattr(logs, "CLOSE_SECONDS", 0.1)
    log = logs.Logs(SETTINGS)
    logging.getLogger("hae").warning("one")
    assert pipe.asked.wait(20)
    logging.getLogger("hae").warning("two")

    def close() -> None:
        log.close()
        closed.set()

    threading.Thread(target=close, daemon=True).start()

    assert closed.wait(20)
    pipe.let_go.set()
    wait_for(lambda: "two" in pipe.text, 20, "what was queued")
