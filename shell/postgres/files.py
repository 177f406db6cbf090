"""Reading and replacing small files: all or nothing, durable, with the right mode.

Not here: what they contain.
"""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from shell.postgres.errors import PostgresError


def read_text(path: Path) -> str | None:
    """Return the text of a file; None when it is not there.  Raises PostgresError."""
    try:
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PostgresError(f"{path} cannot be read: {error.strerror}") from None


def write_atomically(path: Path, text: str, *, mode: int) -> bool:
    """Replace the file by one with this text and mode; False when it was so already.

    Raises PostgresError.
    """
    return write_bytes_atomically(path, text.encode("utf-8", "surrogateescape"), mode=mode)


def write_bytes_atomically(path: Path, data: bytes, *, mode: int) -> bool:
    """The same with bytes."""
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    try:
        if _is_so(target, data, mode):
            return False
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise PostgresError(f"{path} cannot be written: {error.strerror}") from None
    return True


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def mode_for(path: Path, data_dir: Path) -> int:
    """Mode for a new file: inside the data directory its group access counts, else the umask."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(data_dir)):
        return 0o666 & ~_umask()
    try:
        group = bool(stat.S_IMODE(data_dir.stat().st_mode) & stat.S_IRGRP)
    except OSError:
        group = False
    return 0o640 if group else 0o600


def _umask() -> int:
    # Read from the kernel: setting it to read it would race with other threads.
    try:
        with open("/proc/self/status") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError):
        return 0o077
    return 0o077


def _is_so(path: Path, data: bytes, mode: int) -> bool:
    try:
        return path.read_bytes() == data and stat.S_IMODE(path.stat().st_mode) == mode
    except FileNotFoundError:
        return False
