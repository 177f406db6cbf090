"""In which order members are restarted: PostgreSQL dictates it for some parameters.

A standby needs at least the primary's value of these.  So raised values reach the standbys first,
and lowered ones the primary first; without either the leader comes last, because its restart is
the one that clients notice.  A standby that is started with less than its control file asks for
would end at once, so it gets that value, and a restart stays pending.
"""

from collections.abc import Iterable, Mapping

STANDBY_NEEDS_AS_MUCH = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)


def leader_first(changes: Iterable[tuple[str, int | None, int | None]]) -> bool:
    """Whether the pending changes (parameter, old, new) only lower what a standby needs."""
    bound = [(old, new) for name, old, new in changes if name in STANDBY_NEEDS_AS_MUCH]
    return bool(bound) and all(
        old is not None and new is not None and new < old for old, new in bound
    )


def at_least(parameters: Mapping[str, str], needed: Mapping[str, int]) -> dict[str, str]:
    """The parameters for a standby's start: none of those below what its control file asks for."""
    raised = {
        name: str(needed[name])
        for name in STANDBY_NEEDS_AS_MUCH
        if name in parameters and name in needed and int(parameters[name]) < needed[name]
    }
    return {**parameters, **raised}
