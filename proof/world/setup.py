"""What is fixed for the length of one world: members, configuration, speeds, the random streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from engine.policy import Policy
from engine.state import Tags

SECONDS: Mapping[str, float] = {
    "spawn": 0.02,
    "start": 0.3,
    "recovery": 1.0,
    "promotion": 0.3,
    "stop": 0.4,
    "quit": 0.05,
    "checkpoint": 0.5,
    "initdb": 1.5,
    "roles": 0.4,
    "clone": 3.0,
    "rewind": 1.5,
    "remove": 0.2,
    "side": 0.01,
    "fence": 0.1,
    "hangup": 0.02,
}
_POLICY = frozenset(f.name for f in fields(Policy))


@dataclass(frozen=True)
class Setup:
    """The constants of a world.

    `config` holds fields of `Policy` that the store's dynamic configuration sets, and `parameters`,
    a version of PostgreSQL's; `local` those of the node files.  `background` names the random
    streams of everything that has no step of its own: how long things take, which reply is late.
    """

    nodes: int = 3
    names: tuple[str, ...] = ()  # empty: n1, n2, ...
    policies: tuple[Policy, ...] = ()  # what each goes by, whatever the store's configuration is
    background: str = "0"
    config: Mapping[str, Any] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[Tags, ...] = ()
    rates: tuple[float, ...] = ()
    store_rate: float = 1.0
    store_slack_seconds: float = 0.5
    fence: bool = True
    watchdogs: tuple[str, ...] = ()  # whose machines have a watchdog device
    watchdog_margin_seconds: float = 5.0  # -1: half of ttl
    rewindable: bool = True
    network_seconds: float = 0.001
    sender_timeout_seconds: float = 30.0
    retrieve_retry_seconds: float = 1.0
    write_every_seconds: float = 2.0
    biggest_write: int = 20_000
    seconds: Mapping[str, float] = field(default_factory=lambda: dict(SECONDS))

    def policy(self, config: Mapping[str, Any] | None, dcs_config: str) -> Policy:
        """The policy under that dynamic configuration (None: the one of `bootstrap.dcs`)."""
        told = self.config if config is None else config
        known = {k: v for k, v in {**self.local, **told}.items() if k in _POLICY}
        ttl, margin = float(known.get("ttl_seconds", 30.0)), self.watchdog_margin_seconds
        known["watchdog_timeout_seconds"] = ttl // 2 if margin < 0 else ttl - margin
        return Policy(
            **{"may_bootstrap": True, "watchdog_mode": "off", **known, "dcs_config": dcs_config}
        )
