"""`pause`, `resume` and `flush`: maintenance mode, and the cancelling of what is scheduled."""

import time
from typing import Any

import click

from ctl import options
from ctl.context import Access, Settings, refuse
from ctl.members import Outcomes, call_each, choose, confirm
from ctl.rest import RestAnswer, RestError
from engine.state import Member
from shell import layout

POLL_SECONDS = 0.5


@click.command(epilog=options.epilog("hae ctl pause", "hae ctl pause demo --wait"))
@options.cluster
@click.option("--wait", is_flag=True, help="Wait until every member has seen it.")
@options.pass_settings
def pause(settings: Settings, *, cluster_name: str | None, wait: bool) -> None:
    """Switch maintenance mode on: nothing happens by itself."""
    with settings.access(cluster_name) as access:
        if access.view.paused:
            refuse("Cluster is already paused")
        _set_pause(access, True, wait)


@click.command(epilog=options.epilog("hae ctl resume", "hae ctl resume demo --wait"))
@options.cluster
@click.option("--wait", is_flag=True, help="Wait until every member has seen it.")
@options.pass_settings
def resume(settings: Settings, *, cluster_name: str | None, wait: bool) -> None:
    """Switch maintenance mode off."""
    with settings.access(cluster_name) as access:
        if not access.view.paused:
            refuse("Cluster is not paused")
        _set_pause(access, False, wait)


def _set_pause(access: Access, on: bool, wait: bool) -> None:
    """PATCH the configuration by the first member that answers, the leader first."""
    body = {"pause": True if on else None}
    last = "it has no members"
    members = sorted(access.view.record.members, key=lambda m: m.name != access.view.leader_name)
    for member in members:
        try:
            answer = access.rest.call("PATCH", member.api_url, "config", body)
        except RestError as error:
            last = f"{member.name}: {error}"
            continue
        if answer.status == 200:
            _confirm_pause(access, on, wait)
            return
        last = f"{member.name}: status code={answer.status}, ({answer.text})"
        if answer.status in (401, 403):  # the next member would refuse the same credentials
            break
    refuse(f"Can not find accessible cluster member ({last})")


def _confirm_pause(access: Access, on: bool, wait: bool) -> None:
    state = "paused" if on else "resumed"
    if wait:
        word = "pause" if on else "resume"
        click.echo(f"'{word}' request sent, waiting until it is recognized by all nodes")
        late = _not_yet(access, on)
        if late:
            refuse(f"{', '.join(late)} did not recognize it in time; the cluster is being {state}")
    click.echo(f"Success: cluster management is {state}")


def _not_yet(access: Access, on: bool) -> list[str]:
    """Members whose keys do not show it after one loop and a second."""
    end = time.monotonic() + access.view.loop_wait_seconds + 1
    while True:
        late = [member.name for member in access.read().record.members if member.pause != on]
        if not late or time.monotonic() >= end:
            return late
        time.sleep(POLL_SECONDS)


@click.command(
    epilog=options.epilog(
        "hae ctl flush demo switchover",
        "hae ctl flush demo restart --role replica",
        "hae ctl flush demo n2 restart --force",
    )
)
@options.required_cluster
@options.members
@click.argument("target", type=click.Choice(["restart", "switchover"]))
@options.role()
@options.force
@options.pass_settings
def flush(
    settings: Settings,
    *,
    cluster_name: str,
    member_names: tuple[str, ...],
    target: str,
    wanted_role: str,
    force: bool,
) -> None:
    """Discard scheduled restarts or the scheduled switchover."""
    with settings.access(cluster_name) as access:
        if target == "switchover":
            _flush_switchover(access)
        else:
            _flush_restarts(access, choose(access.view, member_names, wanted_role), force)


def _flush_restarts(access: Access, members: list[Member], force: bool) -> None:
    scheduled = []
    for member in members:
        if access.view.documents.get(member.name, {}).get("scheduled_restart"):
            scheduled.append(member)
        else:
            click.echo(f"No scheduled restart for member {member.name}")
    if not scheduled:
        return
    confirm("flush the scheduled restart of", scheduled, force)
    outcomes = Outcomes()
    call_each(
        scheduled,
        "flush scheduled restart",
        lambda member: access.rest.call("DELETE", member.api_url, "restart"),
        outcomes,
        lambda member, _: f"Success: flush scheduled restart for member {member.name}",
    )
    outcomes.end()


def _flush_switchover(access: Access) -> None:
    """Over REST, the leader first; without any answer by the store."""
    request = access.view.record.failover
    if request is None or request.scheduled_epoch is None:
        click.echo("No pending scheduled switchover")
        return
    members = sorted(access.view.record.members, key=lambda m: m.name != access.view.leader_name)
    for member in members:
        try:
            answer: Any = access.rest.call("DELETE", member.api_url, "switchover")
        except RestError:
            continue
        if answer.status in (200, 404):
            click.echo(f"Success: {answer.text}")
            return
        if answer.status == 501:
            break
        _refused(answer)
    click.echo("No member did it; deleting the request in the store", err=True)
    empty = layout.failover_text(None, None, None)
    if not access.store.replace(layout.FAILOVER, empty, request.revision, access.deadline()):
        refuse("the scheduled switchover changed meanwhile: look again and repeat")
    click.echo("Success: scheduled switchover deleted")


def _refused(answer: RestAnswer) -> None:
    refuse(f"Failed: flush switchover, status code={answer.status}, ({answer.text})")
