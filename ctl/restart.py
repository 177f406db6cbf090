"""`restart`, `reload` and `reinit`: orders to single members over their REST API."""

import random
import re
import time
from typing import Any

import click

from ctl import options
from ctl.cluster import ClusterView
from ctl.context import Access, Settings, refuse
from ctl.listing import print_topology
from ctl.members import Outcomes, call_each, choose, confirm
from ctl.rest import RestAnswer, RestError
from ctl.restart_plan import in_order, plan_lines
from ctl.times import example_time, parse_schedule
from engine.state import Member
from shell import layout

# A restart waits for the shutdown checkpoint and for recovery; longer than primary_start_timeout.
RESTART_TIMEOUT_SECONDS = 600.0
# A synchronous standby answers when the leader has released it; the member gives up after 30 s.
REINIT_ANSWER_SECONDS = 40.0
REINIT_POLL_SECONDS = 2.0
REINIT_TIMEOUT_SECONDS = 24 * 3600.0
SILENT_LIMIT_SECONDS = 120.0


@click.command(
    epilog=options.epilog(
        "hae ctl restart demo n2",
        "hae ctl restart demo --role replica --pending --force",
        "hae ctl restart demo --pending --plan",
        "hae ctl restart demo --scheduled 2026-09-01T02:00+02:00 --pg-version 16.4 --force",
    )
)
@options.required_cluster
@options.members
@options.role()
@click.option("--any", "any_one", is_flag=True, help="Restart one of them, chosen at random.")
@click.option("--scheduled", metavar="TIME", help="When, in an unambiguous format (ISO 8601).")
@click.option("--pg-version", metavar="X.Y", help="Only where PostgreSQL is older than that.")
@click.option("--pending", is_flag=True, help="Only where a restart is pending.")
@click.option("--timeout", metavar="SECONDS", help="Fail over when it takes longer.")
@click.option("--plan", is_flag=True, help="Show the order and the reasons, restart nothing.")
@options.force
@options.pass_settings
def restart(
    settings: Settings,
    *,
    cluster_name: str,
    member_names: tuple[str, ...],
    wanted_role: str,
    any_one: bool,
    scheduled: str | None,
    pg_version: str | None,
    pending: bool,
    timeout: str | None,
    plan: bool,
    force: bool,
) -> None:
    """Restart PostgreSQL on members, now or later.

    Several members are restarted one after the other, in the order that PostgreSQL needs.
    """
    with settings.access(cluster_name) as access:
        print_topology(access.view)
        members = choose(access.view, member_names, wanted_role)
        if pending:
            members = [member for member in members if member.pending_restart]
            if not members:
                click.echo("No restart is pending on these members")
                return
        if any_one:
            members = [random.choice(members)]  # noqa: S311 - nothing is guarded by this choice
        members = in_order(access.view, members)
        if plan:
            click.echo("\n".join(plan_lines(access.view, members)))
            return
        if scheduled is None and not force:
            question = f"When should the restart take place (e.g. {example_time()}) "
            scheduled = click.prompt(question, type=str, default="now")
        moment = parse_schedule(scheduled)
        confirm("restart", members, force)
        if pg_version is None and not force:
            pg_version = click.prompt(
                "Restart if the PostgreSQL version is less than provided (e.g. 16.2) ",
                type=str,
                default="",
            )
        body = _restart_body(pg_version, pending, timeout, wanted_role)
        if moment is not None:
            if access.view.paused:
                refuse("Can't schedule restart in the paused state")
            body["schedule"] = moment.isoformat()
        _restart_each(access, members, body, replace=force)


def _restart_body(
    pg_version: str | None, pending: bool, timeout: str | None, wanted_role: str
) -> dict[str, Any]:
    """The request's filters; refuses a version or a time that no member would accept."""
    body: dict[str, Any] = {}
    if pg_version:
        if not re.fullmatch(r"\d+(\.\d+){0,2}", pg_version):
            refuse(f"Invalid PostgreSQL version {pg_version!r}: allowed are 16, 16.2 or 9.6.24")
        body["postgres_version"] = pg_version
    if pending:
        body["restart_pending"] = True
    if timeout is not None:
        if not re.fullmatch(r"\d+\s*(us|ms|s|min|h|d)?", timeout) or timeout.strip("0 ") == "":
            refuse(f"Invalid timeout {timeout!r}: allowed is a positive time such as 30 or 5min")
        body["timeout"] = int(timeout) if timeout.isdigit() else timeout
    named = {"primary": "primary", "standby-leader": "standby_leader", "replica": "replica"}
    if wanted_role in named:
        body["role"] = named[wanted_role]  # the role may change between now and the restart
    return body


def _restart_each(
    access: Access, members: list[Member], body: dict[str, Any], *, replace: bool
) -> None:
    scheduled = "schedule" in body
    outcomes = Outcomes()

    def call(member: Member) -> RestAnswer:
        document = access.view.documents.get(member.name, {})
        if scheduled and replace and document.get("scheduled_restart"):
            access.rest.call("DELETE", member.api_url, "restart")
        return access.rest.call(
            "POST", member.api_url, "restart", body, timeout_seconds=RESTART_TIMEOUT_SECONDS
        )

    def success(member: Member, answer: RestAnswer) -> str:
        done = "restart scheduled" if answer.status == 202 else "restart"
        return f"Success: {done} on member {member.name}"

    call_each(members, "restart", call, outcomes, success)
    outcomes.end()


