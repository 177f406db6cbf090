"""Facts about following the leader: whether our WAL is a part of its, and what it takes."""

from engine import lineage, upstreams, views
from engine.rule import fact
from engine.state import Snapshot


def _upstream(s: Snapshot) -> str:
    wanted = upstreams.wanted_upstream(s)
    at = f"{wanted.address} slot {wanted.slot}" if wanted else None
    how = ", WAL from the archive only" if upstreams.follows_archive(s) else ""
    found = f"{s.postgres.configured_upstream} slot {s.postgres.configured_slot}"
    return f"wanted upstream {at}{how}, configured {found}"


@fact(_upstream)
def upstream_is_known(s: Snapshot) -> bool:
    """There is a leader with an address to follow."""
    return upstreams.wanted_upstream(s) is not None


@fact(_upstream)
def truth_has_an_address(s: Snapshot) -> bool:
    """The server whose WAL ours must be a part of can be asked."""
    return lineage.truth(s) is not None


@fact(_upstream)
def upstream_differs(s: Snapshot) -> bool:
    """The standby is configured for another upstream than it should follow."""
    wanted = upstreams.wanted_upstream(s)
    if wanted is None and not upstreams.follows_archive(s):
        return False
    if wanted is None or s.me.tags.nostream:
        return s.postgres.configured_upstream is not None
    found = (s.postgres.configured_upstream, s.postgres.configured_slot)
    return found != (wanted.address, wanted.slot)


@fact(_upstream)
def upstream_is_another(s: Snapshot) -> bool:
    """The standby is configured for a server, and should not stream from that address."""
    configured, wanted = s.postgres.configured_upstream, upstreams.streams_from(s)
    return configured is not None and (wanted is None or configured != wanted.address)


def _told(s: Snapshot) -> str:
    told = lineage.told_timeline(s)
    if told is None:
        return f"leader's timeline unknown: {lineage.leader_silent_why(s)}"
    return f"leader is on timeline {told.timeline}, checkpointed={told.checkpointed}"


@fact(_told)
def leader_told_its_timeline(s: Snapshot) -> bool:
    """The present leader was asked for its timeline a moment ago, and answered."""
    return lineage.told_timeline(s) is not None


@fact(_told)
def leader_can_be_rewound_to(s: Snapshot) -> bool:
    """The leader is out of recovery and has checkpointed on its new timeline."""
    told = lineage.told_timeline(s)
    return told is not None and told.checkpointed and not told.in_recovery


@fact(_told)
def leader_is_in_recovery(s: Snapshot) -> bool:
    """The leader answered that it is not promoted yet; unknown counts as no."""
    told = lineage.told_timeline(s)
    return told is not None and told.in_recovery


def _published(s: Snapshot) -> str:
    here, leader = views.server(s), views.leader_member(s)
    return (
        f"timeline {here.timeline if here else None}, "
        f"the leader published {leader.timeline if leader else None}"
    )


@fact(_published)
def leader_is_on_another_timeline(s: Snapshot) -> bool:
    """The leader published another timeline than ours; unknown counts as no."""
    here, leader = views.server(s), views.leader_member(s)
    if here is None or leader is None or not here.timeline or not leader.timeline:
        return False
    return here.timeline != leader.timeline


def _divergence(s: Snapshot) -> str:
    if s.memory.rewinding:
        return "a rewind was begun and has not ended"
    remembered = f"found diverged from timeline {s.memory.diverged_from} while it ran"
    return lineage.divergence(s) or (remembered if s.memory.diverged_from else "none is known")


@fact(_divergence)
def has_diverged(s: Snapshot) -> bool:
    """Our WAL is not a part of the leader's; unknown counts as no (see the rules that ask).

    What was found while the standby ran is remembered: its control file may tell less.  A rewind
    that was cut off has not mended it.
    """
    if s.memory.rewinding:
        return True
    told = lineage.told_timeline(s)
    if told is None or told.same_wal is True:
        return bool(lineage.divergence(s))
    found = s.memory.needs_new_copy or s.memory.diverged_from == told.timeline
    return found or bool(lineage.divergence(s))


