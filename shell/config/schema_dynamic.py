"""Keys of the dynamic configuration outside `postgresql`: only the store may set them.

Minimums of the timing (`ttl`, `loop_wait`, `retry_timeout`) are not bounds of the kinds, because
smaller values are raised with a warning instead of being refused; see `dynamic.clamp_timing`.
"""

from __future__ import annotations

from typing import Any

from shell.config.key import Key
from shell.config.kinds import (
    Kind,
    boolean,
    choice,
    integer,
    list_of,
    seconds,
    size,
    text,
)
from shell.config.slots import ignored_slots, slot


def _dcs(path: str, kind: Kind, default: Any = None, renamed: str = "") -> Key:
    return Key(path, kind, default, where="dcs", renamed=renamed)


KEYS = (
    _dcs("ttl", seconds(), 30),
    _dcs("loop_wait", seconds(), 10),
    _dcs("retry_timeout", seconds(), 10),
    _dcs("maximum_lag_on_failover", size(0), 1_048_576),
    _dcs("maximum_lag_on_syncnode", size(-1), -1),
    _dcs("check_timeline", boolean, False),
    _dcs("max_timelines_history", integer(0), 0),
    _dcs("primary_start_timeout", seconds(0), 300),
    _dcs("master_start_timeout", seconds(0), renamed="primary_start_timeout"),
    _dcs("primary_stop_timeout", seconds(0), 0),
    _dcs("master_stop_timeout", seconds(0), renamed="primary_stop_timeout"),
    _dcs("primary_race_backoff", seconds(0), 0),
    _dcs("synchronous_mode", choice("off", "on", "quorum"), "off"),
    _dcs("synchronous_mode_strict", boolean, False),
    _dcs("synchronous_node_count", integer(1), 1),
    _dcs("failsafe_mode", boolean, False),
    _dcs("pause", boolean, False),
    _dcs("member_slots_ttl", seconds(0), 1800),
    _dcs("slots.*", slot),
    _dcs("permanent_slots.*", slot, renamed="slots.*"),
    _dcs("permanent_replication_slots.*", slot, renamed="slots.*"),
    _dcs("ignore_slots", ignored_slots, []),
    _dcs("standby_cluster.host", text),
    _dcs("standby_cluster.port", integer(1, 65535)),
    _dcs("standby_cluster.primary_slot_name", text),
    _dcs("standby_cluster.create_replica_methods", list_of(text, comma_text=True)),
    _dcs("standby_cluster.restore_command", text),
    _dcs("standby_cluster.archive_cleanup_command", text),
    _dcs("standby_cluster.recovery_min_apply_delay", text),
)
