"""`list`, `topology` and `history`: what the cluster looks like, as tables."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from ctl import options, tables
from ctl.cluster import UNKNOWN, ClusterView, lsn_text, role_title, shown_state
from ctl.context import Settings
from ctl.tables import Cell, Column
from engine.state import Member

COLUMNS = (
    Column("Cluster"),
    Column("Member"),
    Column("Host"),
    Column("Role"),
    Column("State"),
    Column("TL", "right"),
    Column("Receive LSN", "right"),
    Column("Receive Lag", "right", pretty="Lag"),
    Column("Replay LSN", "right"),
    Column("Replay Lag", "right", pretty="Lag"),
)
EXTENDED = (
    Column("Pending restart"),
    Column("Pending restart reason"),
    Column("Scheduled restart"),
    Column("Tags"),
)
HISTORY = (
    Column("TL", "right"),
    Column("LSN", "right"),
    Column("Reason"),
    Column("Timestamp"),
    Column("New Leader"),
)
BYTES_PER_MIB = 1024 * 1024


# --- rows -----------------------------------------------------------------------------------------


def cluster_rows(
    view: ClusterView, *, tree: bool = False, extended: bool = False
) -> tuple[list[Column], list[list[Cell]]]:
    """Columns and rows of one cluster; extended columns that nobody fills are left out."""
    with_port = _ports_matter(view)
    ordered = _as_tree(view) if tree else [("", member) for member in view.record.members]
    rows: list[list[Cell]] = []
    extras: list[list[Cell]] = []
    for indent, member in ordered:
        rows.append(_member_row(view, member, indent, with_port))
        extras.append(_extended_cells(view.documents.get(member.name, {})))
    shown = [
        index for index in range(len(EXTENDED)) if extended or any(extra[index] for extra in extras)
    ]
    columns = [*COLUMNS, *(EXTENDED[index] for index in shown)]
    return columns, [
        row + [extra[index] for index in shown] for row, extra in zip(rows, extras, strict=True)
    ]


def _member_row(view: ClusterView, member: Member, indent: str, with_port: bool) -> list[Cell]:
    host = f"{member.host}:{member.port}" if with_port and member.host else member.host
    role = view.role(member)
    leads = role in ("leader", "standby_leader")
    positions: list[Cell] = [None] * 4
    if not leads:
        positions = [
            *_position(view, member.receive_lsn),
            *_position(view, member.replay_lsn),
        ]
    return [
        view.name,
        indent + member.name,
        host,
        role_title(role),
        shown_state(member),
        member.timeline,
        *positions,
    ]


def _position(view: ClusterView, lsn: int | None) -> tuple[Cell, Cell]:
    lag = view.lag(lsn)
    return (
        UNKNOWN if lsn is None else lsn_text(lsn),
        UNKNOWN if lag is None else round(lag / BYTES_PER_MIB),
    )


def _extended_cells(document: Mapping[str, Any]) -> list[Cell]:
    reason = document.get("pending_restart_reason")
    schedule = document.get("scheduled_restart")
    tags = document.get("tags")
    return [
        "*" if document.get("pending_restart") else None,
        _reason_text(reason) if isinstance(reason, dict) else None,
        _schedule_text(schedule) if isinstance(schedule, dict) else None,
        tags if isinstance(tags, dict) and tags else None,
    ]


def _reason_text(reason: Mapping[str, Any]) -> str:
    """`max_connections: 100->200`, one parameter to a line."""
    lines = []
    for name in sorted(reason):
        change = reason[name] if isinstance(reason[name], dict) else {}
        lines.append(f"{name}: {change.get('old_value')}->{change.get('new_value')}")
    return "\n".join(lines)


def _schedule_text(schedule: Mapping[str, Any]) -> str:
    """The time, and the conditions that the restart waits for."""
    conditions = []
    if version := schedule.get("postgres_version"):
        conditions.append(f"version < {version}")
    if schedule.get("restart_pending"):
        conditions.append("restart is pending")
    if role := schedule.get("role"):
        conditions.append(f"role is {role}")
    when = str(schedule.get("schedule", ""))
    return when + (f" if {' and '.join(conditions)}" if conditions else "")


def _ports_matter(view: ClusterView) -> bool:
    """The port is shown when it is not 5432 somewhere, or two members share a host."""
    hosts = [member.host for member in view.record.members if member.host]
    return len(hosts) != len(set(hosts)) or any(m.port != 5432 for m in view.record.members)


def _as_tree(view: ClusterView) -> list[tuple[str, Member]]:
    """Members under the one that they stream from; each appears once, loops included."""
    record = view.record
    known = {member.name for member in record.members}
    top = view.leader_name if view.leader_name in known else None

    def upstream(member: Member) -> str | None:
        wanted = member.tags.replicatefrom
        return wanted if wanted in known and wanted != member.name else top

    placed: list[tuple[str, Member]] = []
    done: set[str] = set()

    def place(member: Member, level: int) -> None:
        if member.name in done:
            return
        done.add(member.name)
        placed.append(("  " * (level - 1) + "+ " if level else "", member))
        for child in record.members:
            if child.name != top and upstream(child) == member.name:
                place(child, level + 1)

    for member in record.members:
        if member.name == top or upstream(member) is None:
            place(member, 0)
    for member in record.members:  # a loop of replicatefrom has no beginning
        place(member, 1 if top else 0)
    return placed


# --- printing -------------------------------------------------------------------------------------


def cluster_text(
    view: ClusterView, form: str = "pretty", *, tree: bool = False, extended: bool = False
) -> str:
    """One cluster in one format, with title and footer where the format has them."""
    columns, rows = cluster_rows(view, tree=tree, extended=extended)
    if form != "pretty":
        return tables.render(form, columns, rows)
    framed = tables.render(
        form,
        columns[1:],
        [row[1:] for row in rows],
        title=f"Cluster: {view.name} ({view.identity})",
    )
    return "\n".join([framed, *_footer(view)])


def _footer(view: ClusterView) -> list[str]:
    lines = [" Maintenance mode: on"] if view.paused else []
    request = view.record.failover
    if request is not None and request.scheduled_epoch is not None:
        when = datetime.fromtimestamp(request.scheduled_epoch).astimezone().isoformat()
        lines.append(f" Switchover scheduled at: {when}")
        for title, name in (("from", request.leader), ("to", request.candidate)):
            if name:
                lines.append(f"{title:>24}: {name}")
    return lines


def print_topology(view: ClusterView) -> None:
    """The table that commands show before and after they change something."""
    click.echo(cluster_text(view))


def _repeat(seconds: float | None, show: Callable[[], None]) -> None:
    """Show once, or every so many seconds until Ctrl-C."""
    for number in itertools.count():
        if number:
            click.clear()
        show()
        if seconds is None:
            return
        time.sleep(seconds)


def _show(
    settings: Settings, names: Sequence[str], form: str, *, tree: bool, extended: bool
) -> None:
    """All clusters in one document; json and yaml stay one array whatever the number."""
    columns: list[Column] = []
    rows: list[dict[str, Cell]] = []
    for name in names or [settings.cluster_name(None)]:
        with settings.access(name) as access:
            if form == "pretty":
                click.echo(cluster_text(access.view, tree=tree, extended=extended))
                continue
            found, lines = cluster_rows(access.view, tree=tree, extended=extended)
            columns += [column for column in found if column not in columns]
            titles = [column.title for column in found]
            rows += [dict(zip(titles, line, strict=True)) for line in lines]
    if form != "pretty":
        ordered = [column for column in (*COLUMNS, *EXTENDED) if column in columns]
        merged = [[row.get(column.title) for column in ordered] for row in rows]
        click.echo(tables.render(form, ordered, merged))


@click.command(
    "list",
    epilog=options.epilog(
        "hae ctl list", "hae ctl -c node.yml list demo -e", "hae ctl list -f json | jq ."
    ),
)
@options.clusters
@click.option("--extended", "-e", is_flag=True, help="Show all columns, empty ones too.")
@click.option("--timestamp", "-t", is_flag=True, help="Print the time above the table.")
@options.output_format()
@options.watching
@options.pass_settings
def list_members(
    settings: Settings,
    *,
    cluster_names: tuple[str, ...],
    extended: bool,
    timestamp: bool,
    form: str,
    watch_2s: bool,
    watch_seconds: float | None,
) -> None:
    """List the members with role, state, timeline and lag."""

    def show() -> None:
        if timestamp:
            click.echo(f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        _show(settings, cluster_names, form, tree=False, extended=extended)

    _repeat(watch_seconds or (2.0 if watch_2s else None), show)


@click.command(epilog=options.epilog("hae ctl topology", "hae ctl topology demo -W"))
@options.clusters
@options.watching
@options.pass_settings
def topology(
    settings: Settings,
    *,
    cluster_names: tuple[str, ...],
    watch_2s: bool,
    watch_seconds: float | None,
) -> None:
    """Show the members as a tree: who streams from whom."""
    _repeat(
        watch_seconds or (2.0 if watch_2s else None),
        lambda: _show(settings, cluster_names, "pretty", tree=True, extended=False),
    )


@click.command(epilog=options.epilog("hae ctl history", "hae ctl history demo -f yaml"))
@options.cluster
@options.output_format()
@options.pass_settings
def history(settings: Settings, *, cluster_name: str | None, form: str) -> None:
    """Show past timelines: where each ended, why, and who led next."""
    with settings.access(cluster_name) as access:
        rows = [[*row[:5], *[None] * (5 - len(row))] for row in access.view.history]
        click.echo(tables.render(form, HISTORY, rows))
