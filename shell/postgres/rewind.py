"""Bring the directory of a former primary back: crash recovery, pg_rewind, and the question before.

Not here: whether to rewind; the leader's answer goes to the engine, which compares.
"""

import threading
from collections.abc import Mapping
from pathlib import Path

from engine.actions import Upstream
from engine.state import HistoryLine, LeaderTimeline
from shell.config.settings import Settings
from shell.postgres import pgpass, plans
from shell.postgres.archive import archive_waiting
from shell.postgres.binaries import Binaries
from shell.postgres.commands import explain, run, run_checked
from shell.postgres.configuration import FilesPlan, write_signal
from shell.postgres.controldata import ControlReader
from shell.postgres.errors import PostgresError
from shell.postgres.history import parse_history
from shell.postgres.same_wal import openings, same_wal
from shell.postgres.session import Session, SqlError
from shell.postgres.start import clear_left_overs
from shell.postgres.unfinished import end_left_over_tool, mark, worked_since_boot
from shell.postgres.waiting import NEVER
from shell.postgres.walfiles import timelines_here
from shell.processes import now, read_postmaster

RECOVERY_SECONDS = 24 * 3600.0  # replaying WAL takes what it takes; the caller may cancel


def recover_from_crash(
    binaries: Binaries,
    plan: FilesPlan,
    parameters: Mapping[str, str],
    cancel: threading.Event,
) -> None:
    """Replay the WAL in single-user mode, so that the directory is cleanly shut down after it.

    WAL that waits for archiving is archived before.  Raises PostgresError, Cancelled.
    """
    _check_stopped(plan.data_dir)
    if (plan.data_dir / "backup_label").exists():
        raise PostgresError(
            f"{plan.data_dir}/backup_label exists: this is an unfinished base backup, which "
            "single-user recovery would corrupt; start it as a standby or clone again"
        )
    clear_left_overs(plan.data_dir)
    standby = (plan.data_dir / "standby.signal").exists()
    # Single-user servers refuse to run with a signal file.
    write_signal(plan, "none")
    archive_waiting(binaries, plan, cancel)
    options = [f"--{name}={value}" for name, value in sorted(parameters.items())]
    argv = [
        binaries.path("postgres"),
        "--single",
        "-D",
        str(plan.data_dir),
        f"--config-file={plan.main}",
        *options,
        "template1",
    ]
    try:
        run_checked(argv, "single-user recovery", cancel=cancel, timeout_seconds=RECOVERY_SECONDS)
    finally:
        if standby:
            write_signal(plan, "standby")


def rewind(
    settings: Settings,
    binaries: Binaries,
    plan: FilesPlan,
    source: Upstream,
    cancel: threading.Event,
) -> None:
    """Run pg_rewind against that server; the directory is a standby's afterwards.

    The mark stays until a server runs there.  A run that ended while nobody saw it is not repeated:
    on its own result pg_rewind would first run crash recovery, which writes where the source has
    gone on, and then find nothing to do.

    Raises PostgresError with pg_rewind's last words, Cancelled; the directory may then be
    unusable, and only a second run or a clone mends it.
    """
    _check_stopped(plan.data_dir)
    end_left_over_tool(plan.data_dir)
    if _has_ended(binaries, plan.data_dir):
        _keep_what_ended(plan)
        return
    clear_left_overs(plan.data_dir)
    write_signal(plan, "none")
    version = binaries.version()
    options = list(settings.postgresql.rewind_options)
    if plans.restore_command(settings):
        options.append(("restore-target-wal", None))
        if version >= 15 and plan.config_dir != plan.data_dir:
            options.append(("config-file", str(plan.main)))
    words = [f"--{name}" if value is None else f"--{name}={value}" for name, value in options]
    user = settings.postgresql.authentication.rewind
    target = plans.rewind(settings, source, libpq=version)
    entries = plans.rewind_entries(settings, source)
    try:
        with pgpass.for_tool(target, entries, user.sslpassword) as (connection, environment):
            done = run(
                [
                    binaries.path("pg_rewind"),
                    f"--target-pgdata={plan.data_dir}",
                    f"--source-server={connection}",
                    *words,
                ],
                f"pg_rewind from {source.address}",
                cancel=cancel,
                environment={**environment, "PGOPTIONS": "-c statement_timeout=0"},
                on_start=lambda pid: mark(plan.data_dir, "rewind", pid),
            )
        if done.code != 0:
            raise PostgresError(f"pg_rewind from {source.address} failed: {explain(done)}")
    finally:
        # Until it is started again this directory must not look like a primary's.
        write_signal(plan, "standby")


