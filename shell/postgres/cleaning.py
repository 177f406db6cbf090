"""Emptying a data directory, or setting it aside.

Here: what belongs to the cluster and lies elsewhere (a symlinked pg_wal, tablespaces) goes too.
Not here: whether that is allowed; the caller was told so.
"""

import os
import threading
from pathlib import Path

from shell.postgres.errors import PostgresError
from shell.postgres.unfinished import NO_PROCESS, end_left_over_tool, mark, unmark
from shell.postgres.waiting import check
from shell.processes import processes_of

_WHAT = "emptying the data directory"


def empty_directory(data_dir: Path, cancel: threading.Event) -> None:
    """Remove everything in the directory, not the directory itself.

    Raises PostgresError when a server still runs there or something cannot be removed, Cancelled.
    """
    end_left_over_tool(data_dir)
    if processes_of(data_dir):
        raise PostgresError(f"{data_dir} is in use by a running PostgreSQL: stop it first")
    try:
        if not data_dir.is_dir():
            return
        # PG_VERSION and pg_control go first: what is left after an interruption is no cluster, and
        # the mark says whose it was.
        mark(data_dir, "removal", NO_PROCESS)
        for name in ("global/pg_control", "PG_VERSION"):
            (data_dir / name).unlink(missing_ok=True)
        for elsewhere in _elsewhere(data_dir):
            _remove_content(elsewhere, cancel)
        _remove_content(data_dir, cancel)
    except OSError as error:
        raise PostgresError(f"{error.filename} cannot be removed: {error.strerror}") from None
    unmark(data_dir)


def move_aside(data_dir: Path) -> Path | None:
    """Rename the directory to `<data_dir>.failed`; None when there is nothing.

    An earlier one of that name is kept: a number is added.
    """
    end_left_over_tool(data_dir)
    if processes_of(data_dir):
        raise PostgresError(f"{data_dir} is in use by a running PostgreSQL: stop it first")
    unmark(data_dir)
    if not data_dir.exists():
        return None
    target, number = data_dir.with_name(f"{data_dir.name}.failed"), 0
    while target.exists():
        number += 1
        target = data_dir.with_name(f"{data_dir.name}.failed.{number}")
    try:
        data_dir.rename(target)
    except OSError as error:
        raise PostgresError(f"{data_dir} cannot be moved to {target}: {error.strerror}") from None
    return target


def _elsewhere(data_dir: Path) -> list[Path]:
    """Directories outside the data directory that hold only files of this cluster."""
    found = []
    wal = data_dir / "pg_wal"
    if wal.is_symlink() and wal.is_dir():
        found.append(Path(os.path.realpath(wal)))
    links = data_dir / "pg_tblspc"
    if links.is_dir():
        for link in links.iterdir():
            if link.is_symlink() and link.is_dir():
                # Other clusters may share the place; theirs have another version directory.
                found += list(Path(os.path.realpath(link)).glob("PG_[0-9]*_*"))
    return found


def _remove_content(folder: Path, cancel: threading.Event) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            check(cancel, _WHAT)
            if entry.is_dir(follow_symlinks=False):
                _remove_content(Path(entry.path), cancel)
                os.rmdir(entry.path)  # noqa: PTH106
            else:
                os.unlink(entry.path)  # noqa: PTH108
