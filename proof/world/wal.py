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
        "fork",
        "history",
        "limits",
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


def opened_twice(mine: Branch, theirs: Branch, name: str) -> bool:
    """Whether both know a timeline of one number that is not the same one.

    Except where `name` opened its present timeline itself and the other is on that number: then it
    can know.
    """
    if mine.timeline == theirs.timeline:
        return mine.opener != name
    numbers = {branch.timeline: branch for branch in (theirs, *theirs.limits)}
    return any(numbers.get(b.timeline, b) is not b for b in (mine, *mine.limits))