@fact(lambda s: f"rewound from {s.memory.rewound_from}, rewinding: {s.memory.rewinding}")
def rewound_and_not_up_since(s: Snapshot) -> bool:
    """pg_rewind ended on this directory, and no server that uses it has answered since."""
    return s.memory.rewound_from is not None and not s.memory.rewinding


@fact(lambda s: f"use_pg_rewind={s.policy.use_pg_rewind}, {s.postgres.directory.control}")
def may_rewind(s: Snapshot) -> bool:
    """pg_rewind is allowed, possible (checksums or wal_log_hints), and has not failed here.

    Where a timeline of one number was opened twice it would find nothing to do, or too little.
    """
    control = s.postgres.directory.control
    possible = control is not None and control.rewindable
    sees_it = not lineage.opened_twice(s) and not s.memory.needs_new_copy
    return s.policy.use_pg_rewind and possible and sees_it and not s.memory.rewind_failed


def _wrote(s: Snapshot) -> str:
    memory = s.memory
    begun = f"promotions_begun={memory.promotions_begun}"
    return f"wrote_on={memory.wrote_on}, {begun}, {_published(s)}"


def _new_copy(s: Snapshot) -> str:
    return f"{_divergence(s)}, needs_new_copy={s.memory.needs_new_copy}"


@fact(_new_copy)
def opened_twice_unnoted(s: Snapshot) -> bool:
    """Our WAL and the leader's part on a timeline of the same number; that is not remembered."""
    return lineage.opened_twice(s) and not s.memory.needs_new_copy


@fact(_new_copy)
def needs_new_copy(s: Snapshot) -> bool:
    """Our data was found to be no part of the cluster, beyond pg_rewind; no leader has it since."""
    told = lineage.told_timeline(s)
    is_the_leaders = told is not None and told.same_wal is True and not lineage.divergence(s)
    return s.memory.needs_new_copy and not is_the_leaders


@fact(_wrote)
def writing_is_noted(s: Snapshot) -> bool:
    """It is remembered which timeline we write, as primary; a timeline that is unknown is noted."""
    here = views.server(s)
    if here is None or here.timeline is None:
        return True
    known = s.memory.wrote_on == here.timeline and not s.memory.promotions_begun
    return known and not s.memory.promoting and not s.memory.needs_new_copy


@fact(_wrote)
def timeline_may_be_opened_twice(s: Snapshot) -> bool:
    """The leader may write, or open, a timeline of the number that we wrote last; unknown: yes."""
    wrote, leader = s.memory.wrote_on, views.leader_member(s)
    if s.memory.promotions_begun:
        return True
    return wrote is not None and (leader is None or (leader.timeline or 0) <= wrote)


@fact(_upstream)
def may_come_to_follow_unasked(s: Snapshot) -> bool:
    """Nothing comes from the configured upstream, and it is another one, or was promoted, since."""
    here, configured = views.server(s), s.postgres.configured_upstream
    if configured is None or here is None or here.replication_state == "streaming":
        return False
    return upstream_differs.holds(s) or leader_is_on_another_timeline.holds(s)


@fact(lambda s: f"rewinding: {s.memory.rewinding}")
def rewind_was_begun(s: Snapshot) -> bool:
    """pg_rewind was begun on this directory, and has not ended well."""
    return s.memory.rewinding


@fact(lambda s: f"rewind failed: {s.memory.rewind_failed or 'no'}")
def rewind_has_failed(s: Snapshot) -> bool:
    """pg_rewind failed on this directory."""
    return bool(s.memory.rewind_failed)


@fact(lambda s: f"remove_on_rewind_failure={s.policy.remove_on_rewind_failure}")
def may_remove_after_failed_rewind(s: Snapshot) -> bool:
    """remove_data_directory_on_rewind_failure is on."""
    return s.policy.remove_on_rewind_failure


@fact(lambda s: f"remove_on_diverged={s.policy.remove_on_diverged}")
def may_remove_diverged(s: Snapshot) -> bool:
    """remove_data_directory_on_diverged_timelines is on."""
    return s.policy.remove_on_diverged


def _source(s: Snapshot) -> str:
    source = upstreams.clone_source(s)
    return f"clone source: {source.name if source else None}"


@fact(_source)
def a_clone_source_exists(s: Snapshot) -> bool:
    """A running member can be copied."""
    return upstreams.clone_source(s) is not None
