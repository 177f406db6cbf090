"""Facts about what was asked of this node: pause, stop, restarts, hand-overs, bootstrap."""

from engine import asking, candidates, upstreams, views
from engine import synchronous as sync
from engine.document import role_text
from engine.rule import fact
from engine.state import Request, RequestKind, Snapshot
from engine.timelines import lsn_text


@fact(lambda s: f"pause={s.policy.pause}")
def paused(s: Snapshot) -> bool:
    """The cluster is in maintenance mode."""
    return s.policy.pause


@fact(lambda s: f"stopping={s.stopping}")
def daemon_is_stopping(s: Snapshot) -> bool:
    """The daemon was told to end."""
    return s.stopping


@fact(lambda s: f"bootstrapping={s.memory.bootstrapping}")
def bootstrapping(s: Snapshot) -> bool:
    """This node creates the cluster."""
    return s.memory.bootstrapping


@fact(lambda s: f"roles_created={s.memory.roles_created}")
def roles_are_created(s: Snapshot) -> bool:
    """The bootstrap's SQL part is done."""
    return s.memory.roles_created


def _may_found(s: Snapshot) -> str:
    return f"bootstrap section: {s.policy.may_bootstrap}, never leads: {s.me.tags.never_leads}"


@fact(_may_found)
def may_bootstrap(s: Snapshot) -> bool:
    """The configuration allows this node to create the cluster, and its tags that it leads."""
    return s.policy.may_bootstrap and not s.me.tags.never_leads


@fact(lambda s: f"bring_back={s.memory.bring_back}")
def to_be_brought_back(s: Snapshot) -> bool:
    """PostgreSQL was stopped for what an operator asked for, and does not run again yet."""
    return s.memory.bring_back


def _leader(s: Snapshot) -> str:
    leader = views.leader_member(s)
    return f"the leader says: {leader.role}, {leader.state}" if leader else "no leader's key"


@fact(_leader)
def leader_leads(s: Snapshot) -> bool:
    """The owner of the lock says that it is promoted: what it has is the cluster's."""
    leader = views.leader_member(s)
    return leader is not None and upstreams.leads(leader)


@fact(lambda s: f"reinitialize={s.memory.reinitialize}")
def must_reinitialize(s: Snapshot) -> bool:
    """An operator asked for a new copy of the data directory."""
    return s.memory.reinitialize


# --- restarts and other requests ------------------------------------------------------------------


@fact(lambda s: f"restarting_since={s.memory.restarting_since}")
def restarting(s: Snapshot) -> bool:
    """PostgreSQL was stopped to be started again."""
    return s.memory.restarting_since is not None


def waiting(s: Snapshot) -> Request | None:
    """The oldest request that is not being carried out."""
    return next((r for r in s.requests if r.id != s.memory.restarting_for), None)


def _first(s: Snapshot) -> str:
    request = waiting(s)
    return f"request: {request.kind.value}" if request else "no request"


@fact(_first)
def nothing_is_requested(s: Snapshot) -> bool:
    """No operator waits for an answer, apart from the one whose restart is under way."""
    return waiting(s) is None


def _is(s: Snapshot, kind: RequestKind) -> bool:
    request = waiting(s)
    return request is not None and request.kind is kind


@fact(_first)
def reload_is_requested(s: Snapshot) -> bool:
    """The oldest waiting request is a reload."""
    return _is(s, RequestKind.RELOAD)


@fact(_first)
def restart_is_requested(s: Snapshot) -> bool:
    """The oldest waiting request is a restart."""
    return _is(s, RequestKind.RESTART)


@fact(_first)
def cancel_is_requested(s: Snapshot) -> bool:
    """The oldest waiting request takes a scheduled restart back."""
    return _is(s, RequestKind.CANCEL_RESTART)


@fact(_first)
def reinitialize_is_requested(s: Snapshot) -> bool:
    """The oldest waiting request is a reinitialize."""
    return _is(s, RequestKind.REINITIALIZE)


def _forced(s: Snapshot) -> bool:
    request = waiting(s)
    return request is not None and request.force


@fact(lambda s: f"force={_forced(s)}")
def request_is_forced(s: Snapshot) -> bool:
    """The oldest waiting request may cancel what is under way."""
    return _forced(s)


def _later(s: Snapshot) -> float | None:
    request = waiting(s)
    return request.condition.scheduled_epoch if request else None


