"""What the model world leaves out of a real cluster, said instead of guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from proof.whatif.picture import Part, Picture, Unanswerable

REPLAY_BYTES = 16 * 1024 * 1024  # less than that is replayed in a moment


def check(picture: Picture) -> None:
    """Refuse a cluster of which nothing true could be said; raises Unanswerable."""
    if any(part.policy.standby_cluster is not None for part in picture.parts):
        raise Unanswerable("this is a standby cluster, which the model world does not know yet")


def noted(picture: Picture, sources: tuple[str, ...] = ()) -> Picture:
    """The picture with a sentence for all that whoever reads the answers must know."""
    found = [*sources, *picture.notes, *_of_cluster(picture)]
    for part in picture.parts:
        found += _of_part(part)
    return replace(picture, notes=tuple(dict.fromkeys(found)))


def _of_cluster(picture: Picture) -> Iterator[str]:
    walls = [part.snapshot.wall for part in picture.parts if part.snapshot is not None]
    apart = max(walls) - min(walls) if walls else 0.0
    if apart > 2 * picture.policy.loop_wait_seconds:
        yield f"the members' snapshots are up to {apart:.0f} s apart"
    if any(_has_watchdog(part) for part in picture.parts):
        yield "watchdog devices are left out: the fence and the daemons act alone"
    slots = [x for part in picture.parts for x in part.policy.permanent_slots]
    if any(slot.kind == "logical" for slot in slots):
        yield "logical slots are left out"
    if picture.cluster.failover is not None:
        yield "a hand-over is requested in the store, and is a part of the answers"
    if any(part.snapshot is not None and part.snapshot.job is not None for part in picture.parts):
        yield "work on a member's PostgreSQL is under way; it is left out"


def _has_watchdog(part: Part) -> bool:
    present = part.snapshot is not None and part.snapshot.watchdog.present
    return present or part.policy.watchdog_mode == "required"


def _of_part(part: Part) -> Iterator[str]:
    name, tags = part.name, part.member.tags
    if tags.nostream:
        yield f"{name} is tagged nostream; WAL from an archive is left out"
    if tags.replicatefrom:
        yield f"{name} streams from {tags.replicatefrom} (replicatefrom), which is modelled roughly"
    if part.lag_bytes is None and part.runs:
        yield f"the position of {name} is not known; it is taken as the primary's"
    replay = part.replay_lag_bytes or 0
    if replay > REPLAY_BYTES:
        yield (
            f"{name} has {replay // (1024 * 1024)} MiB to replay before it can be promoted,"
            " which is left out of the times"
        )
    s = part.snapshot
    if s is not None and not s.fence.ready and not part.policy.pause:
        yield f"{name} has no fence ({s.fence.why})"
