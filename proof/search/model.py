"""What one state of the small world is: plain tuples, every time relative to this instant.

Belongs here: the records and their meaning.  Does not belong here: what can happen next.
Seconds are whole multiples of the world's `tick`; an age stops counting where no rule can see a
difference any more, so that the states stay finite.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from engine.policy import Policy

NAMES = ("n1", "n2", "n3")

# WAL is a sequence of runs (epoch, records): who wrote it, and how much.  An epoch is one
# promotion, so two servers have the same WAL exactly if their runs are equal; the timeline is the
# number of runs, as PostgreSQL counts it: two promotions may well give the same number.
Wal: TypeAlias = tuple[tuple[int, int], ...]
Op: TypeAlias = tuple[Any, ...]
# `synchronous_standby_names`: how many of which nodes a commit waits for.
Setting: TypeAlias = tuple[int, tuple[int, ...]]
NOBODY: Setting = (0, ())


class Pg(IntEnum):
    """The local PostgreSQL."""

    DOWN = 0
    STARTING = 1  # a postmaster that will be writable when its start ends
    STANDBY = 2
    PROMOTING = 3  # the signal was given; cannot be taken back
    PRIMARY = 4
    CLOSING = 5  # a primary that writes and sends its shutdown checkpoint: no client any more


class Peer(NamedTuple):
    """What a member answered over REST, `age` seconds ago."""

    age: float
    reachable: bool
    role: str = ""
    state: str = ""
    lsn: int | None = None
    timeline: int | None = None


class Told(NamedTuple):
    """What the leader's server said about its timeline, `age` seconds ago.

    Without `by_name` it was asked as the server at its address, whoever leads.
    """

    leader: int
    age: float
    timeline: int
    in_recovery: bool
    checkpointed: bool
    forks: tuple[int, ...]
    same_wal: bool | None
    asked_on: int | None
    by_name: bool = True


class Flight(NamedTuple):
    """A slow request to the store; `answer` is None until the store has handled it."""

    op: Op
    age: float
    answer: bool | None = None


class SyncKey(NamedTuple):
    """The `sync` key.  The version that is there is number 1; see `synchronous.py`."""

    leader: int
    standbys: tuple[int, ...]
    quorum: int
    revision: int = 1


class Sync(NamedTuple):
    """Synchronous replication on one node."""

    written: Setting | None  # in the configuration; None: none of ours
    force: Setting  # what a new session sees
    obeyed: tuple[Setting, ...]  # earlier ones that some process still goes by
    setting: tuple[str, Setting | None] | None  # on its way: ("write" or "load", names)
    rows: tuple[int | None, ...]  # by node: how much it confirmed to this primary; None: gone
    acknowledged: Wal  # what this server ever told clients


class Seen(NamedTuple):
    """What a member key said, as far as it counts once the key is gone."""

    role: str
    runs: bool


class Gone(NamedTuple):
    """A member whose key a daemon saw to be gone, `age` seconds ago; see `lost.py`."""

    n: int
    seen: Seen
    age: float
    with_ours: bool


class Word(NamedTuple):
    """Failsafe mode on one node; ages are those of the questions.  See `word.py`."""

    born: float  # how long its daemon has run, up to ttl
    asked: tuple[tuple[int, float], ...] = ()  # (member, age): questions of its own, on their way
    calls: tuple[tuple[int, float], ...] = ()  # (caller, age): questions that wait here
    replies: tuple[tuple[int, float, int], ...] = ()  # (caller, age, HTTP status) answered here
    heard: tuple[tuple[int, float, int], ...] = ()  # (member, age, status or 0): newest answers


class View(NamedTuple):
    """What every node can read in the store."""

    leader: int | None
    members: tuple[tuple[tuple[str, Any], ...] | None, ...]
    optime: int | None
    forks: tuple[int, ...] | None  # history: where each finished timeline ended
    failover: tuple[int | None, int | None] | None  # the request: (leader, candidate)
    pause: bool
    sync: SyncKey | None = None
    initialized: bool = True
    configured: bool = True
    failsafe: bool = False  # the key names everybody


class Shared(NamedTuple):
    """The store, and what is left of what the world writes and promotes."""

    view: View
    key_left: float  # seconds until the store may drop the leader key
    epochs: int  # promotions so far
    records: int  # further WAL records that clients and shutdowns may write
    emptied: bool = False  # all keys were lost once
    silent: bool = False  # it answers nobody


class Budget(NamedTuple):
    """The faults that may still happen."""

    kinds: tuple[int, ...]  # of each kind, in the order of World.faults
    together: int


class Node(NamedTuple):
    """One host: its daemon, its PostgreSQL, its fence."""

    # the daemon
    up: bool
    frozen: bool  # stopped by a signal, or hung; its threads with it
    pending: tuple[Op, ...]  # effects of the last decision that are still to be carried out
    memory: tuple[tuple[str, Any], ...]  # what differs from Memory(); times are relative
    kept: tuple[tuple[str, Any], ...]  # the part on disk
    sent: float | None  # the lease: seconds since the renewal was sent
    refused: bool
    job: tuple[Any, ...] | None  # (kind, detail, begun)
    last: tuple[str, bool, bool] | None  # how the last job ended: (kind, well, noted)
    peers: tuple[Peer | None, ...]
    told: Told | None
    published: tuple[tuple[str, Any], ...] | None
    rest: tuple[str, str, int | None, int | None]  # what REST shows: role, state, LSN, timeline
    paused: bool  # as this daemon read it last
    stopping: bool
    silent: bool  # the store does not answer this node
    flight: Flight | None
    late: Op | None  # a request that nobody waits for and that the store may still handle
    old_view: tuple[View, float] | None  # a watched copy that has stood still for so long
    # PostgreSQL
    pg: Pg
    halting: bool  # told to stop fast
    signal: bool  # standby.signal is there
    control: str  # what pg_controldata would say while it is down
    checkpointed: bool  # on the present timeline
    upstream: int | None
    wal: Wal
    half: bool  # pg_rewind was cut off
    unguarded: bool  # its fence was disarmed in maintenance mode, and not armed since
    # the fence: ("process" or "directory", seconds until the lease that it knows ends)
    fence: tuple[str, float] | None
    # synchronous replication, and whether the node's connection to its upstream is cut
    sync: Sync | None = None
    cut: bool = False
    # where keys may be lost: the member keys as the daemon saw them last, and those that are gone
    seen: tuple[Seen | None, ...] | None = None
    gone: tuple[Gone, ...] = ()
    # in failsafe mode; a cut node reaches no other one then
    word: Word | None = None


@dataclass(frozen=True, slots=True)
class World:
    """One small world: who is there, what may go wrong how often, and how time is cut."""

    name: str
    what: str  # one sentence for the report
    nodes: int
    policy: Policy
    tick: float
    faults: dict[str, int] = field(default_factory=dict)
    budget: int = 0  # faults in one run, of all kinds together
    promotions: int = 2
    records: int = 1
    fence: bool = True
    twins: bool = False  # two promotions may give the same timeline number
    heals: bool = True  # ask of each of its states whether a leader can come
    timely: bool = True  # a daemon that is not frozen does all it has to do within a tick

    @property
    def synchronous(self) -> bool:
        """Whether synchronous mode is on."""
        return self.policy.synchronous_mode != "off"

    @property
    def loses_keys(self) -> bool:
        """Whether the store may lose all its keys."""
        return "keys" in self.faults

    @property
    def paused_policy(self) -> Policy:
        """The same policy in maintenance mode."""
        return replace(self.policy, pause=True)

    @property
    def unheard(self) -> bool:
        """Whether members may fail to hear each other at any time."""
        return not self.timely

    @property
    def margin(self) -> float:
        """The stop margin that the engine works with."""
        return min(5.0, max(1.0, self.policy.ttl_seconds * 0.2))

    @property
    def oldest(self) -> float:
        """Ages beyond this one are all alike to the rules."""
        longest = max(self.policy.retry_timeout_seconds, self.policy.loop_wait_seconds, 3.0)
        return longest + self.tick


def lsn(wal: Wal) -> int:
    """How many records a WAL has."""
    return sum(count for _, count in wal)


def forks(wal: Wal) -> tuple[int, ...]:
    """Where each finished timeline of a WAL ended."""
    ends, total = [], 0
    for _, count in wal[:-1]:
        total += count
        ends.append(total)
    return tuple(ends)


def is_beginning(wal: Wal, of: Wal) -> bool:
    """Whether a WAL is the beginning of another, or all of it."""
    if not wal:
        return True
    n = len(wal) - 1
    return len(of) > n and wal[:n] == of[:n] and wal[n][0] == of[n][0] and wal[n][1] <= of[n][1]


def same_bytes(wal: Wal, of: Wal) -> bool | None:
    """Whether another WAL has ours as far as its timelines have the numbers of ours.

    None where it has no timeline of our number.
    """
    n = len(wal) - 1
    if len(of) <= n:
        return None
    return wal[:n] == of[:n] and wal[n][0] == of[n][0]


def extended(wal: Wal, records: int = 1) -> Wal:
    """The WAL with more records on its last timeline."""
    return (*wal[:-1], (wal[-1][0], wal[-1][1] + records))
