"""What several actions share: a server to stream from, a last moment to begin."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a standby streams from; `slot` is the slot name on that server, if one is used."""

    name: str
    host: str
    port: int
    slot: str | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"


def is_too_late(action: object, now: float) -> bool:
    """Whether an action that must not be begun after `begin_before` would be.

    Both are moments of CLOCK_BOOTTIME.  What an action was decided by is true for a while only; a
    daemon that was frozen, or is slow, may come to carrying it out long after.
    """
    begin_before = getattr(action, "begin_before", None)
    return begin_before is not None and now > begin_before