def _has_ended(binaries: Binaries, data_dir: Path) -> bool:
    """Whether pg_rewind came to its end there, and no server has started since.

    It writes backup_label, and pg_control after all else; a start renames the label.
    """
    try:
        label = (data_dir / "backup_label").read_text("utf-8", "replace")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PostgresError(f"{error.filename} cannot be read: {error.strerror}") from None
    control = ControlReader().read(binaries, data_dir).control
    return "BACKUP METHOD: pg_rewind" in label and control.state == "in archive recovery"


def _keep_what_ended(plan: FilesPlan) -> None:
    """Take over a rewind that ended unseen; PostgreSQL writes the files to disk when it starts.

    Raises PostgresError where the machine may have lost what was not on disk.
    """
    if not worked_since_boot(plan.data_dir, "rewind"):
        raise PostgresError(
            f"pg_rewind has changed {plan.data_dir} before, but it is not known whether all of it "
            "is on disk (the machine was restarted), and it can't be repeated"
        )
    write_signal(plan, "standby")


def leader_timeline(
    settings: Settings,
    leader: Upstream,
    ours: tuple[int, int] | None,
    data_dir: Path,
    deadline: float,
    cancel: threading.Event = NEVER,
) -> LeaderTimeline:
    """Ask a server for its timeline, its history, and whether it has our WAL.

    `ours` is the timeline and LSN where our WAL ends.  Raises PostgresError, Cancelled.
    """
    asked_at = now()
    users = settings.postgresql.authentication
    normal = {
        **plans.rewind(settings, leader, libpq=None),
        **plans.secrets_of(users.rewind),
        "application_name": "hae",
    }
    with Session(normal, deadline, cancel=cancel) as session:
        rows = session.execute(
            "SELECT pg_is_in_recovery(), timeline_id FROM pg_control_checkpoint()",
            deadline=deadline,
            cancel=cancel,
            what="asking the leader",
        )
        in_recovery, checkpoint_timeline = rows[0]
        identifier, timeline, history = _identify(settings, leader, deadline, cancel)
        same = _same_wal(session, data_dir, ours, history, timeline, deadline, cancel)
    return LeaderTimeline(
        leader=leader.name,
        asked_at=asked_at,
        timeline=timeline,
        in_recovery=in_recovery,
        checkpointed=not in_recovery and checkpoint_timeline == timeline,
        history=history,
        system_identifier=identifier,
        same_wal=same,
        newer_wal_here=any(number > timeline for number in timelines_here(data_dir)),
        asked_on=None if ours is None else ours[0],
        openings=openings(data_dir),
    )


def _same_wal(
    session: Session,
    data_dir: Path,
    ours: tuple[int, int] | None,
    history: tuple[HistoryLine, ...],
    timeline: int,
    deadline: float,
    cancel: threading.Event,
) -> bool | None:
    try:
        return same_wal(session, data_dir, ours, history, timeline, deadline, cancel)
    except SqlError:  # it may not read files; then the numbers have to do
        return None


def _identify(
    settings: Settings, leader: Upstream, deadline: float, cancel: threading.Event
) -> tuple[str, int, tuple[HistoryLine, ...]]:
    parameters = {
        **plans.replication(settings, leader, libpq=None),
        **plans.secrets_of(settings.postgresql.authentication.replication),
        "replication": "true",
        "application_name": "hae",
        # psycopg2 would otherwise send SET, which a replication connection does not understand.
        "options": "-c datestyle=ISO",
    }
    with Session(parameters, deadline, cancel=cancel) as session:
        what = "asking the leader for its timeline"
        rows = session.execute("IDENTIFY_SYSTEM", deadline=deadline, cancel=cancel, what=what)
        identifier, timeline = str(rows[0][0]), int(rows[0][1])
        if timeline == 1:
            return identifier, timeline, ()
        rows = session.execute(
            f"TIMELINE_HISTORY {timeline}", deadline=deadline, cancel=cancel, what=what
        )
        content = rows[0][1]
        text = content if isinstance(content, str) else bytes(content).decode("utf-8", "replace")
        return identifier, timeline, parse_history(text)


def _check_stopped(data_dir: Path) -> None:
    if read_postmaster(data_dir) is not None:
        raise PostgresError(f"PostgreSQL runs in {data_dir}: stop it first")
