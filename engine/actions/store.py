"""Actions on the store: one request at a time, each bounded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.cluster import HistoryLine


@dataclass(frozen=True, slots=True)
class AcquireLock:
    """Create the leader key, only if it is absent, and while `initialize` holds that value.

    With `initialize` None it does not matter what that holds.  A store that has lost its keys does
    not tell any more whether another one has led since it was looked at; a value tells that it has
    not lost them.  It is not asked for after `begin_before` (CLOCK_BOOTTIME).
    """

    begin_before: float
    initialize: str | None


@dataclass(frozen=True, slots=True)
class RenewLock:
    """Prolong the leader key, only if it is still ours; `create` it again if it is missing.

    It is not asked for after `begin_before` (CLOCK_BOOTTIME): who creates the key after its lease
    may lead past those who led meanwhile.
    """

    create: bool = True
    begin_before: float | None = None


@dataclass(frozen=True, slots=True)
class ReleaseLock:
    """Delete the leader key, only if it is still ours; `final_lsn` goes to `status` first."""

    final_lsn: int | None
    why: str


@dataclass(frozen=True, slots=True)
class PublishMember:
    """Write `members/<me>` with the TTL; an unchanged document only prolongs the TTL."""

    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WithdrawMember:
    """Delete `members/<me>`."""


@dataclass(frozen=True, slots=True)
class ClaimFounding:
    """Create `hae/founder` with our name, only if it is absent."""


@dataclass(frozen=True, slots=True)
class DropFounder:
    """Delete `hae/founder`, only at that revision, and while `initialize` is absent."""

    revision: int


@dataclass(frozen=True, slots=True)
class CreateInitialize:
    """Create `initialize`, only if absent; empty while its creator bootstraps the cluster.

    Where one of the revisions is given, only while `hae/founder`, or the leader key, is as it was.
    """

    system_identifier: str = ""
    founder_revision: int | None = None
    leader_revision: int | None = None


@dataclass(frozen=True, slots=True)
class WriteInitialize:
    """Write the system identifier to `initialize`, only while it is empty or absent."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class DeleteInitialize:
    """Give up the bootstrap: delete `initialize`, only at that revision, so that others may try."""

    revision: int = 0


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """Write the dynamic configuration for the first time."""

    text: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write `status`: the primary's position and those of its slots."""

    optime: int
    slots: Mapping[str, int]
    retain_slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WriteHistory:
    """Write `history`: every finished timeline, oldest first.

    A line without a timestamp gets that of `epoch` (seconds since 1970).
    """

    lines: tuple[HistoryLine, ...]
    epoch: float


@dataclass(frozen=True, slots=True)
class WriteFailsafe:
    """Write `failsafe` (member name -> api_url), only over that revision; 0: only if absent.

    Without members the key is deleted.
    """

    members: Mapping[str, str]
    revision: int


@dataclass(frozen=True, slots=True)
class WriteSync:
    """Write `sync`, only over that revision; 0: only if absent."""

    leader: str
    standbys: tuple[str, ...]
    quorum: int
    revision: int


@dataclass(frozen=True, slots=True)
class DeleteSync:
    """Delete `sync`, only at that revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class ClearFailover:
    """Delete the `failover` key, only at that revision; `why` is logged."""

    revision: int
    why: str
