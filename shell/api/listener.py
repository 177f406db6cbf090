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
        self._protocol: Callable[[], GuardedProtocol] | None = None
        self._stop: asyncio.Event | None = None
        self._options_changed: asyncio.Event | None = None
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
        self._stop, self._options_changed = asyncio.Event(), asyncio.Event()
        self._office = Office(self._services, self._options)
        self._app = App(self._office)
        self._protocol = _protocol_factory(self._app, self._limits)
        try:
            await self._listen()
            self._ready.set()
            keeping = asyncio.create_task(self._keep_listening())
            await self._stop.wait()
            keeping.cancel()
        finally:
            _close(self._servers)
            self._office.close()

    def _set_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()

    def _changed(self, options: ApiOptions, context: ssl.SSLContext | None) -> None:
        assert self._office is not None
        assert self._app is not None
        assert self._options_changed is not None
        self._office.options = self._options = options
        self._app.options_changed()
        self._context, self._marks = context, file_marks(options.rest)
        self._options_changed.set()

    async def _keep_listening(self) -> None:
        """Listen anew when the options changed or the certificate files did, one at a time."""
        assert self._options_changed is not None
        while True:
            try:
                async with asyncio.timeout(CERTIFICATE_LOOK_SECONDS):
                    await self._options_changed.wait()
                self._options_changed.clear()
            except TimeoutError:
                if not self._certificates_replaced():
                    continue
            try:
                await self._listen()
            except OSError as error:
                log.error("REST API: the changes are not in use: %s", error)

    def _certificates_replaced(self) -> bool:
        """Take over changed files; files that cannot be used are named and left alone."""
        marks = file_marks(self._options.rest) if self._options.tls else self._marks
        if marks == self._marks:
            return False
        self._marks = marks
        try:
            self._context = server_context(self._options.rest)
        except TlsError as error:
            log.warning("%s; the certificates read before stay in use", error)
            return False
        log.info("REST API: the certificate files have changed and were read again")
        return True

    async def _listen(self) -> None:
        """Serve on copies of the sockets: closing one server leaves the queue to the next."""
        assert self._loop is not None
        assert self._protocol is not None
        handshake_seconds = REQUEST_SECONDS if self._context is not None else None
        made: list[asyncio.AbstractServer] = []
        try:
            for listening in self._sockets:
                server = await self._loop.create_server(
                    self._protocol,
                    sock=listening.dup(),
                    ssl=self._context,
                    backlog=BACKLOG,
                    ssl_handshake_timeout=handshake_seconds,
                )
                made.append(server)
        except OSError:
            _close(made)
            raise
        _close(self._servers)
        self._servers = made


def _close(servers: list[asyncio.AbstractServer]) -> None:
    for server in servers:
        server.close()


def _protocol_factory(app: App, limits: Limits) -> Callable[[], GuardedProtocol]:
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
    state = ServerState()

    def protocol() -> GuardedProtocol:
        made = GuardedProtocol(config, state, {})
        made.limits = limits
        return made

    return protocol


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Clients that vanish or speak no TLS are everyday matters."""
    log.debug("REST API: %s: %s", context.get("message"), context.get("exception"))
