"""The actions: plain, final values.  The shell has exactly one executor for each class.

Every parameter that an executor needs is inside; an executor that would need to choose means that
the action was too vague.  Actions of a decision run in order and stop at the first failure; the
next cycle decides again from what is true then.  Only the `HEARTBEATS` may fail without stopping
what follows: a silent store must not keep a crashed primary from its restart.  A renewal that the
store *refused* stops everything.

An action that is right for a while only has a `begin_before`: the shell asks `is_too_late` when its
turn comes, and whatever carries it out asks once more right before the effect, so that neither a
frozen daemon nor a slow step before it lets it happen later.

The four unions at the end say where an action is carried out; every action is in exactly one.
"""

from typing import TypeAlias

from engine.actions.base import Upstream, is_too_late
from engine.actions.local import (
    ActivateWatchdog,
    Answer,
    ArmFence,
    AskFailsafe,
    AskLeader,
    AskPeers,
    AskSlots,
    CloseWatchdog,
    DisarmFence,
    Exit,
    FeedWatchdog,
    Hold,
    Remember,
    Report,
    RunCallback,
)
from engine.actions.postgres import (
    AdvanceSlots,
    ApplyConfiguration,
    Clone,
    CopySlots,
    CreateLogicalSlots,
    CreateRoles,
    CreateSlots,
    DropSlots,
    Follow,
    MoveDataDirectory,
    Promote,
    ReadConfiguration,
    RecoverFromCrash,
    RemoveDataDirectory,
    Rewind,
    RunCheckpoint,
    RunInitdb,
    SetSyncNames,
    StartPostgres,
    StopPostgres,
)
from engine.actions.store import (
    AcquireLock,
    ClaimFounding,
    ClearFailover,
    CreateInitialize,
    DeleteInitialize,
    DeleteSync,
    DropFounder,
    PublishMember,
    ReleaseLock,
    RenewLock,
    WithdrawMember,
    WriteConfig,
    WriteFailsafe,
    WriteHistory,
    WriteInitialize,
    WriteStatus,
    WriteSync,
)

__all__ = [
    "HEARTBEATS",
    "AcquireLock",
    "Action",
    "ActivateWatchdog",
    "AdvanceSlots",
    "Answer",
    "ApplyConfiguration",
    "ArmFence",
    "AskFailsafe",
    "AskLeader",
    "AskPeers",
    "AskSlots",
    "ClaimFounding",
    "ClearFailover",
    "Clone",
    "CloseWatchdog",
    "CopySlots",
    "CreateInitialize",
    "CreateLogicalSlots",
    "CreateRoles",
    "CreateSlots",
    "DeleteInitialize",
    "DeleteSync",
    "DisarmFence",
    "DropFounder",
    "DropSlots",
    "Exit",
    "FeedWatchdog",
    "Follow",
    "Hold",
    "JobAction",
    "LoopAction",
    "MoveDataDirectory",
    "Promote",
    "PublishMember",
    "ReadConfiguration",
    "RecoverFromCrash",
    "ReleaseLock",
    "Remember",
    "RemoveDataDirectory",
    "RenewLock",
    "Report",
    "Rewind",
    "RunCallback",
    "RunCheckpoint",
    "RunInitdb",
    "SetSyncNames",
    "SideAction",
    "StartPostgres",
    "StopPostgres",
    "StoreAction",
    "Upstream",
    "WithdrawMember",
    "WriteConfig",
    "WriteFailsafe",
    "WriteHistory",
    "WriteInitialize",
    "WriteStatus",
    "WriteSync",
    "is_too_late",
]

# One request to the store at a time, each bounded; the next action waits for the answer.
StoreAction: TypeAlias = (
    AcquireLock
    | RenewLock
    | ReleaseLock
    | PublishMember
    | WithdrawMember
    | ClaimFounding
    | DropFounder
    | CreateInitialize
    | WriteInitialize
    | DeleteInitialize
    | WriteConfig
    | WriteStatus
    | WriteHistory
    | WriteFailsafe
    | WriteSync
    | DeleteSync
    | ClearFailover
)
# Long work on PostgreSQL: one at a time, begun here and seen as the snapshot's `job`.
JobAction: TypeAlias = (
    RunInitdb
    | CreateRoles
    | Clone
    | StartPostgres
    | StopPostgres
    | Promote
    | RecoverFromCrash
    | Rewind
    | RemoveDataDirectory
    | CopySlots
)
# Short work that may still hang, beside the loop: one of each class at a time.
SideAction: TypeAlias = (
    RunCheckpoint
    | Follow
    | ApplyConfiguration
    | SetSyncNames
    | CreateSlots
    | CreateLogicalSlots
    | DropSlots
    | AdvanceSlots
    | AskPeers
    | AskLeader
    | AskSlots
)
# At once, in the loop.
LoopAction: TypeAlias = (
    AskFailsafe
    | MoveDataDirectory
    | ReadConfiguration
    | ArmFence
    | DisarmFence
    | ActivateWatchdog
    | FeedWatchdog
    | CloseWatchdog
    | RunCallback
    | Answer
    | Remember
    | Report
    | Hold
    | Exit
)
Action: TypeAlias = StoreAction | JobAction | SideAction | LoopAction

# Nothing that follows in a list depends on these; what does, asks the lease itself.
HEARTBEATS = (RenewLock, PublishMember, WriteStatus, WriteHistory)
