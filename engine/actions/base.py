"""What several actions share: a server to stream from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a standby streams from; `slot` is the slot name on that server, if one is used."""

    name: str
    host: str
    port: int
    slot: str | None = None
