"""How the memory changes, and which part of it outlives a restart of the daemon."""

from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from engine.state import Memory

_NAMES = tuple(field.name for field in fields(Memory))
_ALL = attrgetter(*_NAMES)


def with_changes(memory: Memory, changes: Mapping[str, Any]) -> Memory:
    """The memory after a `Remember`; raises TypeError for a name that it does not have."""
    return Memory(**{**dict(zip(_NAMES, _ALL(memory), strict=True)), **changes})


def nothing_kept() -> Memory:
    """Of a member that never ran here: it has seen no cluster, and no ttl to wait by."""
    return Memory(knows_cluster=False, ttl_seconds=0.0, longest_ttl_seconds=0.0)


def after_restart(memory: Memory) -> Memory:
    """The lasting part: what directory and server are up to, and what operators asked for later.

    Moments of CLOCK_BOOTTIME, the race and finished jobs belong to one life of the daemon.
    """
    return Memory(
        knows_cluster=memory.knows_cluster,
        bootstrapping=memory.bootstrapping,
        bootstrap_failed=memory.bootstrap_failed,
        bootstrap_copied=memory.bootstrap_copied,
        roles_created=memory.roles_created,
        beaten=memory.beaten,
        diverged_from=memory.diverged_from,
        needs_new_copy=memory.needs_new_copy,
        wrote_on=memory.wrote_on,
        promotions_begun=memory.promotions_begun,
        promoting=memory.promoting,
        raced_on=memory.raced_on,
        proven=memory.proven,
        opening=memory.opening,
        former_upstream=memory.former_upstream,
        rewinding=memory.rewinding,
        rewound_from=memory.rewound_from,
        rewind_failed=memory.rewind_failed,
        scheduled_restart=memory.scheduled_restart,
        bring_back=memory.bring_back,
        announced_role=memory.announced_role,
        announced_up=memory.announced_up,
        logical_slots=memory.logical_slots,
        covered_by=memory.covered_by,
        covered_from=memory.covered_from,
        failsafe_listed=memory.failsafe_listed,
        ttl_seconds=memory.ttl_seconds,
        longest_ttl_seconds=memory.longest_ttl_seconds,
    )
