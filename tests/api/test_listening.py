"""What keeps the API answering."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from shell import listening
from shell.api.office import Services
from shell.api.tls import TlsError
from shell.desk import Desk
from tests.api.support import all_can, demo_store, options
from tests.support.wait import wait_for


def test_what_could_not_be_started_anew_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is just being replaced keeps no API away for good."""
    tried = threading.Event()

    def not_yet(_rest: Any) -> None:
        tried.set()
        raise TlsError("restapi.certfile: no such file")

    monkeypatch.setattr(listening, "PROBE_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(listening, "_options", lambda _settings: options())
    settings: Any = None
    store: Any = demo_store()
    services = Services(Desk(), store, all_can, lambda _snapshot: None)
    kept = listening.Listening(services, settings)
    kept.start()
    try:
        with monkeypatch.context() as patched:
            patched.setattr("shell.api.server.server_context", not_yet)
            listener = kept._server._listener
            assert listener is not None
            listener.stop()
            assert tried.wait(20)
        wait_for(kept._server.probe, 20, "the API")
    finally:
        kept.stop()
