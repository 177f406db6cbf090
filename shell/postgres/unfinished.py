"""A mark beside the data directory while it is filled or emptied, so that half a copy is known.

A daemon that died meanwhile finds the mark at its next start: the tool that may still be writing
is ended, and what it left may be replaced.  The mark alone allows nothing: a directory that
somebody restored there by hand is told from a half-made one by what only complete ones have.
Not here: removing the content.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Literal, TypeAlias

from shell.postgres.errors import PostgresError
from shell.postgres.files import sync_folder, write_atomically
from shell.postgres.waiting import NEVER, wait_until
from shell.processes import ProcessId, boot_id, identify, is_alive, now

END_SECONDS = 10.0  # from SIGKILL to the end of a tool: more only where its disk hangs

# What fills the directory: initdb (or a bootstrap command), pg_basebackup, a replica script; or
# repairs it: pg_rewind, which never makes it worth nothing; or empties it, as was allowed.
Maker: TypeAlias = Literal["initdb", "basebackup", "script", "rewind", "removal"]
NO_PROCESS = 0


def mark_path(data_dir: Path) -> Path:
    """Where the mark lies: beside the directory, because the tools want that one empty."""
    return data_dir.with_name(f".{data_dir.name}.unfinished")


def mark(data_dir: Path, maker: Maker, pid: int) -> None:
    """Say that this process is filling the directory; on disk before what it does may be."""
    identity = identify(pid)
    # Without permission to write beside the data directory we do without the mark.
    with contextlib.suppress(OSError, PostgresError):
        ticks = identity.start_ticks if identity else 0
        text = f"{maker} {pid} {ticks} {boot_id()}\n"
        write_atomically(mark_path(data_dir), text, mode=0o600)


def unmark(data_dir: Path) -> None:
    """Say that the directory is complete, or empty again."""
    with contextlib.suppress(OSError):
        mark_path(data_dir).unlink()
        # A mark that came back with a crash of the machine would take it for half-made.
        sync_folder(data_dir.parent)


def maker_of(data_dir: Path) -> str:
    """Who was filling the directory when the work was cut off; "" when nobody was."""
    found = _read(data_dir)
    return found[0] if found else ""


def worked_since_boot(data_dir: Path, maker: Maker) -> bool:
    """Whether that tool was the last to work there, and the machine has run on since."""
    found = _read(data_dir)
    return found is not None and found[0] == maker and found[3] == boot_id()


def is_unfinished(data_dir: Path) -> bool:
    """Whether what lies there is half-made by us, and may be replaced."""
    maker = maker_of(data_dir)
    if maker == "initdb":
        # A server that ever ran left its options, and a restored backup its label.
        return not any((data_dir / name).exists() for name in ("postmaster.opts", "backup_label"))
    # pg_basebackup, like every sane restore, writes pg_control last; a removal takes it first.
    return (
        maker in {"basebackup", "script", "removal"}
        and not (data_dir / "global/pg_control").exists()
    )


def end_left_over_tool(data_dir: Path) -> None:
    """End the tool of an earlier daemon that may still write into the directory.

    Raises PostgresError when it does not end.
    """
    found = _read(data_dir)
    tool = ProcessId(found[1], found[2]) if found and found[1] > 1 else None
    if tool is None or not is_alive(tool):
        return
    # Tools lead their own process group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(tool.pid, signal.SIGKILL)
    if not wait_until(lambda: not is_alive(tool), now() + END_SECONDS, NEVER, "ending a tool"):
        raise PostgresError(
            f"process {tool.pid}, which an earlier hae-daemon started, still fills {data_dir} and "
            "does not end: end it, or wait for its disk"
        )


def _read(data_dir: Path) -> tuple[str, int, int, str] | None:
    """(maker, pid, start ticks, boot); the boot is "-" in a mark that has none."""
    try:
        text = mark_path(data_dir).read_text("utf-8", "replace")
        maker, pid, ticks, boot = f"{text.rstrip()} -".split()[:4]
        return maker, int(pid), int(ticks), boot
    except (OSError, ValueError):
        return None
