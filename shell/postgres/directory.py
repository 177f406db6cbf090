"""What is found at postgresql.data_dir: nothing, a data directory, or something not to touch.

Here: looking only.  Not here: making, filling or emptying it (`clone.py`, `cleaning.py`).
"""

import os
import stat
from pathlib import Path

from engine.state import DataDirectory, DirectoryKind
from shell.postgres.binaries import Binaries
from shell.postgres.controldata import ControlReader
from shell.postgres.errors import PostgresError
from shell.postgres.unfinished import is_unfinished, maker_of, mark_path, worked_since_boot

REFUSED_MODE = 0o027  # anything for others, or writing for the group
_IGNORED = frozenset({"lost+found"})


def look(
    data_dir: Path, binaries: Binaries, control: ControlReader, *, running: bool
) -> DataDirectory:
    """Describe the directory.  `running`: a postmaster works there, so leave pg_control alone."""
    try:
        return _look(data_dir, binaries, control, running=running)
    except OSError as error:
        return _alien(f"{error.filename or data_dir} cannot be read: {error.strerror}")


def _look(
    data_dir: Path, binaries: Binaries, control: ControlReader, *, running: bool
) -> DataDirectory:
    problem = _entry_problem(data_dir)
    if problem:
        return _alien(problem)
    try:
        names = {path.name for path in data_dir.iterdir()} - _IGNORED
    except FileNotFoundError:
        return _absent(data_dir)
    except OSError as error:
        return _alien(f"{data_dir} cannot be listed: {error.strerror}")
    if not running and (not names or is_unfinished(data_dir)):
        # What an unfinished clone or initdb of ours left behind may be replaced.
        return DataDirectory(DirectoryKind.EMPTY)
    return _described(data_dir, names, binaries, control, running=running)


def _described(
    data_dir: Path, names: set[str], binaries: Binaries, control: ControlReader, *, running: bool
) -> DataDirectory:
    problem = _content_problem(data_dir, names, binaries)
    if problem:
        return _alien(problem)
    maker = "" if running else maker_of(data_dir)
    problem = _doubt(data_dir, names, maker)
    if problem:
        return _alien(
            f"{data_dir} was being filled by {problem}: empty it, or remove {mark_path(data_dir)} "
            "if it is complete"
        )
    # A clone cut off at its very end is complete, but was not made a standby yet.
    standby = "standby.signal" in names or maker == "basebackup"
    if running:
        return DataDirectory(DirectoryKind.VALID, standby_signal=standby)
    try:
        found = control.read(binaries, data_dir)
    except PostgresError as error:
        return _alien(str(error))
    return DataDirectory(
        DirectoryKind.VALID,
        system_identifier=found.system_identifier,
        control=found.control,
        standby_signal=standby,
    )


def _doubt(data_dir: Path, names: set[str], maker: str) -> str:
    """Who was filling, and when, a directory that looks whole and may not be; empty if nobody."""
    if maker == "script":
        return "a replica method when hae ended"
    # It writes pg_control, and then everything to disk: files may be missing, or empty, after that.
    ran = "postmaster.opts" in names
    if maker == "basebackup" and not ran and not worked_since_boot(data_dir, "basebackup"):
        return "pg_basebackup before this machine was restarted"
    return ""


def make_private(data_dir: Path) -> None:
    """After filling a directory that was there before: give it a mode that PostgreSQL accepts."""
    try:
        if stat.S_IMODE(data_dir.stat().st_mode) & REFUSED_MODE:
            data_dir.chmod(0o700)
    except OSError as error:
        raise PostgresError(f"{data_dir} cannot be made private: {error.strerror}") from None


def _entry_problem(data_dir: Path) -> str:
    """Say what is wrong with the directory itself; empty when nothing is, or when it is absent."""
    try:
        found = data_dir.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{data_dir} cannot be reached: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{data_dir} is not a directory: mend postgresql.data_dir"
    if found.st_uid != os.geteuid():
        return (
            f"{data_dir} belongs to account {found.st_uid}, not to ours ({os.geteuid()}): "
            "run hae as its owner, or chown it"
        )
    if os.statvfs(data_dir).f_flag & os.ST_RDONLY:
        return f"{data_dir} is on a read-only file system: mount it read-write"
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return f"{data_dir} has mode {stat.S_IMODE(found.st_mode):04o}: chmod 0700 it"
    return ""


def _content_problem(data_dir: Path, names: set[str], binaries: Binaries) -> str:
    if "PG_VERSION" not in names:
        some = ", ".join(sorted(names)[:3])
        return (
            f"{data_dir} is not empty and no PostgreSQL data directory (it holds {some}): "
            "empty it, or mend postgresql.data_dir"
        )
    mode = stat.S_IMODE(data_dir.stat().st_mode)
    if mode & REFUSED_MODE:
        return f"{data_dir} has mode {mode:04o}, which PostgreSQL refuses: chmod 0700 it"
    try:
        version = (data_dir / "PG_VERSION").read_text("utf-8", "replace").strip()
    except OSError as error:
        return f"{data_dir}/PG_VERSION cannot be read: {error.strerror}"
    try:
        ours = str(binaries.version())
    except PostgresError as error:
        return str(error)
    if version != ours:
        return (
            f"{data_dir} belongs to PostgreSQL {version[:20]!r}, but the programs are version "
            f"{ours}: mend postgresql.bin_dir, or upgrade the data directory"
        )
    return ""


def _absent(data_dir: Path) -> DataDirectory:
    parent = data_dir.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not os.access(parent, os.W_OK | os.X_OK):
        return _alien(f"{data_dir} is absent and {parent} may not be written: create and chown it")
    return DataDirectory(DirectoryKind.EMPTY)


def _alien(problem: str) -> DataDirectory:
    return DataDirectory(DirectoryKind.ALIEN, problem=problem)
