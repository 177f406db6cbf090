"""Options and arguments that several commands share, spelled as operators know them."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ctl.cluster import ROLES
from ctl.context import load_settings
from ctl.tables import FORMATS

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """The options of the group `ctl`, before any file is read: --help needs none."""

    config_file: str | None = None
    dcs_url: str | None = None
    insecure: bool = False


def pass_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Read the configuration when the command really runs, and give it as first argument."""

    @functools.wraps(command)
    def run(*args: Any, **values: Any) -> None:
        given = click.get_current_context().ensure_object(GroupOptions)
        settings = load_settings(given.config_file, given.dcs_url, given.insecure)
        command(settings, *args, **values)

    return run


cluster = click.argument("cluster_name", required=False)
required_cluster = click.argument("cluster_name", required=True)
clusters = click.argument("cluster_names", nargs=-1)
members = click.argument("member_names", nargs=-1)
force = click.option("--force", is_flag=True, help="Do not ask for confirmation at any point.")


def output_format(
    default: str = "pretty", *, short: str = "-f", formats: Sequence[str] = FORMATS
) -> Callable[[Command], Command]:
    """`--format`: pretty, tsv, json or yaml, or what `formats` names."""
    return click.option(
        "--format",
        short,
        "form",
        type=click.Choice(formats),
        default=default,
        show_default=True,
        help="Output format.",
    )


text_or_json = output_format("text", formats=("text", "json"))


def role(default: str | None = "any") -> Callable[[Command], Command]:
    """`--role`: which members by their role."""
    return click.option(
        "--role",
        "-r",
        "wanted_role",
        type=click.Choice(ROLES),
        default=default,
        show_default=default is not None,
        help="Only members with this role.",
    )


def watching(command: Command) -> Command:
    """`-w N` and `-W`: print again and again."""
    command = click.option("-W", "watch_2s", is_flag=True, help="Refresh every 2 seconds.")(command)
    return click.option(
        "-w",
        "--watch",
        "watch_seconds",
        type=click.FloatRange(min=0.1),
        help="Refresh every N seconds.",
    )(command)


def epilog(*examples: str) -> str:
    """The examples at the end of a command's help, one to a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
