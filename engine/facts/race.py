"""Facts about the leader race."""

from engine import asking, candidates, views
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

    The leader that `sync` names may be (`candidates.has_led_last`).
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
    return a.reachable and not is_ended and serves and a.role == "primary"


def _unseen(s: Snapshot) -> str:
    names = [a.name for a in asking.answers(s) if asking.has_not_looked(a)]
    return f"not seen by its own daemon yet: {', '.join(names) or 'no server'}; {_free(s)}"


@fact(_unseen)
def a_peer_has_not_looked(s: Snapshot) -> bool:
    """A peer answers whose daemon has not seen its PostgreSQL since it started."""
    return any(asking.has_not_looked(a) and not a.stale for a in asking.answers(s))


def _free(s: Snapshot) -> str:
    return f"lock free since {s.memory.lock_free_since}, ttl={s.policy.ttl_seconds:g}s"


@fact(_free)
def lock_is_free_for_ttl(s: Snapshot) -> bool:
    """The lock is known to be free for a ttl; never seen free counts as no."""
    since = s.memory.lock_free_since
    return since is not None and s.now - since >= s.policy.ttl_seconds


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
