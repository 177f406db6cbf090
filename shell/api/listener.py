"""One thread with one event loop that serves the application on given sockets.

Here belongs what runs in that thread.  uvicorn's protocol parses HTTP; its `Server` is not used,
because that wakes ten times a second and handles signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from shell.api.app import App
from shell.api.office import Office, Services
from shell.api.options import ApiOptions
from shell.api.protocol import REQUEST_SECONDS, GuardedProtocol, Limits
from shell.api.sockets import BACKLOG, ListenError
from shell.api.tls import TlsError, file_marks, server_context

log = logging.getLogger(__name__)

START_SECONDS = 10.0
STOP_SECONDS = 2.0
CERTIFICATE_LOOK_SECONDS = 5.0


class Listener:
    """One thread with one event loop, serving copies of the given sockets until told to stop."""

    def __init__(
        self,
        services: Services,
        options: ApiOptions,
        sockets: list[socket.socket],
        context: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        self._services = services
        self._options = options
        self._sockets = sockets
        self._context = context
        self._marks = file_marks(options.rest)
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: App | None = None
        self._office: Office | None = None
        self._servers: list[asyncio.AbstractServer] = []
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it serves; raises ListenError when it does not."""
        self.thread.start()
        if not self._ready.wait(START_SECONDS) or not self._servers:
            raise ListenError("the REST API did not start; the log of this node says why")

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function in the event loop, soon; nothing happens after its end."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """Stop serving and wait a little for the thread."""
        self.call(self._set_stop)
        if self.thread.ident is not None:
            self.thread.join(STOP_SECONDS)

    def take_over(self, options: ApiOptions, context: ssl.SSLContext | None) -> None:
        """Serve with other options, and other certificates, from the next connection on."""
        self.call(self._changed, options, context)

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception:
            log.exception("the REST API's thread ended")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_note)
        self._stop = asyncio.Event()
        self._office = Office(self._services, self._options)
        self._app = App(self._office)
        protocol = self._protocol_factory(self._app)
        try:
            await self._listen(protocol)
            self._ready.set()
            watching = asyncio.create_task(self._watch_certificates())
            await self._stop.wait()
            watching.cancel()
        finally:
            for server in self._servers:
                server.close()
            self._office.close()

    def _set_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()

    def _protocol_factory(self, app: App) -> Callable[[], GuardedProtocol]:
        config = uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        config.load()
        state, limits = ServerState(), self._limits

        def protocol() -> GuardedProtocol:
            made = GuardedProtocol(config, state, {})
            made.limits = limits
            return made

        self._protocol = protocol
        return protocol

    async def _listen(self, protocol: Callable[[], GuardedProtocol]) -> None:
        """Serve on copies of the sockets: closing one server leaves the queue to the next."""
        assert self._loop is not None
        handshake_seconds = REQUEST_SECONDS if self._context is not None else None
        before, self._servers = self._servers, []
        for listening in self._sockets:
            server = await self._loop.create_server(
                protocol,
                sock=listening.dup(),
                ssl=self._context,
                backlog=BACKLOG,
                ssl_handshake_timeout=handshake_seconds,
            )
            self._servers.append(server)
        for old in before:
            old.close()

    def _changed(self, options: ApiOptions, context: ssl.SSLContext | None) -> None:
        assert self._loop is not None
        assert self._office is not None
        assert self._app is not None
        self._office.options = self._options = options
        self._app.options_changed()
        self._context = context
        self._marks = file_marks(options.rest)
        self._relisten = self._loop.create_task(self._listen(self._protocol))

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_LOOK_SECONDS)
            if self._options.tls and (marks := file_marks(self._options.rest)) != self._marks:
                self._marks = marks
                try:
                    self._context = server_context(self._options.rest)
                except TlsError as error:
                    log.warning("%s; the certificates read before stay in use", error)
                    continue
                await self._listen(self._protocol)
                log.info("REST API: the changed certificates are in use")


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Clients that vanish or speak no TLS are everyday matters."""
    log.debug("REST API: %s: %s", context.get("message"), context.get("exception"))
