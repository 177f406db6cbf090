"""One wire between a client and a server that can be cut and mended.

Belongs here: the one cut there is. Must not: carry bytes (tcp_proxy does).
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tests.support.tcp_proxy import Proxies


class Wire:
    """Carries `host` to `127.0.0.1:<server_port>`, as a proxy that holds everything while cut."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._is_cut = False
        self._proxies = Proxies(lambda name, _: name, lambda _: self._is_cut)
        self.host = ""

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._set_cut(True)

    def mend(self) -> None:
        """Let everything through again, also what waits."""
        self._set_cut(False)

    def _set_cut(self, is_cut: bool) -> None:
        self._is_cut = is_cut
        self._proxies.look_again()

    def __enter__(self) -> Self:
        self._proxies.__enter__()
        self.host = f"127.0.0.1:{self._proxies.add('server', self._server_port)}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._proxies.__exit__(kind, error, traceback)
