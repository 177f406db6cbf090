"""From the settings to what the engine knows of them: a translation, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.policy import PermanentSlot, Policy, RemotePrimary
from engine.state import Member, Tags
from shell.config.settings import (
    Settings,
    SlotMatcher,
    StandbyClusterSettings,
    WatchdogSettings,
)
from shell.config.units import parse_bytes
from shell.version import COMPATIBLE_VERSION

_CALLBACKS = ("on_start", "on_stop", "on_restart", "on_reload", "on_role_change")


def policy_of(settings: Settings, dynamic: Mapping[str, Any]) -> Policy:
    """The policy of these settings; `dynamic` is written to the store if it has none yet."""
    shared, postgresql = settings.dynamic, settings.postgresql
    return Policy(
        ttl_seconds=shared.ttl,
        loop_wait_seconds=shared.loop_wait,
        retry_timeout_seconds=shared.retry_timeout,
        maximum_lag_on_failover_bytes=shared.maximum_lag_on_failover,
        check_timeline=shared.check_timeline,
        max_timelines_history=shared.max_timelines_history,
        primary_start_timeout_seconds=shared.primary_start_timeout,
        primary_stop_timeout_seconds=shared.primary_stop_timeout,
        synchronous_mode=shared.synchronous_mode,
        synchronous_mode_strict=shared.synchronous_mode_strict,
        synchronous_node_count=shared.synchronous_node_count,
        synchronous_commit=postgresql.parameters.get("synchronous_commit", "on").lower(),
        maximum_lag_on_syncnode_bytes=shared.maximum_lag_on_syncnode,
        failsafe_mode=shared.failsafe_mode,
        pause=shared.pause,
        standby_cluster=_remote(shared.standby_cluster),
        use_slots=shared.use_slots,
        member_slots_ttl_seconds=shared.member_slots_ttl,
        permanent_slots=tuple(
            PermanentSlot(
                *(slot.name, slot.type, slot.database or "", slot.plugin or ""),
                slot.cluster_type or "",
            )
            for slot in shared.slots.values()
        ),
        ignore_slots=tuple(_matcher(matcher) for matcher in shared.ignore_slots),
        slot_wal_budget_bytes=_budget(settings),
        use_pg_rewind=postgresql.use_pg_rewind,
        remove_on_rewind_failure=postgresql.remove_data_directory_on_rewind_failure,
        remove_on_diverged=postgresql.remove_data_directory_on_diverged_timelines,
        may_bootstrap=settings.bootstrap.present,
        fence_required=settings.fence.mode == "required" or shared.low_ttl,
        primary_race_backoff_seconds=shared.primary_race_backoff,
        watchdog_mode=settings.watchdog.mode,
        watchdog_timeout_seconds=_watchdog_timeout(shared.ttl, settings.watchdog),
        callbacks=tuple(name for name in _CALLBACKS if getattr(postgresql.callbacks, name)),
        dcs_config=json.dumps(dynamic, separators=(",", ":"), sort_keys=True, default=dict),
    )


def _watchdog_timeout(ttl: int, watchdog: WatchdogSettings) -> float:
    margin = watchdog.safety_margin_seconds
    return float(ttl // 2 if margin < 0 else ttl - margin)


def member_of(settings: Settings) -> Member:
    """Ourselves, as the engine knows us."""
    tags = settings.tags
    other = {k: v for k, v in tags.published.items() if not hasattr(tags, k)}
    return Member(
        name=settings.name,
        host=settings.postgresql.connect_host,
        port=settings.postgresql.connect_port,
        api_url=settings.restapi.api_url,
        version=COMPATIBLE_VERSION,
        tags=Tags(
            nofailover=tags.nofailover,
            noloadbalance=tags.noloadbalance,
            nosync=tags.nosync,
            clonefrom=tags.clonefrom,
            nostream=tags.nostream,
            replicatefrom=tags.replicatefrom,
            failover_priority=tags.failover_priority,
            sync_priority=tags.sync_priority,
            other=other,
        ),
    )


def _budget(settings: Settings) -> int | None:
    """The tighter of hae.slot_wal_budget and max_slot_wal_keep_size, if one is set."""
    limit = parse_bytes(settings.postgresql.parameters.get("max_slot_wal_keep_size", ""), "MB")
    bounds = [settings.dynamic.slot_wal_budget]
    if limit is not None and limit > 0:
        bounds.append(limit * 1024 * 1024)
    return min((bound for bound in bounds if bound), default=None)


def _remote(section: StandbyClusterSettings | None) -> RemotePrimary | None:
    if section is None:
        return None
    return RemotePrimary(section.host or "", section.port or 5432, section.primary_slot_name)


def _matcher(matcher: SlotMatcher) -> dict[str, str]:
    fields = {
        "name": matcher.name,
        "type": matcher.type,
        "database": matcher.database,
        "plugin": matcher.plugin,
    }
    return {name: value for name, value in fields.items() if value}
