"""The effective settings that decisions depend on, as the snapshot carries them.

Seconds and bytes throughout.  Defaults are PostgreSQL users' customary ones (reference, 5.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SHORTEST_HANDOVER_SECONDS = 10.0  # a fast stop and a promotion, however short the loop


@dataclass(frozen=True, slots=True)
class PermanentSlot:
    """A slot that the configuration asks for."""

    name: str
    kind: Literal["physical", "logical"] = "physical"
    database: str = ""
    plugin: str = ""
    cluster_type: Literal["", "primary", "standby"] = ""  # only in clusters of that type


@dataclass(frozen=True, slots=True)
class RemotePrimary:
    """What a standby cluster follows: the section `standby_cluster`.

    `host` may name several, separated by commas; empty: WAL comes from the archive alone.
    """

    host: str = ""
    port: int = 5432
    slot: str | None = None  # primary_slot_name; None: the slot that a member's name gives


@dataclass(frozen=True, slots=True)
class Policy:
    """The effective settings that decisions depend on.  Seconds and bytes throughout."""

    ttl_seconds: float = 30.0
    loop_wait_seconds: float = 10.0
    retry_timeout_seconds: float = 10.0
    maximum_lag_on_failover_bytes: int = 1048576
    check_timeline: bool = False
    max_timelines_history: int = 0
    primary_start_timeout_seconds: float = 300.0
    primary_stop_timeout_seconds: float = 0.0
    synchronous_mode: Literal["off", "on", "quorum"] = "off"
    synchronous_mode_strict: bool = False
    synchronous_node_count: int = 1
    synchronous_commit: str = "on"  # as postgresql.parameters has it
    maximum_lag_on_syncnode_bytes: int = -1  # 0 and less: no limit
    failsafe_mode: bool = False
    pause: bool = False
    standby_cluster: RemotePrimary | None = None
    use_slots: bool = True
    member_slots_ttl_seconds: float = 1800.0
    permanent_slots: tuple[PermanentSlot, ...] = ()
    ignore_slots: tuple[Mapping[str, str], ...] = ()
    slot_wal_budget_bytes: int | None = None  # what one slot may hold before it is warned of
    use_pg_rewind: bool = False
    remove_on_rewind_failure: bool = False
    remove_on_diverged: bool = False
    may_bootstrap: bool = False
    primary_race_backoff_seconds: float = 0.0
    fence_required: bool = False
    watchdog_mode: Literal["off", "automatic", "required"] = "off"
    watchdog_timeout_seconds: float = 25.0
    callbacks: tuple[str, ...] = ()  # the configured ones: "on_start", ...
    dcs_config: str = "{}"  # bootstrap.dcs as JSON text, written once at the first start

    @property
    def handover_patience_seconds(self) -> float:
        """How long to wait until a hand-over that was asked for is done or refused.

        After an outage of the store, failsafe mode keeps members from leading for one ttl.
        """
        more = self.ttl_seconds if self.failsafe_mode else 0.0
        return 2 * max(SHORTEST_HANDOVER_SECONDS, self.loop_wait_seconds) + more
