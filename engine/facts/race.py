"""Facts about the leader race and about following the winner."""

from engine import asking, candidates, lineage, upstreams, views
from engine.facts.sync import gets_votes
from engine.rule import fact
from engine.state import Known, PeerAnswer, Snapshot
from engine.timelines import lsn_text


def _tags(s: Snapshot) -> str:
    return f"nofailover={s.me.tags.nofailover}, failover_priority={s.me.tags.failover_priority}"


@fact(_tags)
def tagged_nofailover(s: Snapshot) -> bool:
    """Our tags forbid that we lead."""
    return s.me.tags.never_leads


@fact(lambda s: f"{max(0.0, s.memory.race_barred_until - s.now):.1f}s left")
def barred_from_the_race(s: Snapshot) -> bool:
    """A promotion failed here; others go first for a while."""
    return s.now < s.memory.race_barred_until


def _sync(s: Snapshot) -> str:
    view = views.cluster(s)
    return f"synchronous_mode={s.policy.synchronous_mode}, sync={view.sync if view else None}"


@fact(_sync)
def may_miss_synchronous_commits(s: Snapshot) -> bool:
    """Synchronous mode is on and `sync` does not name us; in quorum mode the votes decide that."""
    if s.policy.synchronous_mode == "quorum":
        return False
    return not candidates.may_lead_in_sync_mode(s, s.me.name)


def _lag(s: Snapshot) -> str:
    limit = s.policy.maximum_lag_on_failover_bytes
    lag = views.lag_bytes(s, views.position(views.server(s)))
    return f"{lag} bytes behind the last known position, {limit} allowed; {_sync(s)}"


@fact(_lag)
def lags_too_far(s: Snapshot) -> bool:
    """We are further behind than maximum_lag_on_failover; an unknown own position counts as yes.

    In synchronous mode the leader that `sync` names may be, as it has all that was acknowledged.
    """
    here = views.position(views.server(s))
    return here is None or _is_too_far(s, s.me.name, here)


def _is_too_far(s: Snapshot, name: str, lsn: int | None) -> bool:
    return candidates.lags_too_far(s, name, views.lag_bytes(s, lsn))


def _timeline(s: Snapshot) -> str:
    here, wanted = views.server(s), views.cluster_timeline(views.cluster(s))
    return f"timeline {here.timeline if here else None}, the cluster is on {wanted}"


@fact(_timeline)
def timeline_is_behind(s: Snapshot) -> bool:
    """Our timeline is older than the cluster's; an unknown own timeline counts as yes."""
    here, wanted = views.server(s), views.cluster_timeline(views.cluster(s))
    if wanted is None:
        return False
    return here is None or here.timeline is None or here.timeline < wanted


@fact(lambda s: f"check_timeline={s.policy.check_timeline}")
def timeline_is_checked(s: Snapshot) -> bool:
    """The configuration wants only members on the cluster's timeline to race."""
    return s.policy.check_timeline


def _answers(s: Snapshot) -> str:
    said = [_said(a) for a in asking.answers(s)]
    mine = lsn_text(views.position(views.server(s)))
    return f"mine {mine}; {', '.join(said) or 'nobody was asked'}"


def _said(a: PeerAnswer) -> str:
    if not a.reachable:
        return f"{a.name} silent"
    return f"{a.name} {a.role} {lsn_text(a.lsn)} timeline {a.timeline}"


@fact(_answers)
def peers_were_asked(s: Snapshot) -> bool:
    """Everybody was asked since the lock is free, and a moment ago."""
    since = s.memory.lock_free_since
    return since is not None and asking.answers_since(s, since, asking.peers_in_a_race(s))


@fact(_answers)
def a_peer_is_writable(s: Snapshot) -> bool:
    """A peer answered as primary.  Silence, and an answer from a hung loop, count as no.

    A hung loop in maintenance mode does not: no fence has ended that primary.
    """
    return any(_is_writable(a) for a in asking.answers(s))


def _is_writable(a: PeerAnswer) -> bool:
    serves = a.state in {"running", "unknown"}  # unknown: its PostgreSQL gives no answer
    is_ended = a.stale and not a.paused
    return a.reachable and not is_ended and serves and a.role in {"primary", "master"}


def _may_lead(s: Snapshot, a: PeerAnswer) -> bool:
    if not a.reachable or a.stale or a.nofailover or a.failover_priority <= 0 or a.watchdog_failed:
        return False
    if a.name not in asking.peers_to_ask(s):  # without a key it does not take the lock
        return False
    if not candidates.is_listed_for_failsafe(s, a.name):
        return False
    return a.lsn is not None and candidates.may_lead_in_sync_mode(s, a.name)


def _compare(s: Snapshot, a: PeerAnswer) -> int:
    return candidates.compare(views.server(s), a)


