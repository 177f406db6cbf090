"""The command `hae`: its groups, and which module each command comes from.

Belongs here: the command tree and the options of the groups.  Does not belong here: any command.
"""

import importlib
import logging
import os

import click

from ctl import configedit, listing, lookup, maintenance, restart, standby_cluster, switch
from ctl.options import GroupOptions
from shell.version import PRODUCT_VERSION

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_LEVEL_VARIABLES = ("LOGLEVEL", "PATRONI_LOGLEVEL", "PATRONI_LOG_LEVEL", "HAE_LOG_LEVEL")


class Hae(click.Group):
    """A group with commands that decide: reading all rules takes longer than most others need."""

    DECIDING = ("explain", "replay", "whatif")  # modules here, each with the command of its name

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, also of commands that were not read yet."""
        return sorted([*super().list_commands(ctx), *self.DECIDING])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, read if need be."""
        if cmd_name not in self.DECIDING:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"ctl.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Hae, context_settings=CONTEXT)
@click.version_option(PRODUCT_VERSION, prog_name="hae")
def hae() -> None:
    """PostgreSQL high availability: look at clusters, steer them, ask why."""


@click.group(context_settings=CONTEXT)
@click.option(
    "--config-file",
    "-c",
    metavar="FILE",
    help="Configuration; a node's own file serves as well.  Default: $HAE_CONFIG_FILE,"
    " ~/.config/hae/hae.yaml, then $PATRONICTL_CONFIG_FILE, ~/.config/patroni/patronictl.yaml.",
)
@click.option(
    "--dcs-url",
    "--dcs",
    "-d",
    envvar="DCS_URL",
    metavar="URL",
    help="The store, e.g. etcd3://host:2379/namespace or embedded:///path/of/file.",
)
@click.option("--insecure", "-k", is_flag=True, help="Do not verify the members' certificates.")
@click.pass_context
def ctl(
    context: click.Context, config_file: str | None, dcs_url: str | None, insecure: bool
) -> None:
    """Look at clusters and steer them; commands and options are those of patronictl.

    Exit code: 0 done, 1 refused, aborted or a member said no, 2 wrong usage.
    """
    level = next((os.environ[name] for name in _LEVEL_VARIABLES if os.environ.get(name)), "WARNING")
    known = logging.getLevelNamesMapping()
    logging.basicConfig(level=known.get(level.upper(), logging.WARNING))
    context.obj = GroupOptions(config_file, dcs_url, insecure)


for _command in (
    listing.list_members,
    listing.topology,
    listing.history,
    configedit.show_config,
    configedit.edit_config,
    switch.switchover,
    switch.failover,
    standby_cluster.demote_cluster,
    standby_cluster.promote_cluster,
    restart.restart,
    restart.reload,
    restart.reinit,
    maintenance.pause,
    maintenance.resume,
    maintenance.flush,
    lookup.dsn,
    lookup.remove,
    lookup.version,
):
    ctl.add_command(_command)
hae.add_command(ctl)
