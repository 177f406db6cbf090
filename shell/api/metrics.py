"""The text that `GET /metrics` gives to Prometheus.

Here belong the names: those that dashboards know, and our own under `hae_`.  No decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.state import Server
from shell.api.facts import Facts
from shell.api.messages import METRICS, Response
from shell.api.office import Office, Rendering
from shell.processes import now

STATES = (
    "initializing new cluster",
    "initdb failed",
    "running custom bootstrap script",
    "custom bootstrap failed",
    "creating replica",
    "running",
    "starting",
    "starting after custom bootstrap",
    "start failed",
    "restarting",
    "restart failed",
    "stopping",
    "stopped",
    "stop failed",
    "crashed",
)

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Metric:
    """One sample; `labels` come after scope and name."""

    name: str
    help: str
    value: Value
    kind: Literal["gauge", "counter"] = "gauge"
    labels: tuple[tuple[str, str], ...] = ()


def metrics_text(office: Office) -> Response:
    """Return every metric; before the first cycle only the version."""
    rendering = office.rendering()
    metrics = [
        Metric(
            "patroni_version",
            "Version of the interface, two digits per part.",
            version_digits(office.options.version),
        )
    ]
    if rendering is not None:
        moment = now()
        metrics += _server_metrics(rendering.facts, rendering.facts.server, moment)
        metrics += _cluster_metrics(office, rendering, moment)
        metrics += _own_metrics(office, rendering, moment)
    labels = (("scope", office.options.scope), ("name", office.options.name))
    return Response(200, "".join(_lines(metrics, labels)).encode(), METRICS)


def version_digits(version: str) -> str:
    """Return 4.1.4 as 040104."""
    parts = [part for part in version.split(".")[:3] if part.isdigit()]
    return "".join(f"{int(part):02d}" for part in parts)


def _lines(metrics: list[Metric], labels: tuple[tuple[str, str], ...]) -> Iterator[str]:
    named = ""
    for metric in metrics:
        if metric.name != named:
            named = metric.name
            yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in (*labels, *metric.labels))
        yield f"{metric.name}{{{shown}}} {metric.value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _server_metrics(f: Facts, server: Server | None, now: float) -> list[Metric]:
    running = now < f.running_until
    started = server.started_epoch if server is not None and running else 0
    location = server.write_lsn if server is not None and not server.in_recovery else None
    return [
        Metric("patroni_postgres_running", "1 if PostgreSQL is running.", int(running)),
        Metric("patroni_postmaster_start_time", "Epoch seconds of PostgreSQL's start.", started),
        Metric("patroni_primary", "1 if certain to be the primary.", int(now < f.primary_until)),
        Metric(
            "patroni_xlog_location", "WAL position of the primary.", location or 0, kind="counter"
        ),
        Metric(
            "patroni_standby_leader",
            "1 if certain to lead a standby cluster.",
            int(now < f.standby_leader_until),
        ),
        Metric("patroni_replica", "1 if this is a replica.", int(f.role == "replica" and running)),
        Metric("patroni_sync_standby", "1 if a synchronous standby.", int(f.is_sync)),
        Metric("patroni_quorum_standby", "1 if a quorum standby.", int(f.is_quorum)),
        *_standby_metrics(f, server),
        Metric(
            "patroni_postgres_streaming",
            "1 if streaming.",
            int(running and f.replication_state == "streaming"),
        ),
        Metric(
            "patroni_postgres_in_archive_recovery",
            "1 if replaying from the archive.",
            int(running and f.replication_state == "in archive recovery"),
        ),
        Metric(
            "patroni_postgres_server_version",
            "Version of PostgreSQL, 0 if not running.",
            server.server_version if server is not None else 0,
        ),
        Metric(
            "patroni_postgres_timeline",
            "Timeline of PostgreSQL, 0 if not running.",
            (server.timeline or 0) if server is not None else 0,
        ),
        *_state_metric(f.state),
    ]


def _standby_metrics(f: Facts, server: Server | None) -> list[Metric]:
    standby = server if server is not None and server.in_recovery else None
    replayed_epoch = standby.replayed_epoch if standby is not None else None
    paused = standby is not None and standby.replay_paused
    return [
        Metric(
            "patroni_xlog_received_location",
            "Received WAL position of the standby.",
            (f.received_lsn or 0) if standby is not None else 0,
            kind="counter",
        ),
        Metric(
            "patroni_xlog_replayed_location",
            "Replayed WAL position of the standby.",
            (f.replayed_lsn or 0) if standby is not None else 0,
            kind="counter",
        ),
        Metric(
            "patroni_xlog_replayed_timestamp",
            "Epoch seconds of the last replayed commit, 0 if unknown.",
            replayed_epoch or 0,
        ),
        Metric("patroni_xlog_paused", "1 if replay is paused.", int(paused)),
    ]


def _state_metric(state: str) -> list[Metric]:
    """The state's number; an unknown state has none, so the sample is left out."""
    if state not in STATES:
        return []
    return [Metric("patroni_postgres_state", "Number of the state.", STATES.index(state))]


