"""Actions on the fence, questions to others, the memory, answers to operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.actions.base import Upstream


@dataclass(frozen=True, slots=True)
class ArmFence:
    """PostgreSQL must be gone `before_end_seconds` before our lease ends, or the fence ends it.

    Counted from the end of the lease as it is when the action is carried out: a renewal earlier in
    the same list moves the deadline.  While there is no lease, from `asked_ends_at`: the earliest
    end of one that is asked for next.  `pid` 0 guards whatever server runs in the directory then.
    """

    pid: int
    start_ticks: int
    before_end_seconds: float
    grace_seconds: float
    required: bool
    asked_ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class DisarmFence:
    """PostgreSQL is not writable, or paused: no deadline."""


@dataclass(frozen=True, slots=True)
class ActivateWatchdog:
    """Let the device count from that timeout, or from what is left of our lease if that is less.

    A device that can't fails the action if it is `required`.
    """

    timeout_seconds: float
    required: bool


@dataclass(frozen=True, slots=True)
class FeedWatchdog:
    """Start the device's countdown anew, unless our lease would end before it does."""


@dataclass(frozen=True, slots=True)
class CloseWatchdog:
    """Stop the device's countdown."""


@dataclass(frozen=True, slots=True)
class AskPeers:
    """Ask these members for role, position and timeline over REST.

    The last answer, or the end of the patience, wakes the loop.
    """

    members: tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class AskFailsafe:
    """Ask these members (name -> api_url) to let us lead for `ttl_seconds` more, without the store.

    A member that was asked and has not answered yet is not asked again.  Each answer wakes the
    loop.
    """

    members: Mapping[str, str]
    ttl_seconds: float
    timeout_seconds: float
    slots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AskLeader:
    """Ask the leader for its timeline and its history, and whether it has the WAL that we have.

    `ours` is the timeline and LSN where our WAL ends, as far as that is known; `receiver` is the
    WAL receiver by which we stream while we ask.
    """

    leader: Upstream
    ours: tuple[int, int] | None = None
    receiver: int | None = None


@dataclass(frozen=True, slots=True)
class AskSlots:
    """Ask the leader about these logical slots, and what it keeps for our slot `feedback`."""

    leader: Upstream
    names: tuple[str, ...]
    feedback: str


@dataclass(frozen=True, slots=True)
class RunCallback:
    """Run the operator's callback `on_start`, `on_stop`, ... with that role."""

    action: Literal["on_start", "on_stop", "on_restart", "on_reload", "on_role_change"]
    role: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an operator's request with an HTTP status and a text."""

    request_id: int
    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Remember:
    """Set fields of the memory; the only way that one cycle speaks to the next."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """Say something to the operator (log at that level) because a rule found it worth saying."""

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing, and say what is waited for; look again at `until` at the latest."""

    waiting_for: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """End the daemon with that exit code."""

    code: int
    why: str
