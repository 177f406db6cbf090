"""The REST API beside the loop: started first, kept alive, told of new settings."""

from __future__ import annotations

import logging
import threading

from shell.api.office import Services
from shell.api.options import ApiOptions, api_options
from shell.api.server import ApiServer
from shell.api.sockets import ListenError
from shell.api.tls import TlsError
from shell.config.settings import Settings
from shell.version import COMPATIBLE_VERSION, PRODUCT_VERSION

_log = logging.getLogger(__name__)
PROBE_EVERY_SECONDS = 30.0


class Listening:
    """Keeps the API answering: a listener that gives no sign of life is replaced."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self._server = ApiServer(services, _options(settings))
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="api keeper", daemon=True)

    def start(self) -> None:
        """Open the sockets; raises ListenError or TlsError with the mend."""
        self._server.start()
        self._keeper.start()

    def take_over(self, settings: Settings) -> None:
        """Use changed settings and re-read certificates; on an error go on as before."""
        try:
            self._server.reload(_options(settings))
        except (ListenError, TlsError) as error:
            _log.error("the REST API keeps its former configuration: %s", error)

    def stop(self) -> None:
        """Stop serving."""
        self._over.set()
        self._server.stop()

    def _keep(self) -> None:
        while not self._over.wait(PROBE_EVERY_SECONDS):
            try:
                self._restart_if_silent()
            except Exception as error:  # a certificate that is just being replaced: tried again
                _log.error("the REST API could not be started anew: %s", error)

    def _restart_if_silent(self) -> None:
        if not self._server.probe() and not self._over.is_set():
            _log.error("the REST API gave no sign of life: starting it anew")
            self._server.restart()


def _options(settings: Settings) -> ApiOptions:
    return api_options(settings, COMPATIBLE_VERSION, PRODUCT_VERSION)
