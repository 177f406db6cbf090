"""What a comparison of WAL files tells, and whose bytes they hold.

A WAL receiver begins at the start of the segment that holds its position.  Where two timelines of
one number fork in that segment, the other server's bytes come over ours: the files then tell of the
other one, though what was replayed from ours is still in the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.state import DirectoryKind, LeaderTimeline, Opening
from proof.world.disk import Disk
from proof.world.wal import Branch, begins, branch_at, openings, same_bytes

if TYPE_CHECKING:
    from proof.world.server import Server

SEGMENT_BYTES = 16 << 20


def told(leader: str, asked_at: float, up: Server, ours: Disk) -> LeaderTimeline:
    """What that server, asked as `leader`, says of its timeline to the one with this disk."""
    disk = up.host.disk
    timeline = disk.branch.timeline
    return LeaderTimeline(
        leader=leader,
        asked_at=asked_at,
        timeline=timeline,
        in_recovery=up.in_recovery,
        checkpointed=not up.in_recovery and disk.checkpoint_timeline == timeline,
        history=disk.branch.history,
        system_identifier=disk.system_identifier,
        same_wal=_same_wal(ours, disk),
        newer_wal_here=ours.branch.timeline > timeline,
        openings=tuple(Opening(0, *o) for o in sorted(openings(_bytes(ours), ours.end).items())),
    )


def write_over(down: Disk, up: Disk) -> None:
    """A WAL receiver has connected: from the start of its segment on it writes what `up` has."""
    timeline, theirs = down.branch.timeline, _bytes(up)
    fork = begins(down.branch, timeline)
    opened = openings(theirs, up.end).get(timeline)
    if opened is None or fork != begins(theirs, timeline):
        return
    if fork // SEGMENT_BYTES == down.end // SEGMENT_BYTES:
        ours = opened == openings(down.branch, down.end).get(timeline)
        down.written_over = None if ours else branch_at(theirs, down.end)


def _bytes(disk: Disk) -> Branch:
    return disk.branch if disk.written_over is None else disk.written_over


def _same_wal(ours: Disk, theirs: Disk) -> bool | None:
    """What a comparison of WAL files tells; None where nothing can be compared."""
    whole = ours.kind is DirectoryKind.VALID and not ours.unfinished and not ours.half_rewound
    if not whole or ours.system_identifier != theirs.system_identifier:
        return None
    return same_bytes(_bytes(ours), ours.end, _bytes(theirs), theirs.end)
