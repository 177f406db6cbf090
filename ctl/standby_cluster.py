"""`demote-cluster` and `promote-cluster`: make the cluster a standby cluster, or a primary one.

Belongs here: the change of the section `standby_cluster`, and waiting for the members to follow it.
Does not belong here: what they do then; that is the engine's.
"""

import time
from collections.abc import Mapping
from typing import Any

import click

from ctl import options
from ctl.cluster import ClusterView
from ctl.configedit import current_config, write_config
from ctl.context import Access, Settings, refuse
from ctl.listing import print_topology
from ctl.times import stamp
from shell.stores.base import StoreError

POLL_SECONDS = 1.0
# A stop waits for its checkpoint, a promotion for its replay; a rewind may come in between.
WAIT_SECONDS = 600.0
SECTION = "standby_cluster"


@click.command(
    "demote-cluster",
    epilog=options.epilog(
        "hae ctl demote-cluster --host 10.1.0.1",
        "hae ctl demote-cluster demo --host 10.1.0.1,10.1.0.2 --port 5432 --force",
    ),
)
@options.cluster
@click.option("--host", help="The host of the primary to follow; several with commas.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port; PostgreSQL's own if absent.")
@click.option("--restore-command", help="The command that fetches WAL from that cluster's archive.")
@click.option("--primary-slot-name", help="The slot there; by default named after our leader.")
@options.force
@options.pass_settings
def demote_cluster(
    settings: Settings,
    *,
    cluster_name: str | None,
    host: str | None,
    port: int | None,
    restore_command: str | None,
    primary_slot_name: str | None,
    force: bool,
) -> None:
    """Make the cluster a standby cluster: its leader stops writing and follows another primary."""
    section = {
        "host": host,
        "port": port,
        "restore_command": restore_command,
        "primary_slot_name": primary_slot_name,
    }
    if host is None and port is None and restore_command is None:
        refuse("at least one of --host, --port and --restore-command must be given")
    with settings.access(cluster_name) as access:
        if access.view.standby_cluster:
            refuse(f"Cluster {access.view.name} is a standby cluster already")
        _check_and_confirm(access, "demote", force)
        wanted = {name: value for name, value in section.items() if value is not None}
        _change(access, {**current_config(access), SECTION: wanted})
        _follow(access, "demoted", "standby_leader")


@click.command(
    "promote-cluster",
    epilog=options.epilog("hae ctl promote-cluster", "hae ctl promote-cluster demo --force"),
)
@options.cluster
@options.force
@options.pass_settings
def promote_cluster(settings: Settings, *, cluster_name: str | None, force: bool) -> None:
    """Make a standby cluster independent: its leader is promoted and accepts writes."""
    with settings.access(cluster_name) as access:
        if not access.view.standby_cluster:
            refuse(f"Cluster {access.view.name} is not a standby cluster")
        _check_and_confirm(access, "promote", force)
        kept = {name: v for name, v in current_config(access).items() if name != SECTION}
        _change(access, kept)
        _follow(access, "promoted", "primary")


def _check_and_confirm(access: Access, action: str, force: bool) -> None:
    view = access.view
    if view.paused:
        refuse(f"Cluster {view.name} is in maintenance mode, in which nothing would {action} it")
    click.echo("Current cluster topology")
    print_topology(view)
    if not force and not click.confirm(f"Are you sure you want to {action} cluster {view.name}?"):
        refuse(f"Aborting {action} of the cluster")


def _change(access: Access, config: Mapping[str, Any]) -> None:
    write_config(access, config, access.view.config_revision)
    click.echo("Configuration changed")


def _follow(access: Access, done: str, role: str) -> None:
    """Tell each second what the leader is, until it has the role; exit 1 when it takes too long."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            view = access.read()
        except StoreError as error:
            click.echo(f"{stamp()} the store did not answer: {error}")
        else:
            click.echo(f"{stamp()} {_state(view)}")
            leader = view.leader
            if leader is not None and (leader.state, leader.role) == ("running", role):
                click.echo(f"Success: cluster {view.name} is {done}")
                print_topology(view)
                return
        if time.monotonic() >= end:
            refuse(f"the cluster is not {done} after {WAIT_SECONDS:g} seconds; its members go on")
        time.sleep(POLL_SECONDS)


def _state(view: ClusterView) -> str:
    leader = view.leader
    if leader is None:
        return f"cluster {view.name} has no leader"
    return f"leader {leader.name} is {leader.state} as {leader.role}"
