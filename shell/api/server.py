"""The REST API as the daemon uses it: start, reload, probe, restart, stop.

Here belongs the life of the listener as a whole.  What it answers is the application's business.
"""

from __future__ import annotations

import socket
import ssl
import threading

from shell.api.listener import Listener
from shell.api.office import Services
from shell.api.options import ApiOptions
from shell.api.protocol import Limits
from shell.api.sockets import ListenError, answers, open_sockets, raise_file_limit
from shell.api.tls import server_context


class ApiServer:
    """The REST API as the daemon uses it; every method may be called from any thread."""

    def __init__(self, services: Services, options: ApiOptions) -> None:
        self._services = services
        self._options = options
        self._sockets: list[socket.socket] = []
        self._listener: Listener | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Open the sockets and serve; raises ListenError or TlsError, each with its mend."""
        with self._lock:
            context = server_context(self._options.rest)
            self._sockets = open_sockets(self._options)
            self._start_listener(context)

    def _start_listener(self, context: ssl.SSLContext | None) -> None:
        limits = Limits(raise_file_limit())
        self._listener = Listener(self._services, self._options, self._sockets, context, limits)
        self._listener.start()

    def reload(self, options: ApiOptions) -> None:
        """Take over changed options and re-read the certificates.

        Raises ListenError or TlsError and keeps serving as before when that is not possible.
        """
        with self._lock:
            context = server_context(options.rest)
            if options.place != self._options.place:
                self._move(options, context)
                return
            self._options = options
            if self._listener is not None:
                self._listener.take_over(options, context)

    def _move(self, options: ApiOptions, context: ssl.SSLContext | None) -> None:
        """Listen elsewhere; the old place may be a part of the new one, so it is left first."""
        before = self._options
        self._close()
        try:
            self._sockets, self._options = open_sockets(options), options
        except ListenError:
            self._sockets = open_sockets(before)
            context = server_context(before.rest)
            raise
        finally:
            self._start_listener(context)

    def restart(self) -> None:
        """Serve with a new thread on the same sockets; a stuck thread is left behind."""
        with self._lock:
            if self._listener is not None:
                self._listener.stop()
            self._start_listener(server_context(self._options.rest))

    def stop(self) -> None:
        """Stop serving and close the sockets."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        for listening in self._sockets:
            listening.close()
        self._sockets = []

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where the server listens."""
        return tuple((s.getsockname()[0], s.getsockname()[1]) for s in self._sockets)

    def probe(self, timeout_seconds: float = 2.0) -> bool:
        """Ask the listener for a sign of life as a client would; blocks no longer than that."""
        listener = self._listener
        if listener is None or not listener.thread.is_alive() or not self.addresses:
            return False
        return answers(*self.addresses[0], tls=self._options.tls, timeout_seconds=timeout_seconds)