def _cluster_metrics(office: Office, rendering: Rendering, now: float) -> list[Metric]:
    f, snapshot = rendering.facts, rendering.publication.snapshot
    failsafe = snapshot.policy.failsafe_mode
    listed = (rendering.last_view.value.failsafe or {}) if rendering.last_view else {}
    return [
        Metric("patroni_cluster_unlocked", "1 if nobody owns the lock.", int(f.cluster_unlocked)),
        Metric(
            "patroni_failsafe_mode_is_active",
            "1 if the members' consent replaces the store.",
            int(now < f.failsafe_until),
        ),
        Metric("patroni_failsafe_mode_enabled", "1 if failsafe mode is on.", int(failsafe)),
        Metric(
            "patroni_failsafe_member",
            "1 if listed for failsafe mode.",
            int(office.options.name in listed),
        ),
        Metric(
            "patroni_dcs_last_seen",
            "Epoch seconds at which the store was last seen.",
            rendering.document.get("dcs_last_seen", 0),
        ),
        Metric(
            "patroni_pending_restart",
            "1 if PostgreSQL needs a restart.",
            int(bool(f.server and f.server.pending)),
        ),
        Metric("patroni_is_paused", "1 in maintenance mode.", int(f.paused)),
        Metric(
            "patroni_failover_priority",
            "The member's failover_priority, 0 if it must not lead.",
            0 if snapshot.me.tags.nofailover else max(0, snapshot.me.tags.failover_priority),
        ),
    ]


def _own_metrics(office: Office, rendering: Rendering, now: float) -> list[Metric]:
    f, publication = rendering.facts, rendering.publication
    left = 0.0 if f.lease_ends is None else max(0.0, f.lease_ends - now)
    observed_age = -1.0 if f.observed_at is None else now - f.observed_at
    metrics = [
        Metric("hae_loops", "Cycles of the main loop.", publication.loop_count, "counter"),
        Metric("hae_loop_seconds", "Length of the last cycle.", f"{publication.loop_seconds:.6f}"),
        Metric("hae_loop_age_seconds", "Time since the last cycle.", f"{now - f.published_at:.3f}"),
        Metric("hae_lease_left_seconds", "How long our lock is certain.", f"{left:.3f}"),
        Metric(
            "hae_observed_age_seconds",
            "Time since PostgreSQL answered, -1 if it does not.",
            f"{observed_age:.3f}",
        ),
        Metric(
            "hae_store_requests",
            "Requests sent to the store.",
            office.store.requests_sent,
            "counter",
        ),
    ]
    metrics += [
        Metric("hae_decisions", "How often a rule fired.", count, "counter", (("rule", rule),))
        for rule, count in sorted(office.desk.rule_counts().items())
    ]
    return metrics + [
        Metric(f"hae_{name}", "Measured by the main loop.", value)
        for name, value in sorted(publication.numbers.items())
    ]