@fact(lambda s: f"schedule={_later(s)}")
def request_is_for_later(s: Snapshot) -> bool:
    """The oldest waiting request names a time."""
    return _later(s) is not None


@fact(lambda s: f"scheduled={s.memory.scheduled_restart}")
def restart_is_scheduled(s: Snapshot) -> bool:
    """A restart waits for its time."""
    return s.memory.scheduled_restart is not None


@fact(lambda s: f"scheduled={s.memory.scheduled_restart}, wall={s.wall:.0f}")
def scheduled_restart_is_due(s: Snapshot) -> bool:
    """The time of the scheduled restart has come."""
    wanted = s.memory.scheduled_restart
    return wanted is not None and s.wall >= (wanted.scheduled_epoch or 0.0)


def restart_is_due(s: Snapshot) -> bool:
    """Whether an operator waits for a restart, now or by a schedule that is due."""
    asked = any(r.kind is RequestKind.RESTART for r in s.requests)
    return asked or (scheduled_restart_is_due.holds(s) and not s.policy.pause)


def _conditions(s: Snapshot) -> str:
    here = views.server(s)
    if here is None:
        return "PostgreSQL does not answer"
    return f"role={role_text(s)}, version={here.server_version}, pending={len(here.pending)}"


@fact(_conditions)
def restart_condition_fails(s: Snapshot) -> bool:
    """The restart that is due asks for another role, an older version or a pending restart.

    No answer from PostgreSQL fails only a restart that has conditions.
    """
    request = waiting(s)
    condition = request.condition if request else s.memory.scheduled_restart
    if condition is None:
        return False
    here = views.server(s)
    if here is None:
        wants = condition.pending_only or condition.role or condition.below_version
        return bool(wants)
    if condition.role and condition.role != role_text(s):
        return True
    if condition.below_version and here.server_version >= condition.below_version:
        return True
    return condition.pending_only and not here.pending


# --- hand-over by hand ----------------------------------------------------------------------------


def _request(s: Snapshot) -> str:
    request = views.failover_request(s)
    if request is None:
        return "no failover key"
    at = f" at {request.scheduled_epoch:.0f}" if request.scheduled_epoch else ""
    return f"failover key: {request.leader or 'anybody'} to {request.candidate or 'anybody'}{at}"


@fact(_request)
def handover_is_requested(s: Snapshot) -> bool:
    """The `failover` key is there."""
    return views.failover_request(s) is not None


@fact(_request)
def handover_is_from_another(s: Snapshot) -> bool:
    """The `failover` key names a leader that we are not."""
    request = views.failover_request(s)
    return request is not None and request.leader not in {None, s.me.name}


@fact(_request)
def handover_is_from_me(s: Snapshot) -> bool:
    """The `failover` key names us as the leader to be replaced."""
    request = views.failover_request(s)
    return request is not None and request.leader == s.me.name


@fact(_request)
def handover_is_to_me(s: Snapshot) -> bool:
    """The `failover` key names us as the candidate."""
    request = views.failover_request(s)
    return request is not None and request.candidate == s.me.name


@fact(_request)
def handover_is_to_me_at_once(s: Snapshot) -> bool:
    """The `failover` key names us as the candidate, and no time."""
    request = views.failover_request(s)
    return request is not None and request.candidate == s.me.name and not request.scheduled_epoch


@fact(_request)
def failover_by_hand_is_to_me(s: Snapshot) -> bool:
    """The `failover` key names us, no leader and no time: a failover, not a switchover."""
    request = views.failover_request(s)
    return handover_is_to_me_at_once.holds(s) and request is not None and request.leader is None


@fact(_request)
def handover_is_to_another(s: Snapshot) -> bool:
    """The `failover` key names a candidate that we are not."""
    request = views.failover_request(s)
    return request is not None and request.candidate not in {None, s.me.name}


@fact(_request)
def handover_is_scheduled(s: Snapshot) -> bool:
    """The `failover` key names a time."""
    request = views.failover_request(s)
    return request is not None and request.scheduled_epoch is not None


@fact(lambda s: f"{_request(s)}, wall={s.wall:.0f}")
def handover_is_due(s: Snapshot) -> bool:
    """The `failover` key is there and its time, if it names one, has come."""
    request = views.failover_request(s)
    return request is not None and s.wall >= (request.scheduled_epoch or 0.0)


