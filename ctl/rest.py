"""Calls to the members' REST API: credentials, TLS, deadlines, and answers as values.

Does not belong here: which member is called, and what an answer means.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)

DEFAULT_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What a member answered."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether the member did, or will do, what was asked."""
        return self.status in (200, 202)

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object; {} when it is none."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class RestError(Exception):
    """No answer came.  `sent` says that the request may have been done all the same."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class RestClient:
    """A client with the credentials and certificates of the configuration."""

    def __init__(self, values: Mapping[str, Any], *, insecure: bool) -> None:
        ctl, restapi = values.get("ctl") or {}, values.get("restapi") or {}
        login = ctl.get("authentication") or restapi.get("authentication") or {}
        self._headers = {"Content-Type": "application/json", "User-Agent": "hae-ctl"}
        if login.get("username"):
            pair = f"{login['username']}:{login.get('password') or ''}"
            self._headers.update(urllib3.util.make_headers(basic_auth=pair))
        tls: dict[str, Any] = {}
        if ca := ctl.get("cacert") or restapi.get("cafile"):
            tls["ca_certs"] = ca
        if insecure:
            tls.update(cert_reqs="CERT_NONE", assert_hostname=False)
            urllib3.disable_warnings()
        for name, option in (
            ("certfile", "cert_file"),
            ("keyfile", "key_file"),
            ("keyfile_password", "key_password"),
        ):
            if ctl.get(name):
                tls[option] = ctl[name]
        self._pool = urllib3.PoolManager(retries=False, **tls)

    def call(
        self,
        method: str,
        api_url: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> RestAnswer:
        """One request to the member whose `api_url` is given; raises RestError."""
        parts = urlsplit(api_url)
        if not parts.scheme or not parts.netloc:
            raise RestError("it has published no api_url", sent=False)
        try:
            answer = self._pool.request(
                method,
                f"{parts.scheme}://{parts.netloc}/{path}",
                body=None if body is None else json.dumps(body),
                headers=self._headers,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=timeout_seconds),
            )
        except (NewConnectionError, ConnectTimeoutError, NameResolutionError, SSLError) as error:
            raise RestError(_reason(error), sent=False) from error
        except (HTTPError, OSError, ValueError) as error:
            raise RestError(_reason(error), sent=True) from error
        return RestAnswer(answer.status, answer.data.decode("utf-8", "replace").strip())


def _reason(error: Exception) -> str:
    """The cause in few words, without the request (whose headers hold the password)."""
    if isinstance(error, ConnectTimeoutError):
        return "it does not accept connections in time"
    if isinstance(error, NewConnectionError):
        return str(error).rsplit(": ", 1)[-1]
    if isinstance(error, SSLError):
        return f"TLS: {error}"
    return str(error).rsplit(": ", 1)[-1] or type(error).__name__
