"""The resolver, where the machine is short of something."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from shell.resolver import lookup


def test_a_resolver_that_cannot_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is short of threads or memory for a moment loses no name for good."""

    def short(*_: Any, **__: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("socket.getaddrinfo", short)
        with pytest.raises(OSError, match=r"n2\.example is not known"):
            lookup("n2.example").result(20)
    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", MagicMock(side_effect=RuntimeError("no thread")))
        with pytest.raises(OSError, match=r"n2\.example cannot be asked for: no thread"):
            lookup("n2.example").result(20)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.0.0.2", 0))])
    assert lookup("n2.example").result(20) == ("10.0.0.2",)
