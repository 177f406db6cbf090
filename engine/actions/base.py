"""What several actions share: the lane that an executor runs in, and a server to stream from."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Lane: TypeAlias = Literal["store", "job", "here"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a standby streams from; `slot` is the slot name on that server, if one is used."""

    name: str
    host: str
    port: int
    slot: str | None = None
