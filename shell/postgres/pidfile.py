"""What postmaster.pid tells about a running server, without asking the server.

The server keeps its state in the file's last line ("starting", "ready", ...): reading it costs
nothing and leaves no line in the server's log, unlike a connection attempt.  Not here: whether
that process lives (`shell.processes`).
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PidFile:
    """The lines of postmaster.pid that matter; empty text where a line is missing."""

    port: int
    socket_directory: str
    listen_address: str
    status: str  # "starting", "stopping", "ready", "standby" (up, accepts nobody), or ""


def read_pidfile(data_dir: Path) -> PidFile | None:
    """Read the file; None when it is not there or not complete yet."""
    try:
        lines = (data_dir / "postmaster.pid").read_text("utf-8", "replace").split("\n")
    except OSError:
        return None
    lines += [""] * (8 - len(lines))
    if not lines[3].strip().isdigit():
        return None
    return PidFile(int(lines[3]), lines[4].strip(), lines[5].strip(), lines[7].strip())
