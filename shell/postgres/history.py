"""Timeline history files: PostgreSQL's text into records.

Not here: comparing histories; that is a rule.
"""

from pathlib import Path

from engine.state import HistoryLine
from shell.postgres.quoting import parse_lsn


def parse_history(text: str) -> tuple[HistoryLine, ...]:
    """Return the finished timelines, oldest first; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].isdigit():
            continue
        lsn = parse_lsn(words[1])
        if lsn is not None:
            reason = words[2].strip() if len(words) == 3 else ""
            found.append(HistoryLine(int(words[0]), lsn, reason))
    return tuple(found)


class HistoryReader:
    """Reads the history of a timeline once; its file never changes afterwards.

    But a directory that is made anew may get another timeline of the same number.
    """

    def __init__(self) -> None:
        self._key: tuple[int, int, int] | None = None
        self._lines: tuple[HistoryLine, ...] = ()

    def read(self, data_dir: Path, timeline: int) -> tuple[HistoryLine, ...]:
        """Return the history of that timeline; empty for the first one or an unreadable file."""
        if timeline == 1:
            return ()
        path = data_dir / "pg_wal" / f"{timeline:08X}.history"
        try:
            found = path.stat()
            key = (timeline, found.st_mtime_ns, found.st_ino)
            if key != self._key:
                self._lines = parse_history(path.read_text("utf-8", "replace"))
                self._key = key
        except OSError:
            return ()
        return self._lines
