"""Actions on the local PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.actions.base import Upstream
from engine.policy import PermanentSlot
from engine.work import JobKind


@dataclass(frozen=True, slots=True)
class RunInitdb:
    """Create a new cluster in the empty data directory."""

    kind: ClassVar[JobKind] = JobKind.INITDB


@dataclass(frozen=True, slots=True)
class CreateRoles:
    """After the bootstrap: superuser, replication and rewind roles, then post_bootstrap."""

    kind: ClassVar[JobKind] = JobKind.CREATE_ROLES


@dataclass(frozen=True, slots=True)
class Clone:
    """Fill the empty data directory from that server (or a configured method).

    `remote`: by the methods of `standby_cluster`; `source` None: by those that need no server.
    """

    source: Upstream | None
    from_leader: bool = False
    remote: bool = False
    kind: ClassVar[JobKind] = JobKind.CLONE


@dataclass(frozen=True, slots=True)
class StartPostgres:
    """Start as primary, or as a standby of `upstream` (None: read-only, following nobody).

    No postmaster is begun after `begin_before` (CLOCK_BOOTTIME): what comes before it may take
    long, the lease goes on meanwhile, and the fence looks for a server only around its deadline.
    """

    role: Literal["primary", "standby"]
    upstream: Upstream | None
    timeout_seconds: float
    begin_before: float | None = None
    kind: ClassVar[JobKind] = JobKind.START


@dataclass(frozen=True, slots=True)
class StopPostgres:
    """Stop; `checkpoint_first` while clients still work shortens a fast stop.

    `immediate` is for safety: it cancels whatever job runs, and from `kill_at` (CLOCK_BOOTTIME) on
    it ends what is left by SIGKILL; after five seconds at the latest, also where that is None.
    `archive_last`: where archiving is on, the segment with the shutdown checkpoint too.
    """

    mode: Literal["fast", "immediate"]
    why: str
    checkpoint_first: bool = False
    archive_last: bool = False
    kill_at: float | None = None
    kind: ClassVar[JobKind] = JobKind.STOP


@dataclass(frozen=True, slots=True)
class Promote:
    """Promote the running standby; ends when it accepts writes."""

    timeout_seconds: float
    kind: ClassVar[JobKind] = JobKind.PROMOTE


@dataclass(frozen=True, slots=True)
class RecoverFromCrash:
    """Run single-user recovery so that pg_rewind finds a clean directory."""

    kind: ClassVar[JobKind] = JobKind.CRASH_RECOVERY


@dataclass(frozen=True, slots=True)
class Rewind:
    """Run pg_rewind against that server."""

    source: Upstream
    kind: ClassVar[JobKind] = JobKind.REWIND


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """CHECKPOINT in the background, so that others may rewind to this new primary."""


@dataclass(frozen=True, slots=True)
class RemoveDataDirectory:
    """Empty the data directory.  `permission` names what allows it; recorded before it is done."""

    permission: str
    kind: ClassVar[JobKind] = JobKind.REMOVE


@dataclass(frozen=True, slots=True)
class MoveDataDirectory:
    """After a failed bootstrap: set the half-made directory aside as `<data_dir>.failed`."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Point the running standby at that upstream (None: nobody), by reload where that serves."""

    upstream: Upstream | None


@dataclass(frozen=True, slots=True)
class ApplyConfiguration:
    """Write the configuration files of that digest and reload PostgreSQL if it runs."""

    digest: str


@dataclass(frozen=True, slots=True)
class SetSyncNames:
    """Write that synchronous_standby_names, reload, and see it in force; None: the operator's own.

    It stays written through every later change of the configuration, restarts included.
    """

    text: str | None


@dataclass(frozen=True, slots=True)
class ReadConfiguration:
    """Read the node file again; an error keeps the configuration in force."""


@dataclass(frozen=True, slots=True)
class CreateSlots:
    """Create physical replication slots."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateLogicalSlots:
    """On a primary: create these slots, each in its database."""

    wanted: tuple[PermanentSlot, ...]


@dataclass(frozen=True, slots=True)
class CopySlots:
    """Fetch the state of logical slots from that primary, stop this standby, and put it in place.

    The stop is a part of it: PostgreSQL reads slots only when it starts.
    """

    source: Upstream
    names: tuple[str, ...]
    kind: ClassVar[JobKind] = JobKind.COPY_SLOTS


@dataclass(frozen=True, slots=True)
class DropSlots:
    """Drop replication slots, each only while inactive."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdvanceSlots:
    """Move inactive slots forward to these positions."""

    positions: Mapping[str, int]
