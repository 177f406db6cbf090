"""What the listener needs of the configuration, as one record that a reload replaces.

Here belongs only the choice of the fields; reading and checking them is the business of config.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from itertools import chain

from shell.config.settings import RestApiSettings, Settings


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Who answers, where, and whom it lets in.

    `version` is the one that existing tools compare; `product_version` is ours.  `low_ttl` says
    that the lower limits of the timing apply.
    """

    scope: str
    name: str
    version: str
    product_version: str
    rest: RestApiSettings
    low_ttl: bool = False

    @property
    def tls(self) -> bool:
        """Whether the listener speaks TLS."""
        return bool(self.rest.certfile)

    @property
    def place(self) -> tuple[tuple[str, ...], int]:
        """Where to listen: a change needs a new socket."""
        return self.rest.listen_hosts, self.rest.listen_port

    @property
    def extra_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The configured headers of every answer, as they go on the wire, and `Server`."""
        pairs = list(self.rest.http_extra_headers.items())
        if self.tls:
            pairs = list(dict(chain(pairs, self.rest.https_extra_headers.items())).items())
        encoded = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in pairs]
        return ((b"server", self._server().encode("latin-1")), *encoded)

    def _server(self) -> str:
        if self.rest.server_tokens == "productonly":
            return "hae"
        if self.rest.server_tokens == "minimal":
            return f"hae/{self.product_version}"
        return f"hae/{self.product_version} Python/{platform.python_version()}"


def api_options(settings: Settings, version: str, product_version: str) -> ApiOptions:
    """Return the record of these settings."""
    return ApiOptions(
        scope=settings.scope,
        name=settings.name,
        version=version,
        product_version=product_version,
        rest=settings.restapi,
        low_ttl=settings.dynamic.low_ttl,
    )
