"""`hae-daemon`: the command line of the daemon, and nothing else."""

from __future__ import annotations

import os
import sys

import click

from shell.config import (
    ConfigError,
    load_local,
    render_effective,
    validate_file,
)
from shell.config.effective import effective
from shell.version import COMPATIBLE_VERSION, PRODUCT_VERSION

EXAMPLES = """
\b
Examples:
  hae-daemon node.yml                  run this node's daemon
  hae-daemon --validate node.yml       check the file and this host, then end
  hae-daemon --validate --print node.yml   also show the effective configuration
  PATRONI_NAME=n1 ... hae-daemon       everything from the environment
"""


@click.command(epilog=EXAMPLES)
@click.argument("configfile", required=False, type=click.Path())
@click.option("--validate", "--validate-config", is_flag=True, help="Check the file, then end.")
@click.option("-i", "--ignore-listen-port", is_flag=True, help="Ports may be in use (--validate).")
@click.option("-p", "--print", "show", is_flag=True, help="Show the effective configuration.")
@click.version_option(
    PRODUCT_VERSION, message=f"hae %(version)s (compatible with Patroni {COMPATIBLE_VERSION})"
)
def daemon(configfile: str | None, validate: bool, ignore_listen_port: bool, show: bool) -> None:
    """Keep this host's PostgreSQL highly available.

    Reads CONFIGFILE (Patroni's YAML), or the environment without one.  Runs in the foreground
    until SIGTERM; SIGHUP reads the file again.
    """
    if validate:
        sys.exit(_validate(configfile, ignore_listen_port, show))
    try:
        local = load_local(configfile, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    if os.geteuid() == 0:
        click.echo(
            "PostgreSQL refuses to run as root, so hae-daemon does too: start it as the account "
            "that owns the data directory, e.g. `setpriv --reuid=postgres --regid=postgres "
            "--init-groups hae-daemon node.yml`",
            err=True,
        )
        sys.exit(1)
    from shell.assembly import run_daemon  # noqa: PLC0415 - so that --help answers at once

    sys.exit(run_daemon(configfile, local))


def _validate(configfile: str | None, ignore_listen_port: bool, show: bool) -> int:
    problems = validate_file(configfile, ignore_listen_port=ignore_listen_port)
    for problem in problems:
        click.echo(f"{problem.severity}: {problem}", err=True)
    errors = sum(problem.severity == "error" for problem in problems)
    if show and not errors:
        click.echo(
            render_effective(effective(load_local(configfile, os.environ), None)[0]), nl=False
        )
    click.echo(
        f"{configfile or 'environment'}: {errors} error(s), {len(problems) - errors} warning(s)",
        err=bool(errors),
    )
    return 1 if errors else 0


if __name__ == "__main__":
    daemon()
