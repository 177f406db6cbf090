"""One cluster as its operators see it: names, roles, positions and lags, read from the store.

Belongs here: pure reading of one view of the store.  Does not belong here: how it is printed
(ctl/listing.py), how it is fetched (ctl/context.py), and any change to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.policy import Policy
from engine.state import Cluster, Member
from shell import layout

ROLES = ("leader", "primary", "standby-leader", "replica", "standby", "any")
UNKNOWN = "unknown"
_STANDBY_SOURCES = ("host", "port", "restore_command")


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What the store said about one cluster at one moment.

    `documents` are the members' keys as published; `config` is the dynamic configuration, {} when
    the key is missing or unreadable (`config_revision` 0 when missing).
    """

    name: str
    record: Cluster
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    config_revision: int = 0
    history: tuple[tuple[Any, ...], ...] = ()
    exists: bool = True

    @property
    def leader_name(self) -> str | None:
        """The owner of the leader lock, with a member key or without."""
        return self.record.leader

    @property
    def leader(self) -> Member | None:
        """The leader's member record, if it has published one."""
        return self.record.member(self.record.leader)

    @property
    def paused(self) -> bool:
        """Whether maintenance mode is on."""
        return layout.boolean(self.config.get("pause")) is True

    @property
    def standby_cluster(self) -> bool:
        """Whether the leader streams from another cluster."""
        section = self.config.get("standby_cluster")
        return isinstance(section, dict) and any(section.get(key) for key in _STANDBY_SOURCES)

    @property
    def synchronous_mode(self) -> str:
        """`off`, `on` or `quorum`."""
        value = self.config.get("synchronous_mode")
        if isinstance(value, str) and value.lower() == "quorum":
            return "quorum"
        return "on" if layout.boolean(value) is True else "off"

    @property
    def loop_wait_seconds(self) -> int:
        """The longest time between two cycles of a member."""
        return max(1, layout.integer(self.config.get("loop_wait")) or 10)

    @property
    def handover_seconds(self) -> float:
        """How long a hand-over that was asked for may take until it is done or refused."""
        return Policy(
            ttl_seconds=max(0, layout.integer(self.config.get("ttl")) or 30),
            loop_wait_seconds=self.loop_wait_seconds,
            failsafe_mode=layout.boolean(self.config.get("failsafe_mode")) is True,
        ).handover_patience_seconds

    @property
    def identity(self) -> str:
        """The system identifier, or where the bootstrap stands."""
        if self.record.initialize is None:
            return "uninitialized"
        return self.record.initialize or "initializing"

    @property
    def last_lsn(self) -> int | None:
        """The furthest position that the leader is known to have written."""
        leader = self.leader
        known = [self.record.optime, leader.xlog_location if leader else None]
        return max((lsn for lsn in known if lsn is not None), default=None)

    def role(self, member: Member) -> str:
        """`leader`, `standby_leader`, `sync_standby`, `quorum_standby` or `replica`."""
        if member.name == self.leader_name:
            return "standby_leader" if self.standby_cluster else "leader"
        sync = self.record.sync
        listed = {name.lower() for name in sync.standbys} if sync is not None else set()
        if self.synchronous_mode != "off" and member.name.lower() in listed:
            return "quorum_standby" if self.synchronous_mode == "quorum" else "sync_standby"
        return "replica"

    def has_role(self, member: Member, wanted: str) -> bool:
        """Whether a `--role` filter of the command line keeps the member."""
        role = self.role(member)
        leads = role in ("leader", "standby_leader")
        return {
            "any": True,
            "leader": leads,
            "primary": role == "leader",
            "standby-leader": role == "standby_leader",
            "replica": not leads,
            "standby": not leads,
        }[wanted]

    def lag(self, lsn: int | None) -> int | None:
        """Bytes behind the leader; None when either position is not known."""
        last = self.last_lsn
        return None if lsn is None or last is None else max(0, last - lsn)


def read_view(name: str, entries: Mapping[str, Any]) -> ClusterView:
    """The view from the store's entries (`value`, `revision`); never raises."""
    config, revision = layout.dynamic_config(entries)
    return ClusterView(
        name=name,
        record=layout.parse_cluster(entries),
        documents=layout.member_documents(entries),
        config=config or {},
        config_revision=revision,
        history=tuple(tuple(row) for row in layout.history_rows(entries)),
        exists=bool(entries),
    )


def lsn_text(lsn: int) -> str:
    """A position as PostgreSQL writes it: `0/80001E8`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def role_title(role: str) -> str:
    """`sync_standby` -> `Sync Standby`."""
    return role.replace("_", " ").title()


def shown_state(member: Member) -> str:
    """The replication state of a running standby, else PostgreSQL's state."""
    if member.state == "running" and member.replication_state:
        return member.replication_state
    return member.state
