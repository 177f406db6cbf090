"""Facts about failsafe mode: a primary that goes on without the store, by its members' word."""

from engine import agreement, asking, candidates, views
from engine.rule import fact
from engine.state import FailsafeCall, JobKind, PeerAnswer, Snapshot


@fact(lambda s: f"failsafe_mode={s.policy.failsafe_mode}")
def failsafe_is_on(s: Snapshot) -> bool:
    """The configuration wants failsafe mode."""
    return s.policy.failsafe_mode


# --- as the primary -------------------------------------------------------------------------------


def _members(s: Snapshot) -> str:
    return f"must agree: {', '.join(sorted(s.memory.failsafe_members)) or 'unknown'}"


@fact(_members)
def failsafe_members_are_known(s: Snapshot) -> bool:
    """It is remembered who must agree that we go on, and the key `failsafe` names us."""
    return bool(s.memory.failsafe_members)


@fact(lambda s: f"{_members(s)}; by the store: {', '.join(agreement.electorate(s)) or 'unknown'}")
def failsafe_members_differ(s: Snapshot) -> bool:
    """The members that must agree are others than is remembered."""
    return dict(s.memory.failsafe_members) != dict(agreement.electorate(s))


def _left(s: Snapshot) -> str:
    left = views.lease_left(s)
    return "no lease" if left is None else f"{left:.1f}s left on the lease"


@fact(_left)
def lease_is_certain(s: Snapshot) -> bool:
    """Time is left on our lease, by the store's word or by the members'."""
    left = views.lease_left(s)
    return left is not None and left > 0


def _overdue(s: Snapshot) -> str:
    at = agreement.proof_overdue_at(s)
    if at is None:
        return "no lease"
    return f"the renewal is overdue {'since' if at <= s.now else 'in'} {abs(s.now - at):.1f}s"


@fact(_overdue)
def renewal_is_overdue(s: Snapshot) -> bool:
    """A renewal was due and is not confirmed, nor has the members' word taken its place."""
    at = agreement.proof_overdue_at(s)
    return at is not None and at <= s.now


def _answers(s: Snapshot) -> str:
    said = [f"{a.name}: {'agreed' if a.agreed else a.why or 'no'}" for a in s.failsafe_answers]
    return "; ".join(said) or "nobody was asked"


@fact(_answers)
def every_member_agreed(s: Snapshot) -> bool:
    """All members agreed that we go on, for longer than our lease lasts; silence counts as no."""
    until, ends = agreement.agreed_until(s), views.lease_ends(s)
    return until is not None and ends is not None and until > ends


@fact(_answers)
def a_member_is_to_be_asked(s: Snapshot) -> bool:
    """A member has not agreed lately, nor been asked a moment ago."""
    return bool(agreement.to_ask(s))


@fact(_answers)
def a_member_leads_itself(s: Snapshot) -> bool:
    """A member answered since our last renewal that it is primary or leader itself."""
    return views.a_member_leads(s)


def _promises(s: Snapshot) -> str:
    left = agreement.promised_until(s) - s.now
    return f"the members' promise ends in {left:.1f}s" if left > 0 else "nothing is promised"


@fact(_promises)
def members_keep_from_leading(s: Snapshot) -> bool:
    """Members let us go on without the store, and keep from leading until that time is over."""
    return s.now < agreement.promised_until(s)


def _key(s: Snapshot) -> str:
    view = views.cluster(s)
    listed = view.failsafe if view else None
    return f"failsafe key: {'absent' if listed is None else ', '.join(listed) or 'nobody'}"


@fact(_key)
def failsafe_key_differs(s: Snapshot) -> bool:
    """The key does not name every member that can be asked, and only those; unknown counts as no.

    One that is right, but may be changed by a write from before our lease, differs as well.  With
    failsafe mode off there should be none.
    """
    view = views.cluster(s)
    if view is None:
        return False
    if not s.policy.failsafe_mode:
        return view.failsafe is not None
    is_right = view.failsafe is not None and dict(view.failsafe) == agreement.wanted_key(s)
    return not is_right or agreement.key_may_change(s)


# --- as one that is asked -------------------------------------------------------------------------


def first_call(s: Snapshot) -> FailsafeCall | None:
    """The oldest question that waits for an answer."""
    return s.failsafe_calls[0] if s.failsafe_calls else None


def _caller(s: Snapshot) -> str:
    call = first_call(s)
    return f"asked by {call.name}" if call else "nobody asks"


@fact(_caller)
def consent_is_asked(s: Snapshot) -> bool:
    """A primary without the store asks that we let it go on."""
    return bool(s.failsafe_calls)


@fact(lambda s: f"job: {s.job.kind.value if s.job else 'none'}")
def may_become_writable(s: Snapshot) -> bool:
    """A server is being started that was no standby when it was looked at last, or promoted."""
    if s.job is None or s.job.kind not in {JobKind.START, JobKind.PROMOTE}:
        return False
    return s.job.kind is JobKind.PROMOTE or not s.postgres.directory.standby_signal


@fact(lambda s: f"{_caller(s)}, leader by the store: {views.leader_name(s) or 'unknown'}")
def the_caller_does_not_lead(s: Snapshot) -> bool:
    """The store names a leader, and it is not the caller; unknown counts as no."""
    call, leader = first_call(s), views.leader_name(s)
    return call is not None and leader is not None and leader != call.name


def _promise(s: Snapshot) -> str:
    left = s.memory.consented_until - s.now
    return f"promised to {s.memory.consented_to}, {left:.1f}s left" if left > 0 else "no promise"


