"""What a host's disk holds: the data directory, and what the daemon keeps beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.memory import nothing_kept
from engine.state import ControlData, DataDirectory, DirectoryKind, Slot
from proof.world.wal import Branch, contains

STANDBY_STATES = frozenset({"in archive recovery", "shut down in recovery"})


class Disk:
    """A data directory.  `branch` and `end` are the WAL that is safely in it."""

    def __init__(self, rewindable: bool) -> None:
        self.kind = DirectoryKind.EMPTY
        self.rewindable = rewindable
        self.system_identifier = ""
        self.branch = Branch(1, None, 0)
        self.end = 0
        self.written_over: Branch | None = None  # whose bytes stand where ours stood
        self.newest_timeline = 1
        self.state = "shut down"  # pg_control's
        self.checkpoint_lsn = 0
        self.checkpoint_timeline = 1
        self.min_recovery_lsn = 0
        self.min_recovery_timeline = 0
        # Not before this position may a standby answer: its pages are that old.
        self.consistent_on, self.consistent_at = self.branch, 0
        self.pages_lost = False  # some are newer than the WAL here, and no WAL will tell which
        self.standby_signal = False
        self.upstream: str | None = None  # whom the written configuration names
        self.upstream_slot: str | None = None  # and its primary_slot_name
        self.recovery_written = False  # whether the written files are a standby's
        self.parameters = 0  # version of the parameters in the written files
        self.sync_names: str | None = None  # synchronous_standby_names in the written files
        self.slots: dict[str, int] = {}
        self.writer: object = None  # of `branch`: whose last byte of it is here
        self.never_led = False  # what a bootstrap made, before its host has had the leader key
        self.unfinished = False  # being filled: a look says that it is empty
        self.half_rewound = False
        self.rewound_in_boot: int | None = None  # until a server starts on it
        self.memory = nothing_kept()  # memory.json
        self.config: Mapping[str, Any] | None = None  # the kept copy of the dynamic configuration
        self._seen_running = DataDirectory(DirectoryKind.VALID)
        self.set_aside = 0  # how many half-made directories were moved away

    def copy_wal_of(self, other: Disk) -> None:
        """Take over identity and WAL of another directory, as a base backup does."""
        self.kind = DirectoryKind.VALID
        self.system_identifier = other.system_identifier
        self.branch, self.end = other.branch, other.end
        self.written_over = other.written_over
        self.newest_timeline = other.newest_timeline
        self.checkpoint_lsn = other.checkpoint_lsn
        self.checkpoint_timeline = other.branch.timeline
        self.min_recovery_lsn, self.min_recovery_timeline = self.end, self.branch.timeline
        self.consistent_on, self.consistent_at = self.branch, self.end
        self.parameters = other.parameters
        self.sync_names = other.sync_names  # configuration files are copied too
        self.state = "in production"
        self.writer = None
        self.slots = {}

    def empty(self) -> None:
        """Remove everything in the data directory."""
        kept = (self.memory, self.config, self.set_aside)
        self.__init__(self.rewindable)  # type: ignore[misc]
        self.memory, self.config, self.set_aside = kept

    def replace(self) -> None:
        """Another disk, with nothing on it."""
        self.__init__(self.rewindable)  # type: ignore[misc]

    def look(self, *, running: bool, identifier_seen: str) -> DataDirectory:
        """What the shell finds there."""
        if not running and self.unfinished:
            return DataDirectory(DirectoryKind.EMPTY)
        if self.kind is not DirectoryKind.VALID:
            return DataDirectory(self.kind)
        if running:
            signal, last = self.standby_signal, self._seen_running
            if last.standby_signal is not signal or last.system_identifier != identifier_seen:
                last = DataDirectory(
                    self.kind, system_identifier=identifier_seen, standby_signal=signal
                )
                self._seen_running = last
            return last
        return DataDirectory(
            self.kind,
            system_identifier=self.system_identifier,
            control=ControlData(
                self.state,
                self.checkpoint_lsn,
                self.checkpoint_timeline,
                self.min_recovery_lsn if self.state in STANDBY_STATES else 0,
                self.min_recovery_timeline if self.state in STANDBY_STATES else 0,
                self.rewindable,
            ),
            standby_signal=self.standby_signal,
        )

    @property
    def was_standby(self) -> bool:
        """Whether this is no former primary's: a standby's, or what a rewind has left half-made."""
        return self.standby_signal or self.half_rewound or self.state in STANDBY_STATES

    @property
    def is_consistent(self) -> bool:
        """Whether the WAL here goes as far as the pages."""
        on, at = self.consistent_on, self.consistent_at
        return at == 0 or contains(self.branch, self.end, on, at)

    @property
    def must_reach(self) -> tuple[int, int] | None:
        """What pg_controldata says of a standby that starts: it is not consistent before."""
        if not self.standby_signal or self.state not in STANDBY_STATES or not self.min_recovery_lsn:
            return None
        return self.min_recovery_timeline, self.min_recovery_lsn

    def slot_rows(self, active: Mapping[str, int]) -> tuple[Slot, ...]:
        """pg_replication_slots; `active` holds the walsender of each slot that is in use."""
        return tuple(
            Slot(
                name,
                active=name in active,
                active_pid=active.get(name),
                restart_lsn=self.slots[name] or None,
            )
            for name in sorted(self.slots)
        )
