"""systemd's notification protocol (Type=notify): a datagram for each change of state."""

from __future__ import annotations

import os
import socket
import time


class Notifier:
    """Talks to the socket named in NOTIFY_SOCKET, if there is one; never fails."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """The daemon works, at its start or after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is ending."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.sendto(text.encode(), self._address)
        except OSError:
            return  # systemd will notice the silence by itself
