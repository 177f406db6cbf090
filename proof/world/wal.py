"""Write-ahead log as it really is: whose bytes a server has, whatever its timeline is numbered.

A `Branch` is WAL that one server wrote after a fork; its timeline number may be used by another
branch too, which is how two servers can diverge unnoticed.  A position is a branch and an LSN, and
stands for all WAL up to there.  Commits that clients were told of are kept per branch.
"""

from __future__ import annotations

from engine.state import HistoryLine

CHECKPOINT_BYTES = 120
END_OF_RECOVERY_BYTES = 48
FORK_REASON = "no recovery target specified"


class Branch:
    """WAL after a fork.  `limits` says up to where each of its ancestors belongs to it."""

    __slots__ = (
        "end",
        "first",
        "fork",
        "history",
        "limits",
        "number",
        "opened",
        "opener",
        "parent",
        "promised",
        "timeline",
        "told",
    )

    def __init__(self, timeline: int, parent: Branch | None, fork: int, opener: str = "") -> None:
        self.timeline = timeline
        self.opener = opener  # whose promotion opened it
        self.parent = parent
        self.fork = fork
        self.end = fork
        self.first: Branch = self if parent is None else parent.first
        self.opened = 0  # how many came of this one, counted on the first
        self.first.opened += 1
        self.number = self.first.opened
        self.limits: dict[Branch, int] = {}
        self.history: tuple[HistoryLine, ...] = ()
        self.promised = 0  # up to here synchronous commits were acknowledged
        self.told: list[tuple[int, int, bool]] = []  # (LSN, commit, synchronous) as acknowledged
        if parent is not None:
            self.limits = {**parent.limits, parent: fork}
            self.history = (*parent.history, HistoryLine(parent.timeline, fork, FORK_REASON))
            if parent.timeline == timeline:  # another writer of the same number: no history file
                self.history = parent.history


def contains(branch: Branch, end: int, part: Branch, lsn: int) -> bool:
    """Whether all WAL up to `lsn` of `part` is in the WAL up to `end` of `branch`."""
    if part is branch:
        return lsn <= end
    limit = branch.limits.get(part)
    return limit is not None and lsn <= limit and lsn <= end


def branch_at(branch: Branch, lsn: int) -> Branch:
    """The ancestor (or itself) that the byte before `lsn` belongs to."""
    while branch.parent is not None and lsn <= branch.fork:
        branch = branch.parent
    return branch


def common_end(one: Branch, end: int, other: Branch, other_end: int) -> tuple[Branch, int]:
    """The last position that both have."""
    at: Branch | None = one
    limit = end
    while at is not None:
        if at is other:
            return at, min(limit, other_end)
        if at in other.limits:
            return at, min(limit, other.limits[at], other_end)
        limit = min(limit, at.fork)
        at = at.parent
    raise AssertionError("two branches without a common root")


def openings(branch: Branch, end: int) -> dict[int, int]:
    """Which branch opened each timeline, by its number: their first records tell them apart."""
    found, at = {}, branch_at(branch, end)
    while at.parent is not None:
        if at.timeline != at.parent.timeline:
            found[at.timeline] = at.number
        at = at.parent
    return found


def begins(branch: Branch, timeline: int) -> int:
    """Where a timeline begins by the history of that branch."""
    return max((line.lsn for line in branch.history if line.timeline < timeline), default=0)


def next_switch(branch: Branch, lsn: int) -> int | None:
    """Where the timeline ends that the byte after `lsn` is of; None if it is that branch's own."""
    return min((line.lsn for line in branch.history if line.lsn > lsn), default=None)


def same_bytes(mine: Branch, end: int, theirs: Branch, their_end: int) -> bool | None:
    """Whether the other has our last WAL, as far as it counts our timeline's number as its own.

    None: it has no timeline of that number, or nothing of ours to compare.
    """
    limits = [line.lsn for line in theirs.history if line.timeline == mine.timeline]
    if mine.timeline != theirs.timeline and not limits:
        return None
    if begins(mine, mine.timeline) != begins(theirs, mine.timeline):
        return False
    until = min(end, their_end, *limits)
    shared = common_end(mine, end, theirs, their_end)[1]
    if shared >= until:
        return True
    return None if until <= mine.fork else False