@click.command(
    epilog=options.epilog("hae ctl reload demo", "hae ctl reload demo n2 --force"),
)
@options.required_cluster
@options.members
@options.role()
@options.force
@options.pass_settings
def reload(
    settings: Settings,
    *,
    cluster_name: str,
    member_names: tuple[str, ...],
    wanted_role: str,
    force: bool,
) -> None:
    """Make members read their configuration file again."""
    with settings.access(cluster_name) as access:
        print_topology(access.view)
        members = choose(access.view, member_names, wanted_role)
        confirm("reload", members, force)
        outcomes = Outcomes()

        def success(member: Member, answer: RestAnswer) -> str:
            if answer.status == 200:
                return f"No changes to apply on member {member.name}"
            return (
                f"Reload request received for member {member.name} and will be processed within"
                f" {access.view.loop_wait_seconds} seconds"
            )

        call_each(
            members,
            "reload",
            lambda member: access.rest.call("POST", member.api_url, "reload"),
            outcomes,
            success,
        )
        outcomes.end()


@click.command(
    epilog=options.epilog(
        "hae ctl reinit demo n3", "hae ctl reinit demo n3 --force --from-leader --wait"
    ),
)
@options.required_cluster
@options.members
@options.force
@click.option("--from-leader", is_flag=True, help="Copy from the leader, by pg_basebackup.")
@click.option("--wait", is_flag=True, help="Wait until the copies are made.")
@options.pass_settings
def reinit(
    settings: Settings,
    *,
    cluster_name: str,
    member_names: tuple[str, ...],
    force: bool,
    from_leader: bool,
    wait: bool,
) -> None:
    """Delete a replica's data directory and copy it anew."""
    with settings.access(cluster_name) as access:
        print_topology(access.view)
        members = choose(access.view, member_names or _ask_replicas(access.view, force), "any")
        for member in members:
            if member.name == access.view.leader_name:
                refuse(f"{member.name} is the leader: only replicas can be reinitialized")
        confirm("reinitialize", members, force)
        outcomes = Outcomes()
        agreed = call_each(
            members,
            "reinitialize",
            lambda member: _reinit_one(access, member, force, from_leader),
            outcomes,
            lambda member, _: f"Success: reinitialize for member {member.name}",
        )
        if wait:
            _wait_for_copies(access, agreed, outcomes)
        outcomes.end()


def _ask_replicas(view: ClusterView, force: bool) -> tuple[str, ...]:
    replicas = [m.name for m in view.record.members if view.has_role(m, "replica")]
    if not replicas:
        refuse(f"No replica among the members of {view.name}")
    if force:
        refuse(f"Name the members to reinitialize: {', '.join(replicas)}")
    question = f"Which member do you want to reinitialize [{', '.join(replicas)}]?"
    return (str(click.prompt(question, type=click.Choice(replicas), show_choices=False)),)


def _reinit_one(access: Access, member: Member, force: bool, from_leader: bool) -> RestAnswer:
    """Ask; when another task runs there, offer to cancel it."""
    body = {"force": force, "from_leader": from_leader}

    def ask() -> RestAnswer:
        limit = REINIT_ANSWER_SECONDS
        return access.rest.call("POST", member.api_url, "reinitialize", body, timeout_seconds=limit)

    answer = ask()
    if answer.status == 503 and answer.text.endswith("already in progress") and not force:
        click.echo(f"{member.name}: {answer.text}")
        if click.confirm("Do you want to cancel it and reinitialize anyway?"):
            body["force"] = True
            return ask()
    return answer


def _wait_for_copies(access: Access, members: list[Member], outcomes: Outcomes) -> None:
    """Poll each member until its copy is made; a member that stays silent counts as failed."""
    waiting = {member.name: member for member in members}
    end = time.monotonic() + REINIT_TIMEOUT_SECONDS
    last_heard = dict.fromkeys(waiting, time.monotonic())
    seen_creating: set[str] = set()
    if waiting:
        click.echo(f"Waiting for reinitialize to complete on: {', '.join(waiting)}")
    while waiting and time.monotonic() < end:
        time.sleep(REINIT_POLL_SECONDS)
        for name, member in list(waiting.items()):
            try:
                document = access.rest.call("GET", member.api_url, "patroni").document
                last_heard[name] = time.monotonic()
            except RestError as error:
                if time.monotonic() - last_heard[name] > SILENT_LIMIT_SECONDS:
                    outcomes.unreachable("reinitialize", name, error)
                    del waiting[name]
                continue
            state = layout.text_or_empty(document.get("state"))
            if state == "creating replica":
                seen_creating.add(name)
            elif state == "running" or name in seen_creating:
                click.echo(f"Reinitialize is completed on: {name}")
                del waiting[name]
    for name in waiting:
        outcomes.unreachable("reinitialize", name, RestError("it still copies", sent=True))