@fact(lambda s: f"{_caller(s)}; {_promise(s)}")
def promised_to_another(s: Snapshot) -> bool:
    """We let another primary go on, and that time is not over."""
    call = first_call(s)
    return consented.holds(s) and call is not None and call.name != s.memory.consented_to


def _ttl(s: Snapshot) -> str:
    call = first_call(s)
    asked = call.ttl_seconds if call else 0.0
    noted = s.memory.longest_ttl_seconds
    return f"asked for {asked:g}s, ttl={s.policy.ttl_seconds:g}s, noted: up to {noted:g}s"


def longest_word_seconds(s: Snapshot) -> float:
    """For how long we may give our word: a daemon after this one waits for what was noted."""
    return min(s.policy.ttl_seconds, s.memory.longest_ttl_seconds)


@fact(_ttl)
def asks_for_more_than_ttl(s: Snapshot) -> bool:
    """The caller would count on our word for longer than the ttl that we know, and have noted."""
    call = first_call(s)
    return call is not None and call.ttl_seconds > longest_word_seconds(s)


@fact(_promise)
def consented(s: Snapshot) -> bool:
    """A primary without the store goes on because we agreed not to lead meanwhile."""
    return s.now < s.memory.consented_until


# --- when the store has lost the cluster's keys ---------------------------------------------------


def _listed(s: Snapshot) -> str:
    return f"listed before: {', '.join(asking.listed_before(s)) or 'nobody'}"


@fact(lambda s: f"{_listed(s)}; {_key(s)}")
def failsafe_listing_differs(s: Snapshot) -> bool:
    """The `failsafe` key names others than is remembered.

    Without the key it is nobody once the mode is off; else a leader has only to write it again.
    """
    view = views.cluster(s)
    if view is None or (view.failsafe is None and s.policy.failsafe_mode):
        return False
    return dict(view.failsafe or {}) != dict(s.memory.failsafe_listed)


def _whom(s: Snapshot) -> str:
    named = ", ".join(s.memory.failsafe_listed) or "nobody"
    return f"listed before: {named}; failsafe_mode={s.policy.failsafe_mode}"


@fact(lambda s: f"{_whom(s)}, knows_cluster={s.memory.knows_cluster}")
def others_may_know_a_list(s: Snapshot) -> bool:
    """The cluster had a `failsafe` list when it was last seen, or, with that mode on, since then.

    If the last list that we saw had only us, or there was none yet, others may know another one.
    """
    return bool(s.memory.failsafe_listed) or (s.policy.failsafe_mode and s.memory.knows_cluster)


@fact(_listed)
def all_listed_were_asked(s: Snapshot) -> bool:
    """All of them were asked a moment ago."""
    return asking.answers_since(s, s.started_at, asking.listed_before(s))


def _unbound(s: Snapshot) -> list[PeerAnswer]:
    """The answers of members that know their server, and are not bound by failsafe mode."""
    seen = [a for a in asking.answers(s) if a.reachable and not asking.has_not_looked(a)]
    return [a for a in seen if not a.stale and not a.failsafe]


def may_go_on_unseen(s: Snapshot) -> list[str]:
    """Who of them may be primary, or become it, by the members' word: whoever does not deny it.

    One that is down, and has no lease, tells that it is a replica: only the store can make it more.
    """
    harmless = {a.name for a in _unbound(s) if a.role != "primary"}
    return [name for name in asking.listed_before(s) if name not in harmless]


@fact(lambda s: f"may go on without the store: {', '.join(may_go_on_unseen(s)) or 'nobody'}")
def a_member_may_go_on_unseen(s: Snapshot) -> bool:
    """One of them is silent, or does not know its server, or is primary, or bound by their word."""
    return bool(may_go_on_unseen(s))


# --- in the race ----------------------------------------------------------------------------------


@fact(_key)
def not_listed_for_failsafe(s: Snapshot) -> bool:
    """The `failsafe` key is there and does not name us, so nobody would ask us; unknown is no."""
    return not candidates.is_listed_for_failsafe(s, s.me.name)


def former_word_over_at(s: Snapshot) -> float:
    """When whatever the daemon before this one agreed to is over, by the ttl that it knew."""
    return s.started_at + views.longest_ttl_seconds(s)


def _age(s: Snapshot) -> str:
    age, longest = s.now - s.started_at, views.longest_ttl_seconds(s)
    return f"started {age:.1f}s ago, ttl was up to {longest:g}s"


@fact(_age)
def started_lately(s: Snapshot) -> bool:
    """This daemon is younger than ttl was: it can't know what its predecessor agreed to."""
    return s.now < former_word_over_at(s)


def _standbys(s: Snapshot) -> list[str]:
    """Who answered as a standby that runs, and is not part of an agreement in failsafe mode.

    A server that is being promoted is in recovery until the end, and may go on by such a word.
    """
    return [a.name for a in _unbound(s) if a.state == "running" and a.role == "replica"]


@fact(lambda s: f"{_key(s)}; standbys: {', '.join(_standbys(s)) or 'nobody'}")
def a_listed_member_may_go_on(s: Snapshot) -> bool:
    """A member that the `failsafe` key names is silent, no standby that runs, or bound by its word.

    It may be a primary without the store; one that is down may start again by the members' word.
    """
    view = views.cluster(s)
    listed = set(view.failsafe or ()) if view else set()
    return bool(listed - {s.me.name, *_standbys(s)})
