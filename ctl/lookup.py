"""`dsn`, `version` and `remove`: where a member is, what runs there, and forgetting a cluster."""

from typing import Any

import click

from ctl import options
from ctl.cluster import ClusterView
from ctl.context import Settings, refuse
from ctl.listing import cluster_text
from ctl.rest import RestError
from shell import layout
from shell.version import COMPATIBLE_VERSION, PRODUCT_VERSION


@click.command(epilog=options.epilog("hae ctl dsn", "hae ctl dsn demo -r replica"))
@options.cluster
@options.role(default=None)
@click.option("--member", "-m", "member_name", help="This member.")
@options.pass_settings
def dsn(
    settings: Settings,
    *,
    cluster_name: str | None,
    wanted_role: str | None,
    member_name: str | None,
) -> None:
    """Print host and port of a member, the leader by default."""
    if wanted_role and member_name:
        refuse("--role and --member are mutually exclusive options")
    with settings.access(cluster_name) as access:
        view = access.view
        for member in view.record.members:
            wanted = (
                member.name == member_name
                if member_name
                else view.has_role(member, wanted_role or "leader")
            )
            if wanted and member.host:
                click.echo(f"host={member.host} port={member.port}")
                return
        looked_for = f"member {member_name}" if member_name else f"{wanted_role or 'leader'}"
        refuse(f"Can not find a suitable member: no {looked_for} in cluster {view.name}")


@click.command(epilog=options.epilog("hae ctl version", "hae ctl version demo n1"))
@options.cluster
@options.members
@options.pass_settings
def version(settings: Settings, *, cluster_name: str | None, member_names: tuple[str, ...]) -> None:
    """Print the version of this tool, and of members and their PostgreSQL."""
    click.echo(f"patronictl version {COMPATIBLE_VERSION} (hae {PRODUCT_VERSION})")
    if not cluster_name and not settings.values.get("scope"):
        return
    failed = []
    with settings.access(cluster_name) as access:
        click.echo("")
        for member in access.view.record.members:
            if member_names and member.name not in member_names:
                continue
            try:
                document = access.rest.call("GET", member.api_url, "patroni").document
            except RestError as error:
                click.echo(f"{member.name}: failed to get version: {error}")
                failed.append(member.name)
                continue
            click.echo(f"{member.name}: {_versions(document)}")
    if failed:
        refuse(f"no answer from {', '.join(failed)}")


def _versions(document: dict[str, Any]) -> str:
    own = document.get("patroni")
    daemon = own.get("version", "unknown") if isinstance(own, dict) else "unknown"
    number = layout.integer(document.get("server_version"))
    return f"Patroni {daemon}" + (f" PostgreSQL {server_version(number)}" if number else "")


def server_version(number: int) -> str:
    """160004 -> 16.4, 90624 -> 9.6.24."""
    if number >= 100000:
        return f"{number // 10000}.{number % 10000}"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


@click.command(epilog=options.epilog("hae ctl remove demo"))
@options.required_cluster
@options.output_format()
@options.pass_settings
def remove(settings: Settings, *, cluster_name: str, form: str) -> None:
    """Forget a cluster: delete all its keys from the store.  PostgreSQL is not touched."""
    with settings.access(cluster_name) as access:
        click.echo(cluster_text(access.view, form))
        _confirm_removal(access.view)
        access.store.delete_all(access.deadline())
        click.echo(f"All keys of cluster {access.name} were deleted")


def _confirm_removal(view: ClusterView) -> None:
    """Three confirmations, each typed out; refuses at the first that is wrong."""
    if click.prompt("Please confirm the cluster name to remove", type=str) != view.name:
        refuse("Cluster names specified do not match")
    question = (
        f"You are about to remove all information in DCS for {view.name},"
        ' please type: "Yes I am aware"'
    )
    if click.prompt(question, type=str) != "Yes I am aware":
        refuse('You did not exactly type "Yes I am aware"')
    if view.leader_name:
        question = "This cluster currently is healthy. Please specify the leader name to continue"
        if click.prompt(question, type=str) != view.leader_name:
            refuse("You did not specify the current leader of the cluster")
