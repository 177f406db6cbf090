"""Until when an operation may begin: `begin_before` of the actions, relative to this instant.

Belongs here: how it is read, how it ages, and when it has passed.  Does not belong here: what the
operation does.
"""

from __future__ import annotations

from proof.search.model import Op, World

TOO_LATE = -1.0


def begin_before(op: Op) -> float | None:
    """In how many seconds it will be too late for that operation; None: never."""
    at = {"renew": 2, "acquire": 2, "start": 3}.get(op[0])
    left: float | None = op[at] if at is not None else None
    return left


def older_op(world: World, op: Op) -> Op:
    """The operation a tick later, as far as its last moment goes."""
    left = begin_before(op)
    return op if left is None else (*op[:-1], max(left - world.tick, TOO_LATE))


def is_too_late(op: Op) -> bool:
    """Whether the request is not sent any more: a tick begins with the moment itself."""
    left = begin_before(op)
    return left is not None and left <= 0
