"""`python -m demo [--once]`: the command line, the signals, and the clean end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from demo.cluster import Cluster, DidNotHappenError
from demo.site import TTL_SECONDS, CannotStartError, prepare
from demo.story import Story
from demo.telling import Telling
from demo.writer import Writer

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_SECONDS = 20.0
LOG_BYTES = 3000


class InterruptedDemoError(BaseException):
    """A signal asks for the end; not an Exception, so that nothing swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main() -> int:
    """Run the demo; 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do not stay up to play with")
    options = parser.parse_args()
    telling = Telling()
    if os.geteuid() == 0:
        print("PostgreSQL refuses root: `make demo` hands this over to another account")
        return 1
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        site = prepare()
    except CannotStartError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except InterruptedDemoError as interrupted:
        return 128 + interrupted.number
    telling.plain("hae demo: three nodes of one cluster on this machine.")
    telling.plain(
        f"PostgreSQL {site.postgres_version}, a lease of {TTL_SECONDS} s, a local file as store."
    )
    telling.plain(f"Everything is in {site.folder}; the commands below run there.")
    return _perform(Cluster(site), telling, stay=not options.once)


def _perform(cluster: Cluster, telling: Telling, *, stay: bool) -> int:
    writer = Writer(cluster.site.dsn, cluster.site.password)
    code, keep = 1, True
    try:
        code = 0 if Story(cluster, writer, telling).run() else 1
        keep = code != 0
        if stay and not keep:
            _play(cluster, telling)
    except DidNotHappenError as error:
        telling.line(f"FAILED: {error}")
        _show_logs(cluster, telling)
    except InterruptedDemoError as interrupted:
        code, keep = 128 + interrupted.number, False
    finally:
        _end(cluster, writer, telling, keep=keep)
    return code


def _play(cluster: Cluster, telling: Telling) -> None:
    """Say what can be tried, and wait for Ctrl-C."""
    leader = cluster.leader() or cluster.site.places[0]
    name, pid = leader.name, cluster.daemon_pid(leader)
    telling.chapter("The cluster stays up until Ctrl-C. In another terminal:")
    telling.plain(f"\n  cd {cluster.site.folder}\n  . ./environment")
    for command, comment in (
        ("hae ctl list -W", ""),
        ("hae ctl switchover", ""),
        ("hae ctl pause --wait; hae ctl resume", ""),
        ("psql", "to the primary, whoever it is"),
        (f"kill -9 $(head -1 {name}/data/postmaster.pid)", "the primary's PostgreSQL dies"),
        (f"kill -STOP {pid}; sleep 12; kill -CONT {pid}", "its daemon hangs: the fence"),
        (f"hae explain -c {name}.yml", "and why it did what it did"),
        (f"hae-daemon {name}.yml", "starts a daemon that you ended"),
    ):
        telling.plain(f"  {command:<46}{'# ' if comment else ''}{comment}".rstrip())
    telling.plain("  The daemons' logs are n1/daemon.log, n2/daemon.log, n3/daemon.log")
    try:
        threading.Event().wait()
    except InterruptedDemoError:
        telling.plain()


def _show_logs(cluster: Cluster, telling: Telling) -> None:
    for place in cluster.site.places:
        if place.log.exists():
            telling.plain(f"\n--- the end of {place.log}")
            telling.plain(place.log.read_bytes()[-LOG_BYTES:].decode(errors="replace"))


def _end(cluster: Cluster, writer: Writer, telling: Telling, *, keep: bool) -> None:
    """End what was started; a second signal cuts the orderly part short."""
    try:
        telling.line("Ending all nodes.")
        writer.close()
        gone = cluster.end(PATIENCE_SECONDS)
    except InterruptedDemoError:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        gone = cluster.end(0.0)
    if not gone:
        telling.line(f"FAILED: some processes below {cluster.site.folder} would not end.")
    elif keep:
        telling.line(f"Logs, records and data are left in {cluster.site.folder}")
    else:
        cluster.remove_folder()


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise InterruptedDemoError(number)


if __name__ == "__main__":
    sys.exit(main())