def _rivals(s: Snapshot) -> list[PeerAnswer]:
    """The peers that can win this race, as far as we see.

    One that lags too far itself can't, on a newer timeline than ours either: the last leader was
    on an older one then, as check_timeline allows.
    """
    able = (a for a in asking.answers(s) if _may_lead(s, a) and not _is_too_far(s, a.name, a.lsn))
    return [a for a in able if gets_votes(s, a)]


@fact(_answers)
def a_peer_is_ahead(s: Snapshot) -> bool:
    """A peer that can win has more WAL, or a newer timeline."""
    return any(_compare(s, a) > 0 for a in _rivals(s))


def _priorities(s: Snapshot) -> str:
    others = (f"{a.name}={a.failover_priority}" for a in asking.answers(s))
    return f"{_tags(s)}; {', '.join(others)}"


@fact(_priorities)
def a_peer_is_preferred(s: Snapshot) -> bool:
    """A peer that can win, and need not give way to us, is as far, with more failover_priority."""
    mine, request = s.me.tags.failover_priority, views.failover_request(s)
    rivals = [a for a in _rivals(s) if request is None or a.name != request.leader]
    return any(_compare(s, a) == 0 and a.failover_priority > mine for a in rivals)


@fact(_answers)
def the_named_candidate_can_lead(s: Snapshot) -> bool:
    """The candidate that the `failover` key names answered and may lead."""
    request = views.failover_request(s)
    answer = asking.answer_of(s, request.candidate) if request else None
    return answer is not None and _may_lead(s, answer)


def _waited(s: Snapshot) -> float | None:
    """For how long a scheduled hand-over is due, and the lock free for its candidate."""
    request, since = views.failover_request(s), s.memory.lock_free_since
    if request is None or request.scheduled_epoch is None or since is None:
        return None
    return min(s.now - since, s.wall - request.scheduled_epoch)


def _time(s: Snapshot) -> str:
    waited, ttl = _waited(s), s.policy.ttl_seconds
    return "no scheduled hand-over" if waited is None else f"due for {waited:.1f}s, ttl={ttl:g}s"


@fact(_time)
def the_named_candidate_had_its_time(s: Snapshot) -> bool:
    """A scheduled hand-over is due for a ttl by our clock, the lock was free, and nobody took it.

    By the candidate's own clock it may not be due yet.
    """
    waited = _waited(s)
    return waited is not None and waited >= s.policy.ttl_seconds


@fact(_answers)
def somebody_else_can_lead(s: Snapshot) -> bool:
    """A peer with no less WAL than ours answered, may lead, and has the votes (mode `quorum`)."""
    return any(_compare(s, a) >= 0 and gets_votes(s, a) for a in candidates.fit(s))


@fact(lambda s: f"lock free since {s.memory.lock_free_since}")
def lock_was_free_before(s: Snapshot) -> bool:
    """It is already remembered since when the lock is free."""
    return s.memory.lock_free_since is not None


def _flow(s: Snapshot) -> str:
    here, limit = views.server(s), s.policy.primary_race_backoff_seconds
    return (
        f"{here.replication_state if here else None} at {lsn_text(views.position(here))}, "
        f"before {lsn_text(s.memory.race_position)}, primary_race_backoff={limit:g}s"
    )


def _may_back_off(s: Snapshot) -> bool:
    """We still stream, and the lock is free for less than primary_race_backoff."""
    here, since = views.server(s), s.memory.lock_free_since
    if here is None or here.replication_state != "streaming" or since is None:
        return False
    return s.now - since < s.policy.primary_race_backoff_seconds


@fact(_flow)
def the_old_primary_still_sends(s: Snapshot) -> bool:
    """Within primary_race_backoff: we stream, and have received more than when we looked last."""
    return _may_back_off(s) and views.position(views.server(s)) != s.memory.race_position


@fact(_flow)
def the_old_primary_sent_a_moment_ago(s: Snapshot) -> bool:
    """Within primary_race_backoff: we stream, and received something in the last second."""
    return _may_back_off(s) and s.now - s.memory.race_moved_at < views.ASK_AGAIN_SECONDS


# --- following ------------------------------------------------------------------------------------


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


@fact(lambda s: f"PostgreSQL down since {s.memory.primary_down_since}")
def primary_went_down(s: Snapshot) -> bool:
    """It is remembered since when our primary is down."""
    return s.memory.primary_down_since is not None


def _down(s: Snapshot) -> str:
    since = s.memory.primary_down_since
    down = "not down" if since is None else f"down for {s.now - since:.1f}s"
    return f"{down}, primary_start_timeout={s.policy.primary_start_timeout_seconds:g}s"


@fact(_down)
def start_timeout_is_over(s: Snapshot) -> bool:
    """Our primary has been down for primary_start_timeout (0: at once)."""
    since = s.memory.primary_down_since
    return since is not None and s.now - since >= s.policy.primary_start_timeout_seconds


@fact(_answers)
def own_position_is_fresh(s: Snapshot) -> bool:
    """Our own position was observed since the lock is free."""
    since, here = s.memory.lock_free_since, s.postgres.server
    return since is not None and isinstance(here, Known) and here.when >= since