@fact(lambda s: f"{_request(s)}, wall={s.wall:.0f}")
def handover_is_late(s: Snapshot) -> bool:
    """The scheduled time passed more than one and a half loops ago."""
    request = views.failover_request(s)
    if request is None or request.scheduled_epoch is None:
        return False
    return s.wall - request.scheduled_epoch > 1.5 * s.policy.loop_wait_seconds


@fact(lambda s: f"standing_down_since={s.memory.standing_down_since}")
def standing_down(s: Snapshot) -> bool:
    """We have begun to hand the lock over."""
    return s.memory.standing_down_since is not None


@fact(lambda s: f"{_request(s)}, begun with revision {s.memory.handover_revision}")
def handover_has_begun(s: Snapshot) -> bool:
    """It was noted when this very request became due."""
    request = views.failover_request(s)
    return request is not None and request.revision == s.memory.handover_revision


def _candidates(s: Snapshot) -> str:
    said = [candidates.refusal(s, a) or f"{a.name}: fit" for a in asking.answers(s)]
    return "; ".join(said) or "nobody was asked"


@fact(_candidates)
def peers_answered(s: Snapshot) -> bool:
    """Every member that can be asked was asked a moment ago, and since the need for it arose."""
    memory = s.memory
    needs = (memory.standing_down_since, memory.primary_down_since, memory.handover_since)
    since = max((at for at in needs if at is not None), default=0.0)
    return asking.answers_since(s, since, asking.peers_to_ask(s))


@fact(_candidates)
def somebody_can_take_over(s: Snapshot) -> bool:
    """A member that answered is fit to lead; silence counts as no."""
    return bool(candidates.fit(s))


@fact(_candidates)
def a_wanted_candidate_is_fit(s: Snapshot) -> bool:
    """The named candidate, or anybody when none is named, is fit to lead."""
    return bool(candidates.wanted(s))


def _votes(s: Snapshot) -> str:
    now, wanted = sync.key(s), ", ".join(a.name for a in candidates.wanted(s))
    return f"{wanted}; sync={now}, quorum={now.quorum if now else 0}"


@fact(_votes)
def a_wanted_candidate_can_get_the_votes(s: Snapshot) -> bool:
    """Enough that `sync` names answered for one of the fit candidates to lead after us.

    Who is named for a failover by hand needs none, nor does anybody while nothing is promised.
    """
    request, key = views.failover_request(s), sync.key(s)
    if request is not None and request.candidate and request.leader is None:
        return True
    needed = key.quorum if key is not None and sync.is_on(s) else None
    present = frozenset(a.name.lower() for a in asking.answers(s) if a.reachable)
    present |= {s.me.name.lower()}
    wanted = candidates.wanted(s)
    return any(needed is None or sync.votes_of(s, a.name, present) >= needed for a in wanted)


@fact(lambda s: f"due since {s.memory.handover_since}, loop_wait={s.policy.loop_wait_seconds:g}s")
def handover_has_waited(s: Snapshot) -> bool:
    """The hand-over has been due for loop_wait."""
    since = s.memory.handover_since
    return since is not None and s.now - since >= s.policy.loop_wait_seconds


def _shutdown(s: Snapshot) -> str:
    control = s.postgres.directory.control
    at = lsn_text(control.checkpoint_lsn if control else None)
    have = ", ".join(f"{a.name} has {lsn_text(a.lsn)}" for a in asking.answers(s))
    return f"shutdown checkpoint at {at}; {have or 'nobody was asked'}"


@fact(_shutdown)
def a_candidate_has_everything(s: Snapshot) -> bool:
    """A wanted candidate received our shutdown checkpoint; silence counts as no.

    A position on another timeline, or on an unknown one, proves nothing: a diverged member may have
    more WAL than we.
    """
    control = s.postgres.directory.control
    if control is None:
        return False
    fit = candidates.wanted(s)
    return any(
        a.lsn is not None and a.lsn > control.checkpoint_lsn and a.timeline == control.timeline
        for a in fit
    )


@fact(lambda s: f"standing_down_since={s.memory.standing_down_since}, now={s.now:.1f}")
def handover_takes_too_long(s: Snapshot) -> bool:
    """Since PostgreSQL was told to stop, retry_timeout has passed."""
    since = s.memory.standing_down_since
    return since is not None and s.now - since >= s.policy.retry_timeout_seconds
