"""What the numbers of timelines, and the positions where they fork, tell; how an LSN is written."""

from engine.state import HistoryLine, LeaderTimeline, Opening


def lsn_text(lsn: int | None) -> str:
    """An LSN as PostgreSQL writes it: 0/3000060."""
    return "unknown" if lsn is None else f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def fork_point(history: tuple[HistoryLine, ...], timeline: int) -> int | None:
    """Where `timeline` ended according to a history; None if the history does not name it."""
    for line in history:
        if line.timeline == timeline:
            return line.lsn
    return None


def parted_by_number(told: LeaderTimeline, end: tuple[int, int, bool]) -> str:
    """Why WAL that ends there is not a part of that server's, by the numbers alone; empty: it is.

    A shutdown checkpoint record that begins before the fork point ends at or before it, since the
    leader had received it whole; one that begins at or after it is ours alone.
    """
    timeline, lsn, record_start = end
    if timeline == told.timeline:
        return ""
    if timeline > told.timeline:
        return f"we are on timeline {timeline}, the leader is on {told.timeline}"
    fork = fork_point(told.history, timeline)
    if fork is None:
        return f"the leader's history does not name our timeline {timeline}"
    if lsn > fork or (record_start and lsn >= fork):
        return f"timeline {timeline} was left at {lsn_text(fork)}, our WAL ends at {lsn_text(lsn)}"
    return ""


def opening_of(told: LeaderTimeline, timeline: int | None) -> Opening | None:
    """How that timeline begins in our own WAL; None where that is not known."""
    return next((o for o in told.openings if o.timeline == timeline), None)


def overwritten(told: LeaderTimeline, before: Opening | None) -> bool:
    """Whether a timeline of ours begins otherwise than it did in this same copy of the data.

    A WAL receiver begins at the start of its segment, so another server's WAL comes over ours.
    """
    now = opening_of(told, before.timeline) if before is not None else None
    return now is not None and before is not None and now.copy == before.copy and now != before
